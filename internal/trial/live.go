package trial

import (
	"io"
	"os"

	"oddish/internal/sandbox"
)

// liveFile takes the output of a process while it runs. Whatever happens to it does not
// disturb the process: after a failed write, or at the limit, it takes no more.
type liveFile struct {
	file *os.File
	left int64
	err  error
}

// openLive makes a file for output that is still growing.
func (r *run) openLive(path string) io.Writer {
	f, err := os.Create(path)
	l := &liveFile{file: f, left: sandbox.DefaultOutputLimit, err: err}
	r.live = append(r.live, l)
	return l
}

// closeLive closes the files once their processes have ended or nobody waits for them any more.
func (r *run) closeLive() {
	for _, l := range r.live {
		if l.err != nil {
			r.log.Warn("output could not be shown while it grew", "error", l.err)
		}
		if l.file != nil {
			l.file.Close()
		}
	}
	r.live = nil
}

func (l *liveFile) Write(p []byte) (int, error) {
	if l.err != nil || l.left <= 0 {
		return len(p), nil
	}
	n, err := l.file.Write(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	l.err = err
	return len(p), nil
}

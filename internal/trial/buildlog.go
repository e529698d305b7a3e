package trial

import (
	"context"
	"os"
	"path/filepath"

	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// startBox starts a sandbox. What the build of its image says is in the trial's folder; there is no such file where nothing had to be built.
func (r *run) startBox(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	log := &lateFile{path: filepath.Join(r.dir, result.BuildLogFile)}
	spec.BuildLog = log
	box, err := r.Provider.Start(ctx, spec)
	if log.close(); log.err != nil {
		r.log.Warn("output of the build not kept", "error", log.err)
	}
	return box, err
}

// lateFile is a file that is made, or added to, when something is written.
type lateFile struct {
	path string
	file *os.File
	err  error // the first; nothing is written after it
}

func (l *lateFile) Write(p []byte) (int, error) {
	if l.file == nil && l.err == nil {
		l.file, l.err = os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	}
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.file.Write(p)
	l.err = err
	return n, err
}

func (l *lateFile) close() {
	if l.file == nil {
		return
	}
	if err := l.file.Close(); l.err == nil {
		l.err = err
	}
}

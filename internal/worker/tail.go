package worker

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"time"

	"oddish/client"
	"oddish/internal/result"
)

const (
	tailEvery = time.Second
	// tailChunk is what is sent of one file at a time, in bytes.
	tailChunk = 1 << 20
	// tailLimit is what is sent of one file while the trial runs. The rest follows at its end.
	tailLimit = 32 << 20
)

// tail sends what was appended to the logs of a running trial, so that people can watch it. It is
// best effort: at the end of the trial every file is sent whole.
type tail struct {
	server Server
	j      *job
	dir    string
	sent   map[string]int64 // bytes of each file that the server has
}

func newTail(s Server, j *job, dir string) *tail {
	return &tail{server: s, j: j, dir: dir, sent: map[string]int64{}}
}

// run looks for growth about once a second until ctx ends.
func (t *tail) run(ctx context.Context) {
	for pause(ctx, tailEvery) {
		t.look(ctx)
	}
}

func (t *tail) look(ctx context.Context) {
	root, err := os.OpenRoot(t.dir)
	if err != nil {
		return // not there yet
	}
	defer root.Close()
	for _, name := range logs(root) {
		if ctx.Err() != nil {
			return
		}
		t.send(ctx, root, name)
	}
}

// logs are the files that grow while a trial runs.
func logs(root *os.Root) []string {
	names := []string{result.LogFile, result.BuildLogFile}
	folders := []string{"."}
	steps, _ := fs.ReadDir(root.FS(), result.StepsDir) // absent but for tasks with steps
	for _, s := range steps {
		folders = append(folders, path.Join(result.StepsDir, s.Name()))
	}
	for _, dir := range folders {
		names = append(names, path.Join(dir, result.VerifierDir, result.TestOutputFile))
		entries, _ := fs.ReadDir(root.FS(), path.Join(dir, result.AgentDir)) // absent until the agent starts
		for _, e := range entries {
			if e.Type().IsRegular() && path.Ext(e.Name()) == ".txt" {
				names = append(names, path.Join(dir, result.AgentDir, e.Name()))
			}
		}
	}
	return names
}

// send sends what was appended to one file since the last time.
func (t *tail) send(ctx context.Context, root *os.Root, name string) {
	f, err := openRegular(root, name)
	if err != nil {
		return // absent, or not for us
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return
	}
	if info.Size() < t.sent[name] {
		t.sent[name] = 0 // replaced by a shorter one
	}
	from := t.sent[name]
	n := min(info.Size(), tailLimit) - from
	for n > 0 {
		part := make([]byte, min(n, tailChunk))
		if _, err := f.ReadAt(part, from); err != nil {
			return // it was cut meanwhile
		}
		sent := int64(t.j.secrets.Mask(part))
		if sent == 0 {
			return
		}
		err := t.server.PutFile(ctx, t.j.ID, t.j.Lease, name, from, io.NewSectionReader(bytes.NewReader(part), 0, sent))
		if err != nil {
			t.failed(ctx, name, err)
			return
		}
		from, n = from+sent, n-sent
		t.sent[name] = from
	}
}

func (t *tail) failed(ctx context.Context, name string, err error) {
	t.j.check(err)
	if client.StatusOf(err) == http.StatusRequestedRangeNotSatisfiable {
		t.sent[name] = 0 // the server has less than we thought
	}
	if ctx.Err() == nil {
		t.j.log.DebugContext(ctx, "growing file not sent", "file", name, "error", err)
	}
}

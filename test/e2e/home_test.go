package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every single thing that a test waits for. It is generous: what is measured has its own limit.
const patience = 2 * time.Minute

// home is one installation: a data directory, an address, and the environment of its user.
type home struct {
	t    *testing.T
	dir  string // ODDISH_DATA_DIR
	url  string
	port int
	vars []string
}

// newHome makes an installation for sandboxes of a kind, with further variables in its environment. What
// still runs of it when the test ends is killed.
func newHome(t *testing.T, kind string, vars ...string) *home {
	t.Helper()
	return homeAt(t, filepath.Join(t.TempDir(), "data"), kind, vars...)
}

func homeAt(t *testing.T, dir, kind string, vars ...string) *home {
	t.Helper()
	h := &home{t: t, dir: dir, port: freePort(t)}
	h.url = "http://localhost:" + strconv.Itoa(h.port)
	user := t.TempDir()
	h.vars = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + user,
		"TMPDIR=" + user,
		"ODDISH_DATA_DIR=" + h.dir,
		"ODDISH_API_URL=" + h.url,
		"ODDISH_DEFAULT_ENVIRONMENT=" + kind,
		"DOCKER_HOST=" + dockerHostFor(kind, user),
	}, vars...)
	t.Cleanup(func() {
		h.killAll()
		h.removeContainers()
		if t.Failed() {
			h.showLog()
		}
	})
	return h
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// outcome is what a user sees of a command that has ended.
type outcome struct {
	args           []string
	stdout, stderr string
	code           int
}

// command prepares the program with arguments, in the environment of this home.
func (h *home) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = h.vars
	cmd.Dir = repository()
	return cmd
}

// run runs the program to its end.
func (h *home) run(args ...string) outcome {
	h.t.Helper()
	p := h.start(args...)
	return p.wait()
}

// ok runs the program and wants it to succeed.
func (h *home) ok(args ...string) outcome {
	h.t.Helper()
	return h.run(args...).exits(h.t, 0)
}

func (o outcome) exits(t *testing.T, code int) outcome {
	t.Helper()
	if o.code != code {
		t.Fatalf("oddish %s: exit status %d, want %d\nstdout: %s\nstderr: %s", strings.Join(o.args, " "), o.code, code, o.stdout, o.stderr)
	}
	return o
}

// says wants texts in standard error.
func (o outcome) says(t *testing.T, texts ...string) outcome {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.stderr, text) {
			t.Errorf("oddish %s: %q is not in standard error:\n%s", strings.Join(o.args, " "), text, o.stderr)
		}
	}
	return o
}

// decode reads the one JSON document of standard output.
func (o outcome) decode(t *testing.T, v any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(o.stdout))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("oddish %s: the document is not what it should be: %v\n%s", strings.Join(o.args, " "), err, o.stdout)
	}
	if dec.More() {
		t.Fatalf("oddish %s: there is more than one document on standard output:\n%s", strings.Join(o.args, " "), o.stdout)
	}
}

// process is a command that runs beside the test.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan struct{}
	err            error
}

// start starts the program. It is killed when the test ends.
func (h *home) start(args ...string) *process {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h.t.Cleanup(cancel)
	p := &process{t: h.t, cmd: h.command(ctx, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	// A server that it leaves in the background writes to a file, so nothing holds the pipes.
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p
}

// wait waits for the end of the command.
func (p *process) wait() outcome {
	p.t.Helper()
	args := p.cmd.Args[1:]
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
		<-p.ended
		p.t.Fatalf("oddish %s did not end within %s\nstdout: %s\nstderr: %s", strings.Join(args, " "), patience, p.stdout.String(), p.stderr.String())
	}
	o := outcome{args: args, stdout: p.stdout.String(), stderr: p.stderr.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(p.err, &exit):
		o.code = exit.ExitCode()
	case p.err != nil:
		p.t.Fatalf("oddish %s: %v\nstderr: %s", strings.Join(args, " "), p.err, o.stderr)
	}
	return o
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !yes() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// showLog shows the end of the server's log, for a test that failed.
func (h *home) showLog() {
	data, err := os.ReadFile(filepath.Join(h.dir, "server.log"))
	if err != nil {
		return
	}
	const most = 6 << 10
	if len(data) > most {
		data = data[len(data)-most:]
	}
	h.t.Logf("server.log of %s:\n%s", h.dir, data)
}

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a command that runs beside the test.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr output
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

// waitSays waits until a text is in standard error.
func (p *process) waitSays(text string) {
	p.t.Helper()
	eventually(p.t, "standard error with "+text, func() bool { return strings.Contains(p.stderr.String(), text) })
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// outcome is what a user sees of a command that has ended.
type outcome struct {
	args           []string
	stdout, stderr string
	code           int
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

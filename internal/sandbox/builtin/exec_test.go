//go:build linux && (amd64 || arm64)

package builtin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"oddish/internal/sandbox"
)

func TestExec(t *testing.T) {
	t.Parallel()
	s := start(t, newProvider(t), func(spec *sandbox.Spec) {
		spec.Env = map[string]string{"A": "spec", "B": "spec"}
		spec.Workdir = "/srv/work dir"
	})

	t.Run("gives the exit status, and 128+n for a signal", func(t *testing.T) {
		for script, status := range map[string]int{
			"true": 0, "exit 3": 3, "kill -TERM $$": 143, "kill -KILL $$": 137, "no-such-command 2>/dev/null": 127,
		} {
			if code, out := run(t, s, script); code != status {
				t.Errorf("%s: status %d, want %d: %s", script, code, status, out)
			}
		}
	})
	t.Run("keeps stdout and stderr apart", func(t *testing.T) {
		var out, errs bytes.Buffer
		code, err := s.Exec(context.Background(), sandbox.Command{Script: "echo out; echo err >&2", Stdout: &out, Stderr: &errs})
		if err != nil || code != 0 || out.String() != "out\n" || errs.String() != "err\n" {
			t.Errorf("%d %v %q %q", code, err, out.String(), errs.String())
		}
	})
	t.Run("sets environment and directory", func(t *testing.T) {
		want(t, s, `echo $A $B $HOME; pwd`, "spec own /root\n/srv/work dir", func(c *sandbox.Command) { c.Env = map[string]string{"B": "own"} })
		want(t, s, "pwd", "/usr", func(c *sandbox.Command) { c.Dir = "/usr" })
	})
	t.Run("refuses a directory that does not exist", func(t *testing.T) {
		_, err := s.Exec(context.Background(), sandbox.Command{Script: "true", Dir: "/no/such"})
		if err == nil || !strings.Contains(err.Error(), "/no/such does not exist") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("feeds stdin to its end", func(t *testing.T) {
		data := strings.Repeat("0123456789abcdef", 64<<10) // larger than a pipe
		want(t, s, "wc -c", "1048576", func(c *sandbox.Command) { c.Stdin = strings.NewReader(data) })
	})
	t.Run("does not wait for a reader of stdin that the command does not need", func(t *testing.T) {
		r, w := io.Pipe()
		defer w.Close()
		want(t, s, "echo done", "done", func(c *sandbox.Command) { c.Stdin = r })
	})
	t.Run("gives all output of a command", func(t *testing.T) {
		var out bytes.Buffer
		code, err := s.Exec(context.Background(), sandbox.Command{Script: "head -c 5000000 /dev/zero", Stdout: &out})
		if err != nil || code != 0 || out.Len() != 5000000 {
			t.Errorf("%d %v %d bytes", code, err, out.Len())
		}
	})
	t.Run("does not wait for a background process that holds the output", func(t *testing.T) {
		began := time.Now()
		want(t, s, "echo before; sleep 100 & echo after", "before\nafter")
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("took %s", took)
		}
		want(t, s, "pkill sleep; pgrep -c sleep; true", "0")
	})
	t.Run("kills the process group when the context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		begun := &signalWriter{on: cancel}
		_, err := s.Exec(ctx, sandbox.Command{Script: "sleep 1001 & sleep 1002 & echo begun; wait", Stdout: begun})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		want(t, s, "pgrep -f '[s]leep 100[12]' | wc -l", "0")
	})
	t.Run("kills a command whose output is not taken", func(t *testing.T) {
		full := errors.New("disk full")
		_, err := s.Exec(context.Background(), sandbox.Command{Script: "while echo 12345678; do :; done", Stdout: failingWriter{full}})
		if !errors.Is(err, full) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("returns when the context ends although the sandbox's kernel hangs", func(t *testing.T) {
		st, err := s.(*box).dir.readStatus()
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(st.Sentry.PID, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_, err = s.Exec(ctx, sandbox.Command{Script: "sleep 1003"})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if err := unix.Kill(st.Sentry.PID, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		// It starts now, and is killed since nobody wants it.
		want(t, s, "for i in $(seq 100); do pgrep -f '[s]leep 1003' >/dev/null || break; sleep 0.05; done; pgrep -f '[s]leep 1003'", "")
	})
	t.Run("does not start when the context has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := s.Exec(ctx, sandbox.Command{Script: "touch /tmp/started"}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		want(t, s, "ls /tmp/started 2>/dev/null", "")
	})
}

func TestExecAsUser(t *testing.T) {
	t.Parallel()
	s := start(t, newProvider(t))
	if code, out := run(t, s, "useradd -m -s /bin/bash -G audio,video agent && echo agent:secret | chpasswd"); code != 0 {
		t.Fatalf("useradd: %d %s", code, out)
	}
	t.Run("by name with home and groups", func(t *testing.T) {
		want(t, s, `id -un; id -gn; id -Gn | tr ' ' '\n' | sort | tr '\n' ' '; cd; pwd; echo $HOME`,
			"agent\nagent\nagent audio video /home/agent\n/home/agent", as("agent"))
	})
	t.Run("by number, in passwd or not", func(t *testing.T) {
		want(t, s, "id -u; echo $HOME", "1000\n/home/agent", as("1000"))
		want(t, s, "id -u; id -g; echo $HOME", "4321\n0\n/", as("4321"))
	})
	t.Run("without root's rights, but able to write where everybody may", func(t *testing.T) {
		if code, _ := run(t, s, "cat /etc/shadow || chown agent /etc/passwd || touch /usr/x", as("agent")); code == 0 {
			t.Error("an ordinary user has root's rights")
		}
		want(t, s, "for d in agent verifier artifacts; do echo x > /logs/$d/by-agent && echo ok; done; echo again > /dev/stdout",
			"ok\nok\nok\nagain", as("agent"))
	})
	t.Run("refuses a user that does not exist", func(t *testing.T) {
		_, err := s.Exec(context.Background(), sandbox.Command{Script: "true", User: "nobody-knows"})
		if err == nil || !strings.Contains(err.Error(), `no user "nobody-knows"`) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("is not fooled by an enormous passwd", func(t *testing.T) {
		run(t, s, "cp /etc/passwd /etc/passwd.real; yes | head -c 3000000 >> /etc/passwd")
		_, err := s.Exec(context.Background(), sandbox.Command{Script: "true", User: "agent"})
		if err == nil || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("error %v", err)
		}
		run(t, s, "mv /etc/passwd.real /etc/passwd")
	})
}

func TestRunIsSupervised(t *testing.T) {
	t.Parallel()
	s := start(t, newProvider(t))
	var live bytes.Buffer
	exit, err := s.Run(context.Background(), sandbox.Process{
		Name: "agent", Output: "/logs/agent/out.txt", Live: &live,
		Command: sandbox.Command{Script: "echo hello; exit 5"},
	})
	if err != nil || exit.Code != 5 || live.String() != "hello\n" {
		t.Errorf("%+v %v %q", exit, err, live.String())
	}
	exit, err = s.Run(context.Background(), sandbox.Process{
		Name: "hangs", Output: "/logs/agent/hang.txt", Timeout: time.Second,
		Command: sandbox.Command{Script: "sleep 500 & sleep 500"},
	})
	if err != nil || !exit.TimedOut || exit.Code != 137 {
		t.Errorf("%+v %v", exit, err)
	}
	want(t, s, "pgrep -f '[s]leep 500' | wc -l", "0")
}

// signalWriter calls on at the first write.
type signalWriter struct{ on func() }

func (w *signalWriter) Write(p []byte) (int, error) {
	w.on()
	return len(p), nil
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

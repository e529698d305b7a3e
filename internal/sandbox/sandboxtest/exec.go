package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

func (s *suite) execCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"exit statuses come back":                      s.exitStatuses,
		"a death by signal is 128 plus its number":     s.signals,
		"stdout and stderr are told apart":             s.streams,
		"binary output without newline is kept":        s.binary,
		"stdin is read to its end":                     s.stdin,
		"a command that ignores its stdin ends":        s.stdinIgnored,
		"environment is added and replaced":            s.environment,
		"the directory is the command's or the spec's": s.directory,
		"users by name and by number":                  s.users,
		"an unknown user is an error that names it":    s.unknownUser,
		"a missing directory is an error":              s.missingDirectory,
		"the end of the context kills inside":          s.contextKills,
		"twenty commands at once":                      s.atOnce,
		"a background process does not hold it":        s.background,
		"much output at full speed":                    s.muchOutput,
		"scripts keep their quotes and newlines":       s.quoting,
	}
}

func (s *suite) exitStatuses(t *testing.T) {
	sb := s.start(t)
	for _, want := range []int{0, 1, 2, 7, 127, 255} {
		if got := exec(t, sb, sandbox.Command{Script: fmt.Sprintf("exit %d", want)}).code; got != want {
			t.Errorf("exit %d came back as %d", want, got)
		}
	}
	if got := exec(t, sb, sandbox.Command{Script: "no-such-program"}); got.code != 127 || !strings.Contains(got.stderr, "no-such-program") {
		t.Errorf("a missing program: %+v", got)
	}
}

func (s *suite) signals(t *testing.T) {
	sb := s.start(t)
	for name, want := range map[string]int{"KILL": 137, "TERM": 143, "SEGV": 139} {
		if got := exec(t, sb, sandbox.Command{Script: "kill -" + name + " $$"}).code; got != want {
			t.Errorf("SIG%s came back as %d, want %d", name, got, want)
		}
	}
}

func (s *suite) streams(t *testing.T) {
	got := exec(t, s.start(t), sandbox.Command{Script: "echo out; echo err >&2; echo out2"})
	if got.stdout != "out\nout2\n" || got.stderr != "err\n" {
		t.Errorf("got %+v", got)
	}
}

func (s *suite) binary(t *testing.T) {
	got := exec(t, s.start(t), sandbox.Command{Script: `printf '\000\001\377\r\nend'`})
	if got.stdout != "\x00\x01\xff\r\nend" {
		t.Errorf("got %q", got.stdout)
	}
}

func (s *suite) stdin(t *testing.T) {
	in := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	got := exec(t, s.start(t), sandbox.Command{Script: "cat", Stdin: strings.NewReader(in)})
	if got.stdout != in {
		t.Errorf("%d bytes came back of %d", len(got.stdout), len(in))
	}
}

func (s *suite) stdinIgnored(t *testing.T) {
	pr, pw := io.Pipe() // never written, never closed by us before the end
	defer pw.Close()
	if got := exec(t, s.start(t), sandbox.Command{Script: "echo done", Stdin: pr}); got.stdout != "done\n" {
		t.Errorf("got %+v", got)
	}
}

func (s *suite) environment(t *testing.T) {
	sb := s.start(t, func(spec *sandbox.Spec) {
		spec.Env = map[string]string{"A": "from spec", "B": "b"}
	})
	got := exec(t, sb, sandbox.Command{
		Script: `printf '%s|%s|%s|%s' "$A" "$B" "$C" "${PATH:+path}"`,
		Env:    map[string]string{"A": "it's \"new\"\n", "C": "$HOME"},
	})
	if want := "it's \"new\"\n|b|$HOME|path"; got.stdout != want {
		t.Errorf("got %q, want %q", got.stdout, want)
	}
}

func (s *suite) directory(t *testing.T) {
	sb := s.start(t, func(spec *sandbox.Spec) { spec.Workdir = "/work space/deep" })
	if got := sh(t, sb, "pwd"); got != "/work space/deep\n" {
		t.Errorf("default directory %q", got)
	}
	if got := exec(t, sb, sandbox.Command{Script: "pwd", Dir: "/tmp"}).stdout; got != "/tmp\n" {
		t.Errorf("the command's directory %q", got)
	}
}

func (s *suite) users(t *testing.T) {
	sb := s.start(t)
	id := strings.TrimSpace(sh(t, sb, "id -u nobody"))
	for _, user := range []string{"nobody", id} {
		got := exec(t, sb, sandbox.Command{Script: "id -u", User: user})
		if strings.TrimSpace(got.stdout) != id {
			t.Errorf("user %s ran as %q (%s)", user, got.stdout, got.stderr)
		}
	}
	if got := exec(t, sb, sandbox.Command{Script: "echo x >/etc/forbidden", User: "nobody"}); got.code == 0 {
		t.Error("nobody could write to /etc")
	}
	if got := sh(t, sb, "id -u"); got != "0\n" {
		t.Errorf("the default user is %q", got)
	}
}

func (s *suite) unknownUser(t *testing.T) {
	_, err := s.start(t).Exec(t.Context(), sandbox.Command{Script: "true", User: "no-such-user"})
	if err == nil || !strings.Contains(err.Error(), "no-such-user") {
		t.Errorf("got %v", err)
	}
}

func (s *suite) missingDirectory(t *testing.T) {
	_, err := s.start(t).Exec(t.Context(), sandbox.Command{Script: "true", Dir: "/no/such/place"})
	if err == nil || !strings.Contains(err.Error(), "/no/such/place") {
		t.Errorf("got %v", err)
	}
}

func (s *suite) contextKills(t *testing.T) {
	sb := s.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	up := newSignal("up")
	go func() {
		<-up.seen
		cancel()
	}()
	begun := time.Now()
	_, err := sb.Exec(ctx, sandbox.Command{Script: `trap "" TERM INT; echo up; sleep 4321 & sleep 4321`, Stdout: up})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	s.gone(t, sb, "4321")
}

// gone fails if a `sleep SECONDS` still runs in the sandbox.
func (s *suite) gone(t *testing.T, sb sandbox.Sandbox, seconds string) {
	t.Helper()
	left := sh(t, sb, `for f in /proc/[0-9]*/cmdline; do tr '\0' ' ' <$f 2>/dev/null | grep "^sleep `+seconds+`" || true; done`)
	if left != "" {
		t.Errorf("still running: %q", left)
	}
}

func (s *suite) atOnce(t *testing.T) {
	sb := s.start(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			var out bytes.Buffer
			code, err := sb.Exec(t.Context(), sandbox.Command{Script: fmt.Sprintf("echo %d; exit %d", i, i), Stdout: &out})
			if err != nil || code != i || out.String() != fmt.Sprintf("%d\n", i) {
				t.Errorf("command %d: status %d, output %q, %v", i, code, out.String(), err)
			}
		})
	}
	wg.Wait()
}

func (s *suite) background(t *testing.T) {
	sb := s.start(t)
	begun := time.Now()
	got := exec(t, sb, sandbox.Command{Script: "echo first; sleep 600 & exit 7"})
	if got.code != 7 || got.stdout != "first\n" {
		t.Errorf("got %+v", got)
	}
	if took := time.Since(begun); took > 60*time.Second {
		t.Errorf("held for %v", took)
	}
	if left := sh(t, sb, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 600' || true"); left == "0\n" {
		t.Error("the background process is gone")
	}
}

func (s *suite) muchOutput(t *testing.T) {
	const lines = 200_000
	var n countLines
	code, err := s.start(t).Exec(t.Context(), sandbox.Command{Script: fmt.Sprintf("seq %d", lines), Stdout: &n})
	if err != nil || code != 0 || n != lines {
		t.Errorf("%d lines of %d, status %d, %v", n, lines, code, err)
	}
}

type countLines int

func (c *countLines) Write(b []byte) (int, error) {
	*c += countLines(bytes.Count(b, []byte("\n")))
	return len(b), nil
}

func (s *suite) quoting(t *testing.T) {
	script := "x='a\"b'\ncat <<'EOT'\n$x `y` \\z\nEOT\necho \"$x\" [[ok]]\n[[ $x == a* ]] && echo bash"
	got := exec(t, s.start(t), sandbox.Command{Script: script})
	if want := "$x `y` \\z\na\"b [[ok]]\nbash\n"; got.stdout != want {
		t.Errorf("got %q, want %q (stderr %q)", got.stdout, want, got.stderr)
	}
}

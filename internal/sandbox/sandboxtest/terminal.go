package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

func (s *suite) terminalCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"a terminal is one, of the size that it is given": s.terminalSize,
		"what is typed is read, and Ctrl-C interrupts":    s.terminalInterrupt,
		"a terminal ends with its command":                s.terminalEnds,
		"a terminal is hung up when its context ends":     s.terminalHangsUp,
		"a terminal of another user, elsewhere":           s.terminalUser,
	}
}

// terminal gives the sandbox as one with terminals.
func (s *suite) terminal(t *testing.T) sandbox.Terminal {
	t.Helper()
	term, ok := sandbox.As[sandbox.Terminal](s.start(t))
	if !ok {
		t.Skip("has no terminals")
	}
	return term
}

// screen is what was shown at a terminal; a test waits for texts on it.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{}
}

func newScreen() *screen { return &screen{news: make(chan struct{}, 1)} }

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(b)
	select {
	case s.news <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *screen) wait(t *testing.T, text string) {
	t.Helper()
	late := time.After(patience)
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.news:
		case <-late:
			t.Errorf("%q is not shown: %q", text, s.String())
			return
		}
	}
}

func (s *suite) terminalSize(t *testing.T) {
	term, shown := s.terminal(t), newScreen()
	sizes := make(chan sandbox.TerminalSize, 1)
	sizes <- sandbox.TerminalSize{Rows: 33, Columns: 101}
	in, typed := io.Pipe()
	defer typed.Close()
	go func() {
		shown.wait(t, "33 101")
		sizes <- sandbox.TerminalSize{Rows: 20, Columns: 70}
		shown.wait(t, "20 70")
		_, _ = io.WriteString(typed, "\n")
	}()
	script := `[ -t 0 ] && [ -t 1 ] && [ -t 2 ] || exit 9; while :; do stty size; read -t 0.1 x && exit 4; done`
	code, err := term.Terminal(t.Context(), sandbox.Command{Script: "exec bash -c '" + script + "'", Stdin: in, Stdout: shown}, sizes)
	if err != nil || code != 4 {
		t.Errorf("status %d, %v: %q", code, err, shown)
	}
}

func (s *suite) terminalInterrupt(t *testing.T) {
	term, shown := s.terminal(t), newScreen()
	in, typed := io.Pipe()
	defer typed.Close()
	go func() {
		shown.wait(t, "begun")
		_, _ = io.WriteString(typed, "\x03")
		shown.wait(t, "after 130")
		shown.wait(t, "ready>")
		_, _ = io.WriteString(typed, "exit 6\n")
	}()
	// A shell that is interrupted while it begins a program waits for that, so none here lasts.
	const script = `sh -c 'trap "exit 130" INT; echo begun; while :; do sleep 0.1; done'; echo after $?; PS1="ready> " exec sh -i`
	code, err := term.Terminal(t.Context(), sandbox.Command{Script: `trap : INT; ` + script, Stdin: in, Stdout: shown}, nil)
	if err != nil || code != 6 {
		t.Errorf("status %d, %v: %q", code, err, shown)
	}
}

func (s *suite) terminalEnds(t *testing.T) {
	term, shown := s.terminal(t), newScreen()
	in, typed := io.Pipe()
	defer typed.Close()
	code, err := term.Terminal(t.Context(), sandbox.Command{Script: "trap '' HUP; sleep 1000 & echo last words; exit 5", Stdin: in, Stdout: shown}, nil)
	if err != nil || code != 5 || !strings.Contains(shown.String(), "last words") {
		t.Errorf("status %d, %v: %q", code, err, shown)
	}
}

func (s *suite) terminalHangsUp(t *testing.T) {
	term, shown := s.terminal(t), newScreen()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		shown.wait(t, "begun")
		cancel()
	}()
	in, typed := io.Pipe()
	defer typed.Close()
	if _, err := term.Terminal(ctx, sandbox.Command{Script: "echo begun; exec sleep 1000", Stdin: in, Stdout: shown}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func (s *suite) terminalUser(t *testing.T) {
	term, shown := s.terminal(t), newScreen()
	code, err := term.Terminal(t.Context(), sandbox.Command{Script: "id -u; pwd; echo $A", User: "65534", Dir: "/usr", Env: map[string]string{"A": "given"}, Stdout: shown}, nil)
	if err != nil || code != 0 || strings.Join(strings.Fields(shown.String()), " ") != "65534 /usr given" {
		t.Errorf("status %d, %v: %q", code, err, shown)
	}
	if _, err := term.Terminal(t.Context(), sandbox.Command{Script: "true", User: "nobody-of-that-name", Stdout: newScreen()}, nil); err == nil || !strings.Contains(err.Error(), "nobody-of-that-name") {
		t.Errorf("error is %v", err)
	}
}

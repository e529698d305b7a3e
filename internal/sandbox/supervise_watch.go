package sandbox

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed supervise.sh
var superviseScript string

// endKind is what one exec of supervise.sh came to.
type endKind int

const (
	endBroken  endKind = iota // the exec ended without a word about the command
	endNormal                 // the command has ended
	endLost                   // the command's supervisor was killed
	endNoBase                 // the state folder has to be made first
	endRefused                // the command cannot be started
)

type ending struct {
	kind   endKind
	exit   Exit
	reason string // with endRefused, supervise.sh's word for it
	err    error  // with endBroken
	begun  bool   // supervise.sh ran at all
}

// watcher is one exec of supervise.sh under way.
type watcher struct {
	cancel context.CancelFunc
	done   chan ending        // receives once
	age    chan time.Duration // receives at most once: how long the command had been running at the attach
}

// watch starts the command, or attaches to it if it was started before.
func (r *run) watch(ctx context.Context) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{cancel: cancel, done: make(chan ending, 1), age: make(chan time.Duration, 1)}
	cmd := r.p.Command
	cmd.Script = `eval "$ODDISH_RUN_MAIN"`
	cmd.Env = r.env()
	cmd.Stdin = nil
	cmd.Stdout = r.live
	words := &wordReader{}
	end := ending{}
	words.on = func(word, rest string) { r.hear(w, &end, word, rest) }
	cmd.Stderr = words
	go func() {
		code, err := r.s.Exec(ctx, cmd)
		words.stop()
		switch {
		case end.kind != endBroken:
		case err != nil:
			end.err = err
		default:
			end.err = fmt.Errorf("the supervising shell ended with status %d: %s", code, words.noise())
		}
		w.done <- end
	}()
	return w
}

// hear takes one line of supervise.sh.
func (r *run) hear(w *watcher, end *ending, word, rest string) {
	switch word {
	case "begin":
		end.begun = true
	case "pid":
		r.pid.Store(rest)
	case "attached":
		seconds, err := strconv.Atoi(rest)
		if err == nil && seconds >= 0 {
			select {
			case w.age <- time.Duration(seconds) * time.Second:
			default:
			}
		}
	case "end":
		if exit, err := parseExit(rest); err == nil {
			end.kind, end.exit = endNormal, exit
		}
	case "lost":
		end.kind = endLost
	case "nobase":
		end.kind = endNoBase
	case "foreign", "nooutput", "nosetsid":
		end.kind, end.reason = endRefused, word
	}
}

// parseExit reads "CODE TIMEDOUT TRUNCATED".
func parseExit(s string) (Exit, error) {
	f := strings.Fields(s)
	if len(f) != 3 {
		return Exit{}, errors.New("not three words")
	}
	code, err := strconv.Atoi(f[0])
	if err != nil {
		return Exit{}, err
	}
	return Exit{Code: code, TimedOut: f[1] == "1", Truncated: f[2] == "1"}, nil
}

// env is the command's environment with supervise.sh and its parameters.
func (r *run) env() map[string]string {
	env := maps.Clone(r.p.Env)
	if env == nil {
		env = map[string]string{}
	}
	env["ODDISH_RUN_MAIN"] = superviseScript
	env["ODDISH_RUN_DIR"] = path.Join(r.s.Dir, r.p.Name)
	env["ODDISH_RUN_OUT"] = r.p.Output
	env["ODDISH_RUN_LIMIT"] = strconv.FormatInt(r.p.OutputLimit, 10)
	env["ODDISH_RUN_SCRIPT"] = r.p.Script
	env["ODDISH_RUN_OFF"] = strconv.FormatInt(r.live.count(), 10)
	env["ODDISH_RUN_LIVE"] = ""
	if r.p.Live != nil {
		env["ODDISH_RUN_LIVE"] = "1"
	}
	return env
}

// wordReader is an io.Writer that takes supervise.sh's stderr apart. Lines that
// are not its own (a shell's warnings) are kept, the last of them, for an error message.
type wordReader struct {
	on      func(word, rest string)
	mu      sync.Mutex
	stopped bool
	buf     []byte
	other   []byte
}

const maxNoise = 2 << 10 // bytes of foreign lines that are kept

func (w *wordReader) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return len(b), nil
	}
	w.buf = append(w.buf, b...)
	for {
		line, rest, ok := bytes.Cut(w.buf, []byte("\n"))
		if !ok {
			break
		}
		w.buf = rest
		w.line(string(line))
	}
	if len(w.buf) > maxNoise {
		w.buf = w.buf[len(w.buf)-maxNoise:]
	}
	return len(b), nil
}

func (w *wordReader) line(line string) {
	text, ok := strings.CutPrefix(line, "oddish-run: ")
	if !ok {
		w.other = append(append(w.other, line...), '\n')
		if len(w.other) > maxNoise {
			w.other = w.other[len(w.other)-maxNoise:]
		}
		return
	}
	word, rest, _ := strings.Cut(text, " ")
	w.on(word, rest)
}

// stop makes later writes do nothing; a broken Exec might still make some.
func (w *wordReader) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

func (w *wordReader) noise() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.TrimSpace(string(append(w.other, w.buf...)))
	if s == "" {
		return "(no message)"
	}
	return s
}

// liveWriter counts what reached Process.Live, so that the next exec goes on where
// the last one broke off, and lets nothing through once Run has returned. An
// error of the writer ends the delivery, not the command.
type liveWriter struct {
	mu     sync.Mutex
	w      io.Writer
	n      int64
	closed bool
}

func (l *liveWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += int64(len(b))
	if l.w == nil || l.closed {
		return len(b), nil
	}
	if _, err := l.w.Write(b); err != nil {
		l.w = nil
	}
	return len(b), nil
}

func (l *liveWriter) count() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func (l *liveWriter) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

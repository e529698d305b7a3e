package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

// killCases are about what must be dead afterwards, and what must not have begun.
func (s *suite) killCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"a command that is given up dies with its children, whoever runs it": s.givenUp,
		"a deadline is told as such":                                         s.deadline,
		"a context that has ended runs nothing":                              s.endedContext,
		"the timeout reaches job control's groups and other users":           s.timeoutGroups,
		"stop ends what runs":                                                s.stopRunning,
		"stop takes less than a second":                                      s.stopFast,
	}
}

func (s *suite) givenUp(t *testing.T) {
	sb := s.start(t)
	for i, who := range []string{"", user} {
		pids := fmt.Sprintf("/tmp/pids-%d", i)
		ctx, cancel := context.WithCancel(soon(t))
		_, err := sb.Exec(ctx, sandbox.Command{User: who, Stdout: &firstWrite{then: cancel}, Script: fmt.Sprintf(`
			trap '' TERM INT HUP
			sh -c 'trap "" TERM; echo $$ >>%[1]s; sleep 987; sleep 987' &
			sleep 987 & echo $$ $! >>%[1]s
			until [ $(wc -w <%[1]s) = 3 ]; do sleep 0.05; done
			echo up
			while :; do sleep 987; done`, pids)})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("user %q: got %v, want %v", who, err, context.Canceled)
		}
		eventually(t, sb, "its processes are gone", dead(pids))
	}
}

func (s *suite) deadline(t *testing.T) {
	sb := s.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := sb.Exec(ctx, sandbox.Command{Script: "sleep 987"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	equal(t, "still usable", sh(t, sb, "echo yes"), "yes\n")
}

func (s *suite) endedContext(t *testing.T) {
	sb := s.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sb.Exec(ctx, sandbox.Command{Script: "touch /tmp/ran"}); !errors.Is(err, context.Canceled) {
		t.Errorf("exec: got %v", err)
	}
	if _, err := sb.Run(ctx, s.process("p", "touch /tmp/ran")); !errors.Is(err, context.Canceled) {
		t.Errorf("run: got %v", err)
	}
	equal(t, "it did not run", exec(t, sb, sandbox.Command{Script: "sleep 0.3; [ -e /tmp/ran ]"}).code, 1)
}

func (s *suite) timeoutGroups(t *testing.T) {
	sb := s.start(t)
	for _, who := range []string{"", user} {
		pids := "/tmp/pids-" + who
		p := s.process("p"+who, fmt.Sprintf(`
			trap '' TERM INT HUP
			sh -c 'trap "" TERM; echo $$ >>%[1]s; sleep 987; sleep 987' &
			bash -c 'set -m; sleep 987 & echo $! >>%[1]s; wait' &
			echo $$ >>%[1]s
			echo started
			while :; do sleep 987; done`, pids))
		p.User = who
		p.Timeout = 3 * time.Second
		exit := mustRun(t, sb, p)
		equal(t, "exit", exit, sandbox.Exit{Code: 137, TimedOut: true})
		equal(t, "all had started", sh(t, sb, "wc -l <"+pids), "3\n")
		eventually(t, sb, "its processes are gone", dead(pids))
		equal(t, "output", sh(t, sb, "cat "+outFile), "started\n")
		equal(t, "a later call", mustRun(t, sb, p), exit)
	}
}

func (s *suite) stopRunning(t *testing.T) {
	sb := s.start(t)
	ended := make(chan error, 2)
	go func() {
		_, err := sb.Exec(soon(t), sandbox.Command{Script: "touch /tmp/exec; sleep 987"})
		ended <- err
	}()
	go func() {
		_, err := sb.Run(soon(t), s.process("p", "touch /tmp/run; sleep 987"))
		ended <- err
	}()
	eventually(t, sb, "both begin", "[ -e /tmp/exec ] && [ -e /tmp/run ]")
	if err := sb.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("got %v, want %v", err, sandbox.ErrLost)
		}
	}
}

// stopFast takes the best of a few, since other tests use the machine as well.
func (s *suite) stopFast(t *testing.T) {
	best := time.Hour
	for range 4 {
		sb := s.start(t)
		sh(t, sb, "(trap '' TERM; exec sleep 987) >/dev/null 2>&1 &")
		begun := time.Now()
		if err := sb.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if best = min(best, time.Since(begun)); best < time.Second {
			return
		}
	}
	t.Errorf("took %s at best", best)
}

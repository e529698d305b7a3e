package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

const outFile = "/logs/agent/out.txt"

func (s *suite) runCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"output and status are kept":                    s.runOutput,
		"the same name is started once":                 s.runOnce,
		"two callers of one name get the same end":      s.runTwice,
		"the command outlives its caller":               s.runSurvives,
		"another attachment takes it up":                s.runAttach,
		"the timeout kills the whole group":             s.runTimeout,
		"output is capped with a note":                  s.runCapped,
		"a daemon left behind does not hold it":         s.runDaemon,
		"it runs as the user and may write its logs":    s.runUser,
		"live output is complete and in order":          s.runLive,
		"a death by signal":                             s.runSignal,
		"environment and directory":                     s.runEnv,
		"it survives the death of every other process":  s.runKillAll,
		"an output folder that is not there is refused": s.runNoFolder,
	}
}

func (s *suite) process(name, script string) sandbox.Process {
	return sandbox.Process{Name: name, Output: outFile, Command: sandbox.Command{Label: "agent", Script: script}}
}

func mustRun(t *testing.T, sb sandbox.Sandbox, p sandbox.Process) sandbox.Exit {
	t.Helper()
	exit, err := sb.Run(t.Context(), p)
	if err != nil {
		t.Fatalf("run %s: %v", p.Name, err)
	}
	return exit
}

func (s *suite) runOutput(t *testing.T) {
	sb := s.start(t)
	if exit := mustRun(t, sb, s.process("agent", "echo out; echo err >&2; exit 3")); exit != (sandbox.Exit{Code: 3}) {
		t.Errorf("got %+v", exit)
	}
	if got := sh(t, sb, "cat "+outFile); got != "out\nerr\n" {
		t.Errorf("output %q", got)
	}
}

func (s *suite) runOnce(t *testing.T) {
	sb := s.start(t)
	for range 3 {
		if exit := mustRun(t, sb, s.process("agent", "echo x >>/tmp/starts; exit 4")); exit.Code != 4 {
			t.Errorf("got %+v", exit)
		}
	}
	if got := sh(t, sb, "cat /tmp/starts"); got != "x\n" {
		t.Errorf("started %d times", strings.Count(got, "x"))
	}
}

func (s *suite) runTwice(t *testing.T) {
	sb := s.start(t)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			exit, err := sb.Run(t.Context(), s.process("agent", "echo x >>/tmp/starts; sleep 0.3; exit 5"))
			if err != nil || exit.Code != 5 {
				t.Errorf("got %+v, %v", exit, err)
			}
		})
	}
	wg.Wait()
	if got := sh(t, sb, "cat /tmp/starts"); got != "x\n" {
		t.Errorf("started %d times", strings.Count(got, "x"))
	}
}

// leave starts a process and gives it up as soon as it runs.
func (s *suite) leave(t *testing.T, sb sandbox.Sandbox, p sandbox.Process) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	up := newSignal("up")
	p.Live = up
	go func() {
		<-up.seen
		cancel()
	}()
	if _, err := sb.Run(ctx, p); !errors.Is(err, context.Canceled) {
		t.Fatalf("a run that was left: %v", err)
	}
}

// released is a script that says up, waits for /tmp/go, and ends with status 6.
const released = "echo up; until [ -e /tmp/go ]; do sleep 0.05; done; echo down; exit 6"

func (s *suite) runSurvives(t *testing.T) {
	sb := s.start(t)
	p := s.process("agent", released)
	s.leave(t, sb, p)
	sh(t, sb, "touch /tmp/go")
	if exit := mustRun(t, sb, p); exit.Code != 6 {
		t.Errorf("got %+v", exit)
	}
	if got := sh(t, sb, "cat "+outFile); got != "up\ndown\n" {
		t.Errorf("output %q", got)
	}
}

func (s *suite) runAttach(t *testing.T) {
	sb := s.start(t)
	p := s.process("agent", released)
	s.leave(t, sb, p)
	again, err := s.Provider.Attach(t.Context(), sb.ID())
	if err != nil {
		t.Fatal(err)
	}
	sh(t, again, "touch /tmp/go")
	if exit := mustRun(t, again, p); exit.Code != 6 {
		t.Errorf("got %+v", exit)
	}
}

func (s *suite) runTimeout(t *testing.T) {
	sb := s.start(t)
	p := s.process("agent", `trap "" TERM INT HUP; echo begun; (trap "" TERM; sleep 7654; echo child) & sleep 7654; echo never`)
	p.Timeout = time.Second
	begun := time.Now()
	exit := mustRun(t, sb, p)
	if !exit.TimedOut || exit.Code != 137 {
		t.Errorf("got %+v", exit)
	}
	if took := time.Since(begun); took < time.Second || took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	s.gone(t, sb, "7654")
	if got := sh(t, sb, "cat "+outFile); got != "begun\n" {
		t.Errorf("output %q", got)
	}
	if exit := mustRun(t, sb, p); !exit.TimedOut {
		t.Errorf("asked again: %+v", exit)
	}
}

func (s *suite) runCapped(t *testing.T) {
	sb := s.start(t)
	p := s.process("agent", "head -c 3000000 /dev/zero | tr '\\0' x; exit 9")
	p.OutputLimit = 1 << 20
	exit := mustRun(t, sb, p)
	if !exit.Truncated || exit.Code != 9 {
		t.Errorf("got %+v", exit)
	}
	got := download(t, sb, outFile)["out.txt"]
	if len(got) < 1<<20 || len(got) > 1<<20+1000 || !strings.HasPrefix(got, "xxxx") || strings.HasSuffix(got, "x") {
		t.Errorf("%d bytes ending in %q", len(got), got[max(0, len(got)-80):])
	}
}

func (s *suite) runDaemon(t *testing.T) {
	sb := s.start(t)
	begun := time.Now()
	exit := mustRun(t, sb, s.process("agent", "sleep 600 & echo started; exit 0"))
	if exit.Code != 0 {
		t.Errorf("got %+v", exit)
	}
	if took := time.Since(begun); took > 60*time.Second {
		t.Errorf("held for %v", took)
	}
	if got := sh(t, sb, "cat "+outFile); got != "started\n" {
		t.Errorf("output %q", got)
	}
	if left := sh(t, sb, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 600' || true"); left == "0\n" {
		t.Error("the daemon is gone")
	}
}

func (s *suite) runUser(t *testing.T) {
	sb := s.start(t)
	p := s.process("agent", "id -un; echo note >/logs/artifacts/a; echo note >/logs/verifier/v")
	p.User = "nobody"
	if exit := mustRun(t, sb, p); exit.Code != 0 {
		t.Errorf("got %+v: %s", exit, sh(t, sb, "cat "+outFile))
	}
	if got := sh(t, sb, "cat "+outFile); got != "nobody\n" {
		t.Errorf("output %q", got)
	}
}

func (s *suite) runLive(t *testing.T) {
	sb := s.start(t)
	var live bytes.Buffer
	p := s.process("agent", "for i in $(seq 1 2000); do echo line $i; done; sleep 1.2; printf end")
	p.Live = &live
	mustRun(t, sb, p)
	if want := download(t, sb, outFile)["out.txt"]; live.String() != want {
		t.Errorf("%d bytes live, %d in the file", live.Len(), len(want))
	}
}

func (s *suite) runSignal(t *testing.T) {
	if exit := mustRun(t, s.start(t), s.process("agent", "kill -TERM $$")); exit.Code != 143 || exit.TimedOut {
		t.Errorf("got %+v", exit)
	}
}

func (s *suite) runEnv(t *testing.T) {
	sb := s.start(t)
	p := s.process("agent", `printf '%s %s' "$PWD" "$X"; env | grep -c ODDISH`)
	p.Dir, p.Env = "/tmp", map[string]string{"X": "a 'b' \"c\""}
	mustRun(t, sb, p)
	if got := sh(t, sb, "cat "+outFile); got != "/tmp a 'b' \"c\"0\n" {
		t.Errorf("output %q", got)
	}
}

func (s *suite) runKillAll(t *testing.T) {
	sb := s.start(t)
	if _, err := sb.Run(t.Context(), s.process("agent", "kill -9 -1; sleep 0.1; exit 0")); err != nil && !errors.Is(err, sandbox.ErrLost) {
		t.Fatalf("an error of its own kind: %v", err)
	}
	if got := sh(t, sb, "echo alive"); got != "alive\n" {
		t.Errorf("afterwards: %q", got)
	}
}

func (s *suite) runNoFolder(t *testing.T) {
	p := s.process("agent", "true")
	p.Output = "/no/such/folder/out.txt"
	if _, err := s.start(t).Run(t.Context(), p); err == nil {
		t.Error("no error")
	}
}

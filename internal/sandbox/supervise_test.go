package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// local is a Sandbox.Exec on this machine, with the contract's behaviour at the end of ctx.
type local struct {
	shell string
	path  string // PATH, if not this process's
	calls atomic.Int32
	fail  func(n int32, cmd Command) error // makes the n-th Exec (from 1) fail before it starts
}

func (l *local) Exec(ctx context.Context, cmd Command) (int, error) {
	n := l.calls.Add(1)
	if l.fail != nil {
		if err := l.fail(n, cmd); err != nil {
			return 0, err
		}
	}
	c := exec.Command(l.shell, "-c", cmd.Script)
	c.Dir = cmd.Dir
	c.Env = os.Environ()
	if l.path != "" {
		c.Env = append(c.Env, "PATH="+l.path)
	}
	for k, v := range cmd.Env {
		c.Env = append(c.Env, k+"="+v)
	}
	c.Stdout, c.Stderr = cmd.Stdout, cmd.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
	defer stop()
	err := c.Wait()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws := exit.Sys().(syscall.WaitStatus); ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// bench is a supervisor on this machine with its folders.
type bench struct {
	Supervisor
	local *local
	dir   string
	out   string
}

// newBench has the tools of this machine with bash or dash, or those of busybox alone.
func newBench(t *testing.T, shell string) *bench {
	t.Helper()
	found, err := exec.LookPath(shell)
	if err != nil {
		t.Skipf("%s is not installed", shell)
	}
	dir := tempDir(t)
	l := &local{shell: shell}
	if shell == "busybox" {
		l.path = t.TempDir()
		l.shell = filepath.Join(l.path, "sh")
		if out, err := exec.Command(found, "--install", "-s", l.path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return &bench{Supervisor{Exec: l.Exec, Dir: filepath.Join(dir, "run")}, l, dir, filepath.Join(dir, "out.txt")}
}

func (b *bench) process(name, script string) Process {
	return Process{Command: Command{Script: script}, Name: name, Output: b.out}
}

// mark is the path of the state file with that prefix.
func (b *bench) mark(t *testing.T, process, prefix string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(b.Dir, process, prefix+"*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("state files %s*: %v, %v", prefix, found, err)
	}
	return found[0]
}

func (b *bench) output(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(b.out)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// waitFile waits until the file has content and returns it.
func waitFile(t *testing.T, name string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if data, err := os.ReadFile(name); err == nil && bytes.HasSuffix(data, []byte("\n")) {
			return strings.TrimSpace(string(data))
		}
	}
	t.Fatalf("%s was never written", name)
	return ""
}

func gone(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ") // a zombie waits for a slow parent
}

func waitGone(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if gone(pid) {
			return
		}
	}
	t.Fatalf("process %s still runs", pid)
}

// eachShell runs a test with each shell that an image may offer.
func eachShell(t *testing.T, test func(t *testing.T, b *bench)) {
	for _, shell := range []string{"bash", "dash", "busybox"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			test(t, newBench(t, shell))
		})
	}
}

func TestSuperviseExitStatus(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, script string
		code         int
		output       string
	}{
		{"success", "echo hello", 0, "hello\n"},
		{"no output", "true", 0, ""},
		{"failure", "echo to stderr >&2; exit 7", 7, "to stderr\n"},
		{"high status", "exit 255", 255, ""},
		{"killed by itself", "kill -KILL $$", 137, ""},
		{"terminated", "kill -TERM $$", 143, ""},
		{"command not found", "no-such-command 2>/dev/null", 127, ""},
		{"quotes", `printf '%s\n' "it's" '$HOME' "a\\b"`, 0, "it's\n$HOME\na\\b\n"},
		{"stdin is empty", "cat; echo end", 0, "end\n"},
		{"own variables are hidden", `(env; tr '\0' '\n' </proc/$PPID/cmdline) | grep ODDISH_RUN`, 0, "eval \"$ODDISH_RUN_RUNNER\"\n"},
		{"interrupts work", `sh -c 'kill -INT $$; echo survived'; true`, 0, ""},
		{"broken pipes work", `(trap - PIPE; yes; echo $? >&2) | head -1`, 0, "y\n141\n"},
		{"the supervisor's fd is closed", `[ -e /proc/$$/fd/3 ] || echo closed`, 0, "closed\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			eachShell(t, func(t *testing.T, b *bench) {
				exit, err := b.Run(t.Context(), b.process("p", tc.script))
				if err != nil {
					t.Fatal(err)
				}
				if exit != (Exit{Code: tc.code}) {
					t.Errorf("got %+v, want code %d", exit, tc.code)
				}
				if got := b.output(t); got != tc.output {
					t.Errorf("output %q, want %q", got, tc.output)
				}
			})
		})
	}
}

func TestSuperviseCostsOneExec(t *testing.T) {
	t.Parallel()
	b := newBench(t, "bash")
	if _, err := b.Run(t.Context(), b.process("first", "true")); err != nil {
		t.Fatal(err)
	}
	before := b.local.calls.Load()
	var live bytes.Buffer
	p := b.process("second", "echo hi")
	p.Live = &live
	if _, err := b.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if n := b.local.calls.Load() - before; n != 1 {
		t.Errorf("%d execs, want 1", n)
	}
	if live.String() != "hi\n" {
		t.Errorf("live %q", live.String())
	}
}

func TestSuperviseIsIdempotentByName(t *testing.T) {
	t.Parallel()
	eachShell(t, func(t *testing.T, b *bench) {
		count := filepath.Join(b.dir, "count")
		p := b.process("p", fmt.Sprintf("echo x >>%s; sleep 0.3; exit 3", count))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				// each with a Supervisor of its own, as another process would
				exit, err := second(b).Run(t.Context(), p)
				if err != nil || exit != (Exit{Code: 3}) {
					t.Errorf("got %+v, %v", exit, err)
				}
			})
		}
		wg.Wait()
		exit, err := b.Run(t.Context(), p)
		if err != nil || exit.Code != 3 {
			t.Errorf("a later call got %+v, %v", exit, err)
		}
		if data, _ := os.ReadFile(count); string(data) != "x\n" {
			t.Errorf("ran %q times", data)
		}
	})
}

// second is a second supervisor over the same folders.
func second(b *bench) Supervisor {
	l := &local{shell: b.local.shell, path: b.local.path}
	return Supervisor{Exec: l.Exec, Dir: b.Dir}
}

func TestSuperviseGoesOnWhenTheCallerLeaves(t *testing.T) {
	t.Parallel()
	eachShell(t, func(t *testing.T, b *bench) {
		begun, release := filepath.Join(b.dir, "begun"), filepath.Join(b.dir, "release")
		p := b.process("p", fmt.Sprintf("echo early; echo $$ >%s; until [ -e %s ]; do sleep 0.05; done; echo late; exit 5", begun, release))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := b.Run(ctx, p)
			done <- err
		}()
		pid := waitFile(t, begun)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if gone(pid) {
			t.Fatal("the command was killed with its caller")
		}
		var live bytes.Buffer
		p.Live = &live
		go func() {
			time.Sleep(100 * time.Millisecond)
			_ = os.WriteFile(release, nil, 0o600)
		}()
		exit, err := second(b).Run(t.Context(), p)
		if err != nil || exit != (Exit{Code: 5}) {
			t.Fatalf("got %+v, %v", exit, err)
		}
		if live.String() != "early\nlate\n" || b.output(t) != "early\nlate\n" {
			t.Errorf("live %q, output %q", live.String(), b.output(t))
		}
	})
}

func TestSuperviseTimeoutKillsTheGroup(t *testing.T) {
	t.Parallel()
	eachShell(t, func(t *testing.T, b *bench) {
		pids := filepath.Join(b.dir, "pids")
		p := b.process("p", fmt.Sprintf(`trap '' TERM INT HUP
			sh -c 'trap "" TERM; sh -c "echo \$\$ >%[1]s.1; sleep 1000"; sleep 1000' &
			if command -v bash; then bash -mc 'sleep 1000 & echo $! >%[1]s.2; wait'; else echo 0 >%[1]s.2; wait; fi`, pids))
		p.Timeout = 700 * time.Millisecond
		start := time.Now()
		exit, err := b.Run(t.Context(), p)
		if err != nil || exit != (Exit{Code: 137, TimedOut: true}) {
			t.Fatalf("got %+v, %v", exit, err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("took %s", d)
		}
		waitGone(t, waitFile(t, pids+".1"))
		waitGone(t, waitFile(t, pids+".2"))
		again, err := second(b).Run(t.Context(), p)
		if err != nil || again != exit {
			t.Errorf("a later call got %+v, %v", again, err)
		}
	})
}

func TestSuperviseTimeoutCountsFromTheStart(t *testing.T) {
	t.Parallel()
	b := newBench(t, "bash")
	begun := filepath.Join(b.dir, "begun")
	p := b.process("p", fmt.Sprintf("echo $$ >%s; sleep 1000", begun))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _, _ = b.Run(ctx, p) }()
	pid := waitFile(t, begun)
	cancel()
	<-done
	// Pretend that it began an hour ago.
	runner := b.mark(t, "p", "runner.")
	started, _ := strconv.Atoi(runner[strings.LastIndex(runner, ".")+1:])
	early := fmt.Sprintf("%s.%d", runner[:strings.LastIndex(runner, ".")], started-3600)
	if err := os.Rename(runner, early); err != nil {
		t.Fatal(err)
	}
	p.Timeout = 30 * time.Minute
	exit, err := b.Run(t.Context(), p)
	if err != nil || !exit.TimedOut {
		t.Fatalf("got %+v, %v", exit, err)
	}
	waitGone(t, pid)
}

func TestSuperviseOutputLimit(t *testing.T) {
	t.Parallel()
	eachShell(t, func(t *testing.T, b *bench) {
		p := b.process("p", "head -c 1000000 /dev/zero | tr '\\0' x; echo status $? >&2; exit 4")
		p.OutputLimit = 4096
		exit, err := b.Run(t.Context(), p)
		if err != nil || exit != (Exit{Code: 4, Truncated: true}) {
			t.Fatalf("got %+v, %v", exit, err)
		}
		want := strings.Repeat("x", 4096) + "\n[oddish: output cut here, its limit is 4096 bytes]\n"
		if got := b.output(t); got != want {
			t.Errorf("%d bytes of output, want %d", len(got), len(want))
		}
		q := b.process("exact", "head -c 4096 /dev/zero")
		q.OutputLimit = 4096
		if exit, err := b.Run(t.Context(), q); err != nil || exit != (Exit{}) {
			t.Errorf("output of exactly the limit: %+v, %v", exit, err)
		}
	})
}

// tempDir is t.TempDir for processes that may be at work in it for a moment after the test: a supervisor looks after what a daemon leaves.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "supervise-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := os.RemoveAll(dir)
		for deadline := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(deadline); err = os.RemoveAll(dir) {
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return dir
}

func TestSuperviseDaemonDoesNotHoldTheEnd(t *testing.T) {
	t.Parallel()
	eachShell(t, func(t *testing.T, b *bench) {
		pidFile := filepath.Join(b.dir, "pid")
		p := b.process("p", fmt.Sprintf("(echo from the daemon; exec sleep 1000) & echo $! >%s; echo done", pidFile))
		var live bytes.Buffer
		p.Live = &live
		start := time.Now()
		exit, err := b.Run(t.Context(), p)
		if err != nil || exit != (Exit{}) {
			t.Fatalf("got %+v, %v", exit, err)
		}
		if d := time.Since(start); d > 8*time.Second {
			t.Errorf("took %s", d)
		}
		pid := waitFile(t, pidFile)
		if gone(pid) {
			t.Error("the daemon was killed")
		}
		n, _ := strconv.Atoi(pid)
		_ = syscall.Kill(n, syscall.SIGKILL)
		if !strings.Contains(live.String(), "done\n") || !strings.Contains(live.String(), "from the daemon\n") {
			t.Errorf("live %q", live.String())
		}
	})
}

func TestSuperviseLiveIsExactAndTimely(t *testing.T) {
	t.Parallel()
	eachShell(t, func(t *testing.T, b *bench) {
		release := filepath.Join(b.dir, "release")
		p := b.process("p", fmt.Sprintf(`head -c 300000 /dev/urandom; until [ -e %s ]; do sleep 0.05; done; printf 'a\0b'; head -c 1000 /dev/urandom`, release))
		live := &gate{want: 300000, reached: make(chan struct{})}
		p.Live = live
		go func() {
			<-live.reached // the command is still running
			_ = os.WriteFile(release, nil, 0o600)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if exit, err := b.Run(ctx, p); err != nil || exit != (Exit{}) {
			t.Fatalf("got %+v, %v", exit, err)
		}
		if got := live.buf.String(); got != b.output(t) {
			t.Errorf("%d live bytes differ from %d in the file", len(got), len(b.output(t)))
		}
	})
}

// gate is a writer that tells when it has got so many bytes.
type gate struct {
	buf     bytes.Buffer
	want    int
	reached chan struct{}
	once    sync.Once
}

func (g *gate) Write(b []byte) (int, error) {
	n, err := g.buf.Write(b)
	if g.buf.Len() >= g.want {
		g.once.Do(func() { close(g.reached) })
	}
	return n, err
}

func TestSuperviseSurvivesABrokenConnection(t *testing.T) {
	t.Parallel()
	b := newBench(t, "bash")
	release := filepath.Join(b.dir, "release")
	p := b.process("p", fmt.Sprintf("echo one; until [ -e %s ]; do sleep 0.05; done; echo two", release))
	live := &gate{want: 4, reached: make(chan struct{})}
	p.Live = live
	broken := &breaking{local: b.local, cut: live.reached, release: func() { _ = os.WriteFile(release, nil, 0o600) }}
	b.Exec = broken.Exec
	exit, err := b.Run(t.Context(), p)
	if err != nil || exit != (Exit{}) {
		t.Fatalf("got %+v, %v", exit, err)
	}
	if live.buf.String() != "one\ntwo\n" {
		t.Errorf("live %q", live.buf.String())
	}
	if !broken.did.Load() {
		t.Error("the connection was not broken")
	}
}

// breaking breaks the first exec of a running command once cut is closed.
type breaking struct {
	local   *local
	cut     chan struct{}
	release func()
	did     atomic.Bool
}

func (k *breaking) Exec(ctx context.Context, cmd Command) (int, error) {
	if k.did.Load() {
		return k.local.Exec(ctx, cmd)
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-k.cut:
			k.did.Store(true)
			cancel()
		case <-inner.Done():
		}
	}()
	code, err := k.local.Exec(inner, cmd)
	if k.did.Load() && ctx.Err() == nil {
		k.release()
		return 0, io.ErrUnexpectedEOF
	}
	return code, err
}

func TestSuperviseGivesUpOnAConnectionThatStaysBroken(t *testing.T) {
	t.Parallel()
	b := newBench(t, "bash")
	broken := errors.New("connection refused")
	b.local.fail = func(n int32, _ Command) error { return broken }
	if _, err := b.Run(t.Context(), b.process("p", "true")); !errors.Is(err, broken) || b.local.calls.Load() != 1 {
		t.Errorf("a command that never started: %v after %d calls", err, b.local.calls.Load())
	}
}

func TestSuperviseReportsAKilledSupervisor(t *testing.T) {
	t.Parallel()
	eachShell(t, func(t *testing.T, b *bench) {
		// kill everything around, as `kill -9 -1` does in a sandbox
		p := b.process("p", fmt.Sprintf("r=$(echo %s/p/runner.*); r=${r##*/runner.}; kill -KILL $PPID ${r%%%%.*}; sleep 1000", b.Dir))
		exit, err := b.Run(t.Context(), p)
		if err != nil || exit != (Exit{Code: 137}) {
			t.Fatalf("got %+v, %v", exit, err)
		}
		waitGone(t, strings.TrimPrefix(filepath.Ext(b.mark(t, "p", "pid.")), "."))
		again, err := b.Run(t.Context(), p)
		if err != nil || again != exit {
			t.Errorf("a later call got %+v, %v", again, err)
		}
	})
}

func TestSuperviseKillThatCannotStartIsLost(t *testing.T) {
	t.Parallel()
	b := newBench(t, "bash")
	p := b.process("p", "exec sleep 1000")
	p.Timeout = 300 * time.Millisecond
	full := errors.New("resource temporarily unavailable")
	b.local.fail = func(_ int32, cmd Command) error {
		if strings.Contains(cmd.Script, "Kills the command") {
			return full
		}
		return nil
	}
	start := time.Now()
	exit, err := b.Run(t.Context(), p)
	if !errors.Is(err, ErrLost) || !errors.Is(err, full) || exit != (Exit{TimedOut: true}) {
		t.Errorf("got %+v, %v", exit, err)
	}
	if d := time.Since(start); d > 2*killPatience {
		t.Errorf("took %s", d)
	}
	pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Ext(b.mark(t, "p", "pid.")), "."))
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
}

func TestSuperviseRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t, "bash")
	for name, p := range map[string]Process{
		"the name must be":    {Name: "Ugly Name", Output: b.out},
		"must be an absolute": {Name: "p", Output: "out.txt"},
		"cannot be written":   {Name: "p", Output: filepath.Join(b.dir, "absent", "out.txt")},
	} {
		if _, err := b.Run(t.Context(), p); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want ...%s...", err, name)
		}
	}
}

func TestSuperviseReplacesALinkAtItsOutput(t *testing.T) {
	t.Parallel()
	b := newBench(t, "bash")
	secret := filepath.Join(b.dir, "secret")
	if err := os.WriteFile(secret, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, b.out); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Run(t.Context(), b.process("p", "echo new")); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(secret); string(data) != "keep" {
		t.Errorf("wrote through the link: %q", data)
	}
	if b.output(t) != "new\n" {
		t.Errorf("output %q", b.output(t))
	}
}

func TestSuperviseDistrustsAForgedFolder(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to make another user's folder")
	}
	b := newBench(t, "bash")
	forged := filepath.Join(b.Dir, "verifier")
	if err := os.MkdirAll(forged, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"end.0", "flushed", "runner.1.1.1", "pid.1"} {
		if err := os.WriteFile(filepath.Join(forged, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(forged, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	exit, err := b.Run(t.Context(), b.process("verifier", "echo really ran; exit 9"))
	if err != nil || exit.Code != 9 || b.output(t) != "really ran\n" {
		t.Errorf("got %+v, %v, output %q", exit, err, b.output(t))
	}
}

func TestSuperviseOnAFullDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t, "bash")
	disk := filepath.Join(b.dir, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, 0) })
	if err := os.WriteFile(filepath.Join(disk, "big"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	b.Dir, b.out = filepath.Join(disk, "run"), filepath.Join(disk, "out")
	for range 2 { // the second call finds the end in the state folder
		exit, err := b.Run(t.Context(), b.process("p", "echo lost; exit 5"))
		if err != nil || exit != (Exit{Code: 5, Truncated: true}) {
			t.Errorf("got %+v, %v", exit, err)
		}
	}
	p := b.process("slow", "sleep 1000; true")
	p.Timeout = 300 * time.Millisecond
	if exit, err := b.Run(t.Context(), p); err != nil || !exit.TimedOut {
		t.Errorf("got %+v, %v", exit, err)
	}
}

// Without setsid, as in an image that has bash but no util-linux.
func TestSuperviseWithoutSetsid(t *testing.T) {
	t.Parallel()
	b := newBench(t, "bash")
	bin := t.TempDir()
	for _, tool := range []string{"bash", "sh", "cat", "tail", "head", "mkdir", "date", "sleep", "rm", "stat", "id", "chmod", "tr"} {
		full, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(full, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	b.local.path = bin
	exit, err := b.Run(t.Context(), b.process("p", "echo hi; exit 6"))
	if err != nil || exit != (Exit{Code: 6}) || b.output(t) != "hi\n" {
		t.Errorf("got %+v, %v, %q", exit, err, b.output(t))
	}
	p := b.process("slow", "sleep 1001; true")
	p.Timeout = 300 * time.Millisecond
	exit, err = b.Run(t.Context(), p)
	if err != nil || exit != (Exit{Code: 137, TimedOut: true}) {
		t.Errorf("got %+v, %v", exit, err)
	}
	if err := os.Remove(filepath.Join(bin, "bash")); err != nil {
		t.Fatal(err)
	}
	if _, err = b.Run(t.Context(), b.process("q", "true")); err == nil {
		// the local shell itself was found before; only the image's bash is gone
		t.Error("a detached command without setsid and bash must be refused")
	}
}

func BenchmarkSuperviseTrue(b *testing.B) {
	l := &local{shell: "bash"}
	s := Supervisor{Exec: l.Exec, Dir: filepath.Join(b.TempDir(), "run")}
	out := filepath.Join(b.TempDir(), "out")
	n := 0
	for b.Loop() {
		n++
		if _, err := s.Run(b.Context(), Process{Command: Command{Script: "true"}, Name: "p" + strconv.Itoa(n), Output: out}); err != nil {
			b.Fatal(err)
		}
	}
}

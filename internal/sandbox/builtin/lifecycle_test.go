//go:build linux && (amd64 || arm64)

package builtin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"oddish/internal/sandbox"
)

func TestAttachAfterTheWorkerWasKilled(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	worker := exec.Command("/proc/self/exe")
	worker.Args[0] = "worker"
	worker.Env = append(os.Environ(), helperEnv+"="+p.dir)
	worker.Stderr = t.Output()
	out, err := worker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := bufio.NewReader(out).ReadString('\n')
	id = strings.TrimSpace(id)
	if err != nil || !validID(id) {
		t.Fatalf("the worker said %q, %v", id, err)
	}
	ctx := context.Background()
	s, err := p.Attach(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	defer stopAndCheck(t, s)
	for { // until the command runs, which is what must survive
		if _, out := run(t, s, "cat /logs/agent/out.txt 2>/dev/null"); out == "begun" {
			break
		}
	}
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	worker.Wait()

	var live bytes.Buffer
	exit, err := s.Run(ctx, sandbox.Process{
		Name: "long", Output: "/logs/agent/out.txt", Live: &live,
		Command: sandbox.Command{Script: "echo must not run again; exit 1"},
	})
	if err != nil || exit.Code != 42 || live.String() != "begun\nended\n" {
		t.Errorf("%+v, %v, output %q", exit, err, live.String())
	}
	if err := s.SetNetwork(ctx, sandbox.Network{Mode: sandbox.NetworkPublic}); err != nil {
		t.Errorf("the network is gone: %v", err)
	}
	list, err := p.List(ctx, "test")
	if err != nil || len(list) != 1 || list[0].ID != id || !list[0].Running || list[0].Name != "helper" {
		t.Errorf("list %+v, %v", list, err)
	}
}

func TestListByOwner(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	one := start(t, p, func(s *sandbox.Spec) { s.Owner = "one"; s.Labels = map[string]string{"trial": "x"} })
	two := start(t, p, func(s *sandbox.Spec) { s.Owner = "two" })
	ctx := context.Background()
	for owner, ids := range map[string][]string{"one": {one.ID()}, "two": {two.ID()}, "": {one.ID(), two.ID()}, "three": nil} {
		list, err := p.List(ctx, owner)
		if err != nil || len(list) != len(ids) {
			t.Errorf("owner %q: %+v, %v", owner, list, err)
		}
	}
	list, _ := p.List(ctx, "one")
	if i := list[0]; i.Labels["trial"] != "x" || !i.Running || i.Owner != "one" || time.Since(i.Created) > time.Minute {
		t.Errorf("info %+v", i)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newProvider(t)
	t.Run("removes everything, also with processes that ignore signals", func(t *testing.T) {
		s := start(t, p)
		run(t, s, `trap "" TERM HUP INT; (sleep 1000; true) & nohup sleep 1000 >/dev/null & echo`)
		began := time.Now()
		stopAndCheck(t, s)
		t.Logf("stopped in %s", time.Since(began))
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stopping again: %v", err)
		}
		if _, err := s.Exec(ctx, sandbox.Command{Script: "true"}); !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("exec after stop: %v", err)
		}
		if _, err := p.Attach(ctx, s.ID()); !errors.Is(err, sandbox.ErrNotFound) {
			t.Errorf("attach after stop: %v", err)
		}
	})
	t.Run("ends a command that runs", func(t *testing.T) {
		s := start(t, p)
		got := make(chan error, 1)
		begun := make(chan struct{})
		go func() {
			var once sync.Once
			_, err := s.Exec(ctx, sandbox.Command{Script: "echo; sleep 1000", Stdout: &signalWriter{on: func() { once.Do(func() { close(begun) }) }}})
			got <- err
		}()
		<-begun
		stopAndCheck(t, s)
		if err := <-got; !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("works from another process's view", func(t *testing.T) {
		s := start(t, p)
		other, err := p.Attach(ctx, s.ID())
		if err != nil {
			t.Fatal(err)
		}
		stopAndCheck(t, other)
	})
	t.Run("works when the shim was killed", func(t *testing.T) {
		s := start(t, p)
		st, err := s.(*box).dir.readStatus()
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Shim.kill(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Exec(ctx, sandbox.Command{Script: "true"}); !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("exec: %v", err)
		}
		if err := s.SetNetwork(ctx, sandbox.Network{}); !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("set network: %v", err)
		}
		list, err := p.List(ctx, "test")
		if err != nil || len(list) != 1 || list[0].Running {
			t.Errorf("list %+v, %v", list, err)
		}
		dead, err := p.Attach(ctx, s.ID())
		if err != nil {
			t.Fatal(err)
		}
		stopAndCheck(t, dead)
	})
	t.Run("works when gVisor was killed", func(t *testing.T) {
		s := start(t, p)
		st, _ := s.(*box).dir.readStatus()
		if err := st.Sentry.kill(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Exec(ctx, sandbox.Command{Script: "true"}); !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("exec: %v", err)
		}
		stopAndCheck(t, s)
	})
	t.Run("works when the shim hangs", func(t *testing.T) {
		s := start(t, p)
		st, err := s.(*box).dir.readStatus()
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(st.Shim.PID, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stopAndCheck(t, s)
	})
}

func TestStartLeavesNothingWhenItFails(t *testing.T) {
	t.Parallel()
	p := newProvider(t) // whose end checks that nothing is left
	ctx := context.Background()
	t.Run("because it was cancelled at any time", func(t *testing.T) {
		for _, after := range []time.Duration{0, 5, 20, 40, 60, 80, 100} {
			short, cancel := context.WithTimeout(ctx, after*time.Millisecond)
			s, err := p.Start(short, hostSpec("cancelled"))
			cancel()
			if err == nil {
				stopAndCheck(t, s)
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after %s: %v", after, err)
			}
		}
	})
	t.Run("because the root cannot be built", func(t *testing.T) {
		spec := hostSpec("bad")
		spec.Workdir = "/etc/passwd/x"
		if _, err := p.Start(ctx, spec); err == nil || !strings.Contains(err.Error(), "/etc/passwd") {
			t.Errorf("error %v", err)
		}
	})
	list, err := p.List(ctx, "")
	if err != nil || len(list) != 0 {
		t.Errorf("list %+v, %v", list, err)
	}
}

func TestStartRefusesWhatIsLacking(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	for name, change := range map[string]func(*sandbox.Spec){
		"an image by reference": func(s *sandbox.Spec) { s.Image = sandbox.Image{Reference: "debian:12"} },
		"an image to be built":  func(s *sandbox.Spec) { s.Image = sandbox.Image{Context: "/tmp"} },
		"no image at all":       func(s *sandbox.Spec) { s.Image = sandbox.Image{} },
		"a graphics processor":  func(s *sandbox.Spec) { s.Resources.GPUs = 1 },
		"an allowlist of addresses of the web": func(s *sandbox.Spec) {
			s.Network = sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: []string{"http://a.example"}}
		},
		"an option of another's": func(s *sandbox.Spec) { s.Options = map[string]string{"privileged": "true"} },
	} {
		spec := hostSpec(name)
		change(&spec)
		if _, err := p.Start(context.Background(), spec); !errors.Is(err, sandbox.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := start(t, p)
	if err := s.SetNetwork(context.Background(), sandbox.Network{Mode: "wireless"}); !errors.Is(err, sandbox.ErrUnsupported) {
		t.Errorf("set network: %v", err)
	}
}

func TestParallelStarts(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s := start(t, p)
			if code, out := run(t, s, "echo $$ > /tmp/mine; cat /tmp/mine; hostname"); code != 0 || !strings.HasSuffix(out, s.ID()) {
				t.Errorf("status %d: %s", code, out)
			}
		})
	}
	wg.Wait()
	if list, err := p.List(context.Background(), "test"); err != nil || len(list) != 8 {
		t.Errorf("%d sandboxes, %v", len(list), err)
	}
}

func TestAttachToWhatIsNoSandbox(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	for _, id := range []string{"", ".", "..", "../../etc", "baaaaaaaaaaaaaaaa", "b"} {
		if _, err := p.Attach(context.Background(), id); !errors.Is(err, sandbox.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestAbandonedFoldersAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	me := thisProc(os.Getpid())
	for name, stays := range map[string]bool{
		preparing("baaaaaaaaaaaaaaaa"):                       true,
		fmt.Sprintf("%s%d.%s-b", newPrefix, me.PID, "1"):     false, // another process had the id
		fmt.Sprintf("%s%d.%s-b", newPrefix, 1<<30, me.Start): false,
		newPrefix + "b": false, // of an older version
	} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := p.List(t.Context(), "test"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("folder %s is there: %t, want %t", name, err == nil, stays)
		}
	}
}

func TestLongDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("a long name: longer than the path of a socket, and with punctuation/", 4))
	p, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, p)
	want(t, s, "echo works", "works")
	if err := s.SetNetwork(context.Background(), sandbox.Network{}); err != nil {
		t.Error(err)
	}
}

func TestCheckRemembersSuccess(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	for i, limit := range []time.Duration{time.Minute, 50 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		if err := p.Check(ctx); err != nil {
			t.Errorf("check %d: %v", i, err)
		}
		cancel()
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := start(t, newProvider(t))
	run(t, s, "mkdir -p '/app/a b/sub'; echo 1 > '/app/a b/one'; echo 2 > '/app/a b/sub/two'; chmod 750 '/app/a b/one'; ln -s /etc/shadow '/app/a b/link'")
	var tar bytes.Buffer
	if err := s.Download(ctx, "/app/a b", &tar); err != nil {
		t.Fatal(err)
	}
	if err := s.Upload(ctx, "/opt/new dir/x", &tar); err != nil {
		t.Fatal(err)
	}
	want(t, s, "cd '/opt/new dir/x'; find . | sort; stat -c '%a %U' one; cat sub/two; readlink link", ".\n./link\n./one\n./sub\n./sub/two\n750 root\n2\n/etc/shadow")
	tar.Reset()
	if err := s.Download(ctx, "/app/a b/one", &tar); err != nil || !bytes.HasPrefix(tar.Bytes(), []byte("one\x00")) {
		t.Errorf("one file: %v", err)
	}
	if err := s.Download(ctx, "/no/such", &tar); !errors.Is(err, sandbox.ErrNotFound) {
		t.Errorf("a missing path: %v", err)
	}
	if err := s.Upload(ctx, "/tmp/x", strings.NewReader(strings.Repeat("not a tar archive", 100))); err == nil {
		t.Error("rubbish was uploaded without an error")
	}
	full := errors.New("full")
	if err := s.Download(ctx, "/usr/bin", failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
}

// Providers that are made at one moment find out the same about this machine.
func TestWhatCanBeLimitedDoesNotDependOnOthersWhoLook(t *testing.T) {
	t.Parallel()
	want := cgroupsUsable()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if got := cgroupsUsable(); got != want {
					t.Errorf("limits can be set: %t, want %t", got, want)
				}
			}
		})
	}
	wg.Wait()
}

func TestNothingStartsOnAFullDisk(t *testing.T) {
	t.Parallel()
	p := newProvider(t) // whose end checks that nothing is left
	p.minFree = math.MaxInt64
	_, err := p.Start(t.Context(), hostSpec(t.Name()))
	if !errors.Is(err, sandbox.ErrDiskFull) || !strings.Contains(err.Error(), p.dir) {
		t.Errorf("error is %v", err)
	}
}

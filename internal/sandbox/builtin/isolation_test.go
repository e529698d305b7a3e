//go:build linux && (amd64 || arm64)

package builtin

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

func TestHostSecretsAreNotVisible(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	secret := filepath.Join(secrets, "key")
	if err := os.WriteFile(secret, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProvider(t)
	s := start(t, p)
	t.Run("no password hash", func(t *testing.T) {
		want(t, s, `grep -v ':\*:' /etc/shadow /etc/gshadow; cut -d: -f2 /etc/passwd | sort -u; ls /etc/shadow- /etc/gshadow- 2>/dev/null`, "x")
	})
	t.Run("no keys and rights", func(t *testing.T) {
		want(t, s, "ls -d /etc/ssh /etc/sudoers /etc/sudoers.d /etc/krb5.keytab 2>/dev/null; ls -A /etc/ssl/private 2>/dev/null", "")
	})
	t.Run("no homes, data or state of this machine", func(t *testing.T) {
		want(t, s, "ls -A /root /home /run /var/lib /var/log /var/cache /srv /mnt /media /boot | grep -v ':$' | sort -u", "lock\nmisc")
		for _, path := range []string{secret, p.dir, "/var/lib/dpkg", "/var/run/docker.sock", "/work", "/lost+found"} {
			want(t, s, "ls -d "+path+" 2>/dev/null", "")
		}
	})
	t.Run("nothing in /etc that only root may read there", func(t *testing.T) {
		// Files of length 0 are covers; what was generated is known.
		want(t, s, `find /etc ! -type l ! -perm -004 -size +0 ! -name shadow ! -name gshadow 2>/dev/null`, "")
	})
	t.Run("no environment of this process", func(t *testing.T) {
		want(t, s, `env | cut -d= -f1 | sort | tr '\n' ' '`, "HOME PATH PWD SHLVL _")
	})
	t.Run("no sockets and devices of this machine", func(t *testing.T) {
		want(t, s, `find /run /var /tmp /etc /root -type s; find /dev -type b; ls /dev/kvm /dev/mem 2>/dev/null`, "")
	})
}

func TestHiddenDirectoriesBelowBinds(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a directory below /opt")
	}
	hidden, err := os.MkdirTemp("/opt", "oddish-test-")
	if err != nil {
		t.Skip("cannot make a directory below /opt: ", err)
	}
	defer os.RemoveAll(hidden)
	if err := os.Chmod(hidden, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(hidden, "secret"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{Dir: filepath.Join(t.TempDir(), "sandboxes"), Hide: []string{hidden}})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, p)
	want(t, s, "ls -A "+hidden, "")
}

func TestHostFileSystemIsUntouched(t *testing.T) {
	t.Parallel()
	watched := []string{"/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/usr/bin/env", "/etc/os-release"}
	before := map[string][]byte{}
	for _, path := range watched {
		before[path], _ = os.ReadFile(path)
	}
	s := start(t, newProvider(t))
	script := `set -e
for f in /etc/passwd /etc/hosts /etc/resolv.conf /usr/bin/env /etc/os-release; do echo changed >> $f; done
rm /etc/hosts /usr/bin/env
echo new > /etc/oddish-test; echo new > /usr/bin/oddish-test; mkdir /usr/share/oddish-test
mv /etc/alternatives /etc/alternatives.moved
rm -rf /usr/share/doc
ls /etc/oddish-test /usr/bin/oddish-test; ls -d /etc/alternatives.moved; ls /usr/share/doc 2>/dev/null || true`
	want(t, s, script, "/etc/oddish-test\n/usr/bin/oddish-test\n/etc/alternatives.moved")
	for _, path := range watched {
		if now, _ := os.ReadFile(path); !bytes.Equal(now, before[path]) {
			t.Errorf("%s of this machine was changed", path)
		}
	}
	for _, path := range []string{"/etc/oddish-test", "/usr/bin/oddish-test", "/usr/share/oddish-test", "/etc/alternatives.moved"} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was made on this machine", path)
		}
	}
	for _, path := range []string{"/usr/share/doc", "/etc/alternatives"} {
		if _, err := os.Stat("/usr/share"); err == nil {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func TestStorageLimit(t *testing.T) {
	t.Parallel()
	s := start(t, newProvider(t), func(spec *sandbox.Spec) { spec.Resources.StorageBytes = 64 << 20 })
	for _, dir := range []string{"/tmp", "/logs/agent", "/app", "/var/tmp", "/usr/local", "/root"} {
		_, out := run(t, s, "head -c 100000000 /dev/zero > "+dir+"/big; stat -c %s "+dir+"/big; rm "+dir+"/big")
		lines := strings.Split(out, "\n")
		if !strings.Contains(out, "No space left") || len(lines) != 2 || len(lines[1]) > 8 {
			t.Errorf("in %s: %q", dir, out)
		}
	}
	want(t, s, "echo still works > /tmp/x && cat /tmp/x", "still works")
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	if !p.Capabilities().MemoryLimit {
		t.Skip("this machine does not let us make control groups")
	}
	s := start(t, p, func(spec *sandbox.Spec) {
		spec.Resources.MemoryBytes = 128 << 20
		spec.Resources.CPUs = 1
	})
	want(t, s, "nproc; awk '/MemTotal/{print int($2/1024)}' /proc/meminfo", "2\n192") // with gVisor's own share
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	code, err := s.Exec(ctx, sandbox.Command{Script: "python3 -c 'x = b\"x\" * (1 << 30)' || tail /dev/zero"})
	if !errors.Is(err, sandbox.ErrOutOfMemory) {
		t.Fatalf("status %d, error %v, want %v", code, err, sandbox.ErrOutOfMemory)
	}
	if !strings.Contains(err.Error(), "MiB were used") {
		t.Errorf("the error does not say how much was used: %v", err)
	}
	if !strings.Contains(err.Error(), "128 MiB") {
		t.Errorf("the message does not tell the limit: %v", err)
	}
	if _, err := s.Exec(ctx, sandbox.Command{Script: "true"}); err == nil {
		t.Log("the kernel has killed the process alone")
		return
	}
	for range 2 { // the reason is kept
		if _, err := s.Exec(ctx, sandbox.Command{Script: "true"}); !errors.Is(err, sandbox.ErrOutOfMemory) {
			t.Errorf("error %v", err)
		}
	}
	again, err := p.Attach(ctx, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Exec(ctx, sandbox.Command{Script: "true"}); !errors.Is(err, sandbox.ErrOutOfMemory) {
		t.Errorf("after Attach: error %v", err)
	}
	if list, err := p.List(ctx, "test"); err != nil || len(list) != 1 || list[0].Running {
		t.Errorf("list %+v %v", list, err)
	}
}

func TestProcessLimit(t *testing.T) {
	t.Parallel()
	s := start(t, newProvider(t))
	run(t, s, "useradd agent")
	lower := "ulimit -u 20; "
	t.Run("is an error for whoever forks", func(t *testing.T) {
		code, out := run(t, s, lower+"exec sh -c 'while sleep 60 & do :; done'", as("agent"))
		if code == 0 || !strings.Contains(out, "Cannot fork") {
			t.Errorf("status %d: %s", code, out)
		}
		want(t, s, "ulimit -u; pkill -9 sleep", "2048")
	})
	t.Run("does not keep the group of a fork bomb from being killed", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		_, err := s.Exec(ctx, sandbox.Command{
			Script: lower + `b() { b | b & sleep 60; }; echo begun; b 2>/dev/null`, User: "agent", Stdout: &signalWriter{on: cancel},
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		want(t, s, "pgrep -c -u agent; true", "0")
	})
}

func TestForkBombOfRootIsContained(t *testing.T) {
	t.Parallel()
	s := start(t, newProvider(t))
	ctx, cancel := context.WithCancel(context.Background())
	_, err := s.Exec(ctx, sandbox.Command{
		// The limit is lowered for the test's time; a sandbox of thousands takes seconds to end.
		Script: `ulimit -u 150; b() { b | b & sleep 60; }; (sleep 0.5; echo begun) & b 2>/dev/null; sleep 60`,
		Stdout: &signalWriter{on: cancel},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	want(t, s, "pgrep -c sleep; true", "0")
}

func TestFirstProcess(t *testing.T) {
	t.Parallel()
	s := start(t, newProvider(t))
	t.Run("reaps orphans", func(t *testing.T) {
		run(t, s, "for i in 1 2 3 4; do (sleep 0.2 & exec true) & done; wait; sleep 0.5")
		want(t, s, "ps -eo stat= | grep -c Z; true", "0")
	})
	t.Run("outlives signals meant for others", func(t *testing.T) {
		run(t, s, "sleep 100 & kill -TERM 1; kill -HUP 1; kill -INT 1; kill -TERM -1")
		want(t, s, "echo alive", "alive")
		run(t, s, "sleep 100 & kill -KILL -1")
		want(t, s, "echo alive; ps -eo comm= | grep -c sleep", "alive\n0")
	})
	t.Run("killed on purpose means a lost sandbox", func(t *testing.T) {
		_, err := s.Exec(context.Background(), sandbox.Command{Script: "kill -KILL 1; sleep 10"})
		if !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("error %v", err)
		}
	})
}

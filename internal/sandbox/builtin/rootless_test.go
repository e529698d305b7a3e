//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oddish/internal/sandbox"
)

// ordinaryEnv marks the run of this test binary as an ordinary user.
const ordinaryEnv = "ODDISH_TEST_ORDINARY_USER"

// TestAsOrdinaryUser runs TestOrdinaryUser again as a user without rights.
func TestAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user; TestOrdinaryUser covers the one that runs this")
	}
	// Neither the test binary's directory nor t.TempDir is open to others.
	dir, err := os.MkdirTemp("/tmp", "oddish-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const uid = 12345
	if err := errors.Join(os.Chmod(dir, 0o755), copyProgram(filepath.Join(dir, "test")), os.Mkdir(filepath.Join(dir, "tmp"), 0o700),
		os.Chown(filepath.Join(dir, "tmp"), uid, uid)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "test"), "-test.run=^TestOrdinaryUser$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = []string{ordinaryEnv + "=1", "TMPDIR=" + filepath.Join(dir, "tmp"), "PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("as an ordinary user: %v", err)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip("this machine does not let ordinary users make user namespaces")
	}
}

func copyProgram(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	// A process that is forked meanwhile would hold the file open for writing, and
	// it could not be executed.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() == 0 {
		return // TestAsOrdinaryUser runs it
	}
	p := newProvider(t)
	if err := p.Check(context.Background()); err != nil {
		if os.Getenv(ordinaryEnv) != "" && strings.Contains(err.Error(), "may not make user namespaces") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	if c := p.Capabilities(); c.CPULimit || c.MemoryLimit || !c.NoNetwork || !c.StorageLimit {
		t.Errorf("capabilities %+v", c)
	}
	s := start(t, p, func(spec *sandbox.Spec) {
		spec.ServiceSocket = serviceSocket(t)
		spec.Resources.StorageBytes = 32 << 20
		spec.Resources.MemoryBytes = 1 << 30 // not enforced, and no error
	})
	want(t, s, "id -u; pwd; cd; pwd; echo x > /logs/verifier/y; echo x > /app/y && cat /app/y", "0\n/app\n/root\nx")
	want(t, s, "cat /etc/shadow | grep -vc ':\\*:'; ls -A /home", "0")
	want(t, s, "head -c 100000000 /dev/zero > /tmp/x 2>/dev/null; echo $?", "1")
	want(t, s, connect("192.0.2.1:80"), "refused")
	want(t, s, `exec 3<>/dev/tcp/10.77.0.1/18080; printf 'GET / HTTP/1.0\r\n\r\n' >&3; tail -1 <&3`, "hello")
	want(t, s, "(sleep 0.1 & exec true) & wait; sleep 0.3; ps -eo stat= | grep -c Z; true", "0")
	exit, err := s.Run(context.Background(), sandbox.Process{
		Name: "agent", Output: "/logs/agent/out.txt", Command: sandbox.Command{Script: "exit 9"},
	})
	if err != nil || exit.Code != 9 {
		t.Errorf("%+v, %v", exit, err)
	}
	again, err := p.Attach(context.Background(), s.ID())
	if err != nil {
		t.Fatal(err)
	}
	want(t, again, "echo attached", "attached")
	if err := again.SetNetwork(context.Background(), sandbox.Network{Mode: sandbox.NetworkPublic}); err != nil {
		t.Error(err)
	}
	stopAndCheck(t, s)
}

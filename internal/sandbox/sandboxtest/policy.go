package sandboxtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

func (s *suite) networkCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"no-network reaches nothing":                       s.noNetwork,
		"public does not reach this machine's loopback":    s.hostLoopback,
		"the policy can be switched where that is claimed": s.switchNetwork,
		"a service of the worker is reached":               s.service,
	}
}

func (s *suite) noNetwork(t *testing.T) {
	if !s.Provider.Capabilities().NoNetwork {
		t.Skip("not claimed")
	}
	sb := s.start(t, func(spec *sandbox.Spec) { spec.Network.Mode = sandbox.NetworkNone })
	for _, addr := range []string{"192.0.2.1/53", "10.77.0.1/80", "172.17.0.1/22", "169.254.169.254/80"} {
		if got := exec(t, sb, sandbox.Command{Script: "timeout 3 bash -c 'exec 3<>/dev/tcp/" + addr + "'"}); got.code == 0 {
			t.Errorf("%s was reached", addr)
		}
	}
	if got := sh(t, sb, "(exec 3<>/dev/tcp/127.0.0.1/1) 2>&1 || true"); !strings.Contains(got, "refused") {
		t.Errorf("loopback inside: %q", got)
	}
}

func (s *suite) hostLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if got := exec(t, s.start(t), sandbox.Command{Script: "timeout 3 bash -c 'exec 3<>/dev/tcp/127.0.0.1/" + port + "'"}); got.code == 0 {
		t.Error("a service on this machine's loopback was reached")
	}
}

func (s *suite) switchNetwork(t *testing.T) {
	sb := s.start(t)
	err := sb.SetNetwork(t.Context(), sandbox.Network{Mode: sandbox.NetworkNone})
	if !s.Provider.Capabilities().DynamicNetwork {
		if !errors.Is(err, sandbox.ErrUnsupported) {
			t.Errorf("not claimed, and yet: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := exec(t, sb, sandbox.Command{Script: "timeout 3 bash -c 'exec 3<>/dev/tcp/192.0.2.1/53'"}); got.code == 0 {
		t.Error("no-network after the switch, and 192.0.2.1 was reached")
	}
	if err := sb.SetNetwork(t.Context(), sandbox.Network{Mode: sandbox.NetworkPublic}); err != nil {
		t.Error(err)
	}
}

func (s *suite) service(t *testing.T) {
	addr := s.Provider.Capabilities().ServiceAddr
	if addr == "" {
		t.Skip("not claimed")
	}
	dir, err := os.MkdirTemp("", "svc") // a socket's path has little room
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello from outside\n")
			c.Close()
		}
	}()
	for _, mode := range []sandbox.NetworkMode{sandbox.NetworkPublic, sandbox.NetworkNone} {
		sb := s.start(t, func(spec *sandbox.Spec) {
			spec.Network.Mode = mode
			spec.ServiceSocket = l.Addr().String()
		})
		script := "timeout 10 bash -c 'cat </dev/tcp/" + strings.Replace(addr, ":", "/", 1) + "'"
		if got := exec(t, sb, sandbox.Command{Script: script}); got.stdout != "hello from outside\n" {
			t.Errorf("%s: %+v", mode, got)
		}
	}
}

func (s *suite) limitCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"the storage limit holds":                      s.storage,
		"memory beyond the limit is ErrOutOfMemory":    s.memory,
		"the clock, /dev/shm and temporary files work": s.basics,
		"/dev/shm takes what a browser puts there":     s.sharedMemory,
		"set-user-id programs run as their owner":      s.setUserID,
	}
}

func (s *suite) storage(t *testing.T) {
	if !s.Provider.Capabilities().StorageLimit {
		t.Skip("not claimed")
	}
	sb := s.start(t, func(spec *sandbox.Spec) { spec.Resources.StorageBytes = 64 << 20 })
	got := exec(t, sb, sandbox.Command{Script: "head -c 200M /dev/zero >/big"})
	if got.code == 0 || !strings.Contains(got.stderr, "No space left") {
		t.Errorf("got %+v", got)
	}
	if got := sh(t, sb, "rm /big; echo fine >/small; cat /small"); got != "fine\n" {
		t.Errorf("afterwards: %q", got)
	}
}

func (s *suite) memory(t *testing.T) {
	if !s.Provider.Capabilities().MemoryLimit {
		t.Skip("not claimed")
	}
	sb := s.start(t, func(spec *sandbox.Spec) { spec.Resources.MemoryBytes = 128 << 20 })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// tail keeps what it may have to print in memory.
	_, err := sb.Run(ctx, s.process("agent", "head -c 2G /dev/zero | tail -c 1G >/dev/null"))
	if !errors.Is(err, sandbox.ErrOutOfMemory) {
		t.Errorf("got %v", err)
	}
}

func (s *suite) basics(t *testing.T) {
	sb := s.start(t)
	now := strings.TrimSpace(sh(t, sb, "echo x >/dev/shm/f && cat /dev/shm/f >/dev/null && mktemp >/dev/null && date -u +%Y-%m-%dT%H:%MZ"))
	at, err := time.Parse("2006-01-02T15:04Z", now)
	if err != nil || time.Since(at).Abs() > 5*time.Minute {
		t.Errorf("the clock says %q", now)
	}
}

// sharedMemory writes more than the 64 MB that docker gives by itself.
func (s *suite) sharedMemory(t *testing.T) {
	sb := s.start(t, func(spec *sandbox.Spec) { spec.Resources.MemoryBytes = 1 << 30 })
	if got := exec(t, sb, sandbox.Command{Script: "head -c 200M /dev/zero >/dev/shm/big && stat -c %s /dev/shm/big", User: "nobody"}); got.stdout != "209715200\n" {
		t.Errorf("got %+v", got)
	}
}

// setUserID is what sudo and su need, which tasks with an agent of another user than root have.
func (s *suite) setUserID(t *testing.T) {
	sb := s.start(t)
	sh(t, sb, "cp /usr/bin/id /usr/local/bin/id-of-root && chmod 4755 /usr/local/bin/id-of-root")
	if got := exec(t, sb, sandbox.Command{Script: "id-of-root -u", User: "nobody"}); got.stdout != "0\n" {
		t.Errorf("got %+v", got)
	}
}

func (s *suite) refusedCases() map[string]func(*testing.T) {
	caps := s.Provider.Capabilities()
	asks := map[string]func(*sandbox.Spec){
		"an option that does not exist": func(spec *sandbox.Spec) { spec.Options = map[string]string{"no-such-option": "1"} },
	}
	if !caps.Allowlist {
		asks["an allowlist"] = func(spec *sandbox.Spec) {
			spec.Network = sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: []string{"example.com"}}
		}
	}
	if !caps.GPUs {
		asks["a GPU"] = func(spec *sandbox.Spec) { spec.Resources.GPUs = 1 }
	}
	if !caps.HostImage {
		asks["the host image"] = func(spec *sandbox.Spec) { spec.Image = sandbox.Image{Host: true} }
	}
	if !caps.Images {
		asks["an image by name"] = func(spec *sandbox.Spec) { spec.Image = sandbox.Image{Reference: "debian:bookworm-slim"} }
	}
	if caps.ServiceAddr == "" {
		asks["a service"] = func(spec *sandbox.Spec) { spec.ServiceSocket = "/tmp/none.sock" }
	}
	if !caps.Programs {
		asks["a folder of programs"] = func(spec *sandbox.Spec) { spec.Programs = os.TempDir() }
	}
	cases := map[string]func(*testing.T){}
	for name, ask := range asks {
		cases[name] = func(t *testing.T) {
			spec := s.spec(t)
			ask(&spec)
			sb, err := s.Provider.Start(t.Context(), spec)
			if err == nil {
				_ = sb.Stop(t.Context())
			}
			if !errors.Is(err, sandbox.ErrUnsupported) {
				t.Errorf("got %v", err)
			}
		}
	}
	return cases
}

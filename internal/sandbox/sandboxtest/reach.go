package sandboxtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"oddish/internal/sandbox"
)

// reachCases are about connections to servers that the tests run on this machine.
func (s *suite) reachCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"no-network reaches none of this machine's addresses": s.noHost,
		"public reaches another machine":                      s.reachPublic,
		"a switch takes effect in both directions":            s.reachSwitch,
		"a sandbox has a loopback of its own":                 s.ownLoopback,
		"an unknown network mode is refused":                  s.unknownMode,
		"an allowlist opens addresses":                        s.allowAddresses,
		"an allowlist can be switched":                        s.allowSwitch,
		"an allowlist answers no other names":                 s.allowNames,
		"what was tried is logged":                            s.networkLog,
	}
}

// hostAddrs are this machine's IPv4 addresses with the port of a server that listens on all of them.
func hostAddrs(t *testing.T) []string {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) // the kernel accepts for it
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			all = append(all, fmt.Sprintf("%s:%d", n.IP, l.Addr().(*net.TCPAddr).Port))
		}
	}
	return all
}

// reaches tells whether a TCP connection from the sandbox to the numeric host:port comes about.
func reaches(t *testing.T, sb sandbox.Sandbox, addr string) bool {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return exec(t, sb, sandbox.Command{Script: fmt.Sprintf("timeout 5 bash -c 'exec 3<>/dev/tcp/%s/%s'", host, port)}).code == 0
}

func (s *suite) public(t *testing.T) string {
	t.Helper()
	if s.PublicAddr != nil {
		if addr := s.PublicAddr(t); addr != "" {
			return addr
		}
	}
	t.Skip("this machine has no address that a sandbox with the public network must reach")
	return ""
}

func (s *suite) noHost(t *testing.T) {
	if !s.Provider.Capabilities().NoNetwork {
		t.Skip("not claimed")
	}
	sb := s.start(t, func(spec *sandbox.Spec) { spec.Network.Mode = sandbox.NetworkNone })
	for _, addr := range hostAddrs(t) {
		if reaches(t, sb, addr) {
			t.Errorf("%s was reached", addr)
		}
	}
}

func (s *suite) reachPublic(t *testing.T) {
	addr := s.public(t)
	for _, mode := range []sandbox.NetworkMode{"", sandbox.NetworkPublic} {
		sb := s.start(t, func(spec *sandbox.Spec) { spec.Network.Mode = mode })
		if !reaches(t, sb, addr) {
			t.Errorf("mode %q: %s was not reached", mode, addr)
		}
	}
}

func (s *suite) reachSwitch(t *testing.T) {
	if !s.Provider.Capabilities().DynamicNetwork {
		t.Skip("not claimed")
	}
	addr := s.public(t)
	sb := s.start(t)
	for _, mode := range []sandbox.NetworkMode{sandbox.NetworkNone, sandbox.NetworkPublic, sandbox.NetworkPublic, sandbox.NetworkNone} {
		if err := sb.SetNetwork(t.Context(), sandbox.Network{Mode: mode}); err != nil {
			t.Fatal(err)
		}
		// What is opened may take a moment to carry the first packets; what is closed is closed at once.
		want, tries := mode == sandbox.NetworkPublic, 3
		got := reaches(t, sb, addr)
		for ; want && !got && tries > 1; tries-- {
			got = reaches(t, sb, addr)
		}
		equal(t, fmt.Sprintf("%s is reached with %s", addr, mode), got, want)
	}
}

// allowing starts a sandbox that may reach the hosts.
func (s *suite) allowing(t *testing.T, hosts ...string) sandbox.Sandbox {
	t.Helper()
	if !s.Provider.Capabilities().Allowlist {
		t.Skip("not claimed")
	}
	return s.start(t, func(spec *sandbox.Spec) { spec.Network = sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: hosts} })
}

func (s *suite) allowAddresses(t *testing.T) {
	addr := s.public(t)
	host, _, _ := net.SplitHostPort(addr)
	for _, hosts := range [][]string{{host}, {host + "/32"}} {
		sb := s.allowing(t, hosts...)
		equal(t, fmt.Sprintf("%s is reached with %v", addr, hosts), reaches(t, sb, addr), true)
		for _, other := range append(hostAddrs(t), "192.0.2.1:80", "169.254.169.254:80") {
			if reaches(t, sb, other) {
				t.Errorf("%s is reached with %v", other, hosts)
			}
		}
	}
	equal(t, addr+" is reached with others", reaches(t, s.allowing(t, "example.com", "*.example.org", "203.0.113.0/24"), addr), false)
}

func (s *suite) allowSwitch(t *testing.T) {
	addr := s.public(t)
	host, _, _ := net.SplitHostPort(addr)
	sb := s.allowing(t, "example.com")
	for _, step := range []struct {
		network sandbox.Network
		want    bool
	}{
		{sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: []string{host}}, true},
		{sandbox.Network{Mode: sandbox.NetworkNone}, false},
		{sandbox.Network{Mode: sandbox.NetworkPublic}, true},
		{sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: []string{"example.com"}}, false},
	} {
		if err := sb.SetNetwork(t.Context(), step.network); err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("%s is reached with %v", addr, step.network), reaches(t, sb, addr), step.want)
	}
}

func (s *suite) allowNames(t *testing.T) {
	sb := s.allowing(t, "only.example")
	if got := exec(t, sb, sandbox.Command{Script: "getent hosts other.example secret.evil.example"}); got.code == 0 {
		t.Errorf("names were answered: %+v", got)
	}
}

func (s *suite) networkLog(t *testing.T) {
	policy := sandbox.Network{Mode: sandbox.NetworkNone}
	if s.LogsListed {
		policy = sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: []string{"example.com"}}
	}
	sb := s.start(t, func(spec *sandbox.Spec) { spec.Network = policy })
	logger, can := sb.(sandbox.NetworkLogger)
	if !can {
		t.Skip("not offered")
	}
	reaches(t, sb, "192.0.2.7:81")
	var log strings.Builder
	if err := logger.NetworkLog(t.Context(), &log); err != nil {
		t.Fatal(err)
	}
	var line struct {
		Proto, Address, Reason string
		Port                   int
		Allowed                *bool
	}
	if err := json.Unmarshal([]byte(strings.TrimSpace(log.String())), &line); err != nil {
		t.Fatalf("%v: %q", err, log.String())
	}
	if line.Proto != "tcp" || line.Address != "192.0.2.7" || line.Port != 81 || line.Allowed == nil || *line.Allowed || line.Reason == "" {
		t.Errorf("logged %q", log.String())
	}
}

func (s *suite) ownLoopback(t *testing.T) {
	for _, mode := range []sandbox.NetworkMode{sandbox.NetworkPublic, sandbox.NetworkNone} {
		if mode == sandbox.NetworkNone && !s.Provider.Capabilities().NoNetwork {
			continue
		}
		sb := s.start(t, func(spec *sandbox.Spec) { spec.Network.Mode = mode })
		if exec(t, sb, sandbox.Command{Script: "command -v python3"}).code != 0 {
			t.Skip("the image has no python3 to serve with")
		}
		sh(t, sb, `python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 8765))
open("/tmp/up", "w")
while True: s.accept()[0].close()' >/dev/null 2>&1 &`)
		eventually(t, sb, "the server is up", "[ -e /tmp/up ]")
		if !reaches(t, sb, "127.0.0.1:8765") {
			t.Errorf("%s: a server on the sandbox's loopback is not reached", mode)
		}
	}
}

func (s *suite) unknownMode(t *testing.T) {
	spec := s.spec(t)
	spec.Network.Mode = "wireless"
	sb, err := s.Provider.Start(t.Context(), spec)
	if err == nil {
		_ = sb.Stop(t.Context())
	}
	if !errors.Is(err, sandbox.ErrUnsupported) {
		t.Errorf("got %v, want %v", err, sandbox.ErrUnsupported)
	}
}

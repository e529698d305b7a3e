package docker_test

import (
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/sandboxtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	if err := p.Check(t.Context()); err != nil { // finds out what it can claim
		t.Fatal(err)
	}
	sandboxtest.Run(t, sandboxtest.Config{
		Provider:   p,
		Image:      sandbox.Image{Reference: baseImage},
		Other:      func(t testing.TB) sandbox.Provider { return newProvider(t) },
		PublicAddr: bridgeAddr,
		Builds:     true,
		NoBuildKit: true, // the frontend of the tests' engine is too old for most of them; see buildkit_test.go
	})
}

// bridgeAddr is a server at the gateway of the containers' bridge, which is this machine, and
// another one to them. An engine that does not share our network has none.
func bridgeAddr(t testing.TB) string {
	sb := start(t, newProvider(t), sandbox.Spec{Name: "gateway"})
	// The gateway of the default route, in hexadecimal and the byte order of x86 and arm.
	_, out, _ := sh(t, sb, sandbox.Command{Script: `awk '$2 == "00000000" {print $3}' /proc/net/route`})
	ip, err := hex.DecodeString(strings.TrimSpace(out))
	if err != nil || len(ip) != 4 {
		return ""
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(net.IPv4(ip[3], ip[2], ip[1], ip[0]).String(), "0"))
	if err != nil {
		return ""
	}
	t.Cleanup(func() { l.Close() }) // the kernel accepts for it
	return l.Addr().String()
}

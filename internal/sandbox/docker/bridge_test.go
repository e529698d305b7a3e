package docker_test

import (
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/docker"
	"oddish/internal/sandbox/sandboxtest/machine"
)

// newBridged gives a provider whose public containers are on the engine's bridge.
func newBridged(t testing.TB) *docker.Provider {
	t.Helper()
	newProvider(t) // skips where there is no engine
	p, err := docker.New(docker.Config{Host: engineHost(), Bridge: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func reaches(t *testing.T, sb sandbox.Sandbox, addr string) bool {
	t.Helper()
	code, _, _ := sh(t, sb, sandbox.Command{Script: "timeout 5 bash -c 'exec 3<>/dev/tcp/" + strings.Replace(addr, ":", "/", 1) + "'"})
	return code == 0
}

// Once a policy has needed a link, the bridge does not come back: what is public is then what the link has as public.
func TestOnTheBridgePoliciesAreSwitchedUntilOneNeedsALink(t *testing.T) {
	t.Parallel()
	p := newBridged(t)
	sb := start(t, p, sandbox.Spec{})
	bridge, other := bridgeAddr(t, sb), machine.Other(t)
	if bridge == "" || other == "" {
		t.Skip("this machine has no address that a container reaches")
	}
	host, _, _ := net.SplitHostPort(other)
	for _, step := range []struct {
		policy sandbox.Network
		want   map[string]bool
	}{
		{sandbox.Network{Mode: sandbox.NetworkPublic}, map[string]bool{bridge: true}}, // not every engine forwards to the other
		{sandbox.Network{Mode: sandbox.NetworkNone}, map[string]bool{bridge: false, other: false}},
		{sandbox.Network{Mode: sandbox.NetworkPublic}, map[string]bool{bridge: true}},
		{sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: []string{host}}, map[string]bool{bridge: false, other: true}},
		{sandbox.Network{Mode: sandbox.NetworkNone}, map[string]bool{bridge: false, other: false}},
		{sandbox.Network{Mode: sandbox.NetworkPublic}, map[string]bool{bridge: false, other: true}},
	} {
		if err := sb.SetNetwork(t.Context(), step.policy); err != nil {
			t.Fatal(err)
		}
		for addr, want := range step.want {
			if got := reaches(t, sb, addr); got != want {
				t.Errorf("with %v %s is reached: %v, want %v", step.policy, addr, got, want)
			}
		}
	}
}

// bridgeAddr is a server at the gateway of the containers' bridge, which is this machine, and
// another one to them. An engine that does not share our network has none.
func bridgeAddr(t *testing.T, sb sandbox.Sandbox) string {
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

package docker_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/docker"
)

// owned are the sandboxes of an owner.
func owned(t *testing.T, p *docker.Provider, owner string) []sandbox.Info {
	t.Helper()
	infos, err := p.List(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// engine runs the docker program against the tests' engine.
func engine(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", append([]string{"--host", engineHost()}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %v: %v: %s", args, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func TestACompanionIsNoSandboxUnlessItIsAllThatIsLeft(t *testing.T) {
	t.Parallel()
	p, owner := newProvider(t), "companion-left"
	sb := start(t, p, sandbox.Spec{Name: "left", Owner: owner})
	if infos := owned(t, p, owner); len(infos) != 1 || infos[0].ID != sb.ID() {
		t.Fatalf("listed %+v", infos)
	}
	engine(t, "rm", "--force", sb.ID())
	infos := owned(t, p, owner)
	if len(infos) != 1 || infos[0].Name != "left" {
		t.Fatalf("of a sandbox that somebody removed is listed %+v", infos)
	}
	rest, err := p.Attach(t.Context(), infos[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := rest.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if infos := owned(t, p, owner); len(infos) != 0 {
		t.Errorf("after the removal is listed %+v", infos)
	}
}

func TestWithoutItsCompanionAContainerReachesNothingAndThePolicySaysWhy(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	sb := start(t, p, sandbox.Spec{Owner: "companion-killed"})
	companion := engine(t, "ps", "--quiet", "--filter", "label=oddish.companion="+sb.ID())
	engine(t, "kill", companion)
	if _, out, _ := sh(t, sb, sandbox.Command{Script: "timeout 5 bash -c 'exec 3<>/dev/tcp/192.0.2.1/80' 2>&1; cat /proc/net/route"}); strings.Contains(out, "tun0") {
		t.Errorf("there is a route: %s", out)
	}
	err := sb.SetNetwork(t.Context(), sandbox.Network{Mode: sandbox.NetworkPublic})
	if err == nil || !strings.Contains(err.Error(), "network link") {
		t.Errorf("got %v", err)
	}
}

// What a companion could do for a program that got into it.
func TestACompanionKeepsNoRights(t *testing.T) {
	t.Parallel()
	sb := start(t, newProvider(t), sandbox.Spec{Owner: "companion-rights"})
	pid := engine(t, "inspect", "--format", "{{.State.Pid}}", engine(t, "ps", "--quiet", "--filter", "label=oddish.companion="+sb.ID()))
	status, err := exec.Command("cat", "/proc/"+pid+"/status").Output()
	if err != nil {
		t.Skipf("the engine's processes are not this machine's: %v", err)
	}
	for _, want := range []string{"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("there is no line %q in\n%s", want, status)
		}
	}
}

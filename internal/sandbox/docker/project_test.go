package docker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/docker"
	"oddish/internal/sandbox/sandboxtest"
	"oddish/internal/sandbox/sandboxtest/machine"
)

// needPlugin skips a test where `docker compose` is not there.
func needPlugin(t testing.TB) {
	t.Helper()
	notPodman(t, "health checks of services are not carried out")
	if err := exec.CommandContext(t.Context(), "docker", "compose", "version").Run(); err == nil {
		return
	}
	if os.Getenv("ODDISH_TEST_COMPOSE") == "1" {
		t.Fatal("docker compose is not there: scripts/compose-plugin.sh builds it")
	}
	t.Skip("docker compose is not there: scripts/compose-plugin.sh builds it")
}

// sidecar is a service that says hello on port 8000. It is healthy once it does.
const sidecar = `
  web:
    image: debian:bookworm-slim
    command:
      - python3
      - -uc
      - |
        import os, socket
        os.makedirs("/data")
        print("web begins")
        s = socket.create_server(("", 8000))
        open("/data/ready", "w").write("ready\n")
        while True:
            c, _ = s.accept()
            c.sendall(b"hello from web\n")
            c.close()
    healthcheck: {test: [CMD, test, -f, /data/ready], interval: 200ms, retries: 50}
`

// fetch prints what the sidecar says.
const fetch = `bash -c "cat < /dev/tcp/web/8000"`

// needForwarding skips a test where this machine's packet filter drops what the containers of a network send each other.
func needForwarding(t testing.TB, sb sandbox.Sandbox) {
	t.Helper()
	code, _, said := sh(t, sb, sandbox.Command{Script: "timeout 5 " + fetch})
	if code == 124 || strings.Contains(said, "timed out") {
		t.Skip("packets between containers are dropped on this machine (the chain FORWARD has the policy DROP)")
	}
}

// project writes a compose file and gives the spec of it.
func project(t testing.TB, file string, more map[string]string) sandbox.Spec {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	more2 := map[string]string{"docker-compose.yaml": file}
	for name, text := range more {
		more2[name] = text
	}
	for name, text := range more2 {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return sandbox.Spec{
		Name: strings.ReplaceAll(t.Name(), "/", "-"), Owner: "project-test-" + t.Name(), Image: sandbox.Image{Reference: baseImage},
		Compose: &sandbox.Compose{Dir: dir, Files: []string{filepath.Join(dir, "docker-compose.yaml")}, Digest: fmt.Sprintf("%x", t.Name())},
	}
}

// nothingLeft fails if the owner has anything in the engine.
func nothingLeft(t testing.TB, p *docker.Provider, owner string) {
	t.Helper()
	list, err := p.List(context.Background(), owner)
	if err != nil || len(list) > 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
	for _, kind := range []string{"volume", "network"} {
		cmd := exec.Command("docker", kind, "ls", "--quiet", "--filter", "label=oddish.owner="+owner)
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+os.Getenv("ODDISH_TEST_DOCKER_HOST"))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s left behind: %s %v", kind, out, err)
		}
	}
}

func TestServicesReachEachOtherByName(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	needPlugin(t)
	spec := project(t, "services:"+sidecar, nil)
	sb := start(t, p, spec)
	services, ok := sandbox.As[sandbox.Services](sb)
	if !ok {
		t.Fatal("the sandbox has no services")
	}
	if names, err := services.Services(t.Context()); err != nil || fmt.Sprint(names) != "[main web]" {
		t.Errorf("services %v, %v", names, err)
	}
	web, err := services.Service(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if _, out, _ := sh(t, web, sandbox.Command{Script: "cat /data/ready"}); out != "ready\n" {
		t.Errorf("exec in the service gave %q", out)
	}
	if err := sb.SetNetwork(t.Context(), sandbox.Network{Mode: sandbox.NetworkNone}); err != nil {
		t.Fatal(err)
	}
	if _, out, _ := sh(t, web, sandbox.Command{Script: "ls /sys/class/net"}); out != "eth0\nlo\n" && out != "eth1\nlo\n" {
		t.Errorf("without the network the service has the interfaces %q", out)
	}
	var log bytes.Buffer
	if err := services.ServiceLog(t.Context(), "web", &log); err != nil || !strings.Contains(log.String(), "web begins") {
		t.Errorf("log %q, %v", log.String(), err)
	}
	if _, err := services.Service(t.Context(), "db"); !errors.Is(err, sandbox.ErrNotFound) {
		t.Errorf("a service that is not there: %v", err)
	}
	begun := time.Now()
	if err := sb.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the stop took %s", took)
	}
	nothingLeft(t, p, spec.Owner)
}

// Harbor test list #30
func TestServicesReachEachOtherUnderEveryPolicy(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	needPlugin(t)
	sb := start(t, p, project(t, "services:"+sidecar, nil))
	needForwarding(t, sb)
	for _, mode := range []sandbox.NetworkMode{sandbox.NetworkPublic, sandbox.NetworkNone, sandbox.NetworkPublic} {
		if err := sb.SetNetwork(t.Context(), sandbox.Network{Mode: mode}); err != nil {
			t.Fatal(err)
		}
		if code, out, said := sh(t, sb, sandbox.Command{Script: fetch}); code != 0 || out != "hello from web\n" {
			t.Errorf("%s: status %d, %q, %q", mode, code, out, said)
		}
	}
}

func TestTheImageOfAServiceIsBuiltOnce(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	needPlugin(t)
	file := "services: {main: {environment: {A: $$x, B: '${NASTY}'}}, db: {build: {context: db}, command: [sleep, '60']}}"
	spec := project(t, file, map[string]string{"db/Dockerfile": "FROM debian:bookworm-slim\nRUN head -c 16 /dev/urandom | od -x > /made\n"})
	nasty := "a'b\"c\\d$e${F}#g\nh\\n$$i"
	spec.Compose.Env = map[string]string{"NASTY": nasty, "DOCKER_CONFIG": spec.Compose.Dir, "LD_PRELOAD": "/nowhere.so"}
	spec.Env = map[string]string{"C": nasty}
	var made []string
	for range 2 {
		sb := start(t, p, spec)
		services, _ := sandbox.As[sandbox.Services](sb)
		db, err := services.Service(t.Context(), "db")
		if err != nil {
			t.Fatal(err)
		}
		_, out, _ := sh(t, db, sandbox.Command{Script: "cat /made"})
		made = append(made, out)
		if _, out, _ = sh(t, sb, sandbox.Command{Script: `printf %s "$A$B$C"`}); out != "$x"+nasty+nasty {
			t.Errorf("variables became %q", out)
		}
	}
	if made[0] != made[1] || made[0] == "" {
		t.Errorf("two sandboxes had images that were made apart: %q", made)
	}
}

func TestNothingIsLeftOfServicesThatDoNotStart(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	needPlugin(t)
	spec := project(t, "services: {db: {image: debian:bookworm-slim, command: [sh, -c, 'echo no config; exit 3']}}", nil)
	_, err := p.Start(t.Context(), spec)
	if err == nil || !strings.Contains(err.Error(), "no config") {
		t.Errorf("the error does not tell what the service said: %v", err)
	}
	nothingLeft(t, p, spec.Owner)

	spec = project(t, "services: {db: {image: debian:bookworm-slim, command: [sleep, '60'], healthcheck: {test: [CMD, 'false'], interval: 200ms, retries: 1000}}}", nil)
	spec.Owner += "-cancelled"
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := p.Start(ctx, spec); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that it was given up", err)
	}
	nothingLeft(t, p, spec.Owner)
}

func TestServicesThatAnotherProcessStartedAreAttachedToAndRemoved(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	needPlugin(t)
	spec := project(t, "services: {db: {image: debian:bookworm-slim, command: [sleep, '60']}}", nil)
	spec.Workdir = "/usr"
	sb := start(t, p, spec)
	other := newProvider(t)
	list, err := other.List(t.Context(), spec.Owner)
	if err != nil || len(list) != 1 || list[0].ID != sb.ID() || !list[0].Running || list[0].Name != spec.Name {
		t.Fatalf("listed %+v, %v", list, err)
	}
	again, err := other.Attach(t.Context(), sb.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, out, _ := sh(t, again, sandbox.Command{Script: "pwd"}); out != "/usr\n" {
		t.Errorf("working directory %q", out)
	}
	if err := again.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, p, spec.Owner)
	if _, err := other.Attach(t.Context(), sb.ID()); !errors.Is(err, sandbox.ErrNotFound) {
		t.Errorf("attached to what is gone: %v", err)
	}
}

func TestAnotherRangeIsChosenWhereOneIsTaken(t *testing.T) {
	t.Parallel()
	p, other := newProvider(t), newProvider(t)
	needPlugin(t)
	const taken = "198.19.255.224/27"
	docker.SetSubnets(other, func() string { return taken })
	start(t, other, project(t, "services: {main: {}}", nil))

	asked := 0
	docker.SetSubnets(p, func() string {
		if asked++; asked < 3 {
			return taken
		}
		return "198.19.255.192/27"
	})
	spec := project(t, "services: {main: {}}", nil)
	spec.Owner += "-second"
	start(t, p, spec)
	if asked != 3 {
		t.Errorf("asked for %d ranges, want 3", asked)
	}

	docker.SetSubnets(p, func() string { return taken })
	spec.Owner += "-third"
	if _, err := p.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "Pool overlaps") {
		t.Errorf("with all ranges taken: %v", err)
	}
	nothingLeft(t, p, spec.Owner)
}

func TestServicesThatReachBeyondTheirSandboxAreRefused(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	needPlugin(t)
	for file, want := range map[string]string{
		"services: {main: {privileged: true}}":                                                                     "services.main.privileged",
		"services: {main: {volumes: ['/var/run/docker.sock:/s']}}":                                                 "/var/run/docker.sock",
		"services: {db: {image: x, network_mode: host}}":                                                           "services.db.network_mode: host",
		"services: {db: {image: x, env_file: /etc/hostname}}":                                                      "services.db.env_file",
		"include: [other.yaml]":                                                                                    "include",
		"services: {db: {image: x, pid: host, cap_add: [SYS_ADMIN], devices: ['/dev/kvm']}}":                       "services.db.cap_add: SYS_ADMIN",
		"services: {main: {volumes: ['vol:/v']}}\nvolumes: {vol: {driver_opts: {type: none, o: bind, device: /}}}": "volumes.vol.driver_opts",
	} {
		_, err := p.Start(t.Context(), project(t, file, nil))
		if !errors.Is(err, sandbox.ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestConformanceOfProjects(t *testing.T) {
	t.Parallel()
	if os.Getenv("ODDISH_TEST_COMPOSE") != "1" {
		t.Skip("the suite takes minutes with services: set ODDISH_TEST_COMPOSE=1")
	}
	newProvider(t)
	needPlugin(t)
	for name, file := range map[string]string{"main only": "services: {main: {}}", "with a sidecar": "services:" + sidecar} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := project(t, file, nil)
			sandboxtest.Run(t, sandboxtest.Config{
				Provider:   ofProject{newProvider(t), spec.Compose},
				Image:      spec.Image,
				Other:      func(t testing.TB) sandbox.Provider { return newProvider(t) },
				LogsListed: true,
			})
		})
	}
}

// ofProject starts every sandbox as one of several services.
type ofProject struct {
	*docker.Provider
	compose *sandbox.Compose
}

func (p ofProject) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	spec.Compose = p.compose
	return p.Provider.Start(ctx, spec)
}

func TestServicesAreLimitedToHosts(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	needPlugin(t)
	other := machine.Other(t)
	if other == "" {
		t.Skip("needs root to make a network namespace with an interface to it")
	}
	host, _, _ := net.SplitHostPort(other)
	listed := sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: []string{host}}
	reached := func(t *testing.T, sb sandbox.Sandbox, want bool) {
		t.Helper()
		services, _ := sandbox.As[sandbox.Services](sb)
		web, err := services.Service(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		for name, sb := range map[string]sandbox.Sandbox{"main": sb, "web": web} {
			if got := reaches(t, sb, other); got != want {
				t.Errorf("%s is reached from %s: %v, want %v", other, name, got, want)
			}
		}
	}
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		spec := project(t, "services:"+sidecar, nil)
		spec.Network = listed
		sb := start(t, p, spec)
		reached(t, sb, true)
		if err := sb.SetNetwork(t.Context(), sandbox.Network{Mode: sandbox.NetworkAllowlist, Hosts: []string{"example.com"}}); err != nil {
			t.Fatal(err)
		}
		reached(t, sb, false)
		logger, _ := sandbox.As[sandbox.NetworkLogger](sb)
		var log bytes.Buffer
		if err := logger.NetworkLog(t.Context(), &log); err != nil || !strings.Contains(log.String(), `"address":"`+host+`"`) {
			t.Errorf("log %q, %v", log.String(), err)
		}
		needForwarding(t, sb)
		if _, out, _ := sh(t, sb, sandbox.Command{Script: "timeout 10 " + fetch}); out != "hello from web\n" {
			t.Errorf("the service said %q", out)
		}
	})
	t.Run("for a phase", func(t *testing.T) {
		t.Parallel()
		sb := start(t, p, project(t, "services:"+sidecar, nil))
		reached(t, sb, false) // the tests' engine does not forward
		if err := sb.SetNetwork(t.Context(), listed); err != nil {
			t.Fatal(err)
		}
		reached(t, sb, true)
		if err := sb.SetNetwork(t.Context(), sandbox.Network{Mode: sandbox.NetworkNone}); err != nil {
			t.Fatal(err)
		}
		reached(t, sb, false)
		if err := sb.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		nothingLeft(t, p, "project-test-"+t.Name())
	})
}

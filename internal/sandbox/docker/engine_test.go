package docker_test

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/docker"
)

func TestAStartAsksTheEngineOnceForItsPlatformAndOnceForTheImage(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t, `{}`)
	for range 3 {
		_, _ = e.provider.Start(t.Context(), sandbox.Spec{Name: "asks", Image: sandbox.Image{Reference: "a"}})
	}
	if got := e.asked(); got["version"] != 1 || got["images"] != 3 || got["create"] != 3 {
		t.Errorf("requests: %v", got)
	}
}

func TestNothingStartsWhereTheEnginesDiskIsFull(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	spec := sandbox.Spec{Name: "full", Image: sandbox.Image{Reference: "a"}}
	e := newFakeEngineFor(t, `{"DockerRootDir": "`+root+`"}`, docker.Config{MinFree: math.MaxInt64})
	_, err := e.provider.Start(t.Context(), spec)
	if !errors.Is(err, sandbox.ErrDiskFull) || !strings.Contains(err.Error(), root) || !strings.Contains(err.Error(), "docker system df") {
		t.Errorf("error is %v", err)
	}
	if got := e.asked(); got["images"]+got["create"] > 0 {
		t.Errorf("requests: %v", got)
	}
	for what, c := range map[string]struct {
		root string
		free int64
	}{"enough is free": {root, 1}, "the engine is elsewhere": {root + "/none", math.MaxInt64}} {
		e := newFakeEngineFor(t, `{"DockerRootDir": "`+c.root+`"}`, docker.Config{MinFree: c.free})
		if _, err := e.provider.Start(t.Context(), spec); err == nil || errors.Is(err, sandbox.ErrDiskFull) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAnEngineThatIsTooOldIsToldApartFromOneThatIsAway(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", "1.38")
	}))
	defer server.Close()
	p, err := docker.New(docker.Config{Host: "tcp://" + strings.TrimPrefix(server.URL, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "is too old: update it") {
		t.Errorf("error is %v", err)
	}
}

func TestLimitsAreClaimedWhereTheEngineHasThem(t *testing.T) {
	t.Parallel()
	for info, want := range map[string][2]bool{
		`{"MemoryLimit": true, "CpuCfsQuota": true}`:  {true, true},
		`{"MemoryLimit": true, "CpuCfsQuota": false}`: {false, true},
		`{}`: {false, false}, // docker without root, and without control groups
	} {
		can := newFakeEngine(t, info).provider.Capabilities()
		if got := [2]bool{can.CPULimit, can.MemoryLimit}; got != want {
			t.Errorf("%s: claimed %v, want %v", info, got, want)
		}
	}
}

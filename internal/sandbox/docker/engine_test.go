package docker_test

import (
	"errors"
	"math"
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

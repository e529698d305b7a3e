package docker_test

import (
	"testing"

	"oddish/internal/sandbox"
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

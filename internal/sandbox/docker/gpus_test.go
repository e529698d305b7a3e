package docker_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"oddish/internal/sandbox"
)

func TestGPUsAreGivenWhereTheEngineHasThem(t *testing.T) {
	t.Parallel()
	spec := sandbox.Spec{Name: "gpus", Image: sandbox.Image{Reference: "a"}, Resources: sandbox.Resources{GPUs: 2}}
	for name, info := range map[string]string{
		"NVIDIA's runtime": `{"Runtimes": {"runc": {}, "nvidia": {}}}`,
		"devices by CDI":   `{"Runtimes": {"runc": {}}, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t, info)
			p := e.provider
			if !p.Capabilities().GPUs {
				t.Error("it is not claimed")
			}
			if _, err := p.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "enough is known") {
				t.Fatalf("error is %v", err)
			}
			host, _ := e.container()["HostConfig"].(map[string]any)
			text, _ := json.Marshal(host["DeviceRequests"])
			if !strings.Contains(string(text), `"Count":2`) || !strings.Contains(string(text), `[["gpu"]]`) {
				t.Errorf("asked for %s", text)
			}
		})
	}
	p := newFakeEngine(t, `{"Runtimes": {"runc": {}}}`).provider
	if _, err := p.Start(t.Context(), spec); p.Capabilities().GPUs || !errors.Is(err, sandbox.ErrUnsupported) || !strings.Contains(err.Error(), "NVIDIA container toolkit") {
		t.Errorf("without GPUs: %v", err)
	}
}

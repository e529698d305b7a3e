package docker_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/docker"
)

// An engine with GPUs is not to be had in tests. This one answers as the Engine API says that one does, up to the making of a container.
func engineWith(t *testing.T, info string) (p *docker.Provider, asked *map[string]any) {
	t.Helper()
	asked = &map[string]any{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.44")
		w.Header().Set("Ostype", "linux")
		path := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		answer := "{}"
		switch {
		case path == "info":
			answer = info
		case path == "version":
			answer = `{"Os": "linux", "Arch": "amd64"}`
		case strings.HasSuffix(r.URL.Path, "/json"):
			answer = `{"Id": "i", "Os": "linux", "Architecture": "amd64"}`
		case path == "create":
			_ = json.NewDecoder(r.Body).Decode(asked)
			w.WriteHeader(http.StatusInternalServerError)
			answer = `{"message": "enough is known"}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	p, err := docker.New(docker.Config{Host: "tcp://" + strings.TrimPrefix(server.URL, "http://")})
	if err == nil {
		err = p.Check(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, asked
}

func TestGPUsAreGivenWhereTheEngineHasThem(t *testing.T) {
	t.Parallel()
	spec := sandbox.Spec{Name: "gpus", Image: sandbox.Image{Reference: "a"}, Resources: sandbox.Resources{GPUs: 2}}
	for name, info := range map[string]string{
		"NVIDIA's runtime": `{"Runtimes": {"runc": {}, "nvidia": {}}}`,
		"devices by CDI":   `{"Runtimes": {"runc": {}}, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, asked := engineWith(t, info)
			if !p.Capabilities().GPUs {
				t.Error("it is not claimed")
			}
			if _, err := p.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "enough is known") {
				t.Fatalf("error is %v", err)
			}
			host, _ := (*asked)["HostConfig"].(map[string]any)
			text, _ := json.Marshal(host["DeviceRequests"])
			if !strings.Contains(string(text), `"Count":2`) || !strings.Contains(string(text), `[["gpu"]]`) {
				t.Errorf("asked for %s", text)
			}
		})
	}
	p, _ := engineWith(t, `{"Runtimes": {"runc": {}}}`)
	if _, err := p.Start(t.Context(), spec); p.Capabilities().GPUs || !errors.Is(err, sandbox.ErrUnsupported) || !strings.Contains(err.Error(), "NVIDIA container toolkit") {
		t.Errorf("without GPUs: %v", err)
	}
}

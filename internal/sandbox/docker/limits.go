package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/moby/moby/api/types/system"
)

// limits are those that an engine enforces.
type limits struct{ cpu, memory bool }

// enforced finds out which limits hold. An engine without root has those of the control groups that it was given, in which case docker says so here and podman
// only in its own API.
func (p *Provider) enforced(ctx context.Context, info system.Info) (limits, error) {
	l := limits{cpu: info.CPUCfsQuota, memory: info.MemoryLimit}
	engine, err := p.ask(ctx)
	if err != nil || !engine.podman {
		return l, err
	}
	var said struct {
		Host struct {
			Controllers []string `json:"cgroupControllers"`
			Security    struct {
				Rootless bool `json:"rootless"`
			} `json:"security"`
		} `json:"host"`
	}
	if err := p.libpod(ctx, "info", &said); err != nil {
		return l, fmt.Errorf("ask podman for its limits: %w", err)
	}
	if said.Host.Security.Rootless {
		l.cpu = l.cpu && slices.Contains(said.Host.Controllers, "cpu")
		l.memory = l.memory && slices.Contains(said.Host.Controllers, "memory")
	}
	return l, nil
}

// libpod asks podman by its own API, of which every version since 4 answers this path.
func (p *Provider) libpod(ctx context.Context, what string, answer any) error {
	dial := p.engine.Dialer()
	asker := &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://podman/v4.0.0/libpod/"+what, nil)
	if err != nil {
		return err
	}
	resp, err := asker.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

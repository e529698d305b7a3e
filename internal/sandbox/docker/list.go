package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/compose"
)

// Attach returns the container with that id, also one started by a worker that is gone, and one that
// has ended but is not yet removed.
func (p *Provider) Attach(ctx context.Context, id string) (sandbox.Sandbox, error) {
	if name, is := strings.CutPrefix(id, projectID); is {
		sb, err := p.attachProject(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("attach to services %s: %w", name, err)
		}
		return sb, nil
	}
	got, err := p.engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) || cerrdefs.IsInvalidArgument(err) || err == nil && !ours(got.Container.Config) {
		return nil, fmt.Errorf("attach to container %s: %w", id, sandbox.ErrNotFound)
	} else if err != nil {
		return nil, fmt.Errorf("attach to container %s: %w", id, err)
	}
	return &box{p: p, id: got.Container.ID, workdir: got.Container.Config.WorkingDir}, nil
}

func ours(c *container.Config) bool {
	if c == nil {
		return false
	}
	_, is := c.Labels[labelOwner]
	return is
}

// List returns the containers that carry the owner, those that ended included.
func (p *Provider) List(ctx context.Context, owner string) ([]sandbox.Info, error) {
	label := labelOwner
	if owner != "" {
		label += "=" + owner
	}
	got, err := p.engine.ContainerList(ctx, client.ContainerListOptions{
		All:     true,
		Filters: make(client.Filters).Add("label", label),
	})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	infos := make([]sandbox.Info, 0, len(got.Items))
	projects := map[string]int{} // place in infos
	own := map[string]bool{}
	for _, c := range got.Items {
		own[c.ID] = true
	}
	for _, c := range got.Items {
		if own[c.Labels[labelCompanion]] {
			continue // it goes with its container
		}
		if name := c.Labels[labelProject]; name != "" {
			infos = addService(infos, projects, name, c)
			continue
		}
		infos = append(infos, sandbox.Info{
			ID:      c.ID,
			Name:    c.Labels[labelName],
			Owner:   c.Labels[labelOwner],
			Labels:  c.Labels,
			Created: time.Unix(c.Created, 0),
			Running: c.State == container.StateRunning,
		})
	}
	seen := map[string]bool{}
	for name := range projects {
		seen[name] = true
	}
	rest, err := p.listNetworks(ctx, label, seen)
	return append(infos, rest...), err
}

// addService lists the project of a container, once for all its services. It runs if its main service does.
func addService(infos []sandbox.Info, projects map[string]int, name string, c container.Summary) []sandbox.Info {
	i, listed := projects[name]
	if !listed {
		i = len(infos)
		projects[name] = i
		infos = append(infos, sandbox.Info{
			ID: projectID + name, Name: c.Labels[labelName], Owner: c.Labels[labelOwner], Labels: c.Labels, Created: time.Unix(c.Created, 0),
		})
	}
	if c.Labels[compose.ServiceLabel] == compose.MainService && c.State == container.StateRunning {
		infos[i].Running = true
	}
	return infos
}

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/compose"
)

// projectID begins the ids of sandboxes of several services; the name of the project follows.
const projectID = "compose:"

// project is a sandbox of several services. It is its main service's container in all that is not said of the whole.
type project struct {
	box
	name string
}

var (
	_ sandbox.Sandbox  = (*project)(nil)
	_ sandbox.Services = (*project)(nil)
)

// ID is the project's name behind a prefix.
func (s *project) ID() string { return projectID + s.name }

// Stop removes everything of the project.
func (s *project) Stop(ctx context.Context) error {
	if err := s.p.removeProject(ctx, s.name); err != nil {
		return fmt.Errorf("remove the services of %s: %w", s.name, err)
	}
	return nil
}

// SetNetwork puts all services on the engine's bridge, takes them off it, or links each to a stack of ours. They reach each other in any case.
func (s *project) SetNetwork(ctx context.Context, policy sandbox.Network) error {
	if err := s.p.supportedNetwork(policy); err != nil {
		return err
	}
	if err := s.setNetwork(ctx, policy); err != nil {
		return fmt.Errorf("set the network of %s to %s: %w", s.name, policy.Mode, s.died(ctx, err))
	}
	return nil
}

func (s *project) setNetwork(ctx context.Context, policy sandbox.Network) error {
	all, err := s.p.projectContainers(ctx, s.name)
	if err != nil {
		return err
	}
	for _, c := range all {
		own := c.HostConfig.NetworkMode // none, or that of another service
		if own == noNetwork || strings.HasPrefix(own, "container:") || own == "host" {
			continue
		}
		if err := s.p.joinService(ctx, c, policy); err != nil {
			return fmt.Errorf("service %s: %w", c.Labels[compose.ServiceLabel], err)
		}
	}
	return nil
}

// joinService puts a policy in force for a service, which keeps the networks of its project.
func (p *Provider) joinService(ctx context.Context, c container.Summary, policy sandbox.Network) error {
	b := &box{p: p, id: c.ID}
	linked, err := b.linked(ctx)
	if err != nil {
		return err
	}
	if linked {
		return b.tellLink(ctx, policy)
	}
	on := c.NetworkSettings != nil && c.NetworkSettings.Networks[bridgeNetwork] != nil
	public := policy.Mode == "" || policy.Mode == sandbox.NetworkPublic
	switch {
	case !public && on:
		_, err = p.engine.NetworkDisconnect(ctx, bridgeNetwork, client.NetworkDisconnectOptions{Container: c.ID, Force: true})
	case public && !on:
		_, err = p.engine.NetworkConnect(ctx, bridgeNetwork, client.NetworkConnectOptions{Container: c.ID})
	}
	if err != nil && !cerrdefs.IsNotFound(err) {
		return err
	}
	if policy.Mode != sandbox.NetworkAllowlist || c.State != container.StateRunning {
		return nil
	}
	if err := b.makeLink(ctx, policy, nil); err != nil {
		return err
	}
	if err := b.useLinkNames(ctx); err != nil { // its image may have no shell
		p.log.Warn("a service may not find hosts by their names", "service", c.Labels[compose.ServiceLabel], "error", err)
	}
	return nil
}

// Services gives the names of the services that have a container.
func (s *project) Services(ctx context.Context) ([]string, error) {
	all, err := s.p.projectContainers(ctx, s.name)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range all {
		names = append(names, c.Labels[compose.ServiceLabel])
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Service gives a service's first container.
func (s *project) Service(ctx context.Context, name string) (sandbox.Sandbox, error) {
	if name == "" || name == compose.MainService {
		return s, nil
	}
	c, err := s.container(ctx, name)
	if err != nil {
		return nil, err
	}
	return &service{box: box{p: s.p, id: c.ID}, whole: s}, nil
}

// service is one service of a project beside the main one.
type service struct {
	box
	whole *project
}

var _ sandbox.Sandbox = (*service)(nil)

func (s *service) SetNetwork(ctx context.Context, policy sandbox.Network) error {
	return s.whole.SetNetwork(ctx, policy)
}

func (s *service) Stop(ctx context.Context) error { return s.whole.Stop(ctx) }

// ServiceLog writes what a service has said, both streams as they came.
func (s *project) ServiceLog(ctx context.Context, name string, to io.Writer) error {
	c, err := s.container(ctx, name)
	if err != nil {
		return err
	}
	if err := s.p.output(ctx, c.ID, to, to); err != nil {
		return fmt.Errorf("log of the service %s: %w", name, err)
	}
	return nil
}

// container finds a service's container, the one with the least name if there are several.
func (s *project) container(ctx context.Context, name string) (container.Summary, error) {
	all, err := s.p.projectContainers(ctx, s.name)
	if err != nil {
		return container.Summary{}, err
	}
	for _, c := range all {
		if c.Labels[compose.ServiceLabel] == name {
			return c, nil
		}
	}
	return container.Summary{}, fmt.Errorf("%w: the service %s of %s", sandbox.ErrNotFound, name, s.name)
}

// projectContainers gives the containers of a project, ended ones included, sorted by name.
func (p *Provider) projectContainers(ctx context.Context, name string) ([]container.Summary, error) {
	got, err := p.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: p.ofProject(name)})
	if err != nil {
		return nil, fmt.Errorf("list the services of %s: %w", name, err)
	}
	slices.SortFunc(got.Items, func(a, b container.Summary) int { return slices.Compare(a.Names, b.Names) })
	return got.Items, nil
}

func (p *Provider) ofProject(name string) client.Filters {
	return make(client.Filters).Add("label", labelProject+"="+name)
}

// attachProject returns the project of that name, also one of which only parts are left.
func (p *Provider) attachProject(ctx context.Context, name string) (sandbox.Sandbox, error) {
	s := &project{name: name, box: box{p: p}}
	main, err := s.container(ctx, compose.MainService)
	switch {
	case err == nil:
		s.id = main.ID
		return s, s.recallWorkdir(ctx)
	case !errors.Is(err, sandbox.ErrNotFound):
		return nil, err
	}
	nets, err := p.engine.NetworkList(ctx, client.NetworkListOptions{Filters: p.ofProject(name)})
	if err != nil {
		return nil, err
	}
	rest, err := p.projectContainers(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(nets.Items)+len(rest) == 0 {
		return nil, sandbox.ErrNotFound
	}
	return s, nil
}

func (s *project) recallWorkdir(ctx context.Context) error {
	got, err := s.p.engine.ContainerInspect(ctx, s.id, client.ContainerInspectOptions{})
	if err == nil && got.Container.Config != nil {
		s.workdir = got.Container.Config.WorkingDir
	}
	return err
}

// listNetworks gives the projects of an owner's of which only networks are left.
func (p *Provider) listNetworks(ctx context.Context, label string, seen map[string]bool) ([]sandbox.Info, error) {
	got, err := p.engine.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("label", label)})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	var infos []sandbox.Info
	for _, n := range got.Items {
		name := n.Labels[labelProject]
		if name == "" || seen[name] {
			continue
		}
		seen[name] = true
		infos = append(infos, sandbox.Info{
			ID: projectID + name, Name: n.Labels[labelName], Owner: n.Labels[labelOwner], Labels: n.Labels, Created: n.Created,
		})
	}
	return infos, nil
}

// removeProject removes containers, volumes and networks, in this order: what is left when that is cut off is found by its networks. It ends once
// nothing is there any more.
func (p *Provider) removeProject(ctx context.Context, name string) error {
	for round := 0; ; round++ {
		n, err := p.removeOnce(ctx, name)
		if n == 0 || err != nil {
			return err
		}
		if round == 0 {
			continue
		}
		if err := sandbox.Pause(ctx, lateArrivals); err != nil { // somebody else removes it
			return err
		}
	}
}

// removeOnce removes what is there and returns how much that was.
func (p *Provider) removeOnce(ctx context.Context, name string) (int, error) {
	containers, err := p.projectContainers(ctx, name)
	if err != nil {
		return 0, err
	}
	errs := make(chan error, len(containers))
	for _, c := range containers {
		go func() { errs <- (&box{p: p, id: c.ID}).Stop(ctx) }()
	}
	for range containers {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return 0, err
	}
	volumes, err := p.engine.VolumeList(ctx, client.VolumeListOptions{Filters: p.ofProject(name)})
	if err != nil {
		return 0, fmt.Errorf("list volumes: %w", err)
	}
	for _, v := range volumes.Items {
		if _, err := p.engine.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{Force: true}); err != nil && !isGone(err) {
			return 0, fmt.Errorf("remove volume %s: %w", v.Name, err)
		}
	}
	networks, err := p.engine.NetworkList(ctx, client.NetworkListOptions{Filters: p.ofProject(name)})
	if err != nil {
		return 0, fmt.Errorf("list networks: %w", err)
	}
	for _, n := range networks.Items {
		if _, err := p.engine.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil && !isGone(err) {
			return 0, fmt.Errorf("remove network %s: %w", n.Name, err)
		}
	}
	return len(containers) + len(volumes.Items) + len(networks.Items), nil
}

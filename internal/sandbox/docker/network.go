package docker

import (
	"context"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/docker/link"
)

// The engine's own networks: all containers with the public network share the bridge.
const (
	bridgeNetwork = "bridge"
	noNetwork     = "none"
)

// links tells whether a container that starts with a policy gets a link to a stack of ours.
func (p *Provider) links(policy sandbox.Network) bool {
	return !p.bridge || policy.Mode == sandbox.NetworkAllowlist
}

// SetNetwork puts another policy in force on the container's link. A container without one is put on the bridge or taken off, until a policy
// needs a link, which then stays its only way out. Nothing inside can bring the bridge back: a container may not administer its network.
func (b *box) SetNetwork(ctx context.Context, policy sandbox.Network) error {
	if err := b.p.supportedNetwork(policy); err != nil {
		return err
	}
	if err := b.enforce(ctx, policy); err != nil {
		return fmt.Errorf("set the network of container %s to %s: %w", b.id, policy.Mode, b.died(ctx, err))
	}
	return nil
}

func (b *box) enforce(ctx context.Context, policy sandbox.Network) error {
	linked, err := b.linked(ctx)
	switch {
	case err != nil:
		return err
	case linked:
		return b.tellLink(ctx, policy)
	case policy.Mode != sandbox.NetworkAllowlist:
		return b.setNetwork(ctx, policy.Mode)
	}
	if err := b.setNetwork(ctx, sandbox.NetworkNone); err != nil {
		return err
	}
	if err := b.makeLink(ctx, policy, nil); err != nil {
		return err
	}
	return b.useLinkNames(ctx)
}

func (b *box) setNetwork(ctx context.Context, mode sandbox.NetworkMode) error {
	got, err := b.p.engine.ContainerInspect(ctx, b.id, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	on := false
	for name := range got.Container.NetworkSettings.Networks {
		none := mode == sandbox.NetworkNone
		if none == (name == noNetwork) { // one that may stay
			on = on || !none
			continue
		}
		_, err := b.p.engine.NetworkDisconnect(ctx, name, client.NetworkDisconnectOptions{Container: b.id, Force: true})
		if err != nil && !cerrdefs.IsNotFound(err) {
			return err
		}
	}
	if mode == sandbox.NetworkNone || on {
		return nil
	}
	_, err = b.p.engine.NetworkConnect(ctx, bridgeNetwork, client.NetworkConnectOptions{Container: b.id})
	return err
}

// supportedNetwork refuses what containers cannot have.
func (p *Provider) supportedNetwork(policy sandbox.Network) error {
	switch policy.Mode {
	case "", sandbox.NetworkPublic, sandbox.NetworkNone:
		return nil
	case sandbox.NetworkAllowlist:
		if !p.local {
			return fmt.Errorf("%w: docker limits the network to some hosts only with an engine on the worker's machine, not at %s", sandbox.ErrUnsupported, p.engine.DaemonHost())
		}
		return link.Check(policy)
	}
	return fmt.Errorf("%w: docker does not have network_mode %q", sandbox.ErrUnsupported, policy.Mode)
}

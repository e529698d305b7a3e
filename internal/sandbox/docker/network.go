package docker

import (
	"context"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
)

// The engine's own networks: all containers with the public network share the bridge.
const (
	bridgeNetwork = "bridge"
	noNetwork     = "none"
)

// SetNetwork takes the container off the bridge or puts it there. Only loopback is left to it
// without, and nothing inside can bring the bridge back: a container may not administer its network.
func (b *box) SetNetwork(ctx context.Context, policy sandbox.Network) error {
	if err := supportedNetwork(policy); err != nil {
		return err
	}
	if err := b.setNetwork(ctx, policy.Mode); err != nil {
		return fmt.Errorf("set the network of container %s to %s: %w", b.id, policy.Mode, b.died(ctx, err))
	}
	return nil
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
func supportedNetwork(policy sandbox.Network) error {
	switch policy.Mode {
	case "", sandbox.NetworkPublic, sandbox.NetworkNone:
		return nil
	}
	return fmt.Errorf("%w: docker does not have network_mode %q", sandbox.ErrUnsupported, policy.Mode)
}

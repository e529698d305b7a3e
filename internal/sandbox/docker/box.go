package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
)

// box is one container.
type box struct {
	p       *Provider
	id      string
	workdir string // of Spec; empty: the image's
}

var _ sandbox.Sandbox = (*box)(nil)

// ID is the container's id.
func (b *box) ID() string { return b.id }

// Stop kills the container and removes it with its volumes, and its companion.
func (b *box) Stop(ctx context.Context) error {
	if b.id == "" { // a project without its main service
		return nil
	}
	companion := make(chan error, 1)
	go func() { companion <- b.p.remove(ctx, companionName(b.id)) }()
	err := b.p.remove(ctx, b.id)
	if <-companion != nil { // it ends by itself when the container does, and some engines stumble over that
		err = errors.Join(err, b.p.remove(ctx, companionName(b.id)))
	}
	return err
}

// remove kills a container and removes it, if it is there.
func (p *Provider) remove(ctx context.Context, id string) error {
	_, err := p.engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	switch {
	case cerrdefs.IsNotFound(err):
		return nil
	case cerrdefs.IsConflict(err): // another call removes it
		return p.gone(ctx, id)
	case err != nil:
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	return nil
}

// gone waits until the container is not there any more.
func (p *Provider) gone(ctx context.Context, id string) error {
	for {
		_, err := p.engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		if cerrdefs.IsNotFound(err) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the removal of container %s: %w", id, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// running returns nil if the container runs, and otherwise why it does not.
func (b *box) running(ctx context.Context) error {
	if b.id == "" {
		return fmt.Errorf("%w: the main service has no container any more", sandbox.ErrLost)
	}
	got, err := b.p.engine.ContainerInspect(ctx, b.id, client.ContainerInspectOptions{})
	switch {
	case cerrdefs.IsNotFound(err):
		return fmt.Errorf("%w: container %s is gone", sandbox.ErrLost, b.id)
	case err != nil:
		return fmt.Errorf("inspect container %s: %w", b.id, err)
	}
	state := got.Container.State
	switch {
	case state == nil || state.Running && !state.Dead:
		return nil
	case state.OOMKilled:
		return fmt.Errorf("%w: container %s was killed", sandbox.ErrOutOfMemory, b.id)
	case state.Error != "":
		return fmt.Errorf("%w: container %s: %s", sandbox.ErrLost, b.id, state.Error)
	}
	return fmt.Errorf("%w: container %s ended with status %d (does the image's ENTRYPOINT run the command it is given?)",
		sandbox.ErrLost, b.id, state.ExitCode)
}

// died explains an error of an engine call by the state of the container, where that is the reason.
func (b *box) died(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if why := b.running(ctx); why != nil {
		return fmt.Errorf("%w (%w)", why, err)
	}
	return err
}

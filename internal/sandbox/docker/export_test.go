package docker

import "context"

// SetSubnets replaces what chooses address ranges.
func SetSubnets(p *Provider, subnet func() string) { p.subnet = subnet }

// IsPodman reports whether the engine is podman.
func (p *Provider) IsPodman(ctx context.Context) bool {
	engine, err := p.ask(ctx)
	return err == nil && engine.podman
}

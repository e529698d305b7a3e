package docker

import (
	"context"
	"fmt"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
)

// traits are what an engine says of itself and does not change while a worker uses it.
type traits struct {
	os, arch      string
	buildKit      bool // it has BuildKit
	wantsBuildKit bool // and recommends it
}

// ask gives the engine's traits. It asks once; what was not answered is asked again.
func (p *Provider) ask(ctx context.Context) (*traits, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	if p.told != nil {
		return p.told, nil
	}
	ping, err := p.engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	if err != nil {
		return nil, fmt.Errorf("ask for the engine's builder: %w", err)
	}
	version, err := p.engine.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask for the engine's platform: %w", err)
	}
	p.told = &traits{
		os: version.Os, arch: version.Arch,
		buildKit:      versions.GreaterThanOrEqualTo(ping.APIVersion, buildKitSince),
		wantsBuildKit: ping.BuilderVersion == build.BuilderBuildKit,
	}
	return p.told, nil
}

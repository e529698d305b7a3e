package docker

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"

	"oddish/internal/dockerfile"
)

// dockerHub is the name under which docker's configuration has the credentials of docker.io.
const dockerHub = "https://index.docker.io/v1/"

// credentials gives what docker's configuration on this machine (~/.docker/config.json, helpers included) has for the registry of an image; nil: nothing.
func credentials(image string) (*registry.AuthConfig, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return nil, nil // the engine says what is wrong with the name
	}
	found, err := authn.DefaultKeychain.Resolve(ref.Context())
	if err != nil {
		return nil, fmt.Errorf("credentials for %s in docker's configuration: %w", ref.Context().RegistryStr(), err)
	}
	if found == authn.Anonymous {
		return nil, nil
	}
	c, err := found.Authorization()
	if err != nil {
		return nil, fmt.Errorf("credentials for %s in docker's configuration: %w", ref.Context().RegistryStr(), err)
	}
	server := ref.Context().RegistryStr()
	if server == name.DefaultRegistry {
		server = dockerHub
	}
	return &registry.AuthConfig{
		Username: c.Username, Password: c.Password, Auth: c.Auth, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken, ServerAddress: server,
	}, nil
}

// encodedCredentials is credentials as the engine takes them for a pull; "": none.
func encodedCredentials(image string) (string, error) {
	c, err := credentials(image)
	if c == nil || err != nil {
		return "", err
	}
	return authconfig.Encode(*c)
}

// pullPrivate pulls the images of a Dockerfile's FROM lines for whose registries there are credentials: the engine's builders use what is there, and BuildKit
// takes no credentials but in a session.
func (p *Provider) pullPrivate(ctx context.Context, text []byte) error {
	f, err := dockerfile.Parse("Dockerfile", bytes.NewReader(text))
	if err != nil {
		return nil // the engine's builder may know better
	}
	stages := map[string]bool{"scratch": true}
	for _, stage := range f.Stages {
		base := stage.BaseName
		if !stages[strings.ToLower(base)] && !strings.Contains(base, "$") {
			if c, err := credentials(base); err != nil {
				return err
			} else if c != nil {
				if err := p.pullMissing(ctx, base); err != nil {
					return err
				}
			}
		}
		stages[strings.ToLower(stage.Name)] = true
	}
	return nil
}

func (p *Provider) pullMissing(ctx context.Context, name string) error {
	if has, err := p.present(ctx, name); has || err != nil {
		return err
	}
	return p.pull(ctx, name)
}

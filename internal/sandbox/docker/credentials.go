package docker

import (
	"bytes"
	"context"
	"fmt"

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

// bases gives the names of the images that a Dockerfile needs and the engine lacks. Those for whose registries there are credentials are pulled: the
// engine's builders use what is there, and BuildKit takes no credentials but in a session.
func (p *Provider) bases(ctx context.Context, text []byte) (lacking []string, err error) {
	f, err := dockerfile.Read("Dockerfile", bytes.NewReader(text))
	if err != nil {
		return nil, nil // the engine's builder says what is wrong
	}
	engine, err := p.ask(ctx)
	if err != nil {
		return nil, err
	}
	for _, base := range f.Images(engine.arguments()) {
		if !isName(base) {
			continue
		}
		has, err := p.present(ctx, base)
		if err != nil {
			return nil, err
		}
		if has {
			p.noted(p.ledger.touch(base))
			continue
		}
		c, err := credentials(base)
		if err == nil && c != nil {
			_, err = p.pull(ctx, base)
		}
		if err != nil {
			return nil, err
		}
		lacking = append(lacking, base)
	}
	return lacking, nil
}

// isName reports whether an image can have that name.
func isName(text string) bool {
	_, err := name.ParseReference(text)
	return err == nil
}

// noteBases enters images that a build has pulled.
func (p *Provider) noteBases(ctx context.Context, lacking []string) {
	for _, base := range lacking {
		if image, err := p.inspect(ctx, base); err != nil {
			p.noted(err)
		} else if image != nil { // BuildKit keeps them elsewhere
			p.noted(p.ledger.note(entry{Name: base, ID: image.ID, Pulled: true}))
		}
	}
}

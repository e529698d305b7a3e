package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
)

// imageTimeout bounds a pull or build.
const imageTimeout = time.Hour

// image makes the image of a spec ready and returns its name. What its build says goes to out, if that is not nil.
func (p *Provider) image(ctx context.Context, img sandbox.Image, out io.Writer) (string, error) {
	build := img.Context != "" && (img.Reference == "" || img.ForceBuild)
	if !build {
		return img.Reference, p.shared(ctx, "pull "+img.Reference, nil, func(ctx context.Context, _ io.Writer) error {
			return p.bring(ctx, img.Reference)
		})
	}
	if img.Digest == "" {
		return "", fmt.Errorf("build %s: the image has no digest to be shared under", img.Context)
	}
	tag := imageTag(img.Digest)
	key := "build " + tag
	if img.ForceBuild {
		key = "force " + key
	}
	return tag, p.shared(ctx, key, out, func(ctx context.Context, out io.Writer) error {
		return p.build(ctx, tag, img, out)
	})
}

// shared runs fn once for all callers of the same key at a time; see flight.Group.
func (p *Provider) shared(ctx context.Context, key string, out io.Writer, fn func(context.Context, io.Writer) error) error {
	_, err := p.images.Do(ctx, key, out, func(ctx context.Context, out io.Writer) (struct{}, error) { return struct{}{}, fn(ctx, out) })
	return err
}

// bring pulls a prebuilt image unless the engine has it, and refuses one for other machines.
func (p *Provider) bring(ctx context.Context, name string) error {
	image, err := p.inspect(ctx, name)
	if err == nil && image == nil {
		image, err = p.pull(ctx, name)
	}
	if err != nil {
		return err
	}
	p.noted(p.ledger.touch(name))
	return p.checkPlatform(ctx, name, image, "name an image for that, or remove this one if there is one by the same name")
}

// inspect gives what the engine knows of an image; nil: it has none of that name.
func (p *Provider) inspect(ctx context.Context, name string) (*client.ImageInspectResult, error) {
	image, err := p.engine.ImageInspect(ctx, name)
	switch {
	case cerrdefs.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("inspect image %s: %w", name, err)
	}
	return &image, nil
}

// present reports whether the engine has the image.
func (p *Provider) present(ctx context.Context, name string) (bool, error) {
	image, err := p.inspect(ctx, name)
	return image != nil, err
}

// checkPlatform refuses an image for other machines than the engine's, which would run slowly, if at all, by emulation that nobody asked for.
func (p *Provider) checkPlatform(ctx context.Context, name string, image *client.ImageInspectResult, remedy string) error {
	engine, err := p.ask(ctx)
	if err != nil {
		return err
	}
	if image.Architecture == "" || image.Architecture == engine.arch && (image.Os == engine.os || image.Os == "") {
		return nil
	}
	return fmt.Errorf("%w: image %s is for %s/%s and the engine runs %s/%s: %s",
		sandbox.ErrBuild, name, image.Os, image.Architecture, engine.os, engine.arch, remedy)
}

// pull fetches an image, which is ours from then on.
func (p *Provider) pull(ctx context.Context, name string) (*client.ImageInspectResult, error) {
	p.log.Info("pulling image", "image", name)
	auth, err := encodedCredentials(name)
	if err != nil {
		return nil, err
	}
	resp, err := p.engine.ImagePull(ctx, name, client.ImagePullOptions{RegistryAuth: auth})
	if err == nil {
		err = resp.Wait(ctx)
	}
	if err != nil {
		return nil, pullError(name, err)
	}
	image, err := p.inspect(ctx, name)
	if err != nil {
		return nil, err
	}
	if image == nil {
		return nil, fmt.Errorf("image %s: the engine does not have it after it was pulled", name)
	}
	p.noted(p.ledger.note(entry{Name: name, ID: image.ID, Pulled: true}))
	return image, nil
}

// noted tells that an image will be taken for one that is longer unused than it is, or for somebody else's.
func (p *Provider) noted(err error) {
	if err != nil {
		p.log.Warn("use of image not noted", "error", err)
	}
}

// pullError tells an image that does not exist, which no second try will bring, from a registry that is away.
func pullError(name string, err error) error {
	switch {
	case cerrdefs.IsNotFound(err), cerrdefs.IsUnauthorized(err), cerrdefs.IsPermissionDenied(err), cerrdefs.IsInvalidArgument(err),
		saysAny(err, "manifest unknown", "not found", "access denied", "unauthorized", "no basic auth credentials"):
		return fmt.Errorf("%w: pull %s: %w", sandbox.ErrBuild, name, err)
	}
	return fmt.Errorf("pull image %s: %w", name, err)
}

// networkTrouble reports whether a build failed because something could not be reached.
func networkTrouble(err error) bool {
	return saysAny(err, "dial tcp", "i/o timeout", "TLS handshake timeout", "connection refused", "connection reset",
		"500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout", "429 Too Many Requests", "toomanyrequests",
		"no such host", "server misbehaving", "Client.Timeout", "context deadline exceeded") || errors.Is(err, context.DeadlineExceeded)
}

func saysAny(err error, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(err.Error(), part) {
			return true
		}
	}
	return false
}

//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"oddish/internal/image"
	"oddish/internal/sandbox"
)

// image makes the image of a spec ready, and writes to out what its build says; nil: it is of this machine's own tools.
func (p *Provider) image(ctx context.Context, img sandbox.Image, out io.Writer) (*image.Image, error) {
	if img.Host {
		return nil, nil
	}
	if img.Context != "" && (img.Reference == "" || img.ForceBuild) {
		return p.built(ctx, img, out)
	}
	got, err := p.images.Get(ctx, img.Reference, image.Options{})
	if errors.Is(err, image.ErrUnusable) {
		err = fmt.Errorf("%w: %w", sandbox.ErrBuild, err)
	}
	if err != nil {
		return nil, err
	}
	return &got, nil
}

// useImage takes from the image what the spec leaves to it. The spec's own variables count more than the image's.
func (r *record) useImage(img *image.Image, own map[string]string) {
	c := &img.Config
	vars := map[string]string{}
	path := image.DefaultPath
	for _, e := range c.Env {
		key, value, _ := strings.Cut(e, "=")
		if vars[key] = value; key == "PATH" {
			path = value
		}
	}
	for key, value := range own {
		vars[key] = value
	}
	r.Env = environment(path, vars)
	r.Workdir = "/"
	if c.WorkingDir != "" {
		r.Workdir = filepath.Clean("/" + c.WorkingDir)
	}
	r.User, r.Root, r.Image, r.Entrypoint = c.User, img.Root, img.Digest, c.Entrypoint
}

//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"

	"oddish/internal/image"
	"oddish/internal/imagebuild"
	"oddish/internal/sandbox"
)

// parallelBuilds is how many images are built at once by one process.
const parallelBuilds = 2

// buildStorage bounds what one RUN may write, in bytes.
const buildStorage = 64 << 30

// exitKilled is the exit status of a RUN that used more memory than it may.
const exitKilled = 137

// buildMemory bounds what one RUN may use, in bytes: all that are carried out at once leave a quarter of this machine's memory. 0: it is not known.
func buildMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit) / 4 * 3 / parallelBuilds
}

// exitNotRun is the exit status of a RUN that could not begin, as of a shell.
const exitNotRun = 126

// built gives the image of a Dockerfile, which is built once for its digest however many ask for it.
func (p *Provider) built(ctx context.Context, img sandbox.Image, out io.Writer) (*image.Image, error) {
	key, err := image.NameKey("oddish/task:" + img.Digest)
	if err != nil {
		return nil, err
	}
	if got, err := p.images.FindNamed(key); err == nil && !img.ForceBuild {
		got = p.images.Use(got)
		return &got, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	got, err := p.images.Shared(ctx, "build "+key, out, func(ctx context.Context, out io.Writer) (image.Image, error) {
		if got, err := p.images.FindNamed(key); err == nil && !img.ForceBuild {
			return got, nil // another process has built it
		}
		select {
		case p.builds <- struct{}{}:
			defer func() { <-p.builds }()
		case <-ctx.Done():
			return image.Image{}, ctx.Err()
		}
		p.log.Info("building image", "context", img.Context)
		return p.Builder().Build(ctx, imagebuild.Options{Context: img.Context, NoCache: img.ForceBuild, Names: []string{key}, Output: out})
	})
	switch {
	case errors.Is(err, imagebuild.ErrFailed), errors.Is(err, image.ErrUnusable):
		return nil, fmt.Errorf("%w: %w", sandbox.ErrBuild, err)
	case err != nil:
		return nil, fmt.Errorf("build image of %s: %w", img.Context, err)
	}
	return &got, nil
}

// Builder makes images with sandboxes of this provider, which must have a store of images.
func (p *Provider) Builder() *imagebuild.Builder {
	return &imagebuild.Builder{Store: p.images, Runner: runner{p}}
}

// runner runs each RUN of a build in a sandbox of its own, which ends with this process at the latest.
type runner struct{ p *Provider }

// Run runs the command; see imagebuild.Runner.
func (r runner) Run(ctx context.Context, img image.Image, c imagebuild.Command) (int, io.ReadCloser, error) {
	s, err := r.start(ctx, img, c)
	if err != nil {
		return 0, nil, err
	}
	defer func() {
		if err := s.Stop(context.WithoutCancel(ctx)); err != nil {
			r.p.log.Warn("sandbox of a build not removed", "sandbox", s.ID(), "error", err)
		}
	}()
	words := make([]string, len(c.Argv))
	for i, w := range c.Argv {
		words[i] = sandbox.Quote(w)
	}
	exit, err := s.Exec(ctx, sandbox.Command{
		Label: "build", Script: "exec " + strings.Join(words, " "), Env: c.Env, Dir: c.Dir, User: c.User, Stdout: c.Output, Stderr: c.Output,
	})
	var unknown *noAccountError
	if errors.As(err, &unknown) {
		_, _ = fmt.Fprintln(c.Output, err)
		return exitNotRun, nil, nil
	}
	if errors.Is(err, sandbox.ErrOutOfMemory) { // another try would use as much
		_, _ = fmt.Fprintln(c.Output, err)
		return exitKilled, nil, nil
	}
	if err != nil || exit != 0 {
		return exit, nil, err
	}
	changes, err := s.changes(ctx, r.p.images, img.Root)
	return 0, changes, err
}

func (r runner) start(ctx context.Context, img image.Image, c imagebuild.Command) (*box, error) {
	id, err := newID()
	if err != nil {
		return nil, err
	}
	spec := sandbox.Spec{Name: "build", Resources: sandbox.Resources{StorageBytes: buildStorage, MemoryBytes: r.p.buildMemory}}
	if c.NoNetwork {
		spec.Network.Mode = sandbox.NetworkNone
	}
	rec, err := r.p.newRecord(id, spec, &img)
	if err != nil {
		return nil, err
	}
	rec.Tied = true
	for _, m := range c.Mounts {
		rec.Mounts = append(rec.Mounts, mount(m))
	}
	select {
	case r.p.starts <- struct{}{}:
		defer func() { <-r.p.starts }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return r.p.start(ctx, id, rec)
}

// changes gives what was changed of the root file system.
func (s *box) changes(ctx context.Context, store *image.Store, base string) (io.ReadCloser, error) {
	upper, err := store.Temp()
	if err != nil {
		return nil, fmt.Errorf("make room for what a RUN changed: %w", err)
	}
	stream, err := s.readChanges(ctx, upper, base)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read what a RUN changed: %w", err), upper.Close())
	}
	return stream, nil
}

func (s *box) readChanges(ctx context.Context, upper *os.File, base string) (io.ReadCloser, error) {
	err := s.call(ctx, boot.FsTarRootfsUpperLayer, &control.TarRootfsUpperLayerOpts{
		ContainerID: s.ID(),
		FilePayload: urpc.FilePayload{Files: []*os.File{upper}},
	}, nil)
	if err != nil {
		return nil, err
	}
	witnesses, err := witnessesOf(upper, base)
	if err != nil {
		return nil, err
	}
	opaque, err := s.hidden(ctx, witnesses)
	if err != nil {
		return nil, err
	}
	return asLayer(upper, opaque), nil
}

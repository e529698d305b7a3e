package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"
)

// Options of Get.
type Options struct {
	// Platform such as linux/arm64; empty: this machine's.
	Platform string
	// Fresh asks the registry also if the name is known here.
	Fresh bool
}

// parallelLayers is how many layers of an image are fetched at once.
const parallelLayers = 3

// Get gives the image that a reference names, name[:tag][@digest] as docker writes it, and fetches it if it is not there. Concurrent calls for the same
// share one fetch; one that was cut off goes on where it was. ErrUnusable if there is no such image.
func (s *Store) Get(ctx context.Context, reference string, o Options) (Image, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return Image{}, unusable("%q is no name of an image: %w", reference, err)
	}
	if o.Platform == "" {
		o.Platform = Platform()
	}
	key := ref.Name() + " for " + o.Platform
	if img, err := s.FindNamed(key); err == nil && !o.Fresh {
		return s.Use(img), nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Image{}, err
	}
	img, err := s.Shared(ctx, "image "+key, nil, func(ctx context.Context, _ io.Writer) (Image, error) {
		if img, err := s.FindNamed(key); err == nil && !o.Fresh {
			return img, nil // another process has fetched it
		}
		return s.pull(ctx, ref, o.Platform, key)
	})
	if err != nil {
		return Image{}, fmt.Errorf("pull image %s: %w", reference, err)
	}
	return s.Use(img), nil
}

// pull fetches an image, from a mirror if there is one that has it.
func (s *Store) pull(ctx context.Context, ref name.Reference, platform, key string) (Image, error) {
	s.log.Info("pulling image", "image", ref.Name(), "platform", platform)
	if mirror, err := s.mirrored(ref); err != nil {
		return Image{}, err
	} else if mirror != nil {
		img, err := s.pullFrom(ctx, mirror, platform, key)
		if err == nil || ctx.Err() != nil {
			return img, err
		}
		s.log.Warn("mirror does not give the image", "image", ref.Name(), "mirror", mirror.Context().RegistryStr(), "error", err)
	}
	return s.pullFrom(ctx, ref, platform, key)
}

// mirrored gives the reference at the registry's mirror; nil: it has none.
func (s *Store) mirrored(ref name.Reference) (name.Reference, error) {
	registry := ref.Context().RegistryStr()
	address := s.mirrors[registry]
	if address == "" && registry == name.DefaultRegistry {
		address = s.mirrors["docker.io"]
	}
	if address == "" {
		return nil, nil
	}
	var options []name.Option
	host, plain := strings.CutPrefix(address, "http://")
	if plain {
		options = append(options, name.Insecure)
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "https://"), "/")
	separator := ":"
	if _, is := ref.(name.Digest); is {
		separator = "@"
	}
	mirror, err := name.ParseReference(host+"/"+ref.Context().RepositoryStr()+separator+ref.Identifier(), options...)
	if err != nil {
		return nil, fmt.Errorf("mirror %s of %s: %w", address, registry, err)
	}
	return mirror, nil
}

func (s *Store) pullFrom(ctx context.Context, ref name.Reference, platform, key string) (Image, error) {
	want, err := v1.ParsePlatform(platform)
	if err != nil {
		return Image{}, unusable("platform %q: %w", platform, err)
	}
	found, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(s.keys), remote.WithTransport(s.transport), remote.WithPlatform(*want))
	if err != nil {
		return Image{}, pullError(ref, platform, err)
	}
	fetch := func(ctx context.Context, layers []v1.Layer) ([]Stream, error) {
		return s.fetchAll(ctx, ref, layers)
	}
	return s.enter(ctx, found, *want, fetch, key)
}

// pullError tells what no second try will mend from a registry that is away.
func pullError(ref name.Reference, platform string, err error) error {
	var refused *transport.Error
	switch {
	case errors.As(err, &refused) && (refused.StatusCode == http.StatusNotFound || refused.StatusCode == http.StatusUnauthorized || refused.StatusCode == http.StatusForbidden):
		return unusable("%s says that it does not exist or may not be had (credentials are taken from docker's configuration): %w", ref.Context().RegistryStr(), err)
	case strings.Contains(err.Error(), "no child with platform"):
		return unusable("there is none for %s: %w", platform, err)
	case strings.Contains(err.Error(), "unsupported MediaType"):
		return unusable("%w", err)
	}
	return err
}

// enter unpacks an image and enters it under the names. fetch brings the layers that are missing.
func (s *Store) enter(ctx context.Context, found v1.Image, want v1.Platform, fetch func(context.Context, []v1.Layer) ([]Stream, error), names ...string) (Image, error) {
	digest, err := found.Digest()
	if err != nil {
		return Image{}, fmt.Errorf("read the manifest: %w", err)
	}
	if img, err := s.Find(digest.String()); err == nil {
		return s.Put(img, names...)
	}
	config, err := found.ConfigFile()
	if err != nil {
		return Image{}, fmt.Errorf("read the image's configuration: %w", err)
	}
	if config.Architecture != "" && config.Architecture != want.Architecture {
		return Image{}, unusable("it is for %s/%s, and %s was asked for", config.OS, config.Architecture, want.String())
	}
	layers, err := found.Layers()
	if err != nil {
		return Image{}, fmt.Errorf("read the image's layers: %w", err)
	}
	if len(layers) != len(config.RootFS.DiffIDs) {
		return Image{}, unusable("its manifest has %d layers and its configuration %d", len(layers), len(config.RootFS.DiffIDs))
	}
	chain, err := s.unpack(ctx, layers, config.RootFS.DiffIDs, fetch)
	if err != nil {
		return Image{}, err
	}
	img := Image{Digest: digest.String(), Chain: chain, Config: config.Config, Platform: want.String()}
	if img.Size, err = sizeOf(s.root(chain)); err != nil {
		return Image{}, fmt.Errorf("measure the image: %w", err)
	}
	return s.Put(img, names...)
}

// unpack makes the image's root out of the longest part of it that is there.
func (s *Store) unpack(ctx context.Context, layers []v1.Layer, diffs []v1.Hash, fetch func(context.Context, []v1.Layer) ([]Stream, error)) (string, error) {
	chains := make([]string, len(diffs))
	below := ""
	for i, d := range diffs {
		chains[i] = chainID(below, d.String())
		below = chains[i]
	}
	if len(chains) == 0 { // FROM scratch and nothing else
		empty := Digest("")
		return empty, s.extend(ctx, "", empty, nil)
	}
	have := len(chains)
	for have > 0 && !s.has(chains[have-1]) {
		have--
	}
	last := chains[len(chains)-1]
	if have == len(chains) {
		return last, nil
	}
	streams, err := fetch(ctx, layers[have:])
	if err != nil {
		return "", err
	}
	for i := range streams {
		streams[i] = checked(streams[i], diffs[have+i].String())
	}
	below = ""
	if have > 0 {
		below = chains[have-1]
	}
	if err := s.extend(ctx, below, last, streams); err != nil {
		return "", err
	}
	return last, s.forget(layers)
}

// fetchAll brings layers into the store, some at a time.
func (s *Store) fetchAll(ctx context.Context, ref name.Reference, layers []v1.Layer) ([]Stream, error) {
	client, err := s.client(ctx, ref)
	if err != nil {
		return nil, pullError(ref, "", err)
	}
	streams := make([]Stream, len(layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelLayers)
	for i, l := range layers {
		group.Go(func() error {
			path, err := s.fetch(ctx, client, ref, l)
			streams[i] = fromFile(path)
			return err
		})
	}
	return streams, group.Wait()
}

// client speaks to the reference's registry with the right to pull it.
func (s *Store) client(ctx context.Context, ref name.Reference) (*http.Client, error) {
	auth, err := s.keys.Resolve(ref.Context())
	if err != nil {
		return nil, fmt.Errorf("find the credentials for %s: %w", ref.Context().RegistryStr(), err)
	}
	rt, err := transport.NewWithContext(ctx, ref.Context().Registry, auth, s.transport, []string{ref.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: rt}, nil
}

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Load enters the images of an archive of `docker save`, or of a folder in the layout of the OCI image specification, under the names that
// they have there. Images for other platforms are passed over.
func (s *Store) Load(ctx context.Context, path string) ([]Image, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("load images: %w", err)
	}
	read := archived
	if info.IsDir() {
		read = laidOut
	}
	found, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("load images of %s: %w", path, err)
	}
	want, err := v1.ParsePlatform(Platform())
	if err != nil {
		return nil, err
	}
	var all []Image
	for _, f := range found {
		if f.platform != nil && !f.platform.Satisfies(*want) {
			continue
		}
		keys, err := nameKeys(f.names)
		if err != nil {
			return all, fmt.Errorf("load images of %s: %w", path, err)
		}
		img, err := s.enter(ctx, f.image, *want, localLayers, keys...)
		if err != nil {
			return all, fmt.Errorf("load images of %s: %w", path, err)
		}
		all = append(all, img)
	}
	if len(all) == 0 {
		return nil, unusable("%s has no image for %s", path, Platform())
	}
	return all, nil
}

// LoadRoot enters an image of the files in a tar archive, packed or not, under a name. It has the usual PATH and no other configuration.
func (s *Store) LoadRoot(ctx context.Context, path, reference string) (Image, error) {
	keys, err := nameKeys([]string{reference})
	if err != nil {
		return Image{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Image{}, fmt.Errorf("load an image's files: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return Image{}, fmt.Errorf("load an image's files: %w", err)
	}
	chain := "sha256:" + hex.EncodeToString(sum.Sum(nil))
	if err := s.Extend(ctx, "", chain, fromFile(path)); err != nil {
		return Image{}, fmt.Errorf("load an image's files of %s: %w", path, err)
	}
	config := v1.Config{Env: []string{"PATH=" + DefaultPath}}
	img := Image{Digest: Digest("root " + chain), Chain: chain, Config: config, Platform: Platform()}
	if img.Size, err = s.Measure(chain); err != nil {
		return Image{}, fmt.Errorf("measure the image: %w", err)
	}
	return s.Put(img, keys...)
}

// local is an image that lies on this machine.
type local struct {
	image    v1.Image
	names    []string
	platform *v1.Platform // nil: its configuration tells
}

// nameKeys are the names as Get looks for them.
func nameKeys(names []string) ([]string, error) {
	var keys []string
	for _, n := range names {
		ref, err := name.ParseReference(n)
		if err != nil {
			return nil, unusable("%q is no name of an image: %w", n, err)
		}
		keys = append(keys, ref.Name()+" for "+Platform())
	}
	return keys, nil
}

// archived reads an archive of `docker save`.
func archived(path string) ([]local, error) {
	opener := func() (io.ReadCloser, error) { return os.Open(path) }
	manifest, err := tarball.LoadManifest(opener)
	if err != nil {
		return nil, unusable("it is no archive of `docker save` (an OCI archive is unpacked into a folder first): %w", err)
	}
	var all []local
	for _, d := range manifest {
		var tag *name.Tag
		if len(d.RepoTags) > 0 {
			t, err := name.NewTag(d.RepoTags[0])
			if err != nil {
				return nil, unusable("%q is no name of an image: %w", d.RepoTags[0], err)
			}
			tag = &t
		} else if len(manifest) > 1 {
			continue // it cannot be told from the others
		}
		img, err := tarball.Image(opener, tag)
		if err != nil {
			return nil, err
		}
		all = append(all, local{image: img, names: d.RepoTags})
	}
	return all, nil
}

// laidOut reads a folder in the layout of the OCI image specification.
func laidOut(path string) ([]local, error) {
	if _, err := os.Stat(filepath.Join(path, "oci-layout")); err != nil {
		return nil, unusable("it is no folder in the OCI image layout: %w", err)
	}
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return nil, err
	}
	return indexed(index, nil)
}

// indexed lists the images of an index and of the indexes in it.
func indexed(index v1.ImageIndex, names []string) ([]local, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var all []local
	for _, d := range manifest.Manifests {
		own := names
		for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
			if n := d.Annotations[key]; n != "" {
				own = []string{n}
				break
			}
		}
		switch {
		case d.MediaType.IsIndex():
			below, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, err
			}
			more, err := indexed(below, own)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		case d.MediaType.IsImage():
			img, err := index.Image(d.Digest)
			if err != nil {
				return nil, err
			}
			all = append(all, local{img, own, d.Platform})
		}
	}
	return all, nil
}

// localLayers opens layers where they lie.
func localLayers(_ context.Context, layers []v1.Layer) ([]Stream, error) {
	var streams []Stream
	for _, l := range layers {
		streams = append(streams, func(context.Context) (io.ReadCloser, error) { return l.Uncompressed() })
	}
	return streams, nil
}

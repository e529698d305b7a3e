package docker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
)

var _ sandbox.ImageKeeper = (*Provider)(nil)

// kept is an image of ours in the engine.
type kept struct {
	sandbox.ImageInfo
	id string // the engine's
}

// Images gives the images that were built for tasks on this engine, and those that were pulled for this installation.
func (p *Provider) Images(ctx context.Context) ([]sandbox.ImageInfo, error) {
	all, err := p.kept(ctx)
	var list []sandbox.ImageInfo
	for _, k := range all {
		list = append(list, k.ImageInfo)
	}
	return list, err
}

// PruneImages removes such images; see sandbox.ImageKeeper. BuildKit's own cache is the engine's affair.
func (p *Provider) PruneImages(ctx context.Context, keep int64, since time.Time) ([]sandbox.ImageInfo, error) {
	all, err := p.kept(ctx)
	if err != nil {
		return nil, err
	}
	inUse, err := p.imagesInUse(ctx)
	if err != nil {
		return nil, err
	}
	var size int64
	for _, k := range all {
		size += k.Size
	}
	var removed []sandbox.ImageInfo
	for _, k := range slices.Backward(all) {
		if size <= keep {
			break
		}
		if inUse[k.id] || k.Used.After(since) {
			continue
		}
		gone, err := p.removeImage(ctx, k)
		if err != nil {
			return removed, err
		}
		if gone {
			size -= k.Size
			removed = append(removed, k.ImageInfo)
		}
	}
	return removed, nil
}

// removeImage removes the names of an image, and with the last one the image. It reports false if it stays, since a
// container has just been made of it, or its names are another's by now.
func (p *Provider) removeImage(ctx context.Context, k kept) (bool, error) {
	names := k.Names
	if len(names) == 0 {
		names = []string{k.id}
	}
	gone := false
	for _, name := range names {
		now, err := p.inspect(ctx, name)
		if err != nil {
			return false, err
		}
		if now != nil && now.ID == k.id { // else somebody has replaced it
			_, err = p.engine.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
			gone = err == nil
		}
		switch {
		case cerrdefs.IsConflict(err):
			return false, nil
		case err != nil && !cerrdefs.IsNotFound(err):
			return false, fmt.Errorf("remove image %s: %w", name, err)
		}
		if err := p.ledger.forget(name); err != nil {
			return false, err
		}
	}
	return gone, nil
}

// imagesInUse gives the ids of the images of all containers.
func (p *Provider) imagesInUse(ctx context.Context) (map[string]bool, error) {
	got, err := p.engine.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	used := map[string]bool{}
	for _, c := range got.Items {
		used[c.ImageID] = true
	}
	return used, nil
}

// kept lists our images, the last used first. What we pulled and somebody else has pulled again since, as another image, is no longer ours.
func (p *Provider) kept(ctx context.Context) ([]kept, error) {
	entries, err := p.ledger.entries()
	if err != nil {
		return nil, err
	}
	engine, err := p.ask(ctx)
	if err != nil {
		return nil, err
	}
	got, err := p.engine.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var list []kept
	for _, s := range got.Items {
		k := kept{id: s.ID, ImageInfo: sandbox.ImageInfo{Digest: s.ID, Platform: engine.os + "/" + engine.arch, Size: s.Size}}
		for _, tag := range s.RepoTags {
			tag = strings.TrimPrefix(strings.TrimPrefix(tag, "localhost/"), "docker.io/") // which podman puts before it
			if strings.HasPrefix(tag, imageTag("")) {
				k.add(tag, entries[tag].Used)
			}
		}
		for name, e := range entries {
			if e.Pulled && e.ID == s.ID {
				k.add(name, e.Used)
			}
		}
		if len(k.Names) == 0 && !isLeftover(s) {
			continue
		}
		if k.Used.IsZero() { // another installation built it
			k.Used = time.Unix(s.Created, 0)
		}
		slices.Sort(k.Names)
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b kept) int { return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.id, b.id)) })
	return list, nil
}

func (k *kept) add(name string, used time.Time) {
	k.Names = append(k.Names, name)
	if used.After(k.Used) {
		k.Used = used
	}
}

// isLeftover reports whether an image is one of ours that lost its name when it was built again.
func isLeftover(s image.Summary) bool {
	return s.Labels[labelDigest] != "" && (len(s.RepoTags) == 0 || s.RepoTags[0] == "<none>:<none>")
}

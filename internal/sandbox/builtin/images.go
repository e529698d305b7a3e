//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"time"

	"oddish/internal/image"
	"oddish/internal/sandbox"
)

var _ sandbox.ImageKeeper = (*Provider)(nil)

// Images gives the images of the store, the last used first.
func (p *Provider) Images(context.Context) ([]sandbox.ImageInfo, error) {
	list, err := p.images.List()
	return infos(list), err
}

// PruneImages removes images of the store; see sandbox.ImageKeeper.
func (p *Provider) PruneImages(ctx context.Context, keep int64, since time.Time) ([]sandbox.ImageInfo, error) {
	used, err := p.imagesInUse()
	if err != nil {
		return nil, err
	}
	removed, err := p.images.Prune(ctx, keep, func(l image.Listed) bool { return used[l.Digest] || l.Used.After(since) })
	return infos(removed), err
}

func infos(list []image.Listed) []sandbox.ImageInfo {
	var all []sandbox.ImageInfo
	for _, l := range list {
		all = append(all, sandbox.ImageInfo{Names: l.Names, Digest: l.Digest, Platform: l.Platform, Size: l.Size, Used: l.Used})
	}
	return all
}

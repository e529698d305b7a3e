package sandbox

import (
	"context"
	"time"
)

// ImageKeeper is a Provider that keeps images on this machine. Its methods may be called at once, and by several processes.
type ImageKeeper interface {
	// Images gives the images that the provider has brought or built, the last used first. Others that are there are not its own.
	Images(ctx context.Context) ([]ImageInfo, error)
	// PruneImages removes images of those, the longest unused first, until what is left has at most keep bytes, each counted whole, and
	// gives what it removed. Those that a sandbox is made of stay, and so do those that were used since the given time.
	PruneImages(ctx context.Context, keep int64, since time.Time) ([]ImageInfo, error)
}

// ImageInfo describes an image in a list.
type ImageInfo struct {
	Names    []string // may be none
	Digest   string   // algorithm:hex
	Platform string
	Size     int64 // bytes
	Used     time.Time
}

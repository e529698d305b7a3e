package worker

import (
	"context"
	"time"

	"oddish/internal/sandbox"
)

const (
	// imageGrace is how long an image stays after its last use, for the sandbox that is about to be made of it.
	imageGrace = 10 * time.Minute
	// pruneTime is how long the removal of images of one kind may take.
	pruneTime = 10 * time.Minute
)

// pruneImages removes the longest unused images of each kind of sandbox that has more than the configured bound.
func (w *Worker) pruneImages(ctx context.Context) {
	if w.c.KeepImages == 0 {
		return
	}
	for _, kind := range w.offered {
		if keeper, is := w.kinds[kind].Provider.(sandbox.ImageKeeper); is {
			w.pruneKind(ctx, kind, keeper)
		}
	}
}

func (w *Worker) pruneKind(ctx context.Context, kind string, keeper sandbox.ImageKeeper) {
	ctx, cancel := context.WithTimeout(ctx, pruneTime)
	defer cancel()
	removed, err := keeper.PruneImages(ctx, w.c.KeepImages, time.Now().Add(-imageGrace))
	for _, i := range removed {
		w.log.InfoContext(ctx, "unused image removed", "sandbox", kind, "image", i.Names, "digest", i.Digest, "bytes", i.Size)
	}
	if err != nil && ctx.Err() == nil {
		w.log.WarnContext(ctx, "images cannot be removed", "sandbox", kind, "error", err)
	}
}

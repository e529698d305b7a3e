package sandbox

import (
	"context"
	"time"
)

// Pause waits for d, or until ctx ends, whose error it returns then. It is what retries here, healthchecks
// and scripted delays wait with.
func Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

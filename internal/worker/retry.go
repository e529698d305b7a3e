package worker

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"oddish/client"
)

// Waits between tries, doubled from the first to the last, less up to half at random.
const (
	firstWait = 250 * time.Millisecond
	lastWait  = 8 * time.Second
)

func backoff(n int) time.Duration {
	d := lastWait
	if n < 5 {
		d = firstWait << n
	}
	return d/2 + rand.N(d/2+1)
}

// pause waits for d; it is false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// persist calls f until it succeeds, the lease is lost, the server refuses what it was given, f
// returns a *failure, or ctx ends, whose cause is then the error. A server that is away or in trouble is waited for without
// an end: the loops that live longer than a job tell of it.
func persist(ctx context.Context, log *slog.Logger, what string, f func(context.Context) error) error {
	for n := 0; ; n++ {
		err := f(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case isStale(err) || isRefused(err) || isFailure(err):
			return err
		}
		log.DebugContext(ctx, "trying again", "what", what, "error", err)
		if !pause(ctx, backoff(n)) {
			return context.Cause(ctx)
		}
	}
}

// isStale reports whether the server says that the lease is no longer held.
func isStale(err error) bool { return client.StatusOf(err) == http.StatusConflict }

// isRefused reports whether the server will never take what it was given. A 404 is not among
// them: it may come from a proxy while the server restarts.
func isRefused(err error) bool {
	switch client.StatusOf(err) {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong,
		http.StatusUnsupportedMediaType, http.StatusRequestedRangeNotSatisfiable, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// outage says once that something does not work, and once that it works again.
type outage struct {
	log        *slog.Logger
	lost, back string // messages
	since      time.Time
}

func (o *outage) failed(ctx context.Context, err error) {
	if o.since.IsZero() {
		o.since = time.Now()
		o.log.WarnContext(ctx, o.lost, "error", err)
		return
	}
}

func (o *outage) over(ctx context.Context) {
	if !o.since.IsZero() {
		o.log.InfoContext(ctx, o.back, "after", time.Since(o.since).Round(time.Second))
		o.since = time.Time{}
	}
}

package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// Waits between tries: doubled from the first to the last, less up to half at random, so
// that clients that lost the same server do not come back in step.
const (
	firstWait = 200 * time.Millisecond
	lastWait  = 5 * time.Second
)

// tries sends the call until one try succeeds, may not be repeated, or the budget is used up.
func (c *Client) tries(ctx context.Context, req call, handle func(*http.Response) error) (*http.Response, error) {
	start := time.Now()
	for n := 0; ; n++ {
		resp, err := c.send(ctx, req)
		if err == nil {
			if err = handle(resp); err == nil {
				return resp, nil
			}
		}
		wait, ok := waitAfter(err, req.repeat, n)
		if !ok || time.Since(start)+wait > c.o.RetryFor || ctx.Err() != nil {
			return nil, err
		}
		if c.o.OnRetry != nil {
			c.o.OnRetry(err, wait)
		}
		if !sleep(ctx, wait) {
			return nil, err
		}
	}
}

// waitAfter says how long to wait after the n-th try (from 0) failed with err, and whether to repeat at all.
func waitAfter(err error, r repeat, n int) (time.Duration, bool) {
	var answer *Error
	if errors.As(err, &answer) {
		return waitAfterAnswer(answer, r, n)
	}
	var transport *TransportError
	if !errors.As(err, &transport) {
		return 0, false
	}
	if r == repeatSafe || r == repeatUnsent && neverSent(transport.Err) {
		return backoff(n), true
	}
	return 0, false
}

func waitAfterAnswer(e *Error, r repeat, n int) (time.Duration, bool) {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if r == repeatNever {
			return 0, false
		}
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		// The server behind the gateway may have done it.
		if r != repeatSafe {
			return 0, false
		}
	default:
		return 0, false
	}
	if e.hasRetryAfter {
		return e.retryAfter + jitter(firstWait), true
	}
	return backoff(n), true
}

// neverSent reports whether no connection could be made, so that nothing can have been received.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func backoff(n int) time.Duration {
	d := lastWait
	if n < 5 {
		d = min(firstWait<<n, lastWait)
	}
	return d/2 + jitter(d/2)
}

func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }

// sleep waits for d; it is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

package worker

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// defaultLease is the length of a lease where the server does not say.
	defaultLease = 60 * time.Second
	// beatsPerLease: heartbeats come so often that a few may fail.
	beatsPerLease = 4
)

// leaseClock knows how long leases are. Only lengths are taken from the server, never points
// in time, because its clock may be minutes away from ours.
type leaseClock struct {
	length  atomic.Int64
	changed chan struct{} // one token: the length is another than before
}

func newLeaseClock() *leaseClock { return &leaseClock{changed: make(chan struct{}, 1)} }

// learn takes the length of a lease from an answer and returns it.
func (l *leaseClock) learn(sec float64) time.Duration {
	d := time.Duration(sec * float64(time.Second))
	if d <= 0 {
		d = defaultLease
	}
	if l.length.Swap(int64(d)) != int64(d) {
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
	return d
}

// beat is the time between two heartbeats.
func (l *leaseClock) beat() time.Duration {
	d := time.Duration(l.length.Load())
	if d == 0 {
		d = defaultLease
	}
	return d / beatsPerLease
}

// wait waits for d, but not longer than until the next heartbeat by a length that was learned
// meanwhile. It is false if ctx ended first.
func (l *leaseClock) wait(ctx context.Context, d time.Duration) bool {
	start := time.Now()
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		case <-l.changed:
			t.Reset(min(d, l.beat()) - time.Since(start))
		}
	}
}

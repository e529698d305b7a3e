package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// gate stands before one model of one account. When the provider tells one request to wait, all wait; afterwards they are let through
// a few at a time, twice as many after each success, so that the end of a wait is not the beginning of the next storm.
type gate struct {
	mu      sync.Mutex
	until   time.Time     // nobody passes before
	width   int           // how many may be on trial at once; 0: the gate is open
	trying  int           // how many are
	changed chan struct{} // closed and replaced at every change
}

// openWidth is the width at which the gate opens again.
const openWidth = 64

func newGate() *gate { return &gate{changed: make(chan struct{})} }

// tooLongError says that a wait would be longer than allowed.
type tooLongError struct{ wait time.Duration }

func (e tooLongError) Error() string { return fmt.Sprintf("the provider wants %s of silence", e.wait) }

// pass is the permission to send one request. End it once, as soon as it is known how the provider answers.
type pass struct {
	gate  *gate
	trial bool
}

// enter waits at most limit. It returns how long it waited also with an error: tooLongError, or the context's.
func (g *gate) enter(ctx context.Context, limit time.Duration) (*pass, time.Duration, error) {
	began := time.Now()
	for {
		p, wait, changed := g.try()
		waited := time.Since(began)
		if p != nil {
			return p, waited, nil
		}
		if wait > limit-waited || limit <= waited {
			return nil, waited, tooLongError{max(wait, time.Second)}
		}
		if wait == 0 { // for others to end
			wait = limit - waited
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, time.Since(began), context.Cause(ctx)
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// idle reports whether the gate is open: then a new one is as good.
func (g *gate) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.width == 0 && time.Until(g.until) <= 0
}

// try gives a pass, or how long to wait (0: until something changes).
func (g *gate) try() (*pass, time.Duration, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := time.Until(g.until); wait > 0 {
		return nil, wait, g.changed
	}
	if g.width > 0 && g.trying >= g.width {
		return nil, 0, g.changed
	}
	p := &pass{gate: g, trial: g.width > 0}
	if p.trial {
		g.trying++
	}
	return p, 0, nil
}

// ok says that the provider answered.
func (p *pass) ok() {
	p.end(func(g *gate) {
		if p.trial && g.width > 0 {
			if g.width *= 2; g.width >= openWidth {
				g.width = 0
			}
		}
	})
}

// limited says that the provider wants nothing for a while.
func (p *pass) limited(wait time.Duration) {
	p.end(func(g *gate) {
		g.width = max(1, g.width/2)
		if until := time.Now().Add(wait); until.After(g.until) {
			g.until = until
		}
	})
}

// failed says that the answer tells nothing about how much may be asked.
func (p *pass) failed() { p.end(func(*gate) {}) }

func (p *pass) end(change func(*gate)) {
	if p.gate == nil {
		return
	}
	g := p.gate
	p.gate = nil
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.trial {
		g.trying--
	}
	change(g)
	close(g.changed)
	g.changed = make(chan struct{})
}

// isTooLong gives the wait that was too long.
func isTooLong(err error) (time.Duration, bool) {
	var long tooLongError
	if errors.As(err, &long) {
		return long.wait, true
	}
	return 0, false
}

package worker

import (
	"context"
	"sync"
)

// slots counts the trials that may still be started. The claim loop waits on it.
type slots struct {
	mu      sync.Mutex
	free    int
	blocked bool          // some claimed trial waits for cpus or memory
	changed chan struct{} // one token: look again
}

func newSlots(n int) *slots { return &slots{free: n, changed: make(chan struct{}, 1)} }

func (s *slots) take() { s.update(func() { s.free-- }) }

func (s *slots) give() { s.update(func() { s.free++ }) }

// wake is told by the admission whether anybody waits there. As long as somebody does, no
// more trials are claimed, because another worker may have room for them. What a claim that is already
// on its way brings waits here.
func (s *slots) wake(waiting bool) { s.update(func() { s.blocked = waiting }) }

func (s *slots) update(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// wait returns the number of free slots once there is one; false if ctx ended first.
func (s *slots) wait(ctx context.Context) (int, bool) {
	for ctx.Err() == nil {
		s.mu.Lock()
		free, blocked := s.free, s.blocked
		s.mu.Unlock()
		if free > 0 && !blocked {
			return free, true
		}
		select {
		case <-ctx.Done():
		case <-s.changed:
		}
	}
	return 0, false
}

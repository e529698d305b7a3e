package queue

import (
	"sync"
	"time"
)

// hub wakes the goroutines of this process that wait for something in the database to change.
type hub struct {
	mu          sync.Mutex
	claims      chan struct{} // closed and replaced when there may be something to claim
	cancels     chan struct{} // closed and replaced when running trials were told to stop
	subscribers map[string]map[chan struct{}]struct{}
}

func newHub() *hub {
	return &hub{
		claims: make(chan struct{}), cancels: make(chan struct{}),
		subscribers: map[string]map[chan struct{}]struct{}{},
	}
}

// claimable returns a channel that is closed at the next wakeClaims. Take it before looking, so that nothing is missed.
func (h *hub) claimable() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.claims
}

func (h *hub) wakeClaims() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.claims)
	h.claims = make(chan struct{})
}

// cancelled returns a channel that is closed at the next wakeCancels. Take it before looking.
func (h *hub) cancelled() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cancels
}

func (h *hub) wakeCancels() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.cancels)
	h.cancels = make(chan struct{})
}

func (h *hub) subscribe(experimentID string) (wake <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscribers[experimentID] == nil {
		h.subscribers[experimentID] = map[chan struct{}]struct{}{}
	}
	h.subscribers[experimentID][ch] = struct{}{}
	return ch, func() { h.unsubscribe(experimentID, ch) }
}

func (h *hub) unsubscribe(experimentID string, ch chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers[experimentID], ch)
	if len(h.subscribers[experimentID]) == 0 {
		delete(h.subscribers, experimentID)
	}
}

func (h *hub) wakeSubscribers(experimentID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wakeEach(h.subscribers[experimentID])
}

func (h *hub) wakeAllSubscribers() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, subscribers := range h.subscribers {
		wakeEach(subscribers)
	}
}

func wakeEach(subscribers map[chan struct{}]struct{}) {
	for ch := range subscribers {
		select {
		case ch <- struct{}{}:
		default: // it has not looked since the last signal
		}
	}
}

// Subscribe returns a channel that receives after events of the experiment were written, by this process or another one that uses
// the database, at least once after the last of them. What another process tells may get lost: look now and then without it. Read the events after subscribing, so that none is missed. stop ends it and may be called twice.
func (q *Queue) Subscribe(experimentID string) (wake <-chan struct{}, stop func()) {
	return q.hub.subscribe(experimentID)
}

// alarm holds the moment for which Run sleeps, and wakes it when an earlier one comes up.
type alarm struct {
	mu      sync.Mutex
	at      time.Time
	earlier chan struct{}
}

func newAlarm() *alarm { return &alarm{earlier: make(chan struct{}, 1)} }

// set says until when Run sleeps.
func (a *alarm) set(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = at
}

// need wakes Run if it would sleep past the moment; the zero time needs nothing.
func (a *alarm) need(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at.IsZero() || !at.Before(a.at) {
		return
	}
	a.at = at
	select {
	case a.earlier <- struct{}{}:
	default:
	}
}

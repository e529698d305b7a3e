package queue

import (
	"slices"
	"strings"
	"sync"
	"time"

	"oddish/api"
)

// registerEvery is how often a worker that only asks for trials is noted in the database, unless it has changed.
const registerEvery = 5 * time.Minute

// lookout remembers what was seen in the database, so that many workers that wait, and ask again when their wait is
// over, look as often as one would: when something has changed, and otherwise once in a safetyPoll.
type lookout struct {
	mu      sync.Mutex
	empty   map[string]sight // by sandbox kinds: there was nothing to claim
	calm    sight            // nothing that runs was to be stopped
	workers map[string]noted
}

// sight is a look that found nothing. It holds until something wakes those who wait on the channel, which was taken before
// looking.
type sight struct {
	wake <-chan struct{}
	at   time.Time
}

func (s sight) holds(wake <-chan struct{}, now time.Time) bool {
	age := now.Sub(s.at)
	return s.wake == wake && age >= 0 && age < safetyPoll
}

// noted is what the database knows of a worker.
type noted struct {
	text string
	at   time.Time
}

const (
	maxSights  = 100
	maxWorkers = 10_000
)

func newLookout() *lookout {
	return &lookout{empty: map[string]sight{}, workers: map[string]noted{}}
}

func kindsKey(sandboxes []string) string {
	return strings.Join(slices.Sorted(slices.Values(sandboxes)), "\x00")
}

// isEmpty reports whether it is known that there is nothing to claim for a worker with these sandboxes.
func (o *lookout) isEmpty(sandboxes []string, wake <-chan struct{}, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.empty[kindsKey(sandboxes)].holds(wake, now)
}

func (o *lookout) sawEmpty(sandboxes []string, wake <-chan struct{}, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.empty) >= maxSights {
		clear(o.empty)
	}
	o.empty[kindsKey(sandboxes)] = sight{wake, now}
}

// isCalm reports whether it is known that nothing that runs is to be stopped.
func (o *lookout) isCalm(wake <-chan struct{}, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calm.holds(wake, now)
}

func (o *lookout) sawCalm(wake <-chan struct{}, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calm = sight{wake, now}
}

// isNoted reports whether what the database says of the worker is right and not old.
func (o *lookout) isNoted(c api.Claim, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, ok := o.workers[c.WorkerID]
	age := now.Sub(n.at)
	return ok && n.text == workerText(c) && age >= 0 && age < registerEvery
}

func (o *lookout) note(c api.Claim, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.workers) >= maxWorkers {
		clear(o.workers) // they are noted again
	}
	o.workers[c.WorkerID] = noted{workerText(c), now}
}

func workerText(c api.Claim) string {
	return strings.Join(append([]string{c.Hostname, c.Version}, c.Sandboxes...), "\x00")
}

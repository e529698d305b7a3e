package queue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"oddish/internal/store"
)

const (
	// notifyEvery is how long changes are gathered after a notification, for the next one.
	notifyEvery = 10 * time.Millisecond
	// notifyWithin limits one notification; who misses it looks by itself.
	notifyWithin = 5 * time.Second
	// maxNoticed experiments are named in a notification, which has to stay below 8,000 bytes; more of them are "all".
	maxNoticed = 400
)

// notice is what one process tells the others after commits: who of those that wait there should look.
type notice struct {
	From        string   `json:"from"`
	Claims      bool     `json:"claims,omitempty"`
	Cancels     bool     `json:"cancels,omitempty"`
	Experiments []string `json:"experiments,omitempty"` // with new events
	All         bool     `json:"all,omitempty"`         // every experiment may have some
}

// notifier tells other processes on the same database what was changed. Never inside of the transactions that change it:
// PostgreSQL makes transactions that notify commit one after the other.
type notifier struct {
	db  *store.DB
	log *slog.Logger
	id  string // tells our own notices from those of others

	mu          sync.Mutex
	claims      bool
	cancels     bool
	experiments map[string]bool
	sending     bool
}

func newNotifier(db *store.DB, log *slog.Logger) *notifier {
	return &notifier{db: db, log: log, id: rand.Text(), experiments: map[string]bool{}}
}

// post gathers what is to be told. The first after a quiet time goes out at once.
func (n *notifier) post(claims, cancels bool, experiments ...string) {
	if !n.db.Shared() || !claims && !cancels && len(experiments) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.claims, n.cancels = n.claims || claims, n.cancels || cancels
	for _, id := range experiments {
		n.experiments[id] = true
	}
	if !n.sending {
		n.sending = true
		go n.send()
	}
}

// send sends until there is nothing more to tell.
func (n *notifier) send() {
	for {
		told, any := n.next()
		if !any {
			return
		}
		if err := n.sendOne(told); err != nil {
			n.log.Debug("other servers were not told of a change; they will find it themselves", "error", err)
		}
		time.Sleep(notifyEvery)
	}
}

func (n *notifier) sendOne(told notice) error {
	text, err := json.Marshal(told)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), notifyWithin)
	defer cancel()
	return n.db.Notify(ctx, string(text))
}

// next takes what was gathered; if that is nothing, sending is over.
func (n *notifier) next() (told notice, any bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.claims && !n.cancels && len(n.experiments) == 0 {
		n.sending = false
		return notice{}, false
	}
	told = notice{From: n.id, Claims: n.claims, Cancels: n.cancels, All: len(n.experiments) > maxNoticed}
	if !told.All {
		for id := range n.experiments {
			told.Experiments = append(told.Experiments, id)
		}
	}
	n.claims, n.cancels = false, false
	clear(n.experiments)
	return told, true
}

// listen wakes who waits here when another process has changed something, until ctx ends.
func (q *Queue) listen(ctx context.Context) {
	q.db.Listen(ctx, store.Ears{Heard: q.heard, Missed: q.wakeAll})
}

func (q *Queue) heard(text string) {
	var told notice
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		q.wakeAll() // of another version of the program
		return
	}
	if told.From == q.notifier.id {
		return
	}
	if told.Claims {
		q.hub.wakeClaims()
	}
	if told.Cancels {
		q.hub.wakeCancels()
	}
	if told.All {
		q.hub.wakeAllSubscribers()
	}
	for _, id := range told.Experiments {
		q.hub.wakeSubscribers(id)
	}
}

// wakeAll makes everybody here look, since nobody knows what was missed.
func (q *Queue) wakeAll() {
	q.hub.wakeClaims()
	q.hub.wakeCancels()
	q.hub.wakeAllSubscribers()
}

// wakeCancels makes those look, here and elsewhere, who wait for running trials to be cancelled.
func (q *Queue) wakeCancels() {
	q.hub.wakeCancels()
	q.notifier.post(false, true)
}

// wake makes those look, here and elsewhere, whom a committed change concerns.
func (q *Queue) wake(l *ledger) {
	q.alarm.need(l.due)
	if l.wake {
		q.hub.wakeClaims()
	}
	experiments := make([]string, 0, len(l.events))
	for id := range l.events {
		q.hub.wakeSubscribers(id)
		experiments = append(experiments, id)
	}
	q.notifier.post(l.wake, false, experiments...)
}

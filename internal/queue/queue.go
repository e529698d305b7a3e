// Package queue decides which trial runs next, and is the only code that moves a trial from one state to another: it submits,
// claims, renews, settles, retries and cancels.
//
// It does not run trials (package worker does, over HTTP) and keeps no state of its own that matters: rows are in package store,
// below; package server, above, puts it on the wire. docs/queue.md tells what it promises.
//
// A state changes in one transaction together with all that depends on it: the run's row, the counts of
// its task and experiment, and the events. Whoever waits is woken after the commit.
package queue

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"time"

	"oddish/api"
	"oddish/internal/model"
	"oddish/internal/store"
)

// ErrStale says that a lease token is no longer, or never was, the one that holds the job. The worker must
// stop the run and forget it; nothing was changed.
var ErrStale = errors.New("lease is no longer held")

// Options of a Queue. Zero values mean the defaults.
type Options struct {
	Log          *slog.Logger   // nil discards
	Sealer       *store.Sealer  // needed by submissions with secret environment values
	DefaultLimit int            // running trials of a queue key without a limit of its own; 0: 8
	Limits       map[string]int // by queue key or pattern (see KeyName), in any spelling of it; 0 stops it
	LocalLimit   int            // of the key "local"; 0: twice the cores, at least 4
	MaxAttempts  int            // of submissions that do not say; 0: 3
	Lease        time.Duration  // how long a run may go without a heartbeat; 0: 60 s
	DailyBudget  *api.Budget    // of all trials together on a day of UTC; nil: none. The same for all queues of a database
	Now          func() time.Time
}

// Defaults of Options.
const (
	DefaultLimit       = 8
	DefaultMaxAttempts = 3
	DefaultLease       = 60 * time.Second
)

// Queue is the queue of a database. All methods may be called at once from many goroutines, and several
// queues, also in other processes, may share a database.
type Queue struct {
	db          *store.DB
	log         *slog.Logger
	sealer      *store.Sealer
	limits      limits
	maxAttempts int
	lease       time.Duration
	daily       *api.Budget
	dayEnds     time.Time // see turnDay
	now         func() time.Time
	random      func() float64 // in [0, 1)
	hub         *hub
	desk        desk
	notifier    *notifier
	lookout     *lookout
	alarm       *alarm
}

// New makes the queue of a migrated database. Run must be running for leases to end and for waiting
// claims to hear of retries that have become due.
func New(db *store.DB, o Options) *Queue {
	q := &Queue{
		db: db, log: o.Log, sealer: o.Sealer, limits: newLimits(o), maxAttempts: o.MaxAttempts, lease: o.Lease, daily: o.DailyBudget, now: o.Now,
		random: rand.Float64, hub: newHub(), lookout: newLookout(), alarm: newAlarm(),
	}
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	q.notifier = newNotifier(db, q.log)
	if q.maxAttempts <= 0 {
		q.maxAttempts = DefaultMaxAttempts
	}
	if q.lease <= 0 {
		q.lease = DefaultLease
	}
	if q.now == nil {
		q.now = time.Now
	}
	return q
}

// limits are the configured ones; those set at run time are in the database and win.
type limits struct {
	standard int
	byKey    map[string]int
}

func newLimits(o Options) limits {
	l := limits{standard: o.DefaultLimit, byKey: map[string]int{model.LocalKey: o.LocalLimit}}
	if l.standard <= 0 {
		l.standard = DefaultLimit
	}
	if o.LocalLimit <= 0 {
		l.byKey[model.LocalKey] = max(4, 2*runtime.NumCPU())
	}
	for key, n := range o.Limits {
		l.byKey[canonicalKey(key)] = n
	}
	return l
}

// of gives the limit of a key; override is the one set at run time, if any.
func (l limits) of(key string, override *int) int {
	if override != nil {
		return *override
	}
	if n, ok := l.byKey[key]; ok {
		return n
	}
	return l.standard
}

// find is of for a key or a pattern; nil: a pattern without a limit.
func (l limits) find(name string, override *int) *int {
	if _, configured := l.byKey[name]; override == nil && !configured && isPattern(name) {
		return nil
	}
	n := l.of(name, override)
	return &n
}

package queue

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"oddish/api"
	"oddish/internal/model"
	"oddish/internal/store"
)

// keyState is a queue key during a claim.
type keyState struct {
	key      string
	override *int
	adapted  *int // limit in force below the set one, see adaptation
	servedAt int64
	group    *group // nil: it falls under no pattern

	head       int // priority of the first candidate, as far as it was known when the key was locked
	free       int
	candidates []candidate // in order
	complete   bool        // there are no more than those
	taken      int
}

// candidate is a job that may be claimed.
type candidate struct {
	job
	priority int
	rank     int64
}

func compareCandidates(a, b candidate) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.rank, b.rank), cmp.Compare(a.id, b.id))
}

// pick chooses the jobs to claim. The rows of their queue keys and of the patterns above them are locked first and running jobs
// counted in later statements, which see what the holders of the locks before have committed: that makes limits exact on PostgreSQL.
func (q *Queue) pick(ctx context.Context, l *ledger, c api.Claim) ([]candidate, error) {
	w, err := q.wishOf(ctx, l.tx, c, l.now)
	if err != nil {
		return nil, err
	}
	groups, err := l.lockGroups(ctx, w)
	if err != nil {
		return nil, err
	}
	keys, err := l.lockReadyKeys(ctx, w, groups)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	if paused, err := l.allPaused(ctx); err != nil || paused {
		return nil, err
	}
	running, err := countRunning(ctx, l.tx, keys)
	if err != nil {
		return nil, err
	}
	if err := q.measure(ctx, l.tx, groups); err != nil {
		return nil, err
	}
	for i := range keys {
		k := &keys[i]
		k.free = min(k.group.left(), q.limitInForce(k)-running[k.key], c.Slots)
	}
	d := dealer{l: l, keys: keys, kinds: slices.Compact(slices.Sorted(slices.Values(c.Sandboxes)))}
	return d.deal(ctx, c.Slots)
}

// limitInForce is what the key's own limit lets run.
func (q *Queue) limitInForce(k *keyState) int {
	a := adaptation{limit: k.adapted}
	return a.effective(q.limits.of(k.key, k.override))
}

// wish is what a claim may take.
type wish struct {
	kinds []string // of sandboxes
	now   time.Time
	local bool // only trials that call no model: the budget of the day is used up
}

func (q *Queue) wishOf(ctx context.Context, db store.Querier, c api.Claim, now time.Time) (wish, error) {
	over, err := q.dayOver(ctx, db, now, nil)
	return wish{kinds: c.Sandboxes, now: now, local: over}, err
}

// readyFor is the condition that key k is neither paused nor held and has a job which the wish allows to claim.
func readyFor(args *store.Args, w wish) string {
	condition := "k.paused = 0 AND (k.held_until IS NULL OR k.held_until <= " + args.Add(w.now.UnixMilli()) + ") AND " + serverRuns + " AND EXISTS (SELECT 1 FROM jobs j WHERE j.ready = 1 AND j.queue_key = k.queue_key AND j.environment IN " + args.List(w.kinds) + ")"
	if w.local {
		condition += " AND k.queue_key = '" + model.LocalKey + "'"
	}
	return condition
}

// urgentFor is the condition that key k has a job of high priority which may be claimed and needs one of the sandbox kinds.
func urgentFor(args *store.Args, kinds []string) string {
	return "EXISTS (SELECT 1 FROM jobs j WHERE j.ready = 1 AND j.queue_key = k.queue_key AND j.priority = 0 AND j.environment IN " + args.List(kinds) + ")"
}

// lockReadyKeys locks the queue keys that have something for the sandbox kinds, always in the same order. Keys under a
// pattern that is not among the locked groups are left out: it is paused, or they came up after those were locked.
func (l *ledger) lockReadyKeys(ctx context.Context, w wish, groups map[string]*group) ([]keyState, error) {
	var args store.Args
	query := "SELECT k.queue_key, k.pattern, k.max_running, k.adapted, k.served_at, CASE WHEN " + urgentFor(&args, w.kinds) + " THEN 0 ELSE 1 END" +
		" FROM queue_keys k WHERE " + readyFor(&args, w) +
		" AND k.pattern IN " + args.List(append(slices.Sorted(maps.Keys(groups)), "")) +
		" ORDER BY k.queue_key" + l.db.ByteOrder() + l.db.ForUpdate()
	var keys []keyState
	err := readRows(ctx, l.tx, query, args.Values, func(scan func(...any) error) error {
		var k keyState
		var pattern string
		if err := scan(&k.key, &pattern, &k.override, &k.adapted, &k.servedAt, &k.head); err != nil {
			return err
		}
		k.group = groups[pattern]
		keys = append(keys, k)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lock queue keys: %w", err)
	}
	return keys, nil
}

func countRunning(ctx context.Context, db store.Querier, keys []keyState) (map[string]int, error) {
	var args store.Args
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.key
	}
	query := "SELECT queue_key, COUNT(*) FROM jobs WHERE state = 'running' AND queue_key IN " + args.List(names) + " GROUP BY queue_key"
	running := map[string]int{}
	err := readRows(ctx, db, query, args.Values, func(scan func(...any) error) error {
		var key string
		var n int
		if err := scan(&key, &n); err != nil {
			return err
		}
		running[key] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count running trials: %w", err)
	}
	return running, nil
}

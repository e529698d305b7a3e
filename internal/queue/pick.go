package queue

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"oddish/api"
	"oddish/internal/store"
)

// keyState is a queue key during a claim.
type keyState struct {
	key      string
	override *int
	servedAt int64
	group    *group // nil: it falls under no pattern

	free       int
	candidates []candidate // in order
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
	groups, err := l.lockGroups(ctx, c.Sandboxes)
	if err != nil {
		return nil, err
	}
	keys, err := l.lockReadyKeys(ctx, c.Sandboxes, groups)
	if err != nil || len(keys) == 0 {
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
		k.free = min(k.group.left(), q.limits.of(k.key, k.override)-running[k.key], c.Slots)
		if k.free <= 0 {
			continue
		}
		for _, kind := range slices.Compact(slices.Sorted(slices.Values(c.Sandboxes))) {
			if err := l.addCandidates(ctx, k, kind); err != nil {
				return nil, err
			}
		}
		slices.SortFunc(k.candidates, compareCandidates)
		k.candidates = k.candidates[:min(len(k.candidates), k.free)]
	}
	return deal(keys, c.Slots), nil
}

// deal gives out the slots: high priority first, and inside a priority one by one to the keys in turn, beginning
// with the one that was served longest ago.
func deal(keys []keyState, slots int) []candidate {
	var picked []candidate
	for len(picked) < slots {
		var next *keyState
		for i := range keys {
			if k := &keys[i]; k.taken < len(k.candidates) && k.group.left() > 0 && (next == nil || compareTurns(k, next) < 0) {
				next = k
			}
		}
		if next == nil {
			break
		}
		picked = append(picked, next.candidates[next.taken])
		next.taken++
		next.group.take()
	}
	return picked
}

func compareTurns(a, b *keyState) int {
	return cmp.Or(
		cmp.Compare(a.candidates[a.taken].priority, b.candidates[b.taken].priority),
		cmp.Compare(a.taken, b.taken),
		cmp.Compare(a.servedAt, b.servedAt),
		cmp.Compare(a.key, b.key),
	)
}

// readyFor is the condition that key k is not paused and has a job which may be claimed and needs one of the sandbox kinds.
func readyFor(args *store.Args, kinds []string) string {
	return "k.paused = 0 AND EXISTS (SELECT 1 FROM jobs j WHERE j.ready = 1 AND j.queue_key = k.queue_key AND j.environment IN " + args.List(kinds) + ")"
}

// lockReadyKeys locks the queue keys that have something for the sandbox kinds, always in the same order. Keys under a
// pattern that is not among the locked groups are left out: it is paused, or they came up after those were locked.
func (l *ledger) lockReadyKeys(ctx context.Context, kinds []string, groups map[string]*group) ([]keyState, error) {
	var args store.Args
	query := "SELECT k.queue_key, k.pattern, k.max_running, k.served_at FROM queue_keys k WHERE " + readyFor(&args, kinds) +
		" AND k.pattern IN " + args.List(append(slices.Sorted(maps.Keys(groups)), "")) +
		" ORDER BY k.queue_key" + l.db.ByteOrder() + l.db.ForUpdate()
	rows, err := l.tx.QueryContext(ctx, query, args.Values...)
	if err != nil {
		return nil, fmt.Errorf("lock queue keys: %w", err)
	}
	defer rows.Close()
	var keys []keyState
	for rows.Next() {
		var k keyState
		var pattern string
		if err := rows.Scan(&k.key, &pattern, &k.override, &k.servedAt); err != nil {
			return nil, fmt.Errorf("lock queue keys: %w", err)
		}
		k.group = groups[pattern]
		keys = append(keys, k)
	}
	if err := rows.Err(); err != nil {
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
	rows, err := db.QueryContext(ctx, query, args.Values...)
	if err != nil {
		return nil, fmt.Errorf("count running trials: %w", err)
	}
	defer rows.Close()
	running := map[string]int{}
	for rows.Next() {
		var key string
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			return nil, fmt.Errorf("count running trials: %w", err)
		}
		running[key] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count running trials: %w", err)
	}
	return running, nil
}

// candidatesQuery is one scan of the index jobs_ready, however long the queue.
const candidatesQuery = `SELECT ` + jobColumns + `, priority, rank FROM jobs WHERE ready = 1 AND queue_key = $1 AND environment = $2
	ORDER BY priority, rank, id LIMIT $3`

func (l *ledger) addCandidates(ctx context.Context, k *keyState, kind string) error {
	rows, err := l.tx.QueryContext(ctx, candidatesQuery, k.key, kind, k.free)
	if err != nil {
		return fmt.Errorf("read queue of %s: %w", k.key, err)
	}
	defer rows.Close()
	for rows.Next() {
		var c candidate
		if err := rows.Scan(append(c.targets(), &c.priority, &c.rank)...); err != nil {
			return fmt.Errorf("read queue of %s: %w", k.key, err)
		}
		k.candidates = append(k.candidates, c)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read queue of %s: %w", k.key, err)
	}
	return nil
}

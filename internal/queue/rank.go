package queue

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
)

// lane is what ranks are compared in.
type lane struct {
	key      string
	priority int
}

// rank gives the plans that are to be queued their start tags of fair queuing: in each lane max(virtual time, last rank of the
// experiment) + 1 and so on. An experiment that comes later begins where the lane now is, not behind all that others have queued.
func rank(plans []plan, last map[lane]int64) {
	for i := range plans {
		p := &plans[i]
		if p.existing == "" {
			at := lane{p.key, p.priority}
			last[at]++
			p.rank = last[at]
		}
	}
}

// lastRanks locks the queue keys of the plans and gives, for each lane, the rank after which the experiment goes on.
func (l *ledger) lastRanks(ctx context.Context, experimentID string, plans []plan) (map[lane]int64, error) {
	next := map[lane]int64{}
	for _, p := range plans {
		next[lane{p.key, p.priority}] = 0
	}
	keys := make([]string, 0, len(next))
	for at := range next {
		keys = append(keys, at.key)
	}
	if err := l.ensureKeys(ctx, keys...); err != nil {
		return nil, err
	}
	// In one order, so that two submissions cannot deadlock.
	for _, at := range slices.SortedFunc(maps.Keys(next), compareLanes) {
		last, err := l.lastRank(ctx, experimentID, at)
		if err != nil {
			return nil, fmt.Errorf("rank in queue %s: %w", at.key, err)
		}
		next[at] = last
	}
	return next, nil
}

func compareLanes(a, b lane) int {
	return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.priority, b.priority))
}

// lastRank locks the lane's queue key and returns the rank after which the experiment goes on.
func (l *ledger) lastRank(ctx context.Context, experimentID string, at lane) (int64, error) {
	var vtimes [2]int64
	row := l.tx.QueryRowContext(ctx, "SELECT vtime_high, vtime_low FROM queue_keys WHERE queue_key = $1"+l.db.ForUpdate(), at.key)
	if err := row.Scan(&vtimes[0], &vtimes[1]); err != nil {
		return 0, err
	}
	var last int64
	row = l.tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(rank), 0) FROM jobs
		WHERE experiment_id = $1 AND queue_key = $2 AND priority = $3`, experimentID, at.key, at.priority)
	if err := row.Scan(&last); err != nil {
		return 0, err
	}
	return max(last, vtimes[at.priority]), nil
}

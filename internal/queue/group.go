package queue

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"oddish/internal/store"
)

// group is a pattern during a claim: what the keys under it may start together. The nil group bounds nothing.
type group struct {
	override *int
	free     int
}

func (g *group) left() int {
	if g == nil {
		return math.MaxInt
	}
	return g.free
}

func (g *group) take() {
	if g != nil {
		g.free--
	}
}

// patternRuns is the condition that the pattern above key k is not paused.
const patternRuns = "NOT EXISTS (SELECT 1 FROM queue_keys p WHERE p.queue_key = k.pattern AND p.paused = 1)"

// groupsQuery finds the patterns that are not paused above keys that have something to claim.
func groupsQuery(args *store.Args, w wish) string {
	return "SELECT p.queue_key, p.max_running FROM queue_keys p WHERE p.paused = 0" +
		" AND EXISTS (SELECT 1 FROM queue_keys k WHERE k.pattern = p.queue_key AND " + readyFor(args, w) + ") ORDER BY p.queue_key"
}

// lockGroups locks the patterns above keys that have something to claim, always in the same order. Also those without
// a limit: one that is set at this moment must hold for the claims after it.
func (l *ledger) lockGroups(ctx context.Context, w wish) (map[string]*group, error) {
	var args store.Args
	query := groupsQuery(&args, w) + l.db.ByteOrder() + l.db.ForUpdate()
	groups := map[string]*group{}
	err := readRows(ctx, l.tx, query, args.Values, func(scan func(...any) error) error {
		var pattern string
		g := &group{free: math.MaxInt}
		if err := scan(&pattern, &g.override); err != nil {
			return err
		}
		groups[pattern] = g
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lock patterns of queue keys: %w", err)
	}
	return groups, nil
}

// measure finds out what the limits of locked groups leave free.
func (q *Queue) measure(ctx context.Context, db store.Querier, groups map[string]*group) error {
	limited := map[string]int{}
	for pattern, g := range groups {
		if limit := q.limits.find(pattern, g.override); limit != nil {
			limited[pattern] = *limit
		}
	}
	if len(limited) == 0 {
		return nil
	}
	var args store.Args
	query := groupRunningQuery(&args, slices.Sorted(maps.Keys(limited)))
	err := readRows(ctx, db, query, args.Values, func(scan func(...any) error) error {
		var pattern string
		var running int
		if err := scan(&pattern, &running); err != nil {
			return err
		}
		limited[pattern] -= running
		return nil
	})
	if err != nil {
		return fmt.Errorf("count running trials of patterns: %w", err)
	}
	for pattern, free := range limited {
		groups[pattern].free = free
	}
	return nil
}

// groupRunningQuery counts running jobs by pattern: one look into the index jobs_running for each key under them.
func groupRunningQuery(args *store.Args, patterns []string) string {
	return `SELECT k.pattern, COUNT(*) FROM queue_keys k JOIN jobs j ON j.queue_key = k.queue_key AND j.state = 'running'
		WHERE k.pattern IN ` + args.List(patterns) + " GROUP BY k.pattern"
}

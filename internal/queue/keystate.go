package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"oddish/internal/store"
)

// KeyState is a queue key, or a pattern, with what waits and runs under it.
type KeyState struct {
	Key                       string
	Limit                     *int // trials that may run at once; nil: a pattern that bounds nothing
	Configured                *int // the limit where none is set at run time; nil: none
	Running, Queued, Retrying int
	Oldest                    *time.Time // when the trial that waits longest was queued
	PausedBy                  string     // the key itself, or the pattern that is paused above it; empty: neither
	BoundedBy                 string     // the pattern with a limit above the key; empty: none

	pattern string
	paused  bool
}

// Pattern reports whether it is a pattern: its trials are those of the keys under it.
func (s *KeyState) Pattern() bool { return isPattern(s.Key) }

// Keys returns all queue keys that ever had a trial, were given a limit or were paused, and the patterns above them that have a limit
// or are paused, sorted by name, each pattern before its keys.
func (q *Queue) Keys(ctx context.Context) ([]KeyState, error) {
	states, err := q.keyStates(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(states, func(s KeyState) bool { return s.Pattern() && s.Limit == nil && !s.paused }), nil
}

// Key returns the state of one queue key or pattern, in any spelling of it, and what was changed of it, the newest of
// that first, at most 100. ErrKey; store.ErrNotFound if it never had a trial or a change.
func (q *Queue) Key(ctx context.Context, key string) (KeyState, []Change, error) {
	name, err := KeyName(key)
	if err != nil {
		return KeyState{}, nil, err
	}
	states, err := q.keyStates(ctx)
	if err != nil {
		return KeyState{}, nil, err
	}
	i := slices.IndexFunc(states, func(s KeyState) bool { return s.Key == name })
	if i < 0 {
		return KeyState{}, nil, fmt.Errorf("queue key %s: %w", name, store.ErrNotFound)
	}
	changes, err := q.changes(ctx, name)
	return states[i], changes, err
}

// keyStates returns the rows of all keys and patterns.
func (q *Queue) keyStates(ctx context.Context) ([]KeyState, error) {
	states, err := q.readKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read queue keys: %w", err)
	}
	// "*" is neither the first nor the last of characters.
	slices.SortFunc(states, func(a, b KeyState) int {
		return cmp.Or(cmp.Compare(a.sortKey(), b.sortKey()), cmp.Compare(a.Key, b.Key))
	})
	byName := make(map[string]*KeyState, len(states))
	for i := range states {
		byName[states[i].Key] = &states[i]
	}
	for i := range states {
		if s := &states[i]; s.paused {
			s.PausedBy = s.Key
		}
	}
	for i := range states {
		if above := byName[states[i].pattern]; above != nil {
			above.include(&states[i])
		}
	}
	return states, nil
}

func (s *KeyState) sortKey() string {
	if s.Pattern() {
		return s.Key[:len(s.Key)-1]
	}
	return s.Key
}

// include adds a key to its pattern, and tells the key what the pattern does to it.
func (s *KeyState) include(k *KeyState) {
	s.Running += k.Running
	s.Queued += k.Queued
	s.Retrying += k.Retrying
	if k.Oldest != nil && (s.Oldest == nil || k.Oldest.Before(*s.Oldest)) {
		s.Oldest = k.Oldest
	}
	if s.paused && !k.paused {
		k.PausedBy = s.Key
	}
	if s.Limit != nil {
		k.BoundedBy = s.Key
	}
}

// keysQuery counts by sub-queries that each read one partial index; finished jobs are in none.
const keysQuery = `SELECT k.queue_key, k.pattern, k.max_running, k.paused, CAST(COALESCE(SUM(c.running), 0) AS bigint),
		CAST(COALESCE(SUM(c.queued), 0) AS bigint), CAST(COALESCE(SUM(c.retrying), 0) AS bigint), MIN(c.oldest)
	FROM queue_keys k LEFT JOIN (
		SELECT queue_key, COUNT(*) AS running, 0 AS queued, 0 AS retrying, NULL AS oldest FROM jobs WHERE state = 'running' GROUP BY queue_key
		UNION ALL SELECT queue_key, 0, SUM(CASE WHEN state = 'queued' THEN 1 ELSE 0 END), SUM(CASE WHEN state = 'queued' THEN 0 ELSE 1 END), MIN(queued_at)
			FROM jobs WHERE ready = 1 GROUP BY queue_key
		UNION ALL SELECT queue_key, 0, 0, COUNT(*), MIN(queued_at) FROM jobs WHERE state = 'retrying' AND ready = 0 AND held = 0 GROUP BY queue_key
	) c ON c.queue_key = k.queue_key
	GROUP BY k.queue_key, k.pattern, k.max_running, k.paused`

func (q *Queue) readKeys(ctx context.Context) ([]KeyState, error) {
	rows, err := q.db.Read().QueryContext(ctx, keysQuery)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	states := []KeyState{}
	for rows.Next() {
		var s KeyState
		var override *int
		var oldest *int64
		var paused int
		if err := rows.Scan(&s.Key, &s.pattern, &override, &paused, &s.Running, &s.Queued, &s.Retrying, &oldest); err != nil {
			return nil, err
		}
		s.Limit, s.Configured = q.limits.find(s.Key, override), q.limits.find(s.Key, nil)
		s.paused, s.Oldest = paused != 0, fromMillis(oldest)
		states = append(states, s)
	}
	return states, rows.Err()
}

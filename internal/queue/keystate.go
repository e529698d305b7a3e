package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"oddish/internal/model"
	"oddish/internal/store"
)

// KeyState is a queue key, or a pattern, with what waits and runs under it.
type KeyState struct {
	Key                       string
	Limit                     *int // trials that may run at once; nil: a pattern that bounds nothing
	Effective                 *int // the lower limit in force because the provider limits the rate; nil: Limit is in force
	Configured                *int // the limit where none is set at run time; nil: none
	Running, Queued, Retrying int
	Held                      int        // of those that are queued or retrying: in paused experiments
	Oldest                    *time.Time // when the trial that waits longest was queued, not counting held ones
	PausedBy                  string     // the key itself, or what is paused above it: its pattern, or "*"; empty: nothing
	HeldUntil                 *time.Time // no trial is started before, because the provider limits the rate; nil: not held
	BoundedBy                 string     // the pattern with a limit above the key; empty: none

	pattern string
	paused  bool
}

// Pattern reports whether it is a pattern: its trials are those of the keys under it.
func (s *KeyState) Pattern() bool { return isPattern(s.Key) }

// Keys returns all queue keys that ever had a trial, were given a limit, also by the configuration, or were paused, and the patterns above them that have a limit
// or are paused, sorted by name, each pattern before its keys, and "*" first.
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

// keyStates returns all keys and patterns that have a row or are configured.
func (q *Queue) keyStates(ctx context.Context) ([]KeyState, error) {
	states, err := q.readKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read queue keys: %w", err)
	}
	states = q.addConfigured(states)
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
		s := &states[i]
		if s.Pattern() {
			continue
		}
		for _, name := range []string{s.pattern, allKeys} {
			if above := byName[name]; above != nil {
				above.include(s)
			}
		}
	}
	if all := byName[allKeys]; all != nil && all.paused {
		for i := range states {
			if s := &states[i]; s.PausedBy == "" {
				s.PausedBy = allKeys
			}
		}
	}
	return states, nil
}

// addConfigured adds the keys of the configuration under which nothing was ever done, so that one can see what was configured.
func (q *Queue) addConfigured(states []KeyState) []KeyState {
	known := map[string]bool{model.LocalKey: true} // always configured, and worth a line only once it is used
	for _, s := range states {
		known[s.Key] = true
	}
	for name := range q.limits.byKey {
		if !known[name] {
			limit := q.limits.find(name, nil)
			states = append(states, KeyState{Key: name, Limit: limit, Configured: limit, pattern: patternOf(name)})
		}
	}
	return states
}

func (s *KeyState) sortKey() string {
	return strings.TrimSuffix(s.Key, "*")
}

// include adds a key to its pattern, and tells the key what the pattern does to it.
func (s *KeyState) include(k *KeyState) {
	s.Running += k.Running
	s.Queued += k.Queued
	s.Retrying += k.Retrying
	s.Held += k.Held
	if k.Oldest != nil && (s.Oldest == nil || k.Oldest.Before(*s.Oldest)) {
		s.Oldest = k.Oldest
	}
	if s.paused && k.PausedBy == "" {
		k.PausedBy = s.Key
	}
	if s.Limit != nil {
		k.BoundedBy = s.Key
	}
}

// keysQuery counts by sub-queries that each read one partial index; finished jobs are in none.
const keysQuery = `SELECT k.queue_key, k.pattern, k.max_running, k.paused, k.adapted, k.held_until, CAST(COALESCE(SUM(c.running), 0) AS bigint),
		CAST(COALESCE(SUM(c.queued), 0) AS bigint), CAST(COALESCE(SUM(c.retrying), 0) AS bigint), CAST(COALESCE(SUM(c.held), 0) AS bigint), MIN(c.oldest)
	FROM queue_keys k LEFT JOIN (
		SELECT queue_key, COUNT(*) AS running, 0 AS queued, 0 AS retrying, 0 AS held, NULL AS oldest FROM jobs WHERE state = 'running' GROUP BY queue_key
		UNION ALL SELECT queue_key, 0, SUM(CASE WHEN state = 'queued' THEN 1 ELSE 0 END), SUM(CASE WHEN state = 'queued' THEN 0 ELSE 1 END), 0, MIN(queued_at)
			FROM jobs WHERE ready = 1 GROUP BY queue_key
		UNION ALL SELECT queue_key, 0, 0, COUNT(*), 0, MIN(queued_at) FROM jobs WHERE state = 'retrying' AND ready = 0 AND held = 0 GROUP BY queue_key
		UNION ALL SELECT queue_key, 0, SUM(CASE WHEN state = 'queued' THEN 1 ELSE 0 END), SUM(CASE WHEN state = 'queued' THEN 0 ELSE 1 END), COUNT(*), NULL
			FROM jobs WHERE held = 1 GROUP BY queue_key
	) c ON c.queue_key = k.queue_key
	GROUP BY k.queue_key, k.pattern, k.max_running, k.paused, k.adapted, k.held_until`

func (q *Queue) readKeys(ctx context.Context) ([]KeyState, error) {
	rows, err := q.db.Read().QueryContext(ctx, keysQuery)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	now := q.now()
	states := []KeyState{}
	for rows.Next() {
		var s KeyState
		var override *int
		var a adaptation
		var heldUntil, oldest *int64
		var paused int
		err := rows.Scan(&s.Key, &s.pattern, &override, &paused, &a.limit, &heldUntil, &s.Running, &s.Queued, &s.Retrying, &s.Held, &oldest)
		if err != nil {
			return nil, err
		}
		s.Limit, s.Configured = q.limits.find(s.Key, override), q.limits.find(s.Key, nil)
		if s.Limit != nil && a.effective(*s.Limit) < *s.Limit {
			s.Effective = a.limit
		}
		if until := fromMillis(heldUntil); until != nil && until.After(now) {
			s.HeldUntil = until
		}
		s.paused, s.Oldest = paused != 0, fromMillis(oldest)
		states = append(states, s)
	}
	return states, rows.Err()
}

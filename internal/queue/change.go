package queue

import (
	"context"
	"fmt"
	"time"

	"oddish/internal/store"
)

// Reason is what the history of a queue key keeps of a change, beside the change. Both may be empty.
type Reason struct{ Text, By string }

// Kinds of a Change.
const (
	ChangeLimit   = "limit"   // a limit was set
	ChangeDefault = "default" // the configured limit was restored
	ChangePause   = "pause"
	ChangeResume  = "resume"

	ChangeRateLimit = "rate_limit" // an episode of a provider's rate limits began
	ChangeGrowth    = "growth"     // the limit grew again after one
)

// Change is one change of a queue key or pattern: by an operator, or by what its provider answered.
type Change struct {
	At       time.Time
	Kind     string
	From, To *int // limits in force before and after; nil: none, or no change of the limit
	Reason
}

// setting is what holds for a key or pattern: what operators set, and what came of it.
type setting struct {
	limit  *int // nil: as configured
	paused bool
	adaptation
}

// SetLimit changes the limit of a queue key or pattern for the next claims and for good; 0 stops it, and a negative n restores the
// configured limit. What rate limits have made of the limit before is forgotten. Trials that already run above a lower limit are left
// alone. ErrKey, also for the key of all keys.
func (q *Queue) SetLimit(ctx context.Context, key string, n int, why Reason) error {
	name, err := LimitName(key)
	if err != nil {
		return err
	}
	return q.change(ctx, name, why, func(s *setting) {
		s.forget()
		s.limit = nil
		if n >= 0 {
			s.limit = &n
		}
	})
}

// Pause keeps trials of a queue key, or of all keys that a pattern stands for, from being started, until Resume. Trials that
// run go on. Pausing twice is harmless. ErrKey.
func (q *Queue) Pause(ctx context.Context, key string, why Reason) error {
	return q.change(ctx, key, why, func(s *setting) { s.paused = true })
}

// Resume ends a Pause of the same key or pattern: a key stays paused while its pattern is. It also ends the hold of a key whose provider
// limited its rate. ErrKey.
func (q *Queue) Resume(ctx context.Context, key string, why Reason) error {
	return q.change(ctx, key, why, func(s *setting) { s.paused, s.heldUntil = false, time.Time{} })
}

// change alters what is set for a key and notes that in its history, unless it is so already.
func (q *Queue) change(ctx context.Context, key string, why Reason, alter func(*setting)) error {
	name, err := KeyName(key)
	if err != nil {
		return err
	}
	err = q.record(ctx, func(l *ledger) error {
		if err := l.ensureKeys(ctx, name); err != nil {
			return err
		}
		before, err := l.lockSetting(ctx, name)
		if err != nil {
			return err
		}
		after := before
		alter(&after)
		changes := q.differences(name, before, after, l.now)
		if len(changes) == 0 {
			return nil
		}
		l.wake = true
		if err := l.saveSetting(ctx, name, after); err != nil {
			return err
		}
		if name == allKeys {
			if err := l.lockAllKeys(ctx); err != nil {
				return err
			}
		}
		for _, c := range changes {
			c.Reason = why
			if err := l.addChange(ctx, name, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("change queue key %s: %w", name, err)
	}
	return nil
}

// lockSetting reads what is set for a key whose row exists, and locks it.
func (l *ledger) lockSetting(ctx context.Context, name string) (setting, error) {
	var s setting
	var paused int
	var episodeAt, heldUntil *int64
	row := l.tx.QueryRowContext(ctx, `SELECT max_running, paused, adapted, threshold, successes, episodes, episode_at, held_until
		FROM queue_keys WHERE queue_key = $1`+l.db.ForUpdate(), name)
	err := row.Scan(&s.limit, &paused, &s.adaptation.limit, &s.threshold, &s.successes, &s.episodes, &episodeAt, &heldUntil)
	s.paused = paused != 0
	if episodeAt != nil {
		s.episodeAt = *fromMillis(episodeAt)
	}
	if heldUntil != nil {
		s.heldUntil = *fromMillis(heldUntil)
	}
	return s, err
}

// saveSetting writes what holds for a key; its row is locked.
func (l *ledger) saveSetting(ctx context.Context, name string, s setting) error {
	_, err := l.tx.ExecContext(ctx, `UPDATE queue_keys SET max_running = $1, paused = $2, adapted = $3, threshold = $4, successes = $5,
			episodes = $6, episode_at = $7, held_until = $8
		WHERE queue_key = $9`, s.limit, store.Flag(s.paused), s.adaptation.limit, s.threshold, s.successes,
		s.episodes, toMillis(s.episodeAt), toMillis(s.heldUntil), name)
	return err
}

// toMillis turns a time into the stored form; null for the zero time.
func toMillis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// differences lists what an operator has changed.
func (q *Queue) differences(name string, before, after setting, now time.Time) []Change {
	var changes []Change
	same := before.limit == after.limit || before.limit != nil && after.limit != nil && *before.limit == *after.limit
	if same = same && before.adaptation.limit == after.adaptation.limit; !same {
		c := Change{Kind: ChangeLimit, From: q.limits.find(name, before.limit), To: q.limits.find(name, after.limit)}
		if c.From != nil {
			c.From = new(before.effective(*c.From))
		}
		if after.limit == nil {
			c.Kind = ChangeDefault
		}
		changes = append(changes, c)
	}
	if before.paused != after.paused || before.held(now) != after.held(now) {
		kind := ChangeResume
		if after.paused {
			kind = ChangePause
		}
		changes = append(changes, Change{Kind: kind})
	}
	return changes
}

// addChange numbers by the changes before; the key's row is locked.
func (l *ledger) addChange(ctx context.Context, name string, c Change) error {
	var seq int
	row := l.tx.QueryRowContext(ctx, `INSERT INTO queue_changes (queue_key, seq, at, kind, from_limit, to_limit, reason, changed_by)
		SELECT k.queue_key, (SELECT COALESCE(MAX(seq), 0) + 1 FROM queue_changes WHERE queue_key = k.queue_key),
			CAST($2 AS bigint), CAST($3 AS text), CAST($4 AS integer), CAST($5 AS integer), CAST($6 AS text), CAST($7 AS text)
		FROM queue_keys k WHERE k.queue_key = $1
		RETURNING seq`, name, l.now.UnixMilli(), c.Kind, c.From, c.To, c.Text, c.By)
	if err := row.Scan(&seq); err != nil {
		return err
	}
	if seq%trimEvery != 0 {
		return nil
	}
	_, err := l.tx.ExecContext(ctx, `DELETE FROM queue_changes WHERE queue_key = $1 AND kind IN ('rate_limit', 'growth') AND seq <=
		(SELECT seq FROM queue_changes WHERE queue_key = $1 AND kind IN ('rate_limit', 'growth') ORDER BY seq DESC LIMIT 1 OFFSET $2)`,
		name, maxAutomatic)
	return err
}

const (
	// maxAutomatic is how many of the changes of a key that no operator made are kept; those of operators all are.
	maxAutomatic = 1000
	trimEvery    = 100
)

// maxChanges is how many of the changes of a key are shown.
const maxChanges = 100

const changesQuery = `SELECT at, kind, from_limit, to_limit, reason, changed_by FROM queue_changes
	WHERE queue_key = $1 ORDER BY seq DESC LIMIT $2`

// changes returns the changes of a key, newest first.
func (q *Queue) changes(ctx context.Context, name string) ([]Change, error) {
	changes := []Change{}
	err := readRows(ctx, q.db.Read(), changesQuery, []any{name, maxChanges}, func(scan func(...any) error) error {
		var c Change
		var at int64
		if err := scan(&at, &c.Kind, &c.From, &c.To, &c.Text, &c.By); err != nil {
			return err
		}
		c.At = *fromMillis(&at)
		changes = append(changes, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read changes of queue key %s: %w", name, err)
	}
	return changes, nil
}

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
)

// Change is one change of a queue key or pattern by an operator.
type Change struct {
	At       time.Time
	Kind     string
	From, To *int // limits in force before and after; nil: none, or no change of the limit
	Reason
}

// setting is what operators can set of a key or pattern.
type setting struct {
	limit  *int // nil: as configured
	paused bool
}

// SetLimit changes the limit of a queue key or pattern for the next claims and for good; 0 stops it, and a negative n restores the
// configured limit. Trials that already run above a lower limit are left alone. ErrKey.
func (q *Queue) SetLimit(ctx context.Context, key string, n int, why Reason) error {
	return q.change(ctx, key, why, func(s *setting) {
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

// Resume ends a Pause of the same key or pattern: a key stays paused while its pattern is. ErrKey.
func (q *Queue) Resume(ctx context.Context, key string, why Reason) error {
	return q.change(ctx, key, why, func(s *setting) { s.paused = false })
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
		changes := q.differences(name, before, after)
		if len(changes) == 0 {
			return nil
		}
		l.wake = true
		_, err = l.tx.ExecContext(ctx, "UPDATE queue_keys SET max_running = $1, paused = $2 WHERE queue_key = $3",
			after.limit, store.Flag(after.paused), name)
		if err != nil {
			return err
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
	row := l.tx.QueryRowContext(ctx, "SELECT max_running, paused FROM queue_keys WHERE queue_key = $1"+l.db.ForUpdate(), name)
	err := row.Scan(&s.limit, &paused)
	s.paused = paused != 0
	return s, err
}

// differences lists what has changed.
func (q *Queue) differences(name string, before, after setting) []Change {
	var changes []Change
	if same := before.limit == after.limit || before.limit != nil && after.limit != nil && *before.limit == *after.limit; !same {
		c := Change{Kind: ChangeLimit, From: q.limits.find(name, before.limit), To: q.limits.find(name, after.limit)}
		if after.limit == nil {
			c.Kind = ChangeDefault
		}
		changes = append(changes, c)
	}
	if before.paused != after.paused {
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
	_, err := l.tx.ExecContext(ctx, `INSERT INTO queue_changes (queue_key, seq, at, kind, from_limit, to_limit, reason, changed_by)
		SELECT k.queue_key, (SELECT COALESCE(MAX(seq), 0) + 1 FROM queue_changes WHERE queue_key = k.queue_key),
			CAST($2 AS bigint), CAST($3 AS text), CAST($4 AS integer), CAST($5 AS integer), CAST($6 AS text), CAST($7 AS text)
		FROM queue_keys k WHERE k.queue_key = $1`, name, l.now.UnixMilli(), c.Kind, c.From, c.To, c.Text, c.By)
	return err
}

// maxChanges is how many of the changes of a key are shown.
const maxChanges = 100

const changesQuery = `SELECT at, kind, from_limit, to_limit, reason, changed_by FROM queue_changes
	WHERE queue_key = $1 ORDER BY seq DESC LIMIT $2`

// changes returns the changes of a key, newest first.
func (q *Queue) changes(ctx context.Context, name string) ([]Change, error) {
	rows, err := q.db.Read().QueryContext(ctx, changesQuery, name, maxChanges)
	if err != nil {
		return nil, fmt.Errorf("read changes of queue key %s: %w", name, err)
	}
	defer rows.Close()
	changes := []Change{}
	for rows.Next() {
		var c Change
		var at int64
		if err := rows.Scan(&at, &c.Kind, &c.From, &c.To, &c.Text, &c.By); err != nil {
			return nil, fmt.Errorf("read changes of queue key %s: %w", name, err)
		}
		c.At = *fromMillis(&at)
		changes = append(changes, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read changes of queue key %s: %w", name, err)
	}
	return changes, nil
}

package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// feedback is what the end of a run may tell its queue key, whose row is locked.
type feedback struct {
	key    string
	before setting
}

// lockFeedback locks the queue key of a job if the report is of interest to it, and returns nil otherwise: the ends of runs must not wait
// for each other where a provider limits nothing. Call it before the job is locked.
func (l *ledger) lockFeedback(ctx context.Context, jobID string, f *api.Finish) (*feedback, error) {
	limited := rateLimited(f)
	if !limited && f.Outcome != api.StatusSuccess {
		return nil, nil
	}
	var key string
	var adapted bool
	row := l.tx.QueryRowContext(ctx, `SELECT k.queue_key, k.adapted IS NOT NULL OR k.episodes > 0
		FROM jobs j JOIN queue_keys k ON k.queue_key = j.queue_key WHERE j.id = $1`, jobID)
	if err := row.Scan(&key, &adapted); errors.Is(err, sql.ErrNoRows) || err == nil && !limited && !adapted {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read queue key of job %s: %w", jobID, err)
	}
	if l.together { // jobs are locked already
		return nil, errAlone
	}
	before, err := l.lockSetting(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("lock queue key %s: %w", key, err)
	}
	return &feedback{key: key, before: before}, nil
}

// rateLimited reports whether the provider refused what the run asked of it.
func rateLimited(f *api.Finish) bool {
	return f.ErrorClass == api.ClassRateLimit && f.Outcome != api.StatusCancelled
}

// tell changes the limit of the key as the report demands. The job that ends is still running.
func (q *Queue) tell(ctx context.Context, l *ledger, to *feedback, f *api.Finish) error {
	if to == nil {
		return nil
	}
	set, after := q.limits.of(to.key, to.before.limit), to.before
	c := Change{From: new(to.before.effective(set))}
	noted := false
	if rateLimited(f) {
		noted = after.rateLimited(set, askedWait(f), l.now)
		c.Kind, c.Text = ChangeRateLimit, rateLimitText(&after.adaptation, f, l.now)
		l.needBy(after.heldUntil)
	} else {
		running, err := countRunning(ctx, l.tx, []keyState{{key: to.key}})
		if err != nil {
			return err
		}
		noted = after.succeeded(set, running[to.key], l.now)
		c.Kind, c.Text = ChangeGrowth, "a success at the limit"
	}
	c.To = new(after.effective(set))
	if err := l.saveSetting(ctx, to.key, after); err != nil {
		return fmt.Errorf("adapt limit of queue key %s: %w", to.key, err)
	}
	if !noted {
		return nil
	}
	if err := l.addChange(ctx, to.key, c); err != nil {
		return fmt.Errorf("note change of queue key %s: %w", to.key, err)
	}
	return nil
}

// askedWait is how long the provider asked to wait; 0: it did not say.
func askedWait(f *api.Finish) time.Duration {
	if f.RetryAfterSec == nil || *f.RetryAfterSec <= 0 {
		return 0
	}
	return time.Duration(min(*f.RetryAfterSec, maxRetryAfter.Seconds()) * float64(time.Second))
}

func rateLimitText(a *adaptation, f *api.Finish, now time.Time) string {
	if wait := askedWait(f); wait > 0 {
		return "rate limit: the provider asked to wait " + wait.Round(time.Second).String()
	}
	return "rate limit: nothing is started for " + a.heldUntil.Sub(now).Round(time.Second).String()
}

// endHolds opens the keys whose hold is over. Call it before any job is locked.
func (l *ledger) endHolds(ctx context.Context) error {
	keys, err := store.Texts(ctx, l.tx, "SELECT queue_key FROM queue_keys WHERE held_until <= $1 ORDER BY queue_key"+l.db.ByteOrder()+l.db.ForUpdate(),
		l.now.UnixMilli())
	if err != nil {
		return fmt.Errorf("look for queue keys to open: %w", err)
	}
	for _, key := range keys {
		if _, err := l.tx.ExecContext(ctx, "UPDATE queue_keys SET held_until = NULL WHERE queue_key = $1", key); err != nil {
			return fmt.Errorf("open queue key %s: %w", key, err)
		}
		l.wake = true
	}
	return nil
}

package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"oddish/api"
	"oddish/internal/store"
)

// Retry queues a trial that has ended once more, with a full budget of attempts; its earlier runs are kept. store.ErrNotFound;
// store.ErrConflict if the trial has not ended, or had secrets, which were wiped when it did.
func (q *Queue) Retry(ctx context.Context, trialID string) error {
	return q.record(ctx, func(l *ledger) error {
		at, err := l.laneOf(ctx, trialID)
		if err != nil {
			return err
		}
		last, err := l.lastRank(ctx, at.experimentID, at.lane)
		if err != nil {
			return fmt.Errorf("retry trial %s: %w", trialID, err)
		}
		j, err := l.lockJob(ctx, trialID)
		switch {
		case err != nil:
			return err
		case !j.state.Terminal():
			return fmt.Errorf("trial %s is %s: %w: only one that has ended can be tried again", trialID, j.state, store.ErrConflict)
		case at.hasSecrets != 0:
			return fmt.Errorf("trial %s had secret environment values, which were wiped when it ended: %w: submit it again", trialID, store.ErrConflict)
		}
		return l.requeue(ctx, &j, last+1)
	})
}

// place is where a trial stands.
type place struct {
	lane
	experimentID string
	hasSecrets   int
}

func (l *ledger) laneOf(ctx context.Context, trialID string) (place, error) {
	var p place
	row := l.tx.QueryRowContext(ctx, `SELECT j.queue_key, j.priority, j.experiment_id, t.has_secrets
		FROM jobs j JOIN trials t ON t.id = j.id WHERE j.id = $1`, trialID)
	if err := row.Scan(&p.key, &p.priority, &p.experimentID, &p.hasSecrets); errors.Is(err, sql.ErrNoRows) {
		return place{}, fmt.Errorf("trial %s: %w", trialID, store.ErrNotFound)
	} else if err != nil {
		return place{}, fmt.Errorf("read trial %s: %w", trialID, err)
	}
	return p, nil
}

func (l *ledger) requeue(ctx context.Context, j *job, rank int64) error {
	const query = `UPDATE jobs SET state = 'queued', ready = 1, rank = $1, outcome_attempt = 0, used_attempts = 0, losses = 0,
			cancel_requested = 0, available_at = NULL, queued_at = $2, started_at = NULL, finished_at = NULL
		WHERE id = $3`
	if _, err := l.tx.ExecContext(ctx, query, rank, l.now.UnixMilli(), j.id); err != nil {
		return fmt.Errorf("retry trial %s: %w", j.id, err)
	}
	l.move(j, api.StatusQueued)
	l.tally(j).recount = true
	l.event(j, "queued", api.Event{})
	l.trim[j.id] = true
	return nil
}

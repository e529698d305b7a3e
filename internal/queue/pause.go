package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"oddish/api"
	"oddish/internal/store"
)

// PauseExperiment keeps trials of an experiment from being started, until ResumeExperiment: those that wait, those that come back for
// another attempt, and those that are submitted or retried meanwhile. Trials that run go on. Once it has returned nothing is started; a
// call that failed may have done a part, which another one, or the next Run, finishes. Pausing twice is harmless. store.ErrNotFound.
func (q *Queue) PauseExperiment(ctx context.Context, id string) error {
	return q.steer(ctx, id, true)
}

// ResumeExperiment ends a PauseExperiment. store.ErrNotFound.
func (q *Queue) ResumeExperiment(ctx context.Context, id string) error {
	return q.steer(ctx, id, false)
}

func (q *Queue) steer(ctx context.Context, id string, paused bool) error {
	err := q.record(ctx, func(l *ledger) error {
		result, err := l.tx.ExecContext(ctx, "UPDATE experiments SET paused = $1 WHERE id = $2", store.Flag(paused), id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("experiment %s: %w", id, store.ErrNotFound))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s experiment: %w", verb(paused), err)
	}
	// What has begun is brought to its end, also for a client that hung up.
	return q.followPause(context.WithoutCancel(ctx), id, paused)
}

func verb(paused bool) string {
	if paused {
		return "pause"
	}
	return "resume"
}

// holdChunk is how many jobs one transaction holds or lets go, so that a great experiment does not hold everybody up.
const holdChunk = 500

// errOvertaken says that an experiment was paused or resumed once more.
var errOvertaken = errors.New("the experiment's pause was changed meanwhile")

// followPause holds the waiting jobs of an experiment that was paused, or lets go those of one that was resumed, unless it is overtaken by
// the opposite. Jobs that begin to wait afterwards are seen to by their own transactions, see ledger.holdWaiting.
func (q *Queue) followPause(ctx context.Context, id string, paused bool) error {
	query := "SELECT id FROM jobs WHERE experiment_id = $1 AND state IN ('queued', 'retrying') AND held = 0 ORDER BY id"
	if !paused {
		query = heldQuery
	}
	ids, err := store.Texts(ctx, q.db.Read(), query, id)
	if err != nil {
		return fmt.Errorf("%s experiment %s: read its trials: %w", verb(paused), id, err)
	}
	for chunk := range slices.Chunk(ids, holdChunk) {
		err := q.record(ctx, func(l *ledger) error {
			if err := l.setHeld(ctx, chunk, paused); err != nil {
				return err
			}
			return l.checkPause(ctx, id, paused)
		})
		if errors.Is(err, errOvertaken) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s experiment %s: %w", verb(paused), id, err)
		}
	}
	return nil
}

const heldQuery = "SELECT id FROM jobs WHERE held = 1 AND experiment_id = $1 ORDER BY id"

// setHeld holds those of the jobs that wait, or lets go those that are held.
func (l *ledger) setHeld(ctx context.Context, ids []string, held bool) error {
	var args store.Args
	where := "id IN " + args.List(ids) + " AND state IN ('queued', 'retrying') AND held = " + args.Add(1-store.Flag(held))
	jobs, err := l.lockJobs(ctx, where+" ORDER BY id"+l.db.ByteOrder(), args.Values...)
	if err != nil || len(jobs) == 0 {
		return err
	}
	for i := range jobs {
		ids[i] = jobs[i].id
	}
	return l.writeHeld(ctx, ids[:len(jobs)], held)
}

// writeHeld writes whether waiting jobs, which are locked, are held.
func (l *ledger) writeHeld(ctx context.Context, ids []string, held bool) error {
	var args store.Args
	set := "held = 1, ready = 0"
	if !held {
		set = "held = 0, ready = CASE WHEN state = 'queued' OR available_at <= " + args.Add(l.now.UnixMilli()) + " THEN 1 ELSE 0 END"
		l.wake = true
		l.needBy(l.now) // retries that are not due yet have a time again
	}
	query := "UPDATE jobs SET " + set + " WHERE id IN " + args.List(ids)
	if _, err := l.tx.ExecContext(ctx, query, args.Values...); err != nil {
		return fmt.Errorf("hold or let go trials: %w", err)
	}
	return nil
}

// checkPause locks the experiment's row, after those of its jobs, and fails with errOvertaken unless it is paused, or not, as before.
func (l *ledger) checkPause(ctx context.Context, id string, paused bool) error {
	var flag int
	row := l.tx.QueryRowContext(ctx, "UPDATE experiments SET paused = paused WHERE id = $1 RETURNING paused", id)
	err := row.Scan(&flag)
	if errors.Is(err, sql.ErrNoRows) || err == nil && flag != store.Flag(paused) {
		return errOvertaken
	}
	return err
}

// holdWaiting holds the jobs of a paused experiment that wait after this transaction's events. The experiment's row is locked, which
// orders that with the pause: jobs that came before it are found by its search, and later ones come here.
func (l *ledger) holdWaiting(ctx context.Context, events []api.Event) error {
	last := map[string]api.Status{}
	for _, e := range events {
		last[e.TrialID] = e.Status
	}
	var ids []string
	for id, status := range last {
		if status == api.StatusQueued || status == api.StatusRetrying {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for chunk := range slices.Chunk(ids, holdChunk) {
		if err := l.writeHeld(ctx, chunk, true); err != nil {
			return err
		}
	}
	return nil
}

const halfResumed = "SELECT id FROM experiments WHERE paused = 0 AND id IN (SELECT experiment_id FROM jobs WHERE held = 1)"

// finishPauses brings pauses and resumes to their end that a server left half done when it died.
func (q *Queue) finishPauses(ctx context.Context) error {
	for _, half := range []struct {
		paused bool
		query  string
	}{
		{true, "SELECT id FROM experiments WHERE paused = 1"},
		{false, halfResumed},
	} {
		experiments, err := store.Texts(ctx, q.db.Read(), half.query)
		if err != nil {
			return fmt.Errorf("look for half-done pauses of experiments: %w", err)
		}
		for _, id := range experiments {
			if err := q.followPause(ctx, id, half.paused); err != nil {
				return err
			}
		}
	}
	return nil
}

package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// Claimed is a trial handed to a worker.
type Claimed struct {
	Trial          store.Trial // with its secrets
	ExperimentName string
	Attempt        int // 1 is the first
	Lease          string
	LeaseUntil     time.Time
	TrialName      string // of this run's trial directory; unique in the experiment
}

// safetyPoll is how often a waiting claim, or Run, looks although nothing woke it: another process may have
// changed the database.
const safetyPoll = 30 * time.Second

// Claim hands the worker up to Slots trials that it can run now, and waits up to WaitSec for the first. No trial is an
// empty list. Limits of queue keys are never exceeded, whatever claims at the same time. While it waits it asks
// the database nothing, except twice a minute, for all workers with the same sandboxes together.
func (q *Queue) Claim(ctx context.Context, c api.Claim) ([]Claimed, error) {
	if c.WorkerID == "" || c.Slots < 1 || len(c.Sandboxes) == 0 {
		return nil, fmt.Errorf("claim of worker %q: it needs an id, a free slot and a sandbox kind", c.WorkerID)
	}
	timeout := time.NewTimer(time.Duration(c.WaitSec) * time.Second)
	defer timeout.Stop()
	wake := q.hub.claimable() // before looking, so that no change is missed
	claimed, err := q.claimFirst(ctx, c, wake)
	for err == nil && len(claimed) == 0 {
		poll := time.NewTimer(safetyPoll)
		select {
		case <-ctx.Done():
			poll.Stop()
			return nil, ctx.Err()
		case <-timeout.C:
			poll.Stop()
			return []Claimed{}, nil
		case <-wake:
		case <-poll.C:
		}
		poll.Stop()
		wake = q.hub.claimable()
		claimed, err = q.claimAgain(ctx, c, wake)
	}
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), q.giveBack(context.WithoutCancel(ctx), claimed))
	}
	return claimed, nil
}

// claimAgain looks before it claims: of many claims that an event wakes most find nothing, and
// need not stand in line for a write transaction. What another one has seen meanwhile is not looked for again.
func (q *Queue) claimAgain(ctx context.Context, c api.Claim, wake <-chan struct{}) ([]Claimed, error) {
	now := q.now()
	if q.lookout.isEmpty(c.Sandboxes, wake, now) {
		return nil, nil
	}
	w, err := q.wishOf(ctx, q.db.Read(), c, now)
	if err != nil {
		return nil, err
	}
	var args store.Args
	query := "SELECT EXISTS (SELECT 1 FROM queue_keys k WHERE " + readyFor(&args, w) + " AND " + patternRuns + ")" +
		" OR EXISTS (SELECT 1 FROM jobs WHERE state = 'retrying' AND ready = 0 AND held = 0 AND available_at <= " + args.Add(now.UnixMilli()) + ")"
	var found bool
	if err := q.db.Read().QueryRowContext(ctx, query, args.Values...).Scan(&found); err != nil {
		return nil, fmt.Errorf("look for a trial to claim: %w", err)
	}
	var claimed []Claimed
	if found {
		if claimed, err = q.claimNow(ctx, c, false); err != nil {
			return nil, err
		}
	}
	if len(claimed) == 0 {
		q.lookout.sawEmpty(c.Sandboxes, wake, now)
	}
	return claimed, nil
}

// claimFirst notes the worker where that is due. A worker that does not wait is always given what there is now.
func (q *Queue) claimFirst(ctx context.Context, c api.Claim, wake <-chan struct{}) ([]Claimed, error) {
	now := q.now()
	register := !q.lookout.isNoted(c, now)
	if !register && c.WaitSec > 0 {
		return q.claimAgain(ctx, c, wake)
	}
	claimed, err := q.claimNow(ctx, c, register)
	if err != nil {
		return nil, err
	}
	if register {
		q.lookout.note(c, now)
	}
	if len(claimed) == 0 {
		q.lookout.sawEmpty(c.Sandboxes, wake, now)
	}
	return claimed, nil
}

// claimNow claims in one transaction; register says to note the worker too.
func (q *Queue) claimNow(ctx context.Context, c api.Claim, register bool) ([]Claimed, error) {
	var claimed []Claimed
	err := q.record(ctx, func(l *ledger) error {
		claimed = nil
		if register {
			if err := l.register(ctx, c); err != nil {
				return err
			}
		}
		if err := l.promote(ctx); err != nil {
			return err
		}
		picked, err := q.pick(ctx, l, c)
		if err != nil || len(picked) == 0 {
			return err
		}
		claimed, err = q.take(ctx, l, c.WorkerID, picked)
		return err
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// register notes that the worker is there and what it can do.
func (l *ledger) register(ctx context.Context, c api.Claim) error {
	sandboxes, err := store.JSON(c.Sandboxes)
	if err != nil {
		return err
	}
	const query = `INSERT INTO workers (id, hostname, version, sandboxes, first_seen, last_seen) VALUES ($1, $2, $3, $4, $5, $5)
		ON CONFLICT (id) DO UPDATE SET hostname = excluded.hostname, version = excluded.version,
			sandboxes = excluded.sandboxes, last_seen = excluded.last_seen`
	if _, err := l.tx.ExecContext(ctx, query, c.WorkerID, c.Hostname, c.Version, sandboxes, l.now.UnixMilli()); err != nil {
		return fmt.Errorf("note worker %s: %w", c.WorkerID, err)
	}
	return nil
}

// promote makes retries that have become due claimable.
func (l *ledger) promote(ctx context.Context) error {
	const query = "UPDATE jobs SET ready = 1 WHERE state = 'retrying' AND ready = 0 AND held = 0 AND available_at <= $1"
	result, err := l.tx.ExecContext(ctx, query, l.now.UnixMilli())
	if err != nil {
		return fmt.Errorf("look for due retries: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("look for due retries: %w", err)
	}
	l.wake = l.wake || n > 0
	return nil
}

// giveBack returns trials whose worker went away while it waited for the answer.
func (q *Queue) giveBack(ctx context.Context, claimed []Claimed) error {
	for _, c := range claimed {
		_, err := q.Finish(ctx, c.Trial.ID, c.Lease, api.Finish{
			Outcome: api.StatusCancelled, ErrorType: errorWorkerLost, ErrorClass: api.ClassInfrastructure,
			ErrorMessage: "the worker went away before it was given the trial",
		})
		if err != nil {
			return fmt.Errorf("give trial %s back: %w", c.Trial.ID, err)
		}
	}
	return nil
}

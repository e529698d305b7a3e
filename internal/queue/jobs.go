package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"oddish/api"
	"oddish/internal/store"
)

// kindTrial is the kind of a job that runs a trial; its id and subject are the trial's id.
const kindTrial = "trial"

// job is a row of the queue as far as decisions need it.
type job struct {
	id, taskID, experimentID string
	key                      string
	state                    api.Status
	attempt                  int // runs started
	used, losses             int
	maxAttempts              int
	lease                    string
	cancelRequested          int
}

const jobColumns = "id, task_id, experiment_id, queue_key, state, attempt, used_attempts, losses, max_attempts, lease, cancel_requested"

func (j *job) targets() []any {
	return []any{
		&j.id, &j.taskID, &j.experimentID, &j.key, &j.state, &j.attempt, &j.used, &j.losses, &j.maxAttempts, &j.lease, &j.cancelRequested,
	}
}

// lockJob reads a job and keeps others from changing it until the transaction ends. store.ErrNotFound.
func (l *ledger) lockJob(ctx context.Context, id string) (job, error) {
	var j job
	row := l.tx.QueryRowContext(ctx, "SELECT "+jobColumns+" FROM jobs WHERE id = $1"+l.db.ForUpdate(), id)
	if err := row.Scan(j.targets()...); errors.Is(err, sql.ErrNoRows) {
		return job{}, fmt.Errorf("trial %s: %w", id, store.ErrNotFound)
	} else if err != nil {
		return job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	return j, nil
}

// lockLeased is lockJob for a worker that says it holds the lease; ErrStale if it doesn't.
func (l *ledger) lockLeased(ctx context.Context, id, lease string) (job, error) {
	j, err := l.lockJob(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !j.heldBy(lease) {
		return j, stale(id)
	}
	return j, err
}

// heldBy compares with the fence: the token drawn at the claim, not the worker's name and not the clock. A lease whose
// time has run out counts until it is reaped, since nobody else can hold the job before.
func (j *job) heldBy(lease string) bool {
	return j.state == api.StatusRunning && lease != "" && j.lease == lease
}

func stale(id string) error { return fmt.Errorf("job %s: %w", id, ErrStale) }

// lockJobs reads and locks the jobs that the rest of the statement selects.
func (l *ledger) lockJobs(ctx context.Context, where string, args ...any) ([]job, error) {
	return readJobs(ctx, l.tx, where+l.db.ForUpdate(), args...)
}

// readJobs reads the jobs that the rest of the statement selects.
func readJobs(ctx context.Context, db store.Querier, where string, args ...any) ([]job, error) {
	jobs, err := store.Collect(ctx, db, "SELECT "+jobColumns+" FROM jobs WHERE "+where, args, (*job).targets)
	if err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}
	return jobs, nil
}

package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"oddish/api"
	"oddish/internal/store"
)

// Resumed is a run that goes on under another worker process.
type Resumed struct {
	Claimed
	Seq int64 // of the newest progress event that was seen
}

// ResumeJobs gives the runs whose leases are still held, also those whose time is over but that were not reaped, to the
// worker that asks, as its own former process has left them on its machine, and says which are lost. A lease
// stays the same token and is as long as a new one. Asking again gives the same answer.
func (q *Queue) ResumeJobs(ctx context.Context, r api.ResumeJobs) ([]Resumed, []string, error) {
	if r.WorkerID == "" {
		return nil, nil, errors.New("resume jobs: the worker needs an id")
	}
	// In one order, so that it cannot deadlock with a heartbeat.
	refs := slices.SortedFunc(slices.Values(r.Jobs), func(a, b api.JobRef) int { return cmp.Compare(a.ID, b.ID) })
	var resumed []Resumed
	var lost []string
	err := q.record(ctx, func(l *ledger) error {
		resumed, lost = []Resumed{}, []string{}
		if err := l.greet(ctx, r); err != nil {
			return err
		}
		for _, ref := range refs {
			run, err := q.resume(ctx, l, r.WorkerID, ref)
			switch {
			case errors.Is(err, ErrStale):
				lost = append(lost, ref.ID)
			case err != nil:
				return fmt.Errorf("resume trial %s: %w", ref.ID, err)
			default:
				resumed = append(resumed, run)
			}
		}
		return nameResumed(ctx, l, resumed)
	})
	if err != nil {
		return nil, nil, err
	}
	return resumed, lost, nil
}

// greet notes that the worker is there. What it can do it says with its first claim.
func (l *ledger) greet(ctx context.Context, r api.ResumeJobs) error {
	const query = `INSERT INTO workers (id, hostname, version, sandboxes, first_seen, last_seen) VALUES ($1, $2, $3, '[]', $4, $4)
		ON CONFLICT (id) DO UPDATE SET hostname = excluded.hostname, version = excluded.version, last_seen = excluded.last_seen`
	if _, err := l.tx.ExecContext(ctx, query, r.WorkerID, r.Hostname, r.Version, l.now.UnixMilli()); err != nil {
		return fmt.Errorf("note worker %s: %w", r.WorkerID, err)
	}
	return nil
}

// resume moves one run to the worker; ErrStale if its lease is not held.
func (q *Queue) resume(ctx context.Context, l *ledger, workerID string, ref api.JobRef) (Resumed, error) {
	j, err := l.lockLeased(ctx, ref.ID, ref.Lease)
	if err != nil {
		return Resumed{}, err
	}
	trial, err := q.trialWithSecrets(ctx, l, j.id)
	if err != nil {
		return Resumed{}, err
	}
	until := l.now.Add(q.lease)
	const job = "UPDATE jobs SET worker_id = $1, lease_until = $2 WHERE id = $3"
	if _, err := l.tx.ExecContext(ctx, job, workerID, until.UnixMilli(), j.id); err != nil {
		return Resumed{}, err
	}
	var seq int64
	var dir string
	const attempt = "UPDATE attempts SET worker_id = $1 WHERE trial_id = $2 AND attempt = $3 RETURNING last_seq, trial_dir"
	if err := l.tx.QueryRowContext(ctx, attempt, workerID, j.id, j.attempt).Scan(&seq, &dir); err != nil {
		return Resumed{}, err
	}
	return Resumed{
		Claimed: Claimed{Trial: trial, Attempt: j.attempt, Lease: j.lease, LeaseUntil: until, TrialName: path.Base(dir)},
		Seq:     seq,
	}, nil
}

// trialWithSecrets reads a trial as a worker needs it. One whose secrets cannot be read is ErrStale: its lease is left to
// end, and the next claim says what is wrong.
func (q *Queue) trialWithSecrets(ctx context.Context, l *ledger, id string) (store.Trial, error) {
	trials, err := readTrials(ctx, l.tx, []run{{job: job{id: id}}})
	if err != nil {
		return store.Trial{}, err
	}
	trial := trials[id]
	var sealed string
	row := l.tx.QueryRowContext(ctx, "SELECT COALESCE(secrets, '') FROM trials WHERE id = $1", id)
	if err := row.Scan(&sealed); err != nil {
		return store.Trial{}, err
	}
	if sealed == "" {
		return trial, nil
	}
	if err := q.unseal(&trial, sealed); err != nil {
		q.log.ErrorContext(ctx, "trial cannot be resumed", "trial", id, "error", err)
		return store.Trial{}, stale(id)
	}
	return trial, nil
}

func nameResumed(ctx context.Context, l *ledger, resumed []Resumed) error {
	for i := range resumed {
		e, err := store.FindExperiment(ctx, l.tx, resumed[i].Trial.ExperimentID)
		if err != nil {
			return err
		}
		resumed[i].ExperimentName = e.Name
	}
	return nil
}

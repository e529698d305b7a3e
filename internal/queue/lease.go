package queue

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"oddish/api"
	"oddish/internal/store"
)

// Heartbeat renews the leases of a worker's runs and says which of them are to be stopped because their trial
// was cancelled, and which are no longer the worker's.
func (q *Queue) Heartbeat(ctx context.Context, h api.Heartbeat) (api.HeartbeatAck, error) {
	// In one order, so that two heartbeats cannot deadlock.
	refs := slices.SortedFunc(slices.Values(h.Jobs), func(a, b api.JobRef) int { return cmp.Compare(a.ID, b.ID) })
	var ack api.HeartbeatAck
	err := q.record(ctx, func(l *ledger) error {
		ack = api.HeartbeatAck{Cancel: []string{}, Lost: []string{}, LeaseUntil: l.now.Add(q.lease), LeaseSec: q.lease.Seconds()}
		_, err := l.tx.ExecContext(ctx, "UPDATE workers SET last_seen = $1 WHERE id = $2", l.now.UnixMilli(), h.WorkerID)
		if err != nil {
			return fmt.Errorf("note worker %s: %w", h.WorkerID, err)
		}
		return inChunks(refs, func(some []api.JobRef) error {
			if err := l.renew(ctx, some, &ack); err != nil {
				return err
			}
			held, err := q.exceededToday(ctx, l, some)
			ack.DayExceeded = append(ack.DayExceeded, held...)
			return err
		})
	})
	if err != nil {
		return api.HeartbeatAck{}, err
	}
	return ack, nil
}

// renew makes the leases of jobs end when the answer says, and adds to it those that are lost or to be stopped. Only a running job has a
// lease; to ask for its state as well would let PostgreSQL take the index of all running jobs instead of their ids.
func (l *ledger) renew(ctx context.Context, refs []api.JobRef, ack *api.HeartbeatAck) error {
	if err := l.lockRefs(ctx, refs); err != nil {
		return err
	}
	var args store.Args
	query := "UPDATE jobs SET lease_until = " + args.Add(ack.LeaseUntil.UnixMilli()) +
		" FROM (VALUES " + valueRows(refs, func(ref api.JobRef) string { return args.Row(ref.ID, ref.Lease) }) + `) AS v
		WHERE jobs.id = v.column1 AND jobs.lease = v.column2 AND jobs.lease <> ''
		RETURNING jobs.id, jobs.lease, jobs.cancel_requested`
	held := map[api.JobRef]bool{}
	err := readRows(ctx, l.tx, query, args.Values, func(scan func(...any) error) error {
		var ref api.JobRef
		var cancel int
		if err := scan(&ref.ID, &ref.Lease, &cancel); err != nil {
			return err
		}
		held[ref] = true
		if cancel != 0 {
			ack.Cancel = append(ack.Cancel, ref.ID)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("renew leases: %w", err)
	}
	for _, ref := range refs {
		if !held[ref] {
			ack.Lost = append(ack.Lost, ref.ID)
		}
	}
	over, err := l.exceededAmong(ctx, refs)
	ack.BudgetExceeded = append(ack.BudgetExceeded, over...)
	return err
}

// lockRefs locks the jobs of a heartbeat in the order in which everybody locks jobs: the update takes them in any.
func (l *ledger) lockRefs(ctx context.Context, refs []api.JobRef) error {
	if l.db.ForUpdate() == "" || len(refs) < 2 {
		return nil
	}
	var args store.Args
	ids := make([]string, len(refs))
	for i, ref := range refs {
		ids[i] = ref.ID
	}
	if _, err := store.Texts(ctx, l.tx, "SELECT id FROM jobs WHERE id IN "+args.List(ids)+" ORDER BY id"+l.db.ByteOrder()+l.db.ForUpdate(), args.Values...); err != nil {
		return fmt.Errorf("lock jobs of a heartbeat: %w", err)
	}
	return nil
}

// Progress notes what a run is doing and says whether it is to be stopped. Events whose sequence number was seen
// are ignored. ErrStale.
func (q *Queue) Progress(ctx context.Context, jobID, lease string, p api.Progress) (api.ProgressAck, error) {
	var ack api.ProgressAck
	err := q.recordJob(ctx, jobID, func(ctx context.Context, l *ledger) error {
		var toKey *feedback
		if limited := limitedBy(p.Events, 0); limited != nil {
			var err error
			if toKey, err = l.lockFeedback(ctx, jobID, limited); err != nil {
				return err
			}
		}
		j, err := l.lockLeased(ctx, jobID, lease)
		if err != nil {
			return err
		}
		ack = api.ProgressAck{Cancel: j.cancelRequested != 0}
		before, err := l.progress(ctx, &j, p.Events)
		if err != nil {
			return fmt.Errorf("note progress of trial %s: %w", jobID, err)
		}
		if limited := limitedBy(p.Events, before); limited != nil {
			if err := q.tell(ctx, l, toKey, limited); err != nil {
				return err
			}
		}
		if asksForBudget(p.Events) {
			ack.BudgetExceeded, err = q.exceeded(ctx, l, &j)
		}
		return err
	})
	if err != nil {
		return api.ProgressAck{}, err
	}
	return ack, nil
}

// asksForBudget reports whether the answer has to tell of a used up budget: to a worker that is about to start the trial, which reports
// nothing, and to one that reports what was used.
func asksForBudget(events []api.ProgressEvent) bool {
	return len(events) == 0 || slices.ContainsFunc(events, func(e api.ProgressEvent) bool { return e.Usage != nil })
}

// progress notes the events that were not seen before, and gives the number of the newest one that was.
func (l *ledger) progress(ctx context.Context, j *job, events []api.ProgressEvent) (seen int64, err error) {
	var last int64
	var stage api.Stage
	var sandbox string
	var usage api.Usage
	row := l.tx.QueryRowContext(ctx, "SELECT last_seq, stage, sandbox_id FROM attempts WHERE trial_id = $1 AND attempt = $2", j.id, j.attempt)
	if err := row.Scan(&last, &stage, &sandbox); err != nil {
		return 0, err
	}
	events = slices.SortedFunc(slices.Values(events), func(a, b api.ProgressEvent) int { return cmp.Compare(a.Seq, b.Seq) })
	seen = last
	for _, e := range events {
		if e.Seq <= last {
			continue
		}
		last = e.Seq
		if e.SandboxID != "" {
			sandbox = e.SandboxID
		}
		if e.Usage != nil {
			usage = *e.Usage
		}
		if e.Stage != "" && e.Stage != stage {
			stage = e.Stage
			l.event(j, "stage", api.Event{Stage: stage})
			l.trim[j.id] = true
		}
	}
	if last == seen {
		return seen, nil
	}
	_, err = l.tx.ExecContext(ctx, "UPDATE attempts SET last_seq = $1, stage = $2, sandbox_id = $3 WHERE trial_id = $4 AND attempt = $5",
		last, stage, sandbox, j.id, j.attempt)
	if err != nil {
		return seen, err
	}
	return seen, l.use(ctx, j, usage)
}

// Check returns the running trial whose lease it is (its TrialDir is where the run's files go), without its
// secrets, or ErrStale.
func (q *Queue) Check(ctx context.Context, jobID, lease string) (store.Trial, error) {
	var j job
	row := q.db.Read().QueryRowContext(ctx, "SELECT "+jobColumns+" FROM jobs WHERE id = $1", jobID)
	if err := row.Scan(j.targets()...); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return store.Trial{}, fmt.Errorf("read job %s: %w", jobID, err)
	}
	if !j.heldBy(lease) {
		return store.Trial{}, stale(jobID)
	}
	trial, err := q.db.Trial(ctx, jobID)
	if errors.Is(err, store.ErrNotFound) || err == nil && trial.Attempt != j.attempt {
		return store.Trial{}, stale(jobID) // taken away between the two reads
	}
	return trial, err
}

package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// CancelFilter names trials: those that match every field that is set. At least one must be.
type CancelFilter struct {
	TrialIDs     []string
	TaskIDs      []string
	ExperimentID string
}

// CancelResult says what a cancel did. Trials that had ended, or had been told to stop, before are not counted.
type CancelResult struct {
	TaskIDs []string // tasks of the trials counted below, sorted
	Trials  int      // ended at once, or told to stop
	Running int      // of those: told to stop
}

// cancelChunk is how many trials one transaction cancels, so that a great cancel does not hold everybody up.
const cancelChunk = 500

// Cancel ends queued and retrying trials at once and tells the workers of running ones to stop them: through Cancels
// at once, or at their next heartbeat or progress report; if the worker is dead the trial is cancelled when its lease ends. Cancelling twice is harmless.
func (q *Queue) Cancel(ctx context.Context, f CancelFilter) (CancelResult, error) {
	if f.TrialIDs == nil && f.TaskIDs == nil && f.ExperimentID == "" {
		return CancelResult{}, errors.New("cancel: the filter is empty")
	}
	var result CancelResult
	tasks := map[string]bool{}
	after := ""
	for {
		var jobs []job
		err := q.record(ctx, func(l *ledger) error {
			var err error
			if jobs, err = l.cancellable(ctx, f, after); err != nil {
				return err
			}
			return l.cancel(ctx, jobs)
		})
		if err != nil {
			return CancelResult{}, fmt.Errorf("cancel: %w", err)
		}
		running := result.Running
		for _, j := range jobs {
			tasks[j.taskID] = true
			result.Trials++
			if j.state == api.StatusRunning {
				result.Running++
			}
			after = j.id
		}
		if result.Running > running {
			q.hub.wakeCancels()
		}
		if len(jobs) < cancelChunk {
			result.TaskIDs = slices.Sorted(maps.Keys(tasks))
			return result, nil
		}
	}
}

func (l *ledger) cancellable(ctx context.Context, f CancelFilter, after string) ([]job, error) {
	var args store.Args
	where := []string{
		"(state IN ('queued', 'retrying') OR state = 'running' AND cancel_requested = 0)",
		"id > " + args.Add(after),
	}
	if f.TrialIDs != nil {
		where = append(where, "id IN "+args.List(f.TrialIDs))
	}
	if f.TaskIDs != nil {
		where = append(where, "task_id IN "+args.List(f.TaskIDs))
	}
	if f.ExperimentID != "" {
		where = append(where, "experiment_id = "+args.Add(f.ExperimentID))
	}
	return l.lockJobs(ctx, strings.Join(where, " AND ")+" ORDER BY id LIMIT "+args.Add(cancelChunk), args.Values...)
}

func (l *ledger) cancel(ctx context.Context, jobs []job) error {
	for i := range jobs {
		j := &jobs[i]
		if j.state == api.StatusRunning {
			if _, err := l.tx.ExecContext(ctx, "UPDATE jobs SET cancel_requested = 1 WHERE id = $1", j.id); err != nil {
				return fmt.Errorf("tell trial %s to stop: %w", j.id, err)
			}
			continue
		}
		v := verdict{state: api.StatusCancelled}
		if err := l.release(ctx, j, v); err != nil {
			return err
		}
		l.move(j, v.state)
		l.event(j, endKind(v.state), api.Event{})
	}
	return nil
}

// Cancels gives the running jobs of a worker that are to be stopped, less those that it knows, and waits up to WaitSec for
// the first. While it waits it asks the database only when something was cancelled.
func (q *Queue) Cancels(ctx context.Context, c api.Cancels) ([]string, error) {
	ctx, done := context.WithTimeout(ctx, time.Duration(c.WaitSec)*time.Second)
	defer done()
	for {
		wake := q.hub.cancelled() // before looking, so that none is missed
		ids, err := q.toCancel(context.WithoutCancel(ctx), c)
		if err != nil || len(ids) > 0 {
			return ids, err
		}
		select {
		case <-ctx.Done():
			return []string{}, nil
		case <-wake:
		}
	}
}

func (q *Queue) toCancel(ctx context.Context, c api.Cancels) ([]string, error) {
	rows, err := q.db.Read().QueryContext(ctx, `SELECT id FROM jobs
		WHERE state = 'running' AND cancel_requested = 1 AND worker_id = $1 ORDER BY id`, c.WorkerID)
	if err != nil {
		return nil, fmt.Errorf("look for cancelled jobs of worker %s: %w", c.WorkerID, err)
	}
	defer rows.Close()
	ids := []string{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read cancelled jobs of worker %s: %w", c.WorkerID, err)
		}
		if !slices.Contains(c.Known, id) {
			ids = append(ids, id)
		}
	}
	return ids, rows.Err()
}

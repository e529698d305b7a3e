package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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

// Cancel ends queued and retrying trials at once and tells the workers of running ones to stop them, at their next heartbeat or
// progress report; if the worker is dead the trial is cancelled when its lease ends. Cancelling twice is harmless.
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
		for _, j := range jobs {
			tasks[j.taskID] = true
			result.Trials++
			if j.state == api.StatusRunning {
				result.Running++
			}
			after = j.id
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

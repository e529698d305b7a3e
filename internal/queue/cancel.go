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
	"oddish/internal/predicate"
	"oddish/internal/store"
)

// CancelFilter names trials: those that match every field that is set. At least one must be.
type CancelFilter struct {
	TrialIDs     []string
	TaskIDs      []string
	ExperimentID string
	Query        predicate.Query // not together with other fields
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
	if !f.Query.Empty() {
		return q.cancelMatching(ctx, f)
	}
	if f.TrialIDs == nil && f.TaskIDs == nil && f.ExperimentID == "" {
		return CancelResult{}, errors.New("cancel: the filter is empty")
	}
	return q.cancelAll(ctx, f, nil)
}

// Cancellable counts what Cancel would cancel of the trials that match.
func (q *Queue) Cancellable(ctx context.Context, query predicate.Query) (CancelResult, error) {
	ids, _, err := q.matching(ctx, onlyActive(query))
	if err != nil {
		return CancelResult{}, fmt.Errorf("count trials to cancel: %w", err)
	}
	var result CancelResult
	tasks := map[string]bool{}
	for chunk := range slices.Chunk(ids, cancelChunk) {
		var args store.Args
		where := cancellable + " AND id IN " + args.List(chunk)
		jobs, err := readJobs(ctx, q.db.Read(), where, args.Values...)
		if err != nil {
			return CancelResult{}, fmt.Errorf("count trials to cancel: %w", err)
		}
		result.add(jobs, tasks)
	}
	result.TaskIDs = slices.Sorted(maps.Keys(tasks))
	return result, nil
}

// cancelMatching finds the trials that match first, and then cancels those that still do.
func (q *Queue) cancelMatching(ctx context.Context, f CancelFilter) (CancelResult, error) {
	if f.TrialIDs != nil || f.TaskIDs != nil || f.ExperimentID != "" {
		return CancelResult{}, errors.New("cancel: a query is given together with ids")
	}
	ids, match, err := q.matching(ctx, onlyActive(f.Query))
	if err != nil {
		return CancelResult{}, fmt.Errorf("cancel: %w", err)
	}
	var result CancelResult
	tasks := map[string]bool{}
	for chunk := range slices.Chunk(ids, cancelChunk) {
		part, err := q.cancelAll(ctx, CancelFilter{TrialIDs: chunk}, match)
		if err != nil {
			return CancelResult{}, fmt.Errorf("after %d trials were cancelled: %w", result.Trials, err)
		}
		result.Trials += part.Trials
		result.Running += part.Running
		for _, id := range part.TaskIDs {
			tasks[id] = true
		}
	}
	result.TaskIDs = slices.Sorted(maps.Keys(tasks))
	return result, nil
}

func onlyActive(query predicate.Query) predicate.Query {
	return query.And(predicate.Is(predicate.Status, string(api.StatusQueued), string(api.StatusRunning), string(api.StatusRetrying)))
}

// cancelAll cancels what the filter names and, if one is given, matches.
func (q *Queue) cancelAll(ctx context.Context, f CancelFilter, match *store.Match) (CancelResult, error) {
	var result CancelResult
	tasks := map[string]bool{}
	after := ""
	for {
		var jobs []job
		err := q.record(ctx, func(l *ledger) error {
			var err error
			if jobs, err = l.cancellable(ctx, f, match, after); err != nil {
				return err
			}
			return l.cancel(ctx, jobs)
		})
		if err != nil {
			return CancelResult{}, fmt.Errorf("cancel: %w", err)
		}
		running := result.Running
		result.add(jobs, tasks)
		if result.Running > running {
			q.wakeCancels()
		}
		if len(jobs) < cancelChunk {
			result.TaskIDs = slices.Sorted(maps.Keys(tasks))
			return result, nil
		}
		after = jobs[len(jobs)-1].id
	}
}

func (r *CancelResult) add(jobs []job, tasks map[string]bool) {
	for _, j := range jobs {
		tasks[j.taskID] = true
		r.Trials++
		if j.state == api.StatusRunning {
			r.Running++
		}
	}
}

// cancellable is the condition of jobs that a cancel changes.
const cancellable = "(state IN ('queued', 'retrying') OR state = 'running' AND cancel_requested = 0)"

func (l *ledger) cancellable(ctx context.Context, f CancelFilter, match *store.Match, after string) ([]job, error) {
	var args store.Args
	where := []string{cancellable, "id" + l.db.ByteOrder() + " > " + args.Add(after)}
	if match != nil {
		where = append(where, "id IN ("+match.Among(&args, f.TrialIDs)+")")
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
	return l.lockJobs(ctx, strings.Join(where, " AND ")+" ORDER BY id"+l.db.ByteOrder()+" LIMIT "+args.Add(cancelChunk), args.Values...)
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
// the first. While it waits it asks the database only when something was cancelled, and twice a minute for all workers together.
func (q *Queue) Cancels(ctx context.Context, c api.Cancels) ([]string, error) {
	ctx, done := context.WithTimeout(ctx, time.Duration(c.WaitSec)*time.Second)
	defer done()
	for {
		wake := q.hub.cancelled() // before looking, so that none is missed
		ids, err := q.toCancel(context.WithoutCancel(ctx), c, wake)
		if err != nil || len(ids) > 0 {
			return ids, err
		}
		poll := time.NewTimer(safetyPoll)
		select {
		case <-ctx.Done():
		case <-wake:
		case <-poll.C:
		}
		poll.Stop()
		if ctx.Err() != nil {
			return []string{}, nil
		}
	}
}

// toCancel looks for the jobs of one worker, unless it is known that there are none for any.
func (q *Queue) toCancel(ctx context.Context, c api.Cancels, wake <-chan struct{}) ([]string, error) {
	now := q.now()
	if q.lookout.isCalm(wake, now) {
		return []string{}, nil
	}
	const query = "SELECT id, worker_id FROM jobs WHERE state = 'running' AND cancel_requested = 1 ORDER BY id"
	ids, calm := []string{}, true
	err := readRows(ctx, q.db.Read(), query, nil, func(scan func(...any) error) error {
		var id, worker string
		if err := scan(&id, &worker); err != nil {
			return err
		}
		calm = false
		if worker == c.WorkerID && !slices.Contains(c.Known, id) {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for cancelled jobs of worker %s: %w", c.WorkerID, err)
	}
	if calm {
		q.lookout.sawCalm(wake, now)
	}
	return ids, nil
}

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

// Submission is a sweep whose task and version were found and whose content was validated.
type Submission struct {
	Sweep       api.Sweep
	Task        store.Task
	Version     store.Version
	Environment string // sandbox kind of configs for which neither the config nor the sweep names one

	// TopUp counts trials that the experiment has already: those that wait, run or ran to the end stand for as many of the
	// sweep's, failed and cancelled ones are tried again, and only what is then missing is made.
	TopUp bool
	Once  Once // the zero value: this is carried out whether or not it came before
	// Answer, if set, makes what is kept for Once from what was done. It is called at the end of the transaction and reads
	// through db; it may be called again, see store.DB.Tx.
	Answer func(ctx context.Context, db store.Querier, r SubmitResult) (string, error)
}

// SubmitResult says what a submission did. The ids are in order of the configs, within one of them in order of the trials.
type SubmitResult struct {
	Experiment store.Experiment
	TrialIDs   []string // made
	Retried    []string // had failed or been cancelled, and are tried again
	Existing   []string // stand as they are

	Answer   string // what Submission.Answer gave
	Replayed bool   // nothing was done, since it had been before; only Answer is set
}

// Submit queues the trials of a sweep, in one transaction. The experiment is found by id, then by newest name, else created
// with that name; without one a new one gets a name of its own. store.ErrNotFound if the task is gone; ErrKeyReused.
func (q *Queue) Submit(ctx context.Context, s Submission) (SubmitResult, error) {
	plans, err := q.plan(s)
	if err != nil {
		return SubmitResult{}, fmt.Errorf("submit trials of task %s: %w", s.Task.ID, err)
	}
	var result SubmitResult
	err = q.record(ctx, func(l *ledger) error {
		result = SubmitResult{}
		var err error
		result.Answer, result.Replayed, err = l.once(ctx, s.Once)
		if err != nil || result.Replayed {
			return err
		}
		if err := q.carryOut(ctx, l, &s, slices.Clone(plans), &result); err != nil {
			return err
		}
		l.last = func(ctx context.Context) error {
			if err := l.publish(ctx, &s.Sweep, &result.Experiment); err != nil {
				return err
			}
			if err := l.setBudget(ctx, result.Experiment.ID, s.Sweep.Budget); err != nil {
				return err
			}
			return l.answer(ctx, &s, &result)
		}
		return nil
	})
	if err != nil {
		return SubmitResult{}, fmt.Errorf("submit trials of task %s: %w", s.Task.ID, err)
	}
	return result, nil
}

// carryOut makes the plans come true and tells how.
func (q *Queue) carryOut(ctx context.Context, l *ledger, s *Submission, plans []plan, result *SubmitResult) error {
	var err error
	if result.Experiment, err = l.findOrCreate(ctx, firstOf(s.Sweep.ExperimentID)); err != nil {
		return err
	}
	// The task's row is locked from here on: submissions of one task count its trials one after the other.
	if err := l.updateTask(ctx, s, result.Experiment.ID); err != nil {
		return err
	}
	last, err := l.lastRanks(ctx, result.Experiment.ID, plans)
	if err != nil {
		return err
	}
	if s.TopUp {
		if err := l.topUp(ctx, s, result.Experiment.ID, plans); err != nil {
			return err
		}
	}
	rank(plans, last)
	for i := range plans {
		switch p := &plans[i]; {
		case p.existing != "":
			result.Existing = append(result.Existing, p.existing)
		case p.job != nil:
			result.Retried = append(result.Retried, p.job.id)
			if err := q.tryAgain(ctx, l, p); err != nil {
				return err
			}
		}
	}
	fresh := slices.DeleteFunc(plans, func(p plan) bool { return p.existing != "" || p.job != nil })
	result.TrialIDs, err = q.insert(ctx, l, s, result.Experiment.ID, fresh)
	return err
}

// reserve takes n trial indexes of the task and returns the first; the row being locked they are never given twice.
func (l *ledger) reserve(ctx context.Context, s *Submission, n int) (first int, err error) {
	var next int
	row := l.tx.QueryRowContext(ctx, "UPDATE tasks SET next_trial = next_trial + $1 WHERE id = $2 RETURNING next_trial", n, s.Task.ID)
	if err := row.Scan(&next); errors.Is(err, sql.ErrNoRows) {
		return 0, store.ErrNotFound
	} else if err != nil {
		return 0, err
	}
	return next - n, nil
}

// updateTask makes the task belong to its newest experiment. Who submitted it and what it is tagged with is told
// by the first submission. store.ErrNotFound.
func (l *ledger) updateTask(ctx context.Context, s *Submission, experimentID string) error {
	tags, err := store.JSON(s.Sweep.Tags)
	if err != nil {
		return err
	}
	if s.Sweep.Tags == nil {
		tags = "{}"
	}
	const query = `UPDATE tasks SET experiment_id = $1, priority = $2,
			run_analysis = CASE WHEN run_analysis = 1 THEN 1 ELSE $3 END,
			submitter = CASE WHEN submitter = '' THEN $4 ELSE submitter END,
			github_username = CASE WHEN github_username = '' THEN $5 ELSE github_username END,
			tags = CASE WHEN tags = '{}' THEN $6 ELSE tags END
		WHERE id = $7`
	res, err := l.tx.ExecContext(ctx, query, experimentID, store.Priority(s.Sweep.Priority), store.Flag(s.Sweep.RunAnalysis),
		s.Sweep.User, firstOf(s.Sweep.GithubUsername), tags, s.Task.ID)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, store.ErrNotFound)
	}
	return nil
}

// insert writes the trials and their jobs.
func (q *Queue) insert(ctx context.Context, l *ledger, s *Submission, experimentID string, plans []plan) ([]string, error) {
	if len(plans) == 0 {
		return nil, nil
	}
	first, err := l.reserve(ctx, s, len(plans))
	if err != nil {
		return nil, err
	}
	ids, trials := make([]string, len(plans)), make([]newTrial, len(plans))
	for i := range plans {
		ids[i] = fmt.Sprintf("%s-%d", s.Task.ID, first+i)
		trials[i] = newTrial{plan: &plans[i], id: ids[i], index: first + i}
		if trials[i].sealed, err = q.seal(ids[i], plans[i].secrets); err != nil {
			return nil, err
		}
		j := job{id: ids[i], taskID: s.Task.ID, experimentID: experimentID}
		l.move(&j, api.StatusQueued)
		l.event(&j, "queued", api.Event{})
	}
	err = inChunks(trials, func(some []newTrial) error {
		if err := l.addTrials(ctx, s, experimentID, some); err != nil {
			return fmt.Errorf("add trials from %s on: %w", some[0].id, err)
		}
		return nil
	})
	return ids, err
}

// newTrial is a trial as it is written.
type newTrial struct {
	*plan
	id     string
	index  int
	sealed *string // secrets
}

// addTrials writes trials of one submission and their jobs.
func (l *ledger) addTrials(ctx context.Context, s *Submission, experimentID string, trials []newTrial) error {
	now := l.now.UnixMilli()
	var args store.Args
	query := `INSERT INTO trials (id, name, task_id, idx, task_name, version, content_hash, experiment_id, agent, model, provider, source,
			agent_config, harbor, has_secrets, secrets, created_at) VALUES ` + valueRows(trials, func(t newTrial) string {
		return args.Row(t.id, fmt.Sprintf("%s-%d", s.Task.Name, t.index), s.Task.ID, t.index, s.Task.Name, s.Version.Version, s.Version.ContentHash,
			experimentID, t.agent, t.model, t.provider, firstOf(s.Sweep.Source), t.agentConfig, t.harbor, store.Flag(t.sealed != nil), t.sealed, now)
	})
	if _, err := l.tx.ExecContext(ctx, query, args.Values...); err != nil {
		return err
	}
	args = store.Args{}
	query = `INSERT INTO jobs (id, kind, subject_id, task_id, experiment_id, queue_key, environment, priority, rank, state, ready,
			max_attempts, queued_at) VALUES ` + valueRows(trials, func(t newTrial) string {
		return args.Row(t.id, kindTrial, t.id, s.Task.ID, experimentID, t.key, t.environment, t.priority, t.rank, api.StatusQueued, 1, t.maxAttempts, now)
	})
	_, err := l.tx.ExecContext(ctx, query, args.Values...)
	return err
}

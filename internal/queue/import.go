package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"oddish/api"
	"oddish/internal/model"
	"oddish/internal/store"
)

// ImportJob finds the experiment that a job which ran elsewhere was imported to, or makes it, under a name of its own if the job has none.
func (q *Queue) ImportJob(ctx context.Context, in api.ImportJob) (store.Experiment, error) {
	var e store.Experiment
	err := q.record(ctx, func(l *ledger) error {
		// Who imports the same job at the same time must make one experiment.
		if err := l.db.LockName(ctx, l.tx, "import "+in.JobID); err != nil {
			return err
		}
		var err error
		e, err = store.FindImported(ctx, l.tx, in.JobID)
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		name := in.Name
		if name == "" {
			name = newExperimentName()
		}
		if e, err = l.create(ctx, name); err != nil {
			return err
		}
		if in.CreatedAt != nil {
			e.CreatedAt = *in.CreatedAt
		}
		e.ImportedJob, e.ImportedFrom = in.JobID, in.Source
		_, err = l.tx.ExecContext(ctx, "UPDATE experiments SET imported_job = $1, imported_from = $2, created_at = $3 WHERE id = $4",
			e.ImportedJob, e.ImportedFrom, e.CreatedAt.UnixMilli(), e.ID)
		return err
	})
	if err != nil {
		return store.Experiment{}, fmt.Errorf("import job %s: %w", in.JobID, err)
	}
	return e, nil
}

// imported is a trial that ran elsewhere as it is written.
type imported struct {
	api.ImportTrial
	job
	dir  string // of its files
	task store.Task
	idx  int
	// version of the task that has the content with which it ran; 0: it is not here
	version int
}

// Import adds a trial that ran elsewhere and whose files are in the folder of that name. One that was imported with the same folder is replaced. Its task
// need not be here; the name alone makes a task without a version then. taskName is that name as tasks are called. store.ErrNotFound if there is
// no such experiment, store.ErrConflict if its trials were run here.
func (q *Queue) Import(ctx context.Context, experimentID, folder, taskName string, in api.ImportTrial) (trialID string, err error) {
	err = q.record(ctx, func(l *ledger) error {
		t := &imported{ImportTrial: in, job: job{experimentID: experimentID}, dir: store.ExperimentDir(experimentID) + "/" + folder}
		if err := l.beginImport(ctx, t); err != nil {
			return err
		}
		if err := l.findTask(ctx, t, taskName); err != nil {
			return err
		}
		if err := l.replace(ctx, t); err != nil {
			return err
		}
		trialID = t.id
		return l.addImported(ctx, t)
	})
	if err != nil {
		return "", fmt.Errorf("import trial %s: %w", folder, err)
	}
	return trialID, nil
}

// beginImport keeps other imports to the experiment out until the end.
func (l *ledger) beginImport(ctx context.Context, t *imported) error {
	if err := l.db.LockName(ctx, l.tx, "import to "+t.experimentID); err != nil {
		return err
	}
	e, err := store.FindExperiment(ctx, l.tx, t.experimentID)
	if err != nil {
		return err
	}
	if e.ImportedJob == "" {
		return fmt.Errorf("%w: experiment %s ran here, and takes no trials from elsewhere", store.ErrConflict, e.Name)
	}
	return nil
}

// findTask finds or makes the task, and finds the version that the trial ran.
func (l *ledger) findTask(ctx context.Context, t *imported, name string) error {
	var err error
	if t.task, err = store.EnsureTask(ctx, l.tx, name); err != nil {
		return err
	}
	t.taskID = t.task.ID
	if t.TaskDigest == "" {
		return nil
	}
	row := l.tx.QueryRowContext(ctx, "SELECT version FROM task_versions WHERE task_id = $1 AND content_hash = $2 ORDER BY version DESC LIMIT 1", t.task.ID, t.TaskDigest)
	if err := row.Scan(&t.version); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("look for the version of task %s: %w", name, err)
	}
	return nil
}

// replace takes away what was imported before from the folder; the id and index go on if it is the same task's. Otherwise the trial gets the task's next
// index.
func (l *ledger) replace(ctx context.Context, t *imported) error {
	row := l.tx.QueryRowContext(ctx, `SELECT t.id, t.task_id, t.idx FROM attempts a JOIN trials t ON t.id = a.trial_id
		WHERE a.trial_dir = $1 AND t.imported = 1`, t.dir)
	var taskID string
	err := row.Scan(&t.id, &taskID, &t.idx)
	if err == nil {
		if err := l.forget(ctx, t, taskID); err != nil {
			return fmt.Errorf("remove trial %s, which is imported again: %w", t.id, err)
		}
	} else if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err == nil && taskID == t.taskID {
		return nil
	}
	if t.idx, err = l.reserve(ctx, &Submission{Task: t.task}, 1); err != nil {
		return err
	}
	t.id = fmt.Sprintf("%s-%d", t.taskID, t.idx)
	return nil
}

// forget removes the trial that was imported before, with what it adds to the counts.
func (l *ledger) forget(ctx context.Context, t *imported, taskID string) error {
	before, err := scanUsed(l.tx.QueryRowContext(ctx, "SELECT "+usedColumns+" FROM attempts WHERE trial_id = $1", t.id).Scan)
	if err != nil {
		return err
	}
	l.note(&t.job, used{}.minus(before), api.CostFromReplay)
	gone := []string{"DELETE FROM jobs WHERE id = $1", "DELETE FROM attempts WHERE trial_id = $1"}
	if taskID != t.taskID {
		gone = append(gone, "DELETE FROM trials WHERE id = $1")
	}
	for _, query := range gone {
		if _, err := l.tx.ExecContext(ctx, query, t.id); err != nil {
			return err
		}
	}
	l.tally(&job{experimentID: t.experimentID, taskID: taskID}).recount = true
	return nil
}

// addImported writes the trial's rows and what follows from them.
func (l *ledger) addImported(ctx context.Context, t *imported) error {
	t.key, t.attempt, t.state = model.QueueKey(t.Agent, t.Model), t.Attempts, t.Finish.Outcome
	began, ended := l.now, l.now
	if t.FinishedAt != nil {
		began, ended = *t.FinishedAt, *t.FinishedAt
	}
	if t.StartedAt != nil {
		began = *t.StartedAt
	}
	for _, write := range []func(context.Context, *imported, int64, int64) error{l.addImportedTrial, l.addImportedJob, l.addImportedAttempt} {
		if err := write(ctx, t, began.UnixMilli(), ended.UnixMilli()); err != nil {
			return fmt.Errorf("add trial %s: %w", t.id, err)
		}
	}
	return l.countImported(ctx, t)
}

func (l *ledger) addRow(ctx context.Context, into, onConflict string, values ...any) error {
	var args store.Args
	_, err := l.tx.ExecContext(ctx, "INSERT INTO "+into+" VALUES "+args.Row(values...)+" "+onConflict, args.Values...)
	return err
}

// addImportedTrial leaves out the values of environments, as they are wiped from trials that ended here.
func (l *ledger) addImportedTrial(ctx context.Context, t *imported, began, _ int64) error {
	agent, harbor, secrets := hide(t.AgentConfig, t.Harbor)
	agentText, err := store.JSON(agent)
	if err != nil {
		return err
	}
	harborText, err := store.JSON(harbor)
	if err != nil {
		return err
	}
	return l.addRow(ctx, `trials (id, name, task_id, idx, task_name, version, content_hash, experiment_id, agent, model, provider, source,
			agent_config, harbor, has_secrets, created_at, imported)`,
		`ON CONFLICT (id) DO UPDATE SET version = excluded.version, content_hash = excluded.content_hash, agent = excluded.agent, model = excluded.model,
			provider = excluded.provider, source = excluded.source, agent_config = excluded.agent_config, harbor = excluded.harbor,
			has_secrets = excluded.has_secrets, created_at = excluded.created_at`,
		t.id, fmt.Sprintf("%s-%d", t.task.Name, t.idx), t.taskID, t.idx, t.task.Name, t.version, t.TaskDigest, t.experimentID,
		t.Agent, model.Normalize(t.Agent, t.Model), model.Provider(t.Agent, t.Model), t.DataSet,
		agentText, harborText, store.Flag(!secrets.empty()), began, 1)
}

func (l *ledger) addImportedJob(ctx context.Context, t *imported, began, ended int64) error {
	return l.addRow(ctx, `jobs (id, kind, subject_id, task_id, experiment_id, queue_key, environment, priority, rank, state, ready,
			attempt, outcome_attempt, used_attempts, max_attempts, queued_at, started_at, finished_at)`, "",
		t.id, kindTrial, t.id, t.taskID, t.experimentID, t.key, t.Environment, store.Priority(api.PriorityLow), 0, t.state, 0,
		t.attempt, t.attempt, t.attempt, t.attempt, began, began, ended)
}

func (l *ledger) addImportedAttempt(ctx context.Context, t *imported, began, ended int64) error {
	f := &t.Finish
	rewards, err := nullJSON(f.Rewards)
	if err != nil {
		return err
	}
	phases, err := nullJSON(f.Phases)
	if err != nil {
		return err
	}
	models, err := nullList(f.Models)
	if err != nil {
		return err
	}
	stage := api.StageCompleted
	if t.state == api.StatusCancelled {
		stage = api.StageCancelled
	}
	return l.addRow(ctx, `attempts (trial_id, attempt, worker_id, lease, trial_dir, stage, outcome, error_type, error_message, error_class,
			rewards, reward, phases, has_trajectory, started_at, finished_at, finish_digest, input_tokens, cache_tokens, output_tokens, cost_usd,
			cache_write_tokens, reasoning_tokens, model_calls, cost_estimated, cost_source, price_version, model_usage, isolation)`, "",
		t.id, t.attempt, "", "", t.dir, stage, t.state, f.ErrorType, printable(f.ErrorMessage), f.ErrorClass,
		rewards, mainReward(f.Rewards), phases, store.Flag(f.HasTrajectory), began, ended, t.Digest,
		f.InputTokens, f.CacheTokens, f.OutputTokens, f.CostUSD, f.CacheWriteTokens, f.ReasoningTokens, f.ModelCalls,
		store.NullFlag(f.CostEstimated), f.CostSource, f.PriceVersion, models, f.Isolation)
}

// countImported adds the trial to the sums of its task and experiment. What it used was paid elsewhere, and is no part of the day's budget.
func (l *ledger) countImported(ctx context.Context, t *imported) error {
	const tally = "INSERT INTO tallies (experiment_id, task_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
	if _, err := l.tx.ExecContext(ctx, tally, t.experimentID, t.taskID); err != nil {
		return fmt.Errorf("count trial %s: %w", t.id, err)
	}
	l.tally(&t.job).recount = true
	if _, err := l.tx.ExecContext(ctx, "UPDATE tasks SET experiment_id = $1 WHERE id = $2 AND experiment_id IS NULL", t.experimentID, t.taskID); err != nil {
		return err
	}
	now, err := scanUsed(l.tx.QueryRowContext(ctx, "SELECT "+usedColumns+" FROM attempts WHERE trial_id = $1", t.id).Scan)
	if err != nil {
		return err
	}
	l.note(&t.job, now, api.CostFromReplay)
	l.event(&t.job, endKind(t.state), api.Event{Reward: mainReward(t.Finish.Rewards), ErrorType: t.Finish.ErrorType})
	return nil
}

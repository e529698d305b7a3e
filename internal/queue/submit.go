package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"oddish/api"
	"oddish/internal/model"
	"oddish/internal/store"
)

// Submission is a sweep whose task and version were found and whose content was validated.
type Submission struct {
	Sweep       api.Sweep
	Task        store.Task
	Version     store.Version
	Environment string // sandbox kind of configs for which neither the config nor the sweep names one
}

// SubmitResult says what a submission made.
type SubmitResult struct {
	Experiment store.Experiment
	TrialIDs   []string // in order of the configs
}

// Submit queues the trials of a sweep, in one transaction. The experiment is found by id, then by newest name, else created
// with that name; without one a new one gets a name of its own. store.ErrNotFound if the task is gone.
func (q *Queue) Submit(ctx context.Context, s Submission) (SubmitResult, error) {
	plans, err := q.plan(s)
	if err != nil {
		return SubmitResult{}, err
	}
	var result SubmitResult
	err = q.record(ctx, func(l *ledger) error {
		result = SubmitResult{}
		first, err := l.reserve(ctx, s, len(plans))
		if err != nil {
			return err
		}
		if result.Experiment, err = l.experiment(ctx, s.Sweep); err != nil {
			return err
		}
		if err := l.updateTask(ctx, s, result.Experiment.ID); err != nil {
			return err
		}
		if err := l.rank(ctx, result.Experiment.ID, plans); err != nil {
			return err
		}
		result.TrialIDs, err = q.insert(ctx, l, s, result.Experiment.ID, first, plans)
		return err
	})
	if err != nil {
		return SubmitResult{}, fmt.Errorf("submit trials of task %s: %w", s.Task.ID, err)
	}
	return result, nil
}

// plan is a trial to be made.
type plan struct {
	agent, model, provider, key string
	environment                 string
	agentConfig, harbor         string // JSON, without secrets
	secrets                     secrets
	maxAttempts                 int
	priority                    int
	rank                        int64
}

// plan lists the trials of a sweep in order.
func (q *Queue) plan(s Submission) ([]plan, error) {
	var harbor api.HarborConfig
	if s.Sweep.Harbor != nil {
		harbor = *s.Sweep.Harbor
	}
	var plans []plan
	for _, config := range s.Sweep.Configs {
		p := plan{
			agent:       config.Agent,
			environment: firstOf(config.Environment, s.Sweep.Environment, &s.Environment),
			maxAttempts: q.maxAttempts,
			priority:    store.Priority(s.Sweep.Priority),
		}
		if s.Sweep.MaxAttempts != nil {
			p.maxAttempts = *s.Sweep.MaxAttempts
		}
		if p.environment == "" {
			return nil, fmt.Errorf("submit trials of task %s: agent %s has no sandbox kind", s.Task.ID, config.Agent)
		}
		id := firstOf(config.Model)
		p.model, p.provider, p.key = model.Normalize(p.agent, id), model.Provider(p.agent, id), model.QueueKey(p.agent, id)
		if strings.Contains(p.key, "*") { // it would be taken for a pattern
			return nil, fmt.Errorf("submit trials of task %s: %w: a model cannot be named %q", s.Task.ID, ErrKey, id)
		}
		if err := p.configure(config.AgentConfig, harbor); err != nil {
			return nil, fmt.Errorf("submit trials of task %s: %w", s.Task.ID, err)
		}
		for range max(config.NTrials, 1) {
			plans = append(plans, p)
		}
	}
	if len(plans) == 0 {
		return nil, fmt.Errorf("submit trials of task %s: no agents are given", s.Task.ID)
	}
	return plans, nil
}

func (p *plan) configure(agent *api.AgentConfig, harbor api.HarborConfig) error {
	var config api.AgentConfig
	if agent != nil {
		config = *agent
	}
	var err error
	config, harbor, p.secrets = hide(config, harbor)
	if p.agentConfig, err = store.JSON(config); err != nil {
		return err
	}
	p.harbor, err = store.JSON(harbor)
	return err
}

// firstOf is the first text that is given and not empty.
func firstOf(texts ...*string) string {
	for _, text := range texts {
		if text != nil && *text != "" {
			return *text
		}
	}
	return ""
}

// reserve takes n trial indexes of the task and returns the first; the row being locked they are never given twice.
func (l *ledger) reserve(ctx context.Context, s Submission, n int) (first int, err error) {
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
// by the first submission.
func (l *ledger) updateTask(ctx context.Context, s Submission, experimentID string) error {
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
	_, err = l.tx.ExecContext(ctx, query, experimentID, store.Priority(s.Sweep.Priority), store.Flag(s.Sweep.RunAnalysis),
		s.Sweep.User, firstOf(s.Sweep.GithubUsername), tags, s.Task.ID)
	return err
}

// insert writes the trials and their jobs.
func (q *Queue) insert(ctx context.Context, l *ledger, s Submission, experimentID string, first int, plans []plan) ([]string, error) {
	w, err := newTrialWriter(ctx, l, s, experimentID)
	if err != nil {
		return nil, err
	}
	defer w.close()
	ids := make([]string, len(plans))
	for i := range plans {
		p := &plans[i]
		index := first + i
		ids[i] = fmt.Sprintf("%s-%d", s.Task.ID, index)
		sealed, err := q.seal(ids[i], p.secrets)
		if err != nil {
			return nil, err
		}
		if err := w.write(ctx, ids[i], index, p, sealed); err != nil {
			return nil, err
		}
		j := job{id: ids[i], taskID: s.Task.ID, experimentID: experimentID}
		l.move(&j, api.StatusQueued)
		l.event(&j, "queued", api.Event{})
	}
	return ids, nil
}

// trialWriter inserts the trials of one submission with statements that are prepared once.
type trialWriter struct {
	l            *ledger
	s            Submission
	experimentID string
	trial, job   *sql.Stmt
}

func newTrialWriter(ctx context.Context, l *ledger, s Submission, experimentID string) (*trialWriter, error) {
	const trial = `INSERT INTO trials (id, name, task_id, idx, task_name, version, content_hash, experiment_id, agent, model, provider, source,
			agent_config, harbor, has_secrets, secrets, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`
	const job = `INSERT INTO jobs (id, kind, subject_id, task_id, experiment_id, queue_key, environment, priority, rank, state, ready,
			max_attempts, queued_at)
		VALUES ($1, $2, $1, $3, $4, $5, $6, $7, $8, 'queued', 1, $9, $10)`
	w := &trialWriter{l: l, s: s, experimentID: experimentID}
	var err error
	if w.trial, err = l.tx.PrepareContext(ctx, trial); err != nil {
		return nil, err
	}
	if w.job, err = l.tx.PrepareContext(ctx, job); err != nil {
		return nil, errors.Join(err, w.trial.Close())
	}
	return w, nil
}

func (w *trialWriter) close() {
	_ = w.trial.Close()
	_ = w.job.Close()
}

func (w *trialWriter) write(ctx context.Context, id string, index int, p *plan, sealed *string) error {
	s, now := w.s, w.l.now.UnixMilli()
	_, err := w.trial.ExecContext(ctx, id, fmt.Sprintf("%s-%d", s.Task.Name, index), s.Task.ID, index, s.Task.Name, s.Version.Version,
		s.Version.ContentHash, w.experimentID, p.agent, p.model, p.provider, firstOf(s.Sweep.Source),
		p.agentConfig, p.harbor, store.Flag(sealed != nil), sealed, now)
	if err != nil {
		return fmt.Errorf("add trial %s: %w", id, err)
	}
	_, err = w.job.ExecContext(ctx, id, kindTrial, s.Task.ID, w.experimentID, p.key, p.environment, p.priority, p.rank, p.maxAttempts, now)
	if err != nil {
		return fmt.Errorf("queue trial %s: %w", id, err)
	}
	return nil
}

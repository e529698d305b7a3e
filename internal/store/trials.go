package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// The outcome of a trial is that of the run which its job names: none while it waits for its first run, or for
// the first one after it was queued again.
const trialQuery = `SELECT t.id, t.name, t.task_id, t.task_name, t.version, t.content_hash, t.experiment_id, t.agent, t.model, t.provider,
		j.queue_key, j.environment, t.source, t.agent_config, t.harbor, t.created_at, t.imported,
		j.state, j.attempt, j.max_attempts, j.available_at, j.cancel_requested, j.worker_id, j.started_at, j.finished_at,
		COALESCE(a.stage, ''), COALESCE(a.trial_dir, ''), COALESCE(a.sandbox_id, ''), a.rewards, a.reward,
		COALESCE(a.error_type, ''), COALESCE(a.error_message, ''), a.phases,
		a.input_tokens, a.cache_tokens, a.output_tokens, a.cost_usd, COALESCE(a.has_trajectory, 0),
		a.cache_write_tokens, a.reasoning_tokens, a.model_calls, a.cost_estimated, COALESCE(a.cost_source, ''), COALESCE(a.price_version, ''), a.model_usage, a.isolation
	FROM trials t JOIN jobs j ON j.id = t.id LEFT JOIN attempts a ON a.trial_id = t.id AND a.attempt = j.outcome_attempt`

func trialTargets(t *Trial) []any {
	return []any{
		&t.ID, &t.Name, &t.TaskID, &t.TaskName, &t.Version, &t.ContentHash, &t.ExperimentID, &t.Agent, &t.Model, &t.Provider,
		&t.QueueKey, &t.Environment, &t.Source, jsonText{&t.AgentConfig}, jsonText{&t.Harbor}, msTime{&t.CreatedAt}, flag{&t.Imported},
		&t.Status, &t.Attempt, &t.MaxAttempts, nullTime{&t.AvailableAt}, flag{&t.CancelRequested}, &t.WorkerID,
		nullTime{&t.StartedAt}, nullTime{&t.FinishedAt},
		&t.Stage, &t.TrialDir, &t.SandboxID, jsonText{&t.Rewards}, &t.Reward,
		&t.ErrorType, &t.ErrorMessage, jsonText{&t.Phases},
		&t.InputTokens, &t.CacheTokens, &t.OutputTokens, &t.CostUSD, flag{&t.HasTrajectory},
		&t.CacheWriteTokens, &t.ReasoningTokens, &t.ModelCalls, nullFlag{&t.CostEstimated}, &t.CostSource, &t.PriceVersion, jsonText{&t.UsageDetails.Models}, &t.Isolation,
	}
}

// Trial returns the trial with that id, without its secrets, or ErrNotFound.
func (db *DB) Trial(ctx context.Context, id string) (Trial, error) {
	found, err := db.Trials(ctx, TrialFilter{IDs: []string{id}})
	if err != nil {
		return Trial{}, err
	}
	if len(found) == 0 {
		return Trial{}, fmt.Errorf("trial %s: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// Trials returns the trials that match every field of the filter, without their secrets.
func (db *DB) Trials(ctx context.Context, f TrialFilter) ([]Trial, error) {
	return FindTrials(ctx, db.read, f)
}

// FindTrials is DB.Trials inside of a transaction.
func FindTrials(ctx context.Context, q Querier, f TrialFilter) ([]Trial, error) {
	var args Args
	query, err := trialsQuery(f, &args)
	if err != nil {
		return nil, err
	}
	trials, err := Collect(ctx, q, query, args.Values, trialTargets)
	if err != nil {
		return nil, fmt.Errorf("read trials: %w", err)
	}
	return trials, nil
}

func trialsQuery(f TrialFilter, args *Args) (string, error) {
	var where []string
	if f.IDs != nil {
		where = append(where, "t.id IN "+args.List(f.IDs))
	}
	if f.TaskIDs != nil {
		where = append(where, "t.task_id IN "+args.List(f.TaskIDs))
	}
	if f.ExperimentID != "" {
		where = append(where, "t.experiment_id = "+args.Add(f.ExperimentID))
	}
	if len(where) == 0 {
		return "", errors.New("read trials: the filter is empty")
	}
	query := trialQuery + " WHERE " + strings.Join(where, " AND ") + " ORDER BY t.task_id, t.idx"
	if f.Limit > 0 {
		query += args.page(f.Limit, f.Offset)
	}
	return query, nil
}

// Attempts returns the runs of a trial, oldest first.
func (db *DB) Attempts(ctx context.Context, trialID string) ([]Attempt, error) {
	const query = `SELECT trial_id, attempt, worker_id, sandbox_id, trial_dir, stage, outcome, error_type, error_message, error_class,
			rewards, phases, started_at, finished_at
		FROM attempts WHERE trial_id = $1 ORDER BY attempt`
	attempts, err := Collect(ctx, db.read, query, []any{trialID}, func(a *Attempt) []any {
		return []any{
			&a.TrialID, &a.Attempt, &a.WorkerID, &a.SandboxID, &a.TrialDir, &a.Stage, &a.Outcome, &a.ErrorType, &a.ErrorMessage,
			&a.ErrorClass, jsonText{&a.Rewards}, jsonText{&a.Phases}, msTime{&a.StartedAt}, nullTime{&a.FinishedAt},
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read attempts of trial %s: %w", trialID, err)
	}
	return attempts, nil
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

const experimentColumns = "e.id, e.name, e.public, e.paused, e.created_at, e.imported_job, e.imported_from"

func experimentTargets(e *Experiment) []any {
	return []any{&e.ID, &e.Name, flag{&e.Public}, flag{&e.Paused}, msTime{&e.CreatedAt}, &e.ImportedJob, &e.ImportedFrom}
}

// Querier is what reads need: a *sql.DB, *sql.Tx or *sql.Conn.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Experiment returns the experiment with that id, otherwise the newest with that name, otherwise ErrNotFound.
func (db *DB) Experiment(ctx context.Context, idOrName string) (Experiment, error) {
	return FindExperiment(ctx, db.read, idOrName)
}

// FindExperiment is DB.Experiment inside of a transaction.
func FindExperiment(ctx context.Context, q Querier, idOrName string) (Experiment, error) {
	return findExperiment(ctx, q, idOrName, "e.id = $1", "e.name = $1 ORDER BY e.created_at DESC, e.id DESC LIMIT 1")
}

// FindImported returns the experiment that a job which ran elsewhere was imported to, or ErrNotFound.
func FindImported(ctx context.Context, q Querier, jobID string) (Experiment, error) {
	return findExperiment(ctx, q, jobID, "e.imported_job = $1 AND e.imported_job <> ''")
}

// findExperiment gives the experiment for which the first possible of the conditions holds.
func findExperiment(ctx context.Context, q Querier, name string, conditions ...string) (Experiment, error) {
	var e Experiment
	for _, where := range conditions {
		row := q.QueryRowContext(ctx, "SELECT "+experimentColumns+" FROM experiments e WHERE "+where, name)
		err := row.Scan(experimentTargets(&e)...)
		if err == nil {
			return e, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return Experiment{}, fmt.Errorf("read experiment %s: %w", name, err)
		}
	}
	return Experiment{}, fmt.Errorf("experiment %s: %w", name, ErrNotFound)
}

// ImportedTrials lists the trials of an experiment that ran elsewhere, by id.
func (db *DB) ImportedTrials(ctx context.Context, experimentID string) ([]ImportedTrial, error) {
	const query = `SELECT t.id, a.trial_dir, a.finish_digest FROM trials t JOIN attempts a ON a.trial_id = t.id
		WHERE t.experiment_id = $1 AND t.imported = 1 ORDER BY t.id`
	trials, err := Collect(ctx, db.read, query, []any{experimentID}, func(t *ImportedTrial) []any {
		return []any{&t.ID, &t.TrialDir, &t.Digest}
	})
	if err != nil {
		return nil, fmt.Errorf("read imported trials of experiment %s: %w", experimentID, err)
	}
	return trials, nil
}

// ExperimentOfTrial returns the id of the experiment that a trial belongs to, or ErrNotFound.
func (db *DB) ExperimentOfTrial(ctx context.Context, trialID string) (string, error) {
	var id string
	row := db.read.QueryRowContext(ctx, "SELECT experiment_id FROM trials WHERE id = $1", trialID)
	if err := row.Scan(&id); errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("trial %s: %w", trialID, ErrNotFound)
	} else if err != nil {
		return "", fmt.Errorf("read experiment of trial %s: %w", trialID, err)
	}
	return id, nil
}

const experimentsPage = "SELECT * FROM experiments ORDER BY last_activity DESC, id DESC"

// Experiments returns experiments, the one with the newest activity first. limit 0 means 100.
func (db *DB) Experiments(ctx context.Context, limit, offset int) ([]ExperimentSummary, error) {
	var args Args
	page := experimentsPage + args.page(limit, offset)
	return db.experimentSummaries(ctx, page, args.Values)
}

// ExperimentSummary returns the experiment with that id, or ErrNotFound.
func (db *DB) ExperimentSummary(ctx context.Context, id string) (ExperimentSummary, error) {
	found, err := db.experimentSummaries(ctx, "SELECT * FROM experiments WHERE id = $1", []any{id})
	if err != nil {
		return ExperimentSummary{}, err
	}
	if len(found) == 0 {
		return ExperimentSummary{}, fmt.Errorf("experiment %s: %w", id, ErrNotFound)
	}
	return found[0], nil
}

func (db *DB) experimentSummaries(ctx context.Context, page string, args []any) ([]ExperimentSummary, error) {
	summaries, err := Collect(ctx, db.read, experimentsQuery(page), args, func(s *ExperimentSummary) []any {
		return append(append(experimentTargets(&s.Experiment), msTime{&s.LastActivity}, &s.Tasks), countTargets(&s.Counts)...)
	})
	if err != nil {
		return nil, fmt.Errorf("read experiments: %w", err)
	}
	for i := range summaries {
		summaries[i].Counts.settle()
	}
	return summaries, nil
}

func experimentsQuery(page string) string {
	return `SELECT ` + experimentColumns + `, e.last_activity, COUNT(y.task_id), ` + countColumns + `
		FROM (` + page + `) e LEFT JOIN tallies y ON y.experiment_id = e.id
		GROUP BY ` + experimentColumns + `, e.last_activity
		ORDER BY e.last_activity DESC, e.id DESC`
}

// RenameExperiment gives the experiment with that id another name, or returns ErrNotFound.
func (db *DB) RenameExperiment(ctx context.Context, id, name string) error {
	return db.Tx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, "UPDATE experiments SET name = $1 WHERE id = $2", name, id)
		if err != nil {
			return fmt.Errorf("rename experiment %s: %w", id, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("experiment %s: %w", id, ErrNotFound))
		}
		return nil
	})
}

// countColumns sums tallies (alias y) up for countTargets.
const countColumns = `COALESCE(SUM(y.queued), 0), COALESCE(SUM(y.running), 0), COALESCE(SUM(y.retrying), 0),
	COALESCE(SUM(y.success), 0), COALESCE(SUM(y.failed), 0), COALESCE(SUM(y.cancelled), 0),
	COALESCE(SUM(y.rewarded), 0), COALESCE(SUM(y.passed), 0), COALESCE(SUM(y.reward_sum), 0),
	MIN(y.started_at), MAX(y.finished_at)`

func countTargets(c *Counts) []any {
	return []any{
		&c.Queued, &c.Running, &c.Retrying, &c.Success, &c.Failed, &c.Cancelled,
		&c.Rewarded, &c.Passed, &c.RewardSum, nullTime{&c.StartedAt}, nullTime{&c.FinishedAt},
	}
}

// settle fills in what follows from the other counts: something that is still going on has no end.
func (c *Counts) settle() {
	active := c.Queued + c.Running + c.Retrying
	c.Total = active + c.Success + c.Failed + c.Cancelled
	if active > 0 {
		c.FinishedAt = nil
	}
}

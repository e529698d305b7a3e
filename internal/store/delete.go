package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"oddish/api"
)

// DeleteTask deletes the task with its versions, trials and attempts and returns the blob prefixes that held
// their content, to be removed next. ErrConflict while one of its trials runs; ErrNotFound.
func (db *DB) DeleteTask(ctx context.Context, id string) (dirs []string, err error) {
	err = db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := oneTask(ctx, tx, "k.id = $1"+db.ForUpdate(), id); err != nil {
			return err
		}
		if err := db.refuseRunning(ctx, tx, "task", "task_id", id); err != nil {
			return err
		}
		dirs, err = Texts(ctx, tx, `SELECT archive_key FROM task_versions WHERE task_id = $1
			UNION ALL SELECT a.trial_dir FROM attempts a JOIN trials t ON t.id = a.trial_id WHERE t.task_id = $1`, id)
		if err != nil {
			return fmt.Errorf("delete task %s: %w", id, err)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM tasks WHERE id = $1", id); err != nil {
			return fmt.Errorf("delete task %s: %w", id, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return dirs, nil
}

// DeleteExperiment deletes the experiment with its trials and attempts, but not the tasks that they ran, and returns
// how many trials these were and the blob prefixes that held what they left. ErrConflict while one of them runs; ErrNotFound.
func (db *DB) DeleteExperiment(ctx context.Context, id string) (trials int, dirs []string, err error) {
	err = db.Tx(ctx, func(tx *sql.Tx) error {
		var found string
		row := tx.QueryRowContext(ctx, "SELECT id FROM experiments WHERE id = $1"+db.ForUpdate(), id)
		if err := row.Scan(&found); errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("experiment %s: %w", id, ErrNotFound)
		} else if err != nil {
			return fmt.Errorf("delete experiment %s: %w", id, err)
		}
		if err := db.refuseRunning(ctx, tx, "experiment", "experiment_id", id); err != nil {
			return err
		}
		trials, err = deleteExperiment(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("delete experiment %s: %w", id, err)
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	return trials, []string{ExperimentDir(id)}, nil
}

func deleteExperiment(ctx context.Context, tx *sql.Tx, id string) (trials int, err error) {
	result, err := tx.ExecContext(ctx, "DELETE FROM trials WHERE experiment_id = $1", id)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	// Its tasks belong to the experiment of their newest trial that is left.
	_, err = tx.ExecContext(ctx, `UPDATE tasks SET experiment_id =
			(SELECT t.experiment_id FROM trials t WHERE t.task_id = tasks.id ORDER BY t.idx DESC LIMIT 1)
		WHERE experiment_id = $1`, id)
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM experiments WHERE id = $1", id)
	return int(n), err
}

// refuseRunning locks the jobs of a task or experiment and returns ErrConflict if one is running.
func (db *DB) refuseRunning(ctx context.Context, tx *sql.Tx, kind, column, id string) error {
	states, err := Texts(ctx, tx, "SELECT state FROM jobs WHERE "+column+" = $1"+db.ForUpdate(), id)
	if err != nil {
		return fmt.Errorf("read trials of %s %s: %w", kind, id, err)
	}
	running := 0
	for _, state := range states {
		if state == string(api.StatusRunning) {
			running++
		}
	}
	if running > 0 {
		return fmt.Errorf("%s %s has %d running trials: %w: cancel them first", kind, id, running, ErrConflict)
	}
	return nil
}

// ExperimentDir is the blob prefix of everything that an experiment's trials leave.
func ExperimentDir(experimentID string) string { return "jobs/" + experimentID }

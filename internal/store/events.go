package store

import (
	"context"
	"fmt"

	"oddish/api"
)

const defaultEvents = 1000

// Events returns the events of an experiment with an id above after, in order. Ids count from 1 in each experiment, in the
// order of commits: whoever has read up to an id misses nothing below it. Of a trial with very many events the oldest
// are dropped. limit 0 means 1000.
func (db *DB) Events(ctx context.Context, experimentID string, after int64, limit int) ([]api.Event, error) {
	if limit <= 0 {
		limit = defaultEvents
	}
	const query = `SELECT experiment_id, id, trial_id, attempt, at, kind, status, stage, reward, error_type
		FROM events WHERE experiment_id = $1 AND id > $2 ORDER BY id LIMIT $3`
	events, err := Collect(ctx, db.read, query, []any{experimentID, after, limit}, func(e *api.Event) []any {
		return []any{&e.ExperimentID, &e.ID, &e.TrialID, &e.Attempt, msTime{&e.At}, &e.Kind, &e.Status, &e.Stage, &e.Reward, &e.ErrorType}
	})
	if err != nil {
		return nil, fmt.Errorf("read events of experiment %s: %w", experimentID, err)
	}
	return events, nil
}

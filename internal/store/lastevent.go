package store

import (
	"context"
	"fmt"
)

// LastEvent returns the id of the newest event of an experiment, 0 if there is none: where one begins to
// follow it who has just read its state.
func (db *DB) LastEvent(ctx context.Context, experimentID string) (int64, error) {
	var id int64
	row := db.read.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM events WHERE experiment_id = $1", experimentID)
	if err := row.Scan(&id); err != nil {
		return 0, fmt.Errorf("read last event of experiment %s: %w", experimentID, err)
	}
	return id, nil
}

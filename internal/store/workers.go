package store

import (
	"context"
	"fmt"
	"time"
)

// Worker is a worker that has asked for trials.
type Worker struct {
	ID        string
	Hostname  string
	Version   string
	Sandboxes []string // kinds that it can start, preferred first
	FirstSeen time.Time
	LastSeen  time.Time
	Running   int // trials whose lease it holds
}

// Workers returns the workers seen since then, the one seen last first.
func (db *DB) Workers(ctx context.Context, since time.Time) ([]Worker, error) {
	const query = `SELECT w.id, w.hostname, w.version, w.sandboxes, w.first_seen, w.last_seen,
			(SELECT COUNT(*) FROM jobs j WHERE j.state = 'running' AND j.worker_id = w.id)
		FROM workers w WHERE w.last_seen >= $1 ORDER BY w.last_seen DESC, w.id`
	workers, err := Collect(ctx, db.read, query, []any{since.UnixMilli()}, func(w *Worker) []any {
		return []any{&w.ID, &w.Hostname, &w.Version, jsonText{&w.Sandboxes}, msTime{&w.FirstSeen}, msTime{&w.LastSeen}, &w.Running}
	})
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	return workers, nil
}

package cli

import (
	"context"
	"time"

	"oddish/internal/store"
)

// How long, and how often, `oddish db setup` tries to reach a PostgreSQL that takes no connections yet.
const (
	databaseStart = 30 * time.Second
	databaseRetry = 500 * time.Millisecond
)

// untilReady does what needs the database, and again while that is not ready, as one that was started a moment ago.
func (a *App) untilReady(ctx context.Context, do func() error) error {
	deadline := time.Now().Add(databaseStart)
	for told := false; ; told = true {
		err := do()
		if !store.NotReady(err) || time.Now().After(deadline) {
			return err
		}
		if !told {
			a.note("waiting for the database: it takes no connections yet")
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(databaseRetry):
		}
	}
}

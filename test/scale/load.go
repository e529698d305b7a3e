package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// fill makes the tables and the rows.
func fill(ctx context.Context, o options) error {
	start := time.Now()
	db, err := store.Open(ctx, o.database, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	if err := storetest.Fill(ctx, db, o.rows); err != nil {
		return err
	}
	if err := settle(ctx, db, o.database); err != nil {
		return err
	}
	row("load", "%d finished and %d queued trials over %d keys in %.0f s", o.rows.Finished, o.rows.Queued, o.rows.Keys, time.Since(start).Seconds())
	return nil
}

// settle does at once what PostgreSQL's autovacuum would do in the minutes after.
func settle(ctx context.Context, db *store.DB, url string) error {
	if strings.HasPrefix(url, "sqlite") {
		return nil
	}
	for _, statement := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if err := execute(ctx, db.Read(), statement); err != nil {
			return err
		}
	}
	return nil
}

func execute(ctx context.Context, db *sql.DB, statement string) error {
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", strings.ToLower(statement), err)
	}
	return nil
}

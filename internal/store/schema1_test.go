package store_test

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"testing"

	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

func TestMigratingTheFirstSchemaKeepsEveryRow(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	storetest.LoadSchema1(t, url)
	db := storetest.OpenURL(t, url)
	current, latest, err := db.SchemaVersion(t.Context())
	if err != nil || current != latest {
		t.Errorf("schema is %d, %v, want %d", current, err, latest)
	}
	checkSchema1Rows(t, db)
	trials, err := db.Trials(t.Context(), store.TrialFilter{TaskIDs: []string{"hello-00000001"}})
	if err != nil || len(trials) != 6 {
		t.Fatalf("%d trials, %v, want 6", len(trials), err)
	}
	if e, err := db.Experiment(t.Context(), "nightly"); err != nil || e.ID != "e0000001" {
		t.Errorf("experiment is %+v, %v", e, err)
	}
	versions, err := db.Versions(t.Context(), "hello-00000001")
	if err != nil || len(versions) != 2 {
		t.Errorf("versions are %+v, %v, want 2", versions, err)
	}
}

func checkSchema1Rows(t *testing.T, db *store.DB) {
	t.Helper()
	want := map[string]int{
		"experiments": 1, "tasks": 1, "task_versions": 2, "trials": 6, "jobs": 6, "attempts": 4, "tallies": 1,
		"queue_keys": 3, "queue_changes": 2, "workers": 1, "api_keys": 1, "events": 15,
	}
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		for table, rows := range want {
			var n int
			if err := tx.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n); err != nil {
				return err
			}
			if n != rows {
				t.Errorf("%s has %d rows, want %d", table, n, rows)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestManyMigrateTheFirstSchemaAtOnce(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	storetest.LoadSchema1(t, url)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = migrate(t.Context(), url) })
	}
	wg.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		t.Fatal(errs[i])
	}
	checkSchema1Rows(t, storetest.OpenURL(t, url))
}

func migrate(ctx context.Context, url string) error {
	db, err := store.Open(ctx, url, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Migrate(ctx)
}

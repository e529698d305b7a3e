package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

func TestMigrateFromNothingAndAgain(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), storetest.URL(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	current, latest, err := db.SchemaVersion(t.Context())
	if err != nil || current != 0 || latest < 1 {
		t.Errorf("before: version %d of %d, %v", current, latest, err)
	}
	for range 2 {
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if current, latest, err = db.SchemaVersion(t.Context()); err != nil || current != latest {
		t.Errorf("after: version %d of %d, %v", current, latest, err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestManyOpenAndMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			db, err := store.Open(t.Context(), url, nil)
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			defer db.Close()
			if err := db.Migrate(t.Context()); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	group.Wait()
	db := storetest.OpenURL(t, url)
	var notes, versions int64
	row := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*), COUNT(DISTINCT version_id) FROM goose_db_version WHERE version_id > 0")
	if err := row.Scan(&notes, &versions); err != nil {
		t.Fatal(err)
	}
	if latest, err := store.LatestVersion(); err != nil || versions != latest || notes != versions {
		t.Errorf("%d of %d migrations are noted, %d times in all, %v", versions, latest, notes, err)
	}
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	db := storetest.OpenURL(t, url)
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, TRUE)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), url, nil); err == nil || !strings.Contains(err.Error(), "use a newer oddish") {
		t.Errorf("the error is %v", err)
	}
}

func TestOpenSaysWhatIsWrongWithThePlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("this is no database, but long enough to be looked at"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(file, "oddish.db"), dir, file} {
		db, err := store.Open(t.Context(), "sqlite:///"+path, nil)
		if err == nil {
			db.Close()
			t.Errorf("%s was opened", path)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("the error does not name %s: %v", path, err)
		}
	}
}

func TestTheDatabaseIsPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "folder", "oddish.db")
	storetest.OpenURL(t, "sqlite:///"+path)
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 3 {
		t.Fatalf("files are %q, %v", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
}

func TestTxRollsBack(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	broken := errors.New("broken")
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ('k')"); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	var n int
	if err := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM queue_keys").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows are left, %v", n, err)
	}
}

func TestTxWaitsForAnotherProcessThatWrites(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	one, two := storetest.OpenURL(t, url), storetest.OpenURL(t, url)
	add := func(db *store.DB, key string, inside func()) error {
		return db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ($1)", key)
			inside()
			return err
		})
	}
	holding, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if err := add(one, "one", func() { close(holding); <-release }); err != nil {
			t.Error(err)
		}
	})
	<-holding
	group.Go(func() {
		if err := add(two, "two", func() {}); err != nil {
			t.Error(err)
		}
	})
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	group.Wait()
}

func TestTxEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Tx(ctx, func(*sql.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestReadCannotWriteOnSQLite(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		t.Skip("PostgreSQL has one pool")
	}
	db := storetest.Open(t)
	if _, err := db.Read().ExecContext(t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ('k')"); err == nil {
		t.Error("the read pool has written")
	}
}

func TestCommitsAreOnDiskWhenAcknowledged(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		t.Skip("SQLite's settings")
	}
	db := storetest.Open(t)
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "secure_delete": "2"} {
		var got string
		err := db.Tx(t.Context(), func(tx *sql.Tx) error {
			return tx.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got)
		})
		if err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", pragma, got, err, want)
		}
	}
}

func TestAFullDiskIsSaidInWords(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		t.Skip("SQLite's disk")
	}
	url := storetest.URL(t)
	db := storetest.OpenURL(t, url)
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		// To SQLite a file that may not grow is a full disk.
		if _, err := tx.ExecContext(t.Context(), "PRAGMA max_page_count = 1"); err != nil {
			return err
		}
		_, err := tx.ExecContext(t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ($1)", strings.Repeat("x", 1<<20))
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "free some space") || !strings.Contains(err.Error(), strings.TrimPrefix(url, "sqlite:///")) {
		t.Errorf("the error is %v", err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

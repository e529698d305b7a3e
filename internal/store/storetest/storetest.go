// Package storetest opens databases for tests, of package store and of those above it.
package storetest

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"oddish/internal/store"
)

// PostgresEnv names the variable with the URL of a PostgreSQL database in which tests may make schemas. If it is
// set, tests use that instead of SQLite.
const PostgresEnv = "ODDISH_TEST_POSTGRES"

// Postgres reports whether the tests use PostgreSQL.
func Postgres() bool { return os.Getenv(PostgresEnv) != "" }

// URL names a database of the test's own, empty and not migrated.
func URL(t testing.TB) string {
	t.Helper()
	if !Postgres() {
		return "sqlite:///" + filepath.Join(t.TempDir(), "oddish.db")
	}
	base, err := url.Parse(os.Getenv(PostgresEnv))
	if err != nil {
		t.Fatalf("%s: %v", PostgresEnv, err)
	}
	schema := "test_" + store.NewID() + store.NewID()
	execute(t, base.String(), "CREATE SCHEMA "+schema)
	t.Cleanup(func() { execute(t, base.String(), "DROP SCHEMA "+schema+" CASCADE") })
	query := base.Query()
	query.Set("search_path", schema)
	base.RawQuery = query.Encode()
	return base.String()
}

func execute(t testing.TB, dsn, statement string) {
	t.Helper()
	run(t, "pgx", dsn, statement)
}

// run executes statements.
func run(t testing.TB, driver, dsn, statements string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatalf("%.80s: %v", statements, err)
	}
}

// Open opens and migrates a database of the test's own, which is closed at its end.
func Open(t testing.TB) *store.DB {
	t.Helper()
	address := URL(t)
	if file, is := strings.CutPrefix(address, "sqlite:///"); is {
		migrated, err := template()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, migrated, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return OpenURL(t, address)
}

// template is the file of a migrated SQLite database. Tests start with copies of it: migrations take most of a short test's time, above all
// under the race detector.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "oddish-template-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "oddish.db")
	db, err := store.Open(context.Background(), "sqlite:///"+file, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(db.Migrate(context.Background()), db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

// OpenURL is Open for a database that may exist.
func OpenURL(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

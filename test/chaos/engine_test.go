package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"
)

// engine is the database of an installation as the test sees it.
type engine struct {
	url string // for the program
	db  *sql.DB
	// terminate ends connections of the program: a random one or all. Nil: the engine has none.
	terminate func(ctx context.Context, all bool) (int, error)
}

// sqliteEngine is a database file in dir. It is made by the server.
func sqliteEngine(t *testing.T, dir string) engine {
	t.Helper()
	file := filepath.Join(dir, "oddish.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return engine{url: "sqlite:///" + file, db: db}
}

// ours is the name of the test's own connections, which are not to be ended.
const ours = "chaos-test"

// postgresEngine is a database of its own on the PostgreSQL of the tests, dropped afterwards unless the test failed.
func postgresEngine(t *testing.T) engine {
	t.Helper()
	base := os.Getenv("ODDISH_TEST_POSTGRES")
	if base == "" {
		t.Skip("ODDISH_TEST_POSTGRES names no PostgreSQL")
	}
	admin, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("chaos_%d_%x", os.Getpid(), *chaosSeed&0xffffff)
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	t.Cleanup(func() {
		defer admin.Close()
		if t.Failed() {
			t.Logf("the database %s is kept", name)
			return
		}
		if _, err := admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the database: %v", err)
		}
	})
	db, err := sql.Open("pgx", in(t, base, name, "application_name", ours))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return engine{url: in(t, base, name), db: db, terminate: func(ctx context.Context, all bool) (int, error) {
		query := "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name <> $1 AND backend_type = 'client backend' ORDER BY random()"
		if !all {
			query += " LIMIT 1"
		}
		var n int
		err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM (SELECT pg_terminate_backend(pid) FROM ("+query+") a) b", ours).Scan(&n)
		return n, err
	}}
}

// in is a database URL with another database, and with further parameters.
func in(t *testing.T, base, name string, parameters ...string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	q := u.Query()
	for i := 0; i+1 < len(parameters); i += 2 {
		q.Set(parameters[i], parameters[i+1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
)

func openCached(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "oddish.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.read.SetMaxOpenConns(1)
	return db
}

func TestAKeptStatementSeesItsNewArguments(t *testing.T) {
	t.Parallel()
	db := openCached(t)
	for i := range 3 {
		var got int
		if err := db.read.QueryRowContext(t.Context(), "SELECT $1 + 1", i).Scan(&got); err != nil || got != i+1 {
			t.Errorf("%d + 1 is %d, %v", i, got, err)
		}
	}
}

func TestAStatementMayRunWhileItsRowsAreRead(t *testing.T) {
	t.Parallel()
	db := openCached(t)
	conn, err := db.read.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const query = "SELECT 1 UNION ALL SELECT 2"
	outer, err := conn.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	rows := 0
	for outer.Next() {
		inner, err := Collect(t.Context(), conn, query, nil, func(n *int) []any { return []any{n} })
		if err != nil || len(inner) != 2 {
			t.Errorf("inside: %v, %v", inner, err)
		}
		rows++
	}
	if err := outer.Err(); err != nil || rows != 2 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestMoreStatementsThanAreKept(t *testing.T) {
	t.Parallel()
	db := openCached(t)
	for range 2 {
		for i := range cachedStatements + 10 {
			var got int
			if err := db.read.QueryRowContext(t.Context(), fmt.Sprint("SELECT ", i)).Scan(&got); err != nil || got != i {
				t.Fatalf("SELECT %d gives %d, %v", i, got, err)
			}
		}
	}
}

func TestAKeptStatementFollowsTheSchema(t *testing.T) {
	t.Parallel()
	db := openCached(t)
	columns := func() (n int) {
		rows, err := db.read.QueryContext(t.Context(), "SELECT * FROM tallies")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	before := columns()
	if _, err := db.write.ExecContext(t.Context(), "ALTER TABLE tallies ADD COLUMN more integer"); err != nil {
		t.Fatal(err)
	}
	if after := columns(); after != before+1 {
		t.Errorf("%d columns before, %d afterwards", before, after)
	}
}

func TestAStatementThatFailedCanBeRunAgain(t *testing.T) {
	t.Parallel()
	db := openCached(t)
	const insert = "INSERT INTO queue_keys (queue_key) VALUES ($1)"
	for i, fails := range []bool{false, true, false} {
		_, err := db.write.ExecContext(t.Context(), insert, []string{"a", "a", "b"}[i])
		if (err != nil) != fails {
			t.Errorf("insert %d: %v", i, err)
		}
	}
	gone, end := context.WithCancel(t.Context())
	end()
	if _, err := db.write.ExecContext(gone, insert, "c"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// sqliteFile opens and migrates a SQLite database, also where the other tests use PostgreSQL.
func sqliteFile(t *testing.T) *store.DB {
	t.Helper()
	return storetest.OpenURL(t, "sqlite:///"+filepath.Join(t.TempDir(), "oddish.db"))
}

func exec(t *testing.T, db *store.DB, statements ...string) {
	t.Helper()
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		for _, statement := range statements {
			if _, err := tx.ExecContext(t.Context(), statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fill puts n tasks with a version each into an experiment, and rows with nulls, fractions and odd texts.
func fill(t *testing.T, db *store.DB, n int) {
	t.Helper()
	statements := []string{
		"INSERT INTO experiments (id, name, created_at, last_activity) VALUES ('e1', 'it''s · \"x\"', 1717000000123, 9007199254740993)",
		"INSERT INTO queue_keys (queue_key, max_running) VALUES ('a/b', NULL), ('c', 7)",
		"INSERT INTO api_keys (id, name, prefix, hash, scope, created_at) VALUES ('k', '', 'p', 'h', 's', -1)",
	}
	for i := range n {
		statements = append(statements,
			fmt.Sprintf("INSERT INTO tasks (id, name, experiment_id, created_at) VALUES ('t%d', 'name%d', 'e1', %d)", i, i, i),
			fmt.Sprintf("INSERT INTO task_versions (task_id, version, content_hash, archive_key, created_at) VALUES ('t%d', 1, 'h', 'tasks/t%d/v1.tar.gz', 5)", i, i),
			fmt.Sprintf("INSERT INTO tallies (experiment_id, task_id, reward_sum) VALUES ('e1', 't%d', 0.1)", i))
	}
	exec(t, db, statements...)
}

func rowsOf(counts []store.TableCount) map[string]int64 {
	rows := map[string]int64{}
	for _, c := range counts {
		rows[c.Table] = c.Rows
	}
	return rows
}

// dump reads all rows of some tables.
func dump(t *testing.T, db *store.DB) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, table := range []string{"experiments", "tasks", "task_versions", "tallies", "queue_keys", "api_keys"} {
		rows, err := db.Read().QueryContext(t.Context(), "SELECT * FROM "+table+" ORDER BY 1, 2")
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(targets...); err != nil {
				t.Fatal(err)
			}
			all[table] = append(all[table], fmt.Sprintf("%#v", values))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	return all
}

func TestCopyKeepsEverythingThereAndBack(t *testing.T) {
	t.Parallel()
	first, there, back := sqliteFile(t), storetest.Open(t), sqliteFile(t)
	fill(t, first, 210) // more than a batch
	counts, err := store.Copy(t.Context(), first, there, store.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := rowsOf(counts); got["tasks"] != 210 || got["experiments"] != 1 || got["jobs"] != 0 || got["goose_db_version"] < 2 {
		t.Errorf("counts are %v", counts)
	}
	if _, err := store.Copy(t.Context(), there, back, store.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	want := dump(t, first)
	if got := dump(t, there); !reflect.DeepEqual(got, want) {
		t.Errorf("there:\n%v\nwant\n%v", got, want)
	}
	if got := dump(t, back); !reflect.DeepEqual(got, want) {
		t.Errorf("back:\n%v\nwant\n%v", got, want)
	}
	for _, db := range []*store.DB{there, back} {
		if current, latest, err := db.SchemaVersion(t.Context()); err != nil || current != latest {
			t.Errorf("version %d of %d, %v", current, latest, err)
		}
	}
}

func TestCopyMarksWhatPostgresCannotHold(t *testing.T) {
	t.Parallel()
	from, to := sqliteFile(t), storetest.Open(t)
	const text = "a\x00b\xffc"
	err := from.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO queue_keys (queue_key) VALUES ($1)", text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Copy(t.Context(), from, to, store.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	want := text
	if storetest.Postgres() {
		want = "a\uFFFDb\uFFFDc"
	}
	var got string
	if err := to.Read().QueryRowContext(t.Context(), "SELECT queue_key FROM queue_keys").Scan(&got); err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestCopyMovesTheCountersOn(t *testing.T) {
	t.Parallel()
	first, there, back := sqliteFile(t), storetest.Open(t), sqliteFile(t)
	// The goose table is the one with numbers of the database's own: 4710 was given out and deleted.
	exec(t, first, "INSERT INTO goose_db_version (id, version_id, is_applied) VALUES (4710, 0, 1)", "DELETE FROM goose_db_version WHERE id = 4710")
	for _, step := range [][2]*store.DB{{first, there}, {there, back}} {
		if _, err := store.Copy(t.Context(), step[0], step[1], store.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, db := range []*store.DB{there, back} {
		exec(t, db, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, TRUE)")
		var id int64
		if err := db.Read().QueryRowContext(t.Context(), "SELECT MAX(id) FROM goose_db_version").Scan(&id); err != nil || id != 4711 {
			t.Errorf("the next number is %d, %v", id, err)
		}
		if err := db.Migrate(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestCopyRefusesATargetWithRowsUnlessItIsReplaced(t *testing.T) {
	t.Parallel()
	from, to := sqliteFile(t), storetest.Open(t)
	fill(t, from, 2)
	fill(t, to, 5)
	before := dump(t, to)
	_, err := store.Copy(t.Context(), from, to, store.CopyOptions{})
	if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("the error is %v", err)
	}
	if got := dump(t, to); !reflect.DeepEqual(got, before) {
		t.Errorf("the target is now %v", got)
	}
	if _, err := store.Copy(t.Context(), from, to, store.CopyOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, to); !reflect.DeepEqual(got, dump(t, from)) {
		t.Errorf("the target is now %v", got)
	}
}

func TestCopyLeavesTheTargetAloneWhenItFails(t *testing.T) {
	t.Parallel()
	from, to := sqliteFile(t), storetest.Open(t)
	fill(t, from, 3)
	fill(t, to, 1)
	before := dump(t, to)
	// A table that refuses what comes.
	exec(t, to, "CREATE UNIQUE INDEX only_one ON tallies (experiment_id)")
	if _, err := store.Copy(t.Context(), from, to, store.CopyOptions{Replace: true}); err == nil || !strings.Contains(err.Error(), "table tallies") {
		t.Errorf("the error is %v", err)
	}
	if got := dump(t, to); !reflect.DeepEqual(got, before) {
		t.Errorf("the target is now %v", got)
	}
}

func TestCopyRefusesTablesOfAnotherVersion(t *testing.T) {
	t.Parallel()
	old, err := store.Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "old.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if _, err := store.Copy(t.Context(), old, storetest.Open(t), store.CopyOptions{}); err == nil || !strings.Contains(err.Error(), "oddish db setup") {
		t.Errorf("the error is %v", err)
	}
}

func TestPurgeEmptiesEveryTable(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	fill(t, db, 3)
	if empty, err := db.Empty(t.Context()); err != nil || empty {
		t.Errorf("empty: %v, %v", empty, err)
	}
	counts, err := db.Purge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rows := rowsOf(counts); rows["tasks"] != 3 || rows["api_keys"] != 1 || rows["jobs"] != 0 {
		t.Errorf("these rows were there: %v", counts)
	}
	if got := dump(t, db); len(got) != 0 {
		t.Errorf("left are %v", got)
	}
	if empty, err := db.Empty(t.Context()); err != nil || !empty {
		t.Errorf("empty: %v, %v", empty, err)
	}
	if current, latest, err := db.SchemaVersion(t.Context()); err != nil || current != latest {
		t.Errorf("version %d of %d, %v", current, latest, err)
	}
	fill(t, db, 1)
}

func TestResetMakesTheTablesAnewAndLeavesThoseOfOthers(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	fill(t, db, 3)
	exec(t, db, "CREATE TABLE of_others (x integer)", "INSERT INTO of_others VALUES (1)", "ALTER TABLE tasks ADD COLUMN surplus text")
	counts, err := db.Reset(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rows := rowsOf(counts); rows["tasks"] != 3 || rows["api_keys"] != 1 || rows["jobs"] != 0 {
		t.Errorf("these rows were there: %v", counts)
	}
	if got := dump(t, db); len(got) != 0 {
		t.Errorf("left are %v", got)
	}
	var n int
	if err := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM of_others").Scan(&n); err != nil || n != 1 {
		t.Errorf("the table of others has %d rows, %v", n, err)
	}
	if err := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(surplus) FROM tasks").Scan(&n); err == nil {
		t.Error("the table is the old one")
	}
	fill(t, db, 1)
}

// writeUntil adds pairs of rows, a task and its version in one transaction each, until stop is closed.
func writeUntil(t *testing.T, db *store.DB, stop <-chan struct{}, written func()) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		err := db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO tasks (id, name, created_at) VALUES ('w%d', 'w%d', 1)", i, i))
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO task_versions (task_id, version, content_hash, archive_key, created_at) VALUES ('w%d', 1, '', '', 1)", i))
			return err
		})
		if err != nil {
			t.Error(err)
			return
		}
		written()
	}
}

func TestSnapshotOfADatabaseThatIsWrittenTo(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	writer, reader := storetest.OpenURL(t, url), storetest.OpenURL(t, url)
	fill(t, writer, 5)
	stop, going := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var group sync.WaitGroup
	group.Go(func() { writeUntil(t, writer, stop, func() { once.Do(func() { close(going) }) }) })
	<-going
	dir := t.TempDir()
	for i := range 2 {
		path := filepath.Join(dir, fmt.Sprintf("copy%d.db", i))
		if err := reader.Snapshot(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		copied := storetest.OpenURL(t, "sqlite:///"+path)
		if err := copied.CheckIntegrity(t.Context()); err != nil {
			t.Error(err)
		}
		var tasks, versions int
		if err := copied.Read().QueryRowContext(t.Context(), "SELECT (SELECT COUNT(*) FROM tasks), (SELECT COUNT(*) FROM task_versions)").Scan(&tasks, &versions); err != nil {
			t.Fatal(err)
		}
		if tasks <= 5 || tasks != versions {
			t.Errorf("the copy has %d tasks and %d versions", tasks, versions)
		}
	}
	close(stop)
	group.Wait()
	if err := reader.Snapshot(t.Context(), filepath.Join(dir, "copy0.db")); err == nil || !strings.Contains(err.Error(), "copy0.db") {
		t.Errorf("onto a file that exists: %v", err)
	}
}

func TestSnapshotEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := storetest.Open(t).Snapshot(ctx, filepath.Join(t.TempDir(), "copy.db")); err == nil {
		t.Error("no error")
	}
}

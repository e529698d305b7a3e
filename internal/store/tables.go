package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// versionTable is where the migrations that were applied are noted.
const versionTable = "goose_db_version"

// table is one of our tables as the migrations make it.
type table struct {
	name    string
	columns []string // those that can be written
	parents []string // tables that its rows refer to
}

func (t table) columnList() string {
	quoted := make([]string, len(t.columns))
	for i, c := range t.columns {
		quoted[i] = quote(c)
	}
	return strings.Join(quoted, ", ")
}

// quote makes a name of ours safe to be written into a statement.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// openBlank makes a database as the migrations leave it, in a file of its own. It is what tells which tables are ours,
// also in a PostgreSQL database that others use too, and which rows are there from the start.
func openBlank(ctx context.Context) (blank *DB, remove func(), err error) {
	if blank, remove, err = openScratch(ctx); err != nil {
		return nil, nil, err
	}
	if err := blank.Migrate(ctx); err != nil {
		remove()
		return nil, nil, err
	}
	return blank, remove, nil
}

// openScratch makes a database without tables in a file of its own.
func openScratch(ctx context.Context) (scratch *DB, remove func(), err error) {
	dir, err := os.MkdirTemp("", "oddish-scratch-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a scratch database: %w", err)
	}
	scratch, err = Open(ctx, "sqlite:///"+filepath.Join(dir, "scratch.db"), nil)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return scratch, func() {
		_ = scratch.Close()
		_ = os.RemoveAll(dir)
	}, nil
}

// ourTables gives the tables, and how many rows each has from the start.
func ourTables(ctx context.Context) ([]table, map[string]int64, error) {
	blank, remove, err := openBlank(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer remove()
	tables, err := sqliteTables(ctx, blank.read)
	if err != nil {
		return nil, nil, err
	}
	initial, err := rowCounts(ctx, blank.read, tables)
	return tables, initial, err
}

// sqliteTables reads the tables of a SQLite database, each after those that it refers to.
func sqliteTables(ctx context.Context, q Querier) ([]table, error) {
	names, err := Texts(ctx, q, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("read list of tables: %w", err)
	}
	tables := make([]table, 0, len(names))
	for _, name := range names {
		t := table{name: name}
		if t.columns, err = Texts(ctx, q, "SELECT name FROM pragma_table_xinfo($1) WHERE hidden = 0 ORDER BY cid", name); err != nil {
			return nil, fmt.Errorf("read columns of %s: %w", name, err)
		}
		if t.parents, err = Texts(ctx, q, `SELECT DISTINCT "table" FROM pragma_foreign_key_list($1)`, name); err != nil {
			return nil, fmt.Errorf("read references of %s: %w", name, err)
		}
		tables = append(tables, t)
	}
	return parentsFirst(tables), nil
}

// parentsFirst orders tables so that each comes after those that it refers to. Tables that refer to one another in
// a circle keep their order.
func parentsFirst(tables []table) []table {
	ordered := make([]table, 0, len(tables))
	done := map[string]bool{}
	var visit func(t table)
	visit = func(t table) {
		if done[t.name] {
			return
		}
		done[t.name] = true
		for _, parent := range t.parents {
			if i := slices.IndexFunc(tables, func(o table) bool { return o.name == parent }); i >= 0 {
				visit(tables[i])
			}
		}
		ordered = append(ordered, t)
	}
	for _, t := range tables {
		visit(t)
	}
	return ordered
}

// rowCounts counts the rows of each table.
func rowCounts(ctx context.Context, q Querier, tables []table) (map[string]int64, error) {
	counts := make(map[string]int64, len(tables))
	for _, t := range tables {
		var n int64
		if err := q.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+quote(t.name)).Scan(&n); err != nil {
			return nil, fmt.Errorf("count rows of %s: %w", t.name, err)
		}
		counts[t.name] = n
	}
	return counts, nil
}

// firstRows names the first table that has more rows than from the start, and how many; 0 if none has.
func firstRows(ctx context.Context, q Querier, tables []table, initial map[string]int64) (name string, n int64, err error) {
	counts, err := rowCounts(ctx, q, tables)
	if err != nil {
		return "", 0, err
	}
	for _, t := range tables {
		if n := counts[t.name]; n > initial[t.name] && t.name != versionTable {
			return t.name, n, nil
		}
	}
	return "", 0, nil
}

// Empty reports whether the database holds nothing: no tables yet, or none with rows that migrations have not made. A
// database with tables must be migrated.
func (db *DB) Empty(ctx context.Context) (bool, error) {
	if current, _, err := db.SchemaVersion(ctx); err != nil || current == 0 {
		return err == nil, err
	}
	if err := db.requireCurrent(ctx); err != nil {
		return false, err
	}
	tables, initial, err := ourTables(ctx)
	if err != nil {
		return false, err
	}
	_, n, err := firstRows(ctx, db.read, tables, initial)
	return err == nil && n == 0, err
}

// beginRead begins a transaction that sees one state of the database throughout.
func (db *DB) beginRead(ctx context.Context) (*sql.Tx, error) {
	var o *sql.TxOptions // every read transaction of SQLite is like that
	if db.engine == postgres {
		o = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	tx, err := db.read.BeginTx(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	return tx, nil
}

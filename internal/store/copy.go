package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TableCount says how many rows a table has.
type TableCount struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// CopyOptions say how Copy treats its target.
type CopyOptions struct {
	// Replace deletes what the target holds. Otherwise a target with rows is ErrConflict.
	Replace bool
}

// Copy makes the content of to that of from, whatever the engine of each: every row of every table, the
// numbers that will be given to new rows, and the notes about migrations. (NUL and invalid UTF-8, which PostgreSQL's texts cannot
// hold, become U+FFFD there.) Both must be migrated to the version that this program
// knows. It reads one state of from, which may be in use, and writes one transaction, in which the rows are counted
// afterwards: after an error to is as it was. It returns the counts in the order of the tables.
func Copy(ctx context.Context, from, to *DB, o CopyOptions) ([]TableCount, error) {
	for _, db := range []*DB{from, to} {
		if err := db.requireCurrent(ctx); err != nil {
			return nil, err
		}
	}
	tables, initial, err := ourTables(ctx)
	if err != nil {
		return nil, err
	}
	return copyTables(ctx, from, to, tables, initial, o)
}

func (db *DB) requireCurrent(ctx context.Context) error {
	current, latest, err := db.SchemaVersion(ctx)
	if err != nil {
		return err
	}
	if current != latest {
		return fmt.Errorf("the tables of the %s database have version %d, and this program's are %d: run `oddish db setup` on it first", db.engine, current, latest)
	}
	return nil
}

func copyTables(ctx context.Context, from, to *DB, tables []table, initial map[string]int64, o CopyOptions) ([]TableCount, error) {
	source, err := from.beginRead(ctx)
	if err != nil {
		return nil, err
	}
	defer source.Rollback()
	var counts []TableCount
	err = to.Tx(ctx, func(tx *sql.Tx) error {
		c := copier{from: from, to: to, source: source, target: tx, tables: tables}
		if !o.Replace {
			if err := c.requireEmpty(ctx, initial); err != nil {
				return err
			}
		}
		counts, err = c.run(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("copy database: %w", err)
	}
	return counts, nil
}

// copier copies between two open transactions.
type copier struct {
	from, to       *DB
	source, target *sql.Tx
	tables         []table // parents first
}

func (c *copier) requireEmpty(ctx context.Context, initial map[string]int64) error {
	name, n, err := firstRows(ctx, c.target, c.tables, initial)
	if err == nil && n > 0 {
		err = fmt.Errorf("%w: the target is not empty: table %s has %d rows", ErrConflict, name, n)
	}
	return err
}

func (c *copier) run(ctx context.Context) ([]TableCount, error) {
	for i := len(c.tables) - 1; i >= 0; i-- {
		if _, err := c.target.ExecContext(ctx, "DELETE FROM "+quote(c.tables[i].name)); err != nil {
			return nil, fmt.Errorf("empty table %s: %w", c.tables[i].name, err)
		}
	}
	for _, t := range c.tables {
		if err := c.table(ctx, t); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	if err := c.numbers(ctx); err != nil {
		return nil, err
	}
	return c.compare(ctx)
}

// batchRows is how many rows one statement inserts; their parameters stay below the limits of both engines.
const batchRows = 200

func (c *copier) table(ctx context.Context, t table) error {
	kinds, err := columnKinds(ctx, c.target, t)
	if err != nil {
		return err
	}
	rows, err := c.source.QueryContext(ctx, "SELECT "+t.columnList()+" FROM "+quote(t.name))
	if err != nil {
		return err
	}
	defer rows.Close()
	insert, err := c.target.PrepareContext(ctx, insertStatement(t, batchRows))
	if err != nil {
		return err
	}
	defer insert.Close()
	width := len(t.columns)
	batch := make([]any, 0, batchRows*width)
	for rows.Next() {
		row, err := scanAny(rows, width)
		if err != nil {
			return err
		}
		for i, value := range row {
			batch = append(batch, c.to.engine.adapt(value, kinds[i]))
		}
		if len(batch) == cap(batch) {
			if _, err := insert.ExecContext(ctx, batch...); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := rows.Err(); err != nil || len(batch) == 0 {
		return err
	}
	_, err = c.target.ExecContext(ctx, insertStatement(t, len(batch)/width), batch...)
	return err
}

func scanAny(rows *sql.Rows, width int) ([]any, error) {
	values, targets := make([]any, width), make([]any, width)
	for i := range values {
		targets[i] = &values[i]
	}
	return values, rows.Scan(targets...)
}

func insertStatement(t table, rows int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", quote(t.name), t.columnList())
	n := 0
	for row := range rows {
		if row > 0 {
			b.WriteString(", ")
		}
		for column := range t.columns {
			n++
			b.WriteString([]string{"($", ", $"}[min(column, 1)])
			b.WriteString(strconv.Itoa(n))
		}
		b.WriteByte(')')
	}
	return b.String()
}

// columnKinds gives the type of each column as the target's driver names it.
func columnKinds(ctx context.Context, q Querier, t table) ([]string, error) {
	rows, err := q.QueryContext(ctx, "SELECT "+t.columnList()+" FROM "+quote(t.name)+" LIMIT 0")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	kinds := make([]string, len(types))
	for i, kind := range types {
		kinds[i] = strings.ToUpper(kind.DatabaseTypeName())
	}
	return kinds, rows.Err()
}

// sqliteTime is how SQLite's own functions write a time.
const sqliteTime = "2006-01-02 15:04:05.999999999"

// adapt gives a value as a column of the engine takes it. Numbers and texts are the same everywhere; the table of
// migrations, which is not ours, has a flag and a time.
func (e engine) adapt(value any, kind string) any {
	if e == sqlite {
		switch v := value.(type) {
		case time.Time:
			return v.UTC().Format(sqliteTime)
		case bool:
			return Flag(v)
		}
		return value
	}
	switch v := value.(type) {
	case int64:
		if kind == "BOOL" {
			return v != 0
		}
	case string:
		if !strings.HasPrefix(kind, "TIMESTAMP") {
			return postgresText(v)
		}
		if at, err := time.Parse(sqliteTime, v); err == nil {
			return at
		}
	}
	return value
}

// postgresText marks what a text of PostgreSQL cannot hold, and one of SQLite can: NUL and what is not UTF-8.
func postgresText(s string) string {
	const mark = "\uFFFD"
	return strings.ReplaceAll(strings.ToValidUTF8(s, mark), "\x00", mark)
}

// compare counts what has arrived.
func (c *copier) compare(ctx context.Context) ([]TableCount, error) {
	want, err := rowCounts(ctx, c.source, c.tables)
	if err != nil {
		return nil, err
	}
	got, err := rowCounts(ctx, c.target, c.tables)
	if err != nil {
		return nil, err
	}
	counts := make([]TableCount, 0, len(c.tables))
	for _, t := range c.tables {
		if want[t.name] != got[t.name] {
			return nil, fmt.Errorf("table %s has %d rows, and %d have arrived", t.name, want[t.name], got[t.name])
		}
		counts = append(counts, TableCount{t.name, got[t.name]})
	}
	return counts, nil
}

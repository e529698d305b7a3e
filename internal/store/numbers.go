package store

import (
	"context"
	"database/sql"
	"fmt"
)

// counter is what numbers a column's new rows: SQLite's AUTOINCREMENT, PostgreSQL's identity or serial columns.
type counter struct {
	table, column string
	last          int64 // given out already; 0: none yet
}

// numbers sets the target's counters to where the source's are, so that no number is ever given out twice.
func (c *copier) numbers(ctx context.Context) error {
	last := map[string]int64{}
	have, err := c.counters(ctx, c.from, c.source)
	if err != nil {
		return err
	}
	for _, n := range have {
		last[n.table] = max(last[n.table], n.last)
	}
	want, err := c.counters(ctx, c.to, c.target)
	if err != nil {
		return err
	}
	for _, n := range want {
		if err := c.setCounter(ctx, n, last[n.table]); err != nil {
			return fmt.Errorf("set the counter of table %s: %w", n.table, err)
		}
	}
	return nil
}

func (c *copier) counters(ctx context.Context, db *DB, tx *sql.Tx) ([]counter, error) {
	if db.engine == postgres {
		return c.postgresCounters(ctx, tx)
	}
	exists, err := Texts(ctx, tx, "SELECT name FROM sqlite_schema WHERE name = 'sqlite_sequence'")
	if err != nil || len(exists) == 0 {
		return nil, err
	}
	found, err := Collect(ctx, tx, "SELECT name, seq FROM sqlite_sequence", nil, func(n *counter) []any { return []any{&n.table, &n.last} })
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	return found, nil
}

func (c *copier) postgresCounters(ctx context.Context, tx *sql.Tx) ([]counter, error) {
	var found []counter
	for _, t := range c.tables {
		for _, column := range t.columns {
			var sequence sql.NullString
			if err := tx.QueryRowContext(ctx, "SELECT pg_get_serial_sequence($1, $2)", quote(t.name), column).Scan(&sequence); err != nil {
				return nil, fmt.Errorf("read counters: %w", err)
			}
			if !sequence.Valid {
				continue
			}
			n := counter{table: t.name, column: column}
			// The name comes from the database, quoted already where it must be.
			query := "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM " + sequence.String
			if err := tx.QueryRowContext(ctx, query).Scan(&n.last); err != nil {
				return nil, fmt.Errorf("read counter of table %s: %w", t.name, err)
			}
			found = append(found, n)
		}
	}
	return found, nil
}

// setCounter never goes below the rows that are there.
func (c *copier) setCounter(ctx context.Context, n counter, last int64) error {
	if c.to.engine == sqlite {
		// The rows that were inserted have moved it on already.
		_, err := c.target.ExecContext(ctx, "UPDATE sqlite_sequence SET seq = $1 WHERE name = $2", max(last, n.last), n.table)
		return err
	}
	var highest int64
	query := fmt.Sprintf("SELECT COALESCE(MAX(%s), 0) FROM %s", quote(n.column), quote(n.table))
	if err := c.target.QueryRowContext(ctx, query).Scan(&highest); err != nil {
		return err
	}
	next := max(last, highest) + 1
	_, err := c.target.ExecContext(ctx, "SELECT setval(pg_get_serial_sequence($1, $2), $3, false)", quote(n.table), n.column, next)
	return err
}

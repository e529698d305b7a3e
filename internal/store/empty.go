package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/pressly/goose/v3"
)

// Purge empties every table in one transaction: the database is as new afterwards. It must be migrated. It returns how many rows
// each table has lost.
func (db *DB) Purge(ctx context.Context) ([]TableCount, error) {
	if err := db.requireCurrent(ctx); err != nil {
		return nil, err
	}
	blank, remove, err := openBlank(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	tables, err := sqliteTables(ctx, blank.read)
	if err != nil {
		return nil, err
	}
	tables = slices.DeleteFunc(tables, func(t table) bool { return t.name == versionTable })
	had, err := rowCounts(ctx, db.read, tables)
	if err != nil {
		return nil, err
	}
	stay, err := rowCounts(ctx, blank.read, tables)
	if err != nil {
		return nil, err
	}
	// A table that the migrations put rows into gets them back.
	if _, err := copyTables(ctx, blank, db, tables, nil, CopyOptions{Replace: true}); err != nil {
		return nil, err
	}
	counts := make([]TableCount, 0, len(tables))
	for _, t := range tables {
		counts = append(counts, TableCount{t.name, max(0, had[t.name]-stay[t.name])})
	}
	return counts, db.compact(ctx)
}

// Reset drops our tables, of whatever version, and makes them anew. Other tables of a PostgreSQL database stay. It returns how
// many rows each table had. After an error between the two the database has no tables; Migrate makes them.
func (db *DB) Reset(ctx context.Context) (counts []TableCount, err error) {
	names, err := everyTable(ctx)
	if err != nil {
		return nil, err
	}
	err = db.Tx(ctx, func(tx *sql.Tx) error {
		counts = counts[:0]
		for _, name := range names {
			n, err := db.drop(ctx, tx, name)
			if err != nil {
				return fmt.Errorf("drop table %s: %w", name, err)
			}
			if name != versionTable {
				counts = append(counts, TableCount{name, n})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := db.compact(ctx); err != nil {
		return nil, err
	}
	return counts, db.Migrate(ctx)
}

// drop drops a table, if it is there, and returns how many rows it had.
func (db *DB) drop(ctx context.Context, tx *sql.Tx, name string) (rows int64, err error) {
	exists, statement := "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = $1)", "DROP TABLE "+quote(name)
	if db.engine == postgres {
		exists, statement = "SELECT to_regclass($1) IS NOT NULL", statement+" CASCADE"
	}
	var there bool
	if err := tx.QueryRowContext(ctx, exists, name).Scan(&there); err != nil || !there {
		return 0, err
	}
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+quote(name)).Scan(&rows); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, statement)
	return rows, err
}

// compact gives the space of deleted rows back to the disk.
func (db *DB) compact(ctx context.Context) error {
	if db.engine == postgres {
		return nil // it does that by itself
	}
	if _, err := db.write.ExecContext(ctx, "VACUUM"); err != nil {
		return fmt.Errorf("compact database: %w", db.explain(err))
	}
	return nil
}

// everyTable names the tables that any version of the schema has, those that refer to others first.
func everyTable(ctx context.Context) ([]string, error) {
	scratch, remove, err := openScratch(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	provider, err := scratch.migrator()
	if err != nil {
		return nil, err
	}
	var names []string
	for {
		if _, err := provider.UpByOne(ctx); errors.Is(err, goose.ErrNoNextVersion) {
			return names, nil
		} else if err != nil {
			return nil, fmt.Errorf("look up tables of every version: %w", err)
		}
		tables, err := sqliteTables(ctx, scratch.read)
		if err != nil {
			return nil, err
		}
		var added []string
		for _, t := range slices.Backward(tables) {
			if !slices.Contains(names, t.name) {
				added = append(added, t.name)
			}
		}
		names = append(added, names...)
	}
}

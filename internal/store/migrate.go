package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the tables up to date. It is safe to call at every start and from several processes at
// once; each migration is one transaction.
func (db *DB) Migrate(ctx context.Context) error {
	current, latest, err := db.SchemaVersion(ctx)
	if err != nil {
		return err
	}
	if current >= latest {
		return nil
	}
	unlock, err := db.lockMigrations(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	provider, err := db.migrator()
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	db.log.Info("database migrated", "from", current, "to", latest)
	return nil
}

func (db *DB) migrator() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	options := []goose.ProviderOption{
		goose.WithLogger(goose.NopLogger()),
		goose.WithDisableGlobalRegistry(true),
	}
	dialect := goose.DialectSQLite3
	if db.engine == postgres {
		dialect = goose.DialectPostgres
		// Asks for the advisory lock once a second for five minutes.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return nil, fmt.Errorf("prepare migrations: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(dialect, db.write, files, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	return provider, nil
}

// lockMigrations keeps other processes from migrating the same SQLite file until unlock: goose looks which
// migrations are missing before the transactions that apply them. The lock is an exclusive transaction in
// a file beside the database, so that it ends with the process. (PostgreSQL has an advisory lock.)
func (db *DB) lockMigrations(ctx context.Context) (unlock func(), err error) {
	if db.engine == postgres {
		return func() {}, nil
	}
	path := db.path + ".migrate"
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("lock migrations: %w", err)
	}
	pool, err := sql.Open("sqlite", sqliteLockDSN(path))
	if err != nil {
		return nil, fmt.Errorf("lock migrations: %w", err)
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock migrations: %w: is another process migrating %s?", err, db.path), pool.Close())
	}
	return func() {
		_ = tx.Rollback()
		_ = pool.Close()
	}, nil
}

// SchemaVersion gives the version of the database's tables (0: none yet) and the newest that this program knows.
func (db *DB) SchemaVersion(ctx context.Context) (current, latest int64, err error) {
	if latest, err = LatestVersion(); err != nil {
		return 0, 0, err
	}
	exists, err := db.hasVersionTable(ctx)
	if err != nil || !exists {
		return 0, latest, err
	}
	row := db.read.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied")
	if err := row.Scan(&current); err != nil {
		return 0, 0, fmt.Errorf("read schema version: %w", err)
	}
	return current, latest, nil
}

func (db *DB) hasVersionTable(ctx context.Context) (exists bool, err error) {
	query := "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'goose_db_version')"
	if db.engine == postgres {
		query = "SELECT to_regclass('goose_db_version') IS NOT NULL"
	}
	if err := db.read.QueryRowContext(ctx, query).Scan(&exists); err != nil {
		return false, fmt.Errorf("read schema version: %w", err)
	}
	return exists, nil
}

// LatestVersion is the newest version of the tables that this program knows.
func LatestVersion() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, fmt.Errorf("read migrations: %w", err)
	}
	var latest int64
	for _, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return 0, fmt.Errorf("read migrations: %w", err)
		}
		latest = max(latest, version)
	}
	return latest, nil
}

func (db *DB) refuseNewer(ctx context.Context) error {
	current, latest, err := db.SchemaVersion(ctx)
	if err != nil {
		return err
	}
	if current > latest {
		return fmt.Errorf("the database's schema is version %d, but this program knows only up to %d: use a newer oddish, or the database of this one", current, latest)
	}
	return nil
}

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Snapshot writes one state of the database, which may be in use, into a new SQLite file at path: from SQLite a copy of
// any version, from PostgreSQL, which must be migrated, all rows. The file must not exist.
func (db *DB) Snapshot(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("copy database to %s: %w", path, os.ErrExist)
	}
	if db.engine == postgres {
		return db.snapshotPostgres(ctx, path)
	}
	if _, err := db.write.ExecContext(ctx, "VACUUM INTO $1", path); err != nil {
		return fmt.Errorf("copy database to %s: %w", path, err)
	}
	return os.Chmod(path, 0o600)
}

func (db *DB) snapshotPostgres(ctx context.Context, path string) (err error) {
	file, err := Open(ctx, "sqlite:///"+path, db.log)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, file.Close(), removeIfThere(path+".migrate"))
	}()
	if err := file.Migrate(ctx); err != nil {
		return err
	}
	_, err = Copy(ctx, db, file, CopyOptions{Replace: true})
	return err
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// CheckIntegrity reads the whole of a SQLite database and reports what is damaged. Of PostgreSQL, which looks after
// itself, it checks nothing.
func (db *DB) CheckIntegrity(ctx context.Context) error {
	if db.engine == postgres {
		return nil
	}
	found, err := Texts(ctx, db.read, "PRAGMA integrity_check(10)")
	if err != nil {
		return fmt.Errorf("check database %s: %w", db.path, err)
	}
	if len(found) != 1 || found[0] != "ok" {
		return fmt.Errorf("database %s is damaged: %s", db.path, strings.Join(found, "; "))
	}
	return nil
}

// ArchiveKeys returns the blobs that hold the versions of tasks.
func (db *DB) ArchiveKeys(ctx context.Context) ([]string, error) {
	keys, err := Texts(ctx, db.read, "SELECT archive_key FROM task_versions ORDER BY archive_key")
	if err != nil {
		return nil, fmt.Errorf("read archive keys: %w", err)
	}
	return keys, nil
}

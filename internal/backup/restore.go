package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"oddish/internal/store"
)

// Folders that a restore makes in the data directory, and beside a database that is elsewhere.
const (
	NewFolder = "restore.new" // what is being unpacked
	OldFolder = "restore.old" // what was there, until everything is in its place
	// DoneFolder is OldFolder from then on, until it is deleted.
	DoneFolder = "restore.done"
)

// Interrupted returns an error if a restore into the folder died in the instant in which it exchanged the old data for the new.
func Interrupted(dir string) error {
	old := filepath.Join(dir, OldFolder)
	if _, err := os.Lstat(old); err != nil {
		return nil
	}
	return fmt.Errorf("a restore was interrupted: what was there before it is in %s: move it back to %s, or delete the folder and restore again", old, dir)
}

// Target is where a backup is restored to. No server may use it meanwhile: the caller holds its lock.
type Target struct {
	Dir string // data directory; exists
	// Database is the SQLite file to make or replace; empty with Postgres.
	Database string
	// Postgres is the migrated database whose content is replaced.
	Postgres *store.DB
}

// Restore replaces what is at the target with the backup at path. Everything is unpacked and verified before anything
// is replaced; after an error the target is as it was. A backup of the database alone leaves key and blobs as they are. When the machine dies
// in the instant of the exchange, what was there is in the folder restore.old; see Interrupted.
func Restore(ctx context.Context, path string, to Target) (Manifest, error) {
	m, err := Read(path)
	if err != nil {
		return m, err
	}
	folders := []string{to.Dir}
	if to.Postgres == nil && filepath.Dir(to.Database) != to.Dir {
		folders = append(folders, filepath.Dir(to.Database))
	}
	if err := prepare(folders); err != nil {
		return m, err
	}
	defer removeIn(folders, NewFolder)
	if err := unpack(ctx, path, filepath.Join(to.Dir, NewFolder), m); err != nil {
		return m, err
	}
	if err := to.install(ctx, m); err != nil {
		return m, fmt.Errorf("restore %s: %w", path, err)
	}
	return m, finish(folders)
}

func prepare(folders []string) error {
	for _, dir := range folders {
		if err := Interrupted(dir); err != nil {
			return err
		}
		// What another restore has left unfinished is of no use to anyone.
		if err := os.RemoveAll(filepath.Join(dir, NewFolder)); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, NewFolder), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// finish deletes what was replaced.
func finish(folders []string) error {
	for _, dir := range folders {
		if err := os.RemoveAll(filepath.Join(dir, DoneFolder)); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(dir, OldFolder), filepath.Join(dir, DoneFolder)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return removeIn(folders, DoneFolder)
}

func removeIn(folders []string, name string) error {
	var errs []error
	for _, dir := range folders {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// install puts what was unpacked into its place.
func (to Target) install(ctx context.Context, m Manifest) error {
	fresh := filepath.Join(to.Dir, NewFolder)
	var e exchange
	if m.Artifacts {
		e.add(to.Dir, keyName)
		e.add(to.Dir, blobsName)
	}
	if to.Postgres == nil {
		if err := to.stageDatabase(fresh); err != nil {
			return err
		}
		settle(ctx, to.Database)
		name := filepath.Base(to.Database)
		for _, suffix := range []string{"-wal", "-shm", ""} {
			e.add(filepath.Dir(to.Database), name+suffix)
		}
	}
	// What was unpacked is on disk before what was there goes.
	syscall.Sync()
	if err := e.run(); err != nil {
		return errors.Join(err, e.undo())
	}
	if to.Postgres != nil {
		if err := copyInto(ctx, filepath.Join(fresh, databaseName), to.Postgres); err != nil {
			return errors.Join(err, e.undo())
		}
	}
	syscall.Sync()
	return nil
}

// stageDatabase brings the database onto the disk, and to the name, that it is going to have.
func (to Target) stageDatabase(fresh string) error {
	from := filepath.Join(fresh, databaseName)
	staged := filepath.Join(filepath.Dir(to.Database), NewFolder, filepath.Base(to.Database))
	if from == staged {
		return nil
	}
	if filepath.Dir(staged) == fresh {
		return os.Rename(from, staged)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(staged, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// settle puts what a database that was not closed has in its log into its file, so that the file alone is all of
// it. One that cannot be opened is replaced as it is.
func settle(ctx context.Context, path string) {
	if _, err := os.Stat(path); err != nil {
		return
	}
	if db, err := store.Open(ctx, "sqlite:///"+path, nil); err == nil {
		_ = db.Close()
	}
}

func copyInto(ctx context.Context, path string, to *store.DB) error {
	db, err := store.Open(ctx, "sqlite:///"+path, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	_, err = store.Copy(ctx, db, to, store.CopyOptions{Replace: true})
	return err
}

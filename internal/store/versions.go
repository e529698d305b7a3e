package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const versionColumns = "task_id, version, content_hash, archive_key, message, created_at"

func versionTargets(v *Version) []any {
	return []any{&v.TaskID, &v.Version, &v.ContentHash, &v.ArchiveKey, &v.Message, msTime{&v.CreatedAt}}
}

// Versions returns the versions of a task, oldest first.
func (db *DB) Versions(ctx context.Context, taskID string) ([]Version, error) {
	query := "SELECT " + versionColumns + " FROM task_versions WHERE task_id = $1 ORDER BY version"
	versions, err := Collect(ctx, db.read, query, []any{taskID}, versionTargets)
	if err != nil {
		return nil, fmt.Errorf("read versions of task %s: %w", taskID, err)
	}
	for i := range versions {
		versions[i].ID = VersionID(taskID, versions[i].Version)
	}
	return versions, nil
}

// Version returns one version of a task, or ErrNotFound.
func (db *DB) Version(ctx context.Context, taskID string, n int) (Version, error) {
	return oneVersion(ctx, db.read, taskID, n)
}

func oneVersion(ctx context.Context, q Querier, taskID string, n int) (Version, error) {
	v := Version{ID: VersionID(taskID, n)}
	row := q.QueryRowContext(ctx, "SELECT "+versionColumns+" FROM task_versions WHERE task_id = $1 AND version = $2", taskID, n)
	if err := row.Scan(versionTargets(&v)...); errors.Is(err, sql.ErrNoRows) {
		return Version{}, fmt.Errorf("version %d of task %s: %w", n, taskID, ErrNotFound)
	} else if err != nil {
		return Version{}, fmt.Errorf("read version %d of task %s: %w", n, taskID, err)
	}
	return v, nil
}

// AddVersion records a content of a task, whose archive is stored under archiveKey of its number. It creates the task
// if the id is new. If the newest version has the same hash it returns that one and adds nothing. Numbers count
// from 1 and are never given twice. ErrConflict when the name belongs to a task with another id, or the id to another name.
func (db *DB) AddVersion(ctx context.Context, taskID, name, hash, message string, archiveKey func(n int) string) (Task, Version, error) {
	var task Task
	var version Version
	err := db.Tx(ctx, func(tx *sql.Tx) error {
		if err := insertTask(ctx, tx, taskID, name); err != nil {
			return err
		}
		var err error
		task, err = oneTask(ctx, tx, "k.id = $1"+db.ForUpdate(), taskID)
		switch {
		case errors.Is(err, ErrNotFound):
			return fmt.Errorf("task name %s belongs to another id than %s: %w", name, taskID, ErrConflict)
		case err != nil:
			return err
		case task.Name != name:
			return fmt.Errorf("task id %s belongs to task %s, not %s: %w", taskID, task.Name, name, ErrConflict)
		}
		if task.Version > 0 {
			version, err = oneVersion(ctx, tx, taskID, task.Version)
			if err != nil || version.ContentHash == hash {
				return err
			}
		}
		task.Version++
		version = Version{
			ID: VersionID(taskID, task.Version), TaskID: taskID, Version: task.Version, ContentHash: hash,
			ArchiveKey: archiveKey(task.Version), Message: message, CreatedAt: time.UnixMilli(time.Now().UnixMilli()).UTC(),
		}
		return insertVersion(ctx, tx, version)
	})
	if err != nil {
		return Task{}, Version{}, err
	}
	return task, version, nil
}

func insertVersion(ctx context.Context, tx *sql.Tx, v Version) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO task_versions ("+versionColumns+") VALUES ($1, $2, $3, $4, $5, $6)",
		v.TaskID, v.Version, v.ContentHash, v.ArchiveKey, v.Message, v.CreatedAt.UnixMilli())
	if err != nil {
		return fmt.Errorf("add version %d of task %s: %w", v.Version, v.TaskID, err)
	}
	if _, err := tx.ExecContext(ctx, "UPDATE tasks SET version = $1 WHERE id = $2", v.Version, v.TaskID); err != nil {
		return fmt.Errorf("add version %d of task %s: %w", v.Version, v.TaskID, err)
	}
	return nil
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"oddish/api"
	"oddish/client"
	"oddish/internal/tarball"
	"oddish/internal/task"
)

// fetchTask opens the archive.
type fetchTask func(context.Context) (io.ReadCloser, error)

// prepare makes dir hold the verified task.
func (c *taskCache) prepare(ctx context.Context, log *slog.Logger, dir string, spec api.TrialSpec, fetch fetchTask) error {
	if _, err := os.Lstat(dir); err == nil {
		if c.verify(dir, spec) == nil {
			return nil
		}
		log.WarnContext(ctx, "stored task is damaged: fetching it again", "task", spec.TaskID)
		if err := os.RemoveAll(c.bury(dir)); err != nil {
			return trouble(errorTaskDownload, "remove the damaged task %s: %w", spec.TaskID, err)
		}
	}
	return persist(ctx, log, "task archive", func(ctx context.Context) error {
		return c.fetch(ctx, dir, spec, fetch)
	})
}

func (c *taskCache) fetch(ctx context.Context, dir string, spec api.TrialSpec, fetch fetchTask) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return trouble(errorTaskDownload, "folder for task %s: %w", spec.TaskID, err)
	}
	fresh, err := os.MkdirTemp(c.dir, ".new-")
	if err != nil {
		return trouble(errorTaskDownload, "folder for task %s: %w", spec.TaskID, err)
	}
	defer os.RemoveAll(fresh)
	unpacked := filepath.Join(fresh, filepath.Base(dir))
	if err := unpack(ctx, unpacked, spec, fetch); err != nil {
		return err
	}
	if err := c.verify(unpacked, spec); err != nil {
		return err
	}
	if err := os.Rename(unpacked, dir); err != nil {
		return trouble(errorTaskDownload, "store task %s: %w", spec.TaskID, err)
	}
	return nil
}

func unpack(ctx context.Context, dir string, spec api.TrialSpec, fetch fetchTask) error {
	body, err := fetch(ctx)
	if client.StatusOf(err) == http.StatusNotFound {
		return trouble(errorTaskDownload, "the server has no archive of task %s version %d: %w", spec.TaskID, spec.TaskVersion, err)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return trouble(errorTaskDownload, "folder for task %s: %w", spec.TaskID, err)
	}
	in := &watchedErrors{r: body}
	_, err = tarball.UnpackGzip(in, dir, tarball.UnpackOptions{})
	switch {
	case err == nil:
		return nil
	case in.err != nil:
		return fmt.Errorf("fetch task %s: %w", spec.TaskID, in.err) // worth another try
	case isDiskTrouble(err):
		return trouble(errorTaskDownload, "unpack task %s: %w", spec.TaskID, err)
	}
	return permanent(errorTaskArchive, "task %s version %d: its stored archive cannot be unpacked: %w", spec.TaskID, spec.TaskVersion, err)
}

// verify compares the digest of an unpacked task with the one it was submitted under.
func (c *taskCache) verify(dir string, spec api.TrialSpec) error {
	digests, err := c.digest(dir)
	if err != nil {
		return trouble(errorTaskDownload, "digest of task %s: %w", spec.TaskID, err)
	}
	if !slices.Contains(digests, spec.TaskDigest) {
		return permanent(errorTaskArchive, "task %s version %d: its stored archive has the digest %s instead of %s: upload the task again",
			spec.TaskID, spec.TaskVersion, digests[0], spec.TaskDigest)
	}
	return nil
}

// taskDigests are the names that a task's content may be submitted under: Harbor's digest, and
// the hash of earlier clients.
func taskDigests(dir string) ([]string, error) {
	harbor, err := task.Digest(dir)
	if err != nil {
		return nil, err
	}
	legacy, err := task.LegacyHash(dir)
	if err != nil {
		return nil, err
	}
	return []string{harbor, legacy}, nil
}

// isDiskTrouble reports whether err comes from this machine and not from the archive.
func isDiskTrouble(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) || errors.Is(err, fs.ErrPermission)
}

// watchedErrors remembers how reading failed, to tell a broken connection from a bad archive.
type watchedErrors struct {
	r   io.Reader
	err error
}

func (w *watchedErrors) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

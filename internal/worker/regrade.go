package worker

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"oddish/client"
	"oddish/internal/result"
	"oddish/internal/tarball"
)

// sourceDir is the folder in a job's folder with what the trial left that this one verifies again.
const sourceDir = "source"

// fetchSource brings what a former trial left into the job's folder, unless a former process has; "": the trial runs an agent of its own.
func (w *Worker) fetchSource(j *job, dir string) (string, error) {
	if j.Trial.AgentConfig.Regrade == "" {
		return "", nil
	}
	to := filepath.Join(dir, sourceDir)
	if _, err := os.Lstat(to); err == nil {
		return to, nil
	}
	return to, persist(j.run, j.log, "trial to verify again", func(ctx context.Context) error { return w.saveSource(ctx, j, to) })
}

// saveSource unpacks the folder to a place where it is whole if it is there.
func (w *Worker) saveSource(ctx context.Context, j *job, to string) error {
	body, err := w.c.Server.Source(ctx, j.ID, j.Lease)
	if client.StatusOf(err) == http.StatusGone {
		return permanent(result.RegradeError, "there is nothing to verify again: %w", err)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	temp, err := os.MkdirTemp(filepath.Dir(to), sourceDir+".")
	if err != nil {
		return trouble(errorWorker, "store the trial that is verified again: %w", err)
	}
	defer os.RemoveAll(temp)
	in := &watchedErrors{r: body}
	_, err = tarball.Unpack(in, temp, tarball.UnpackOptions{})
	if in.err != nil {
		return fmt.Errorf("fetch the trial that is verified again: %w", in.err) // worth another try
	}
	if err == nil {
		err = os.Rename(temp, to)
	}
	if err != nil {
		return trouble(errorWorker, "store the trial that is verified again: %w", err)
	}
	return nil
}

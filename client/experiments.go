package client

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"oddish/api"
)

// Experiment returns an experiment by its id or, failing that, the newest of that name. A
// *Error with status 404 if there is none.
func (c *Client) Experiment(ctx context.Context, idOrName string) (api.Experiment, error) {
	return do[api.Experiment](ctx, c, call{
		method: http.MethodGet, path: path("experiments", idOrName), repeat: repeatSafe,
	})
}

// Experiments returns every experiment, newest activity first, in as many requests as needed.
func (c *Client) Experiments(ctx context.Context) ([]api.Experiment, error) {
	return all[api.Experiment](ctx, c, "/experiments")
}

// ExperimentsPage returns one page of experiments; an empty cursor is the first.
func (c *Client) ExperimentsPage(ctx context.Context, limit int, cursor string) (Page[api.Experiment], error) {
	return page[api.Experiment](ctx, c, "/experiments", limit, cursor)
}

// ExperimentTrials returns every trial of an experiment, in as many requests as needed.
func (c *Client) ExperimentTrials(ctx context.Context, id string) ([]api.Trial, error) {
	return all[api.Trial](ctx, c, path("experiments", id, "trials"))
}

// ExperimentTrialsPage returns one page of an experiment's trials; an empty cursor is the first.
func (c *Client) ExperimentTrialsPage(ctx context.Context, id string, limit int, cursor string) (Page[api.Trial], error) {
	return page[api.Trial](ctx, c, path("experiments", id, "trials"), limit, cursor)
}

// ImportJob finds or makes the experiment of a job that ran elsewhere. Repeating it is harmless.
func (c *Client) ImportJob(ctx context.Context, in api.ImportJob) (api.ImportedJob, error) {
	return do[api.ImportedJob](ctx, c, call{
		method: http.MethodPost, path: path("experiments", "import"), body: jsonBody(in), repeat: repeatSafe,
	})
}

// PutImport uploads the archive of a trial's folder for ImportTrial. open is called for each try and its reader closed after it.
func (c *Client) PutImport(ctx context.Context, experimentID, folder string, open func() (io.ReadCloser, error)) error {
	req := call{
		method: http.MethodPut, path: path("experiments", experimentID, "import", folder, "archive"), repeat: repeatSafe,
		header: http.Header{"Content-Type": {"application/gzip"}},
	}
	req.body = func() (io.ReadCloser, int64, error) {
		r, err := open()
		if err != nil {
			return nil, 0, fmt.Errorf("open archive of trial %s: %w", folder, err)
		}
		return r, sizeOf(r), nil
	}
	return c.run(ctx, req, func(*http.Response) error { return nil })
}

// ImportTrial adds a trial that ran elsewhere, whose archive was put. Repeating it is harmless.
func (c *Client) ImportTrial(ctx context.Context, experimentID, folder string, in api.ImportTrial) (api.ImportedTrial, error) {
	return do[api.ImportedTrial](ctx, c, call{
		method: http.MethodPost, path: path("experiments", experimentID, "import", folder), body: jsonBody(in), repeat: repeatSafe,
	})
}

// CancelExperiment stops the trials of an experiment that are not finished. Repeating it is harmless.
func (c *Client) CancelExperiment(ctx context.Context, id string) (api.Cancelled, error) {
	return do[api.Cancelled](ctx, c, call{
		method: http.MethodPost, path: path("experiments", id, "cancel"), repeat: repeatSafe,
	})
}

// PauseExperiment keeps trials of an experiment from being started; those that run go on. Repeating it is harmless.
func (c *Client) PauseExperiment(ctx context.Context, id string) (api.Experiment, error) {
	return do[api.Experiment](ctx, c, call{
		method: http.MethodPost, path: path("experiments", id, "pause"), repeat: repeatSafe,
	})
}

// ResumeExperiment ends the pause of an experiment. Repeating it is harmless.
func (c *Client) ResumeExperiment(ctx context.Context, id string) (api.Experiment, error) {
	return do[api.Experiment](ctx, c, call{
		method: http.MethodPost, path: path("experiments", id, "resume"), repeat: repeatSafe,
	})
}

// DeleteExperiment deletes an experiment with its trials and their files. It is not
// repeated once it may have been received: the second would say 404.
func (c *Client) DeleteExperiment(ctx context.Context, id string) (api.Deleted, error) {
	return do[api.Deleted](ctx, c, call{
		method: http.MethodDelete, path: path("experiments", id), repeat: repeatUnsent,
	})
}

// JobFiles returns an experiment as a job directory of the Harbor format: its files, and the folders of its trials.
func (c *Client) JobFiles(ctx context.Context, id string) (api.JobFiles, error) {
	return do[api.JobFiles](ctx, c, call{method: http.MethodGet, path: path("experiments", id, "job"), repeat: repeatSafe})
}

package client

import (
	"context"
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

package client

import (
	"context"
	"io"
	"net/http"
	"strings"

	"oddish/api"
)

// Trial returns a trial. A *Error with status 404 if there is none.
func (c *Client) Trial(ctx context.Context, id string) (api.Trial, error) {
	return do[api.Trial](ctx, c, call{method: http.MethodGet, path: path("trials", id), repeat: repeatSafe})
}

// TrialLogs returns every text log of the trial's last attempt.
func (c *Client) TrialLogs(ctx context.Context, id string) (api.TrialLogs, error) {
	return do[api.TrialLogs](ctx, c, call{method: http.MethodGet, path: path("trials", id, "logs"), repeat: repeatSafe})
}

// TrialFiles lists the stored files of the trial's last attempt.
func (c *Client) TrialFiles(ctx context.Context, id string) (api.TrialFiles, error) {
	return do[api.TrialFiles](ctx, c, call{method: http.MethodGet, path: path("trials", id, "files"), repeat: repeatSafe})
}

// TrialFile opens one stored file of the trial's last attempt by its path in TrialFiles.
// The caller closes it. A read error names the request.
func (c *Client) TrialFile(ctx context.Context, id, name string) (io.ReadCloser, error) {
	parts := append([]string{"trials", id, "files"}, strings.Split(name, "/")...)
	resp, err := c.open(ctx, call{method: http.MethodGet, path: path(parts...), repeat: repeatSafe})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// TrialsPage returns one page of the trials that match a query, the newest first; an empty query matches all, an empty cursor is
// the first page. A *Error with status 422 says what is wrong about the query.
func (c *Client) TrialsPage(ctx context.Context, query string, limit int, cursor string) (Page[api.Trial], error) {
	return matching[api.Trial](ctx, c, "/trials", query, limit, cursor)
}

// RetryTrials queues trials again that did not end well. Repeating it is harmless: those that wait or run are left out.
func (c *Client) RetryTrials(ctx context.Context, r api.RetryTrials) (api.RetriedTrials, error) {
	return do[api.RetriedTrials](ctx, c, call{method: http.MethodPost, path: "/trials/retry", body: jsonBody(r), repeat: repeatSafe})
}

// CancelTrials stops the trials that match a query. Repeating it is harmless.
func (c *Client) CancelTrials(ctx context.Context, r api.CancelTrials) (api.Cancelled, error) {
	return do[api.Cancelled](ctx, c, call{method: http.MethodPost, path: "/trials/cancel", body: jsonBody(r), repeat: repeatSafe})
}

// CancelTrial stops one trial. Repeating it is harmless.
func (c *Client) CancelTrial(ctx context.Context, id string) (api.Cancelled, error) {
	return do[api.Cancelled](ctx, c, call{method: http.MethodPost, path: path("trials", id, "cancel"), repeat: repeatSafe})
}

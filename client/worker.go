package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"oddish/api"
)

// claimGrace is how much longer than its own wait a claim may stay unanswered.
const claimGrace = 15 * time.Second

// Replace is the offset that makes PutFile replace the whole file.
const Replace int64 = -1

// Claim asks for trials to run and waits up to in.WaitSec for them. It is never repeated: a
// claim whose answer is lost has leased trials that nobody runs, and they come back to the
// queue when their leases end, without using up an attempt.
func (c *Client) Claim(ctx context.Context, in api.Claim) (api.Claimed, error) {
	return do[api.Claimed](ctx, c, call{
		method: http.MethodPost, path: "/worker/v1/claim", body: jsonBody(in),
		idle: time.Duration(in.WaitSec)*time.Second + claimGrace,
	})
}

// ResumeJobs asks for jobs that a former process of the worker has left. Repeating it is harmless; it is
// not repeated here. A *Error with status 404 if the server is too old to know the question.
func (c *Client) ResumeJobs(ctx context.Context, in api.ResumeJobs) (api.ResumedJobs, error) {
	return do[api.ResumedJobs](ctx, c, call{method: http.MethodPost, path: "/worker/v1/resume", body: jsonBody(in)})
}

// Heartbeat renews the leases of a worker's jobs. Repeating it is harmless.
func (c *Client) Heartbeat(ctx context.Context, in api.Heartbeat) (api.HeartbeatAck, error) {
	return do[api.HeartbeatAck](ctx, c, call{
		method: http.MethodPost, path: "/worker/v1/heartbeat", body: jsonBody(in), repeat: repeatSafe,
	})
}

// Cancels asks which jobs of a worker are to be stopped and waits up to in.WaitSec for one.
// Repeating it is harmless; it is not repeated here, since the caller asks again anyway.
func (c *Client) Cancels(ctx context.Context, in api.Cancels) (api.CancelsAck, error) {
	return do[api.CancelsAck](ctx, c, call{
		method: http.MethodPost, path: "/worker/v1/cancels", body: jsonBody(in),
		idle: time.Duration(in.WaitSec)*time.Second + claimGrace,
	})
}

// Progress reports what a job is doing. Repeating it is harmless, because events carry
// sequence numbers. A *Error with status 409 if the lease is no longer held, as for every
// method below.
func (c *Client) Progress(ctx context.Context, jobID, lease string, in api.Progress) (api.ProgressAck, error) {
	return do[api.ProgressAck](ctx, c, call{
		method: http.MethodPost, path: jobPath(jobID, "events"), header: fence(lease), body: jsonBody(in), repeat: repeatSafe,
	})
}

// PutFile writes a chunk of a file of the job's trial directory: at the offset, after which
// the file ends, or, with Replace, as the whole file. name is a slash path relative to
// the trial directory. An r with ReadAt and Seek (an *os.File, *io.SectionReader,
// *bytes.Reader) is sent from its start with a Content-Length, and again if need be; any
// other is sent once.
func (c *Client) PutFile(ctx context.Context, jobID, lease, name string, offset int64, r io.Reader) error {
	req := call{
		method: http.MethodPut,
		path:   jobPath(jobID, append([]string{"files"}, strings.Split(name, "/")...)...),
		header: fence(lease),
	}
	req.header.Set("Content-Type", "application/octet-stream")
	if offset >= 0 {
		req.query = url.Values{"offset": {strconv.FormatInt(offset, 10)}}
	}
	if err := setFile(&req, r); err != nil {
		return fmt.Errorf("%s %s: %w", req.method, req.path, err)
	}
	return c.run(ctx, req, func(*http.Response) error { return nil })
}

// Finish ends the attempt. Repeating it with the same lease is harmless.
func (c *Client) Finish(ctx context.Context, jobID, lease string, in api.Finish) (api.FinishAck, error) {
	return do[api.FinishAck](ctx, c, call{
		method: http.MethodPost, path: jobPath(jobID, "finish"), header: fence(lease), body: jsonBody(in), repeat: repeatSafe,
	})
}

// TaskArchive opens the tar.gz of the job's task. The caller closes it.
func (c *Client) TaskArchive(ctx context.Context, jobID, lease string) (io.ReadCloser, error) {
	return c.openOfJob(ctx, jobID, lease, "task")
}

// Recording opens the model requests of the trial that the job replays, as it recorded them. The caller closes it. A *Error with status 410 if
// there is none (any more).
func (c *Client) Recording(ctx context.Context, jobID, lease string) (io.ReadCloser, error) {
	return c.openOfJob(ctx, jobID, lease, "recording")
}

// Source opens a tar of what the trial left that the job verifies again. The caller closes it. A *Error with status 410 if it was deleted.
func (c *Client) Source(ctx context.Context, jobID, lease string) (io.ReadCloser, error) {
	return c.openOfJob(ctx, jobID, lease, "source")
}

func (c *Client) openOfJob(ctx context.Context, jobID, lease, what string) (io.ReadCloser, error) {
	resp, err := c.open(ctx, call{
		method: http.MethodGet, path: jobPath(jobID, what), header: fence(lease), repeat: repeatSafe,
	})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func jobPath(jobID string, rest ...string) string {
	return path(append([]string{"worker", "v1", "jobs", jobID}, rest...)...)
}

func fence(lease string) http.Header {
	return http.Header{api.LeaseHeader: {lease}}
}

// setFile makes r the body, repeatable where r allows it. Each try reads through a reader of
// its own, because the transport may still read the one before.
func setFile(req *call, r io.Reader) error {
	at, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	})
	if !ok {
		req.once = true
		req.body = func() (io.ReadCloser, int64, error) { return io.NopCloser(r), -1, nil }
		return nil
	}
	size, err := at.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("size of file: %w", err)
	}
	req.repeat = repeatSafe
	req.body = func() (io.ReadCloser, int64, error) {
		return io.NopCloser(io.NewSectionReader(at, 0, size)), size, nil
	}
	return nil
}

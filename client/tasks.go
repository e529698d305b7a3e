package client

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"

	"oddish/api"
)

// tasksPage is how many tasks are asked for at a time.
const tasksPage = 100

// TasksQuery selects tasks; the zero value all of them.
type TasksQuery struct {
	Status       api.TaskStatus
	User         string
	ExperimentID string // tasks with a trial in it; their counts are those of its trials
	Trials       bool   // with the trials themselves
	Limit        int    // 0: all (Tasks), the server's default (TasksPage)
	Offset       int
}

func (q TasksQuery) values() url.Values {
	v := url.Values{"include_trials": {strconv.FormatBool(q.Trials)}}
	set := func(k, s string) {
		if s != "" {
			v.Set(k, s)
		}
	}
	set("status", string(q.Status))
	set("user", q.User)
	set("experiment_id", q.ExperimentID)
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Offset > 0 {
		v.Set("offset", strconv.Itoa(q.Offset))
	}
	return v
}

// Submit asks for trials of an uploaded task: those that its experiment does not have already, or all of them anew with
// s.Again. Each call draws a key by which the server knows its repetitions, so that it is carried out once however often
// the connection breaks.
func (c *Client) Submit(ctx context.Context, s api.Sweep) (api.Submitted, error) {
	return do[api.Submitted](ctx, c, call{
		method: http.MethodPost, path: "/tasks/sweep", body: jsonBody(s), repeat: repeatSafe,
		header: http.Header{api.IdempotencyKeyHeader: {rand.Text()}},
	})
}

// Task returns a task with its trials. A *Error with status 404 if there is none.
func (c *Client) Task(ctx context.Context, id string) (api.Task, error) {
	return do[api.Task](ctx, c, call{method: http.MethodGet, path: path("tasks", id), repeat: repeatSafe})
}

// TasksPage returns one page of tasks, newest first.
func (c *Client) TasksPage(ctx context.Context, q TasksQuery) ([]api.Task, error) {
	return do[[]api.Task](ctx, c, call{
		method: http.MethodGet, path: "/tasks", query: q.values(), repeat: repeatSafe,
	})
}

// Tasks returns the tasks that q selects, newest first, in as many requests as needed. A
// task that moved to another page in between is returned once.
func (c *Client) Tasks(ctx context.Context, q TasksQuery) ([]api.Task, error) {
	limit := q.Limit
	seen := map[string]bool{}
	var tasks []api.Task
	for {
		q.Limit = tasksPage
		got, err := c.TasksPage(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, t := range got {
			if seen[t.ID] {
				continue
			}
			seen[t.ID] = true
			tasks = append(tasks, t)
			if limit > 0 && len(tasks) == limit {
				return tasks, nil
			}
		}
		if len(got) < tasksPage {
			return tasks, nil
		}
		q.Offset += len(got)
	}
}

// Cancel stops the trials of tasks that are not finished. Repeating it is harmless.
func (c *Client) Cancel(ctx context.Context, in api.Cancel) (api.Cancelled, error) {
	return do[api.Cancelled](ctx, c, call{
		method: http.MethodPost, path: "/tasks/cancel", body: jsonBody(in), repeat: repeatSafe,
	})
}

// DeleteTask deletes a task with its versions, trials and files. It is not repeated once
// it may have been received: the second would say 404.
func (c *Client) DeleteTask(ctx context.Context, id string) (api.Deleted, error) {
	return do[api.Deleted](ctx, c, call{method: http.MethodDelete, path: path("tasks", id), repeat: repeatUnsent})
}

// TaskVersion returns one version of a task. A *Error with status 404 if there is none.
func (c *Client) TaskVersion(ctx context.Context, taskID string, version int) (api.TaskVersion, error) {
	return do[api.TaskVersion](ctx, c, call{
		method: http.MethodGet, path: path("tasks", taskID, "versions", strconv.Itoa(version)), repeat: repeatSafe,
	})
}

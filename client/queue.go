package client

import (
	"context"
	"net/http"
	"net/url"

	"oddish/api"
)

// Queue returns every queue key with its limit and what runs and waits under it.
func (c *Client) Queue(ctx context.Context) (api.Queue, error) {
	return do[api.Queue](ctx, c, call{method: http.MethodGet, path: "/queue", repeat: repeatSafe})
}

// QueueKey returns one queue key, or a pattern such as openai/*, with its changes. A *Error with status 404 if it never
// had a trial or a change.
func (c *Client) QueueKey(ctx context.Context, key string) (api.QueueKeyHistory, error) {
	return do[api.QueueKeyHistory](ctx, c, keyCall(http.MethodGet, "/queue/key", key, nil))
}

// SetQueueLimit changes the limit of a queue key or pattern for the next starts and for good. Repeating it is harmless.
func (c *Client) SetQueueLimit(ctx context.Context, key string, limit api.QueueLimit) (api.QueueKeyHistory, error) {
	return do[api.QueueKeyHistory](ctx, c, keyCall(http.MethodPut, "/queue/limit", key, jsonBody(limit)))
}

// PauseQueue keeps trials of a queue key or pattern, or with * of all keys, from being started. Repeating it is harmless.
func (c *Client) PauseQueue(ctx context.Context, key string, why api.QueueReason) (api.QueueKeyHistory, error) {
	return do[api.QueueKeyHistory](ctx, c, keyCall(http.MethodPost, "/queue/pause", key, jsonBody(why)))
}

// ResumeQueue ends the pause of a queue key or pattern, or the hold of a key whose provider limits the rate. Repeating it is harmless.
func (c *Client) ResumeQueue(ctx context.Context, key string, why api.QueueReason) (api.QueueKeyHistory, error) {
	return do[api.QueueKeyHistory](ctx, c, keyCall(http.MethodPost, "/queue/resume", key, jsonBody(why)))
}

func keyCall(method, path, key string, body bodyFunc) call {
	return call{method: method, path: path, query: url.Values{"key": {key}}, body: body, repeat: repeatSafe}
}

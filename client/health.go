package client

import (
	"context"
	"net/http"

	"oddish/api"
)

// Health asks once, without repeating, whether a server is there and well. Any program may
// listen at an address: look at Health.Service before trusting the answer.
func (c *Client) Health(ctx context.Context) (api.Health, error) {
	return do[api.Health](ctx, c, call{method: http.MethodGet, path: "/health"})
}

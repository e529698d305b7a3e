package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// pageSize is what the helpers that gather whole lists ask for at a time.
const pageSize = 200

// Page is one part of a list. With an empty NextCursor it is the last; otherwise that is
// the cursor of the next one.
type Page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor"`
}

// page asks for one page. A limit of 0 leaves the size to the server.
func page[T any](ctx context.Context, c *Client, p string, limit int, cursor string) (Page[T], error) {
	return matching[T](ctx, c, p, "", limit, cursor)
}

// matching is page for a list that takes a query.
func matching[T any](ctx context.Context, c *Client, p, query string, limit int, cursor string) (Page[T], error) {
	q := url.Values{}
	if query != "" {
		q.Set("q", query)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return do[Page[T]](ctx, c, call{method: http.MethodGet, path: p, query: q, repeat: repeatSafe})
}

// all gathers every page.
func all[T any](ctx context.Context, c *Client, p string) ([]T, error) {
	var items []T
	cursor := ""
	for {
		next, err := page[T](ctx, c, p, pageSize, cursor)
		if err != nil {
			return nil, err
		}
		items = append(items, next.Items...)
		if next.NextCursor == "" {
			return items, nil
		}
		if next.NextCursor == cursor {
			return nil, fmt.Errorf("list %s: the server gave the same cursor twice", p)
		}
		cursor = next.NextCursor
	}
}

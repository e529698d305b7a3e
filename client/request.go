package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// repeat says after what a request may be sent again.
type repeat int

const (
	// repeatNever: the caller has a loop of its own.
	repeatNever repeat = iota
	// repeatUnsent: only when the server certainly did nothing: the connection could not be
	// made, or it answered 429 or 503.
	repeatUnsent
	// repeatSafe: doing it twice is the same as doing it once.
	repeatSafe
)

// call is one request of the API.
type call struct {
	method  string
	path    string // escaped, below the base address; or a whole address when foreign
	foreign bool   // the address is not the server's: no key is sent to it
	query   url.Values
	header  http.Header
	body    bodyFunc // nil: none
	once    bool     // the body can be opened only once
	repeat  repeat
	idle    time.Duration // zero: Options.IdleTimeout
}

// bodyFunc opens the body for one try. The size is -1 when unknown.
type bodyFunc func() (r io.ReadCloser, size int64, err error)

// path escapes each part and joins them: path("tasks", id) is "/tasks/a%2Fb".
func path(parts ...string) string {
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}

func jsonBody(v any) bodyFunc {
	data, err := json.Marshal(v)
	return func() (io.ReadCloser, int64, error) {
		if err != nil {
			return nil, 0, fmt.Errorf("encode request: %w", err)
		}
		return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
	}
}

// do sends the call and decodes the answer into a T.
func do[T any](ctx context.Context, c *Client, req call) (T, error) {
	var out T
	err := c.run(ctx, req, func(resp *http.Response) error {
		var fresh T // a repeated try must not see half of the one before
		if err := json.NewDecoder(resp.Body).Decode(&fresh); err != nil {
			return c.decodeError(req, resp, err)
		}
		out = fresh
		return nil
	})
	return out, err
}

// decodeError tells a broken connection (worth another try) from an answer that is not ours.
func (c *Client) decodeError(req call, resp *http.Response, err error) error {
	var transport *TransportError
	if errors.As(err, &transport) {
		return transport
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &TransportError{Method: req.method, URL: c.address(req), Err: err}
	}
	return fmt.Errorf("%s %s: the answer (%s) is not what an Oddish server sends: %w",
		req.method, c.address(req), resp.Header.Get("Content-Type"), err)
}

// address is the whole address of a call.
func (c *Client) address(req call) string {
	s := req.path
	if !req.foreign {
		s = c.base.String() + req.path
	}
	if len(req.query) > 0 {
		s += "?" + req.query.Encode()
	}
	return s
}

// run sends the call, again where allowed, and gives the successful answer to handle, whose
// error counts as the try's. The body is closed after handle.
func (c *Client) run(ctx context.Context, req call, handle func(*http.Response) error) error {
	_, err := c.tries(ctx, req, func(resp *http.Response) error {
		defer resp.Body.Close()
		if err := handle(resp); err != nil {
			return err
		}
		// Read to the end, so that the connection can be used again.
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody))
		return nil
	})
	return err
}

// open sends the call, again where allowed, and returns the successful answer, whose body the caller closes.
func (c *Client) open(ctx context.Context, req call) (*http.Response, error) {
	return c.tries(ctx, req, func(*http.Response) error { return nil })
}

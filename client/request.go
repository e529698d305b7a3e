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

// getJSON, postJSON and so on are one line each in the resources' files through this:
// it sends the call and decodes the answer into a T.
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

// send makes one try. Not a success is an *Error; no answer is a *TransportError, or ctx's
// own error when it was ctx that ended.
func (c *Client) send(ctx context.Context, req call) (*http.Response, error) {
	if c.baseErr != nil {
		return nil, c.baseErr
	}
	address := c.address(req)
	idle := req.idle
	if idle == 0 {
		idle = c.o.IdleTimeout
	}
	watched, dog := watch(ctx, idle)
	wrap := func(err error) error { return tryError(ctx, watched, req.method, address, err) }

	hr, err := c.build(watched, req, address, dog)
	if err != nil {
		dog.stop()
		return nil, err
	}
	resp, err := c.http.Do(hr)
	if err != nil {
		defer dog.stop() // after wrap has asked why watched ended
		return nil, wrap(err)
	}
	dog.touch()
	resp.Body = &watchedReader{ReadCloser: resp.Body, w: dog, wrap: wrap, done: dog.stop}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, errorFrom(req.method, address, resp)
	}
	return resp, nil
}

func (c *Client) build(ctx context.Context, req call, address string, dog *watchdog) (*http.Request, error) {
	var body io.ReadCloser
	var size int64
	if req.body != nil {
		r, n, err := req.body()
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", req.method, address, err)
		}
		body, size = &watchedReader{ReadCloser: r, w: dog}, n
		if n == 0 {
			_ = r.Close()
			body = http.NoBody // else net/http takes 0 for "unknown"
		}
	}
	hr, err := http.NewRequestWithContext(ctx, req.method, address, body)
	if err != nil {
		if body != nil {
			_ = body.Close()
		}
		return nil, fmt.Errorf("%s %s: %w", req.method, address, err)
	}
	hr.ContentLength = size
	for k, v := range req.header {
		hr.Header[k] = v
	}
	if req.body != nil && hr.Header.Get("Content-Type") == "" {
		hr.Header.Set("Content-Type", "application/json")
	}
	if c.o.APIKey != "" && !req.foreign {
		hr.Header.Set("Authorization", "Bearer "+c.o.APIKey)
	}
	return hr, nil
}

// tryError gives a failed try its type. The caller's own context comes first: its end is no fault of the server.
func tryError(ctx, watched context.Context, method, address string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", method, address, ctx.Err())
	}
	if cause := context.Cause(watched); errors.Is(cause, errIdle) {
		err = cause
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // it repeats method and address
	}
	return &TransportError{Method: method, URL: address, Err: err}
}

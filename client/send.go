package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

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
	hr, err := http.NewRequestWithContext(ctx, req.method, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", req.method, address, err)
	}
	if err := attach(hr, req, dog); err != nil {
		return nil, fmt.Errorf("%s %s: %w", req.method, address, err)
	}
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

// attach opens the body. Where it can be opened again the transport is told so, which lets it take
// another connection when the server has just closed the idle one that it chose.
func attach(hr *http.Request, req call, dog *watchdog) error {
	if req.body == nil {
		return nil
	}
	open := func() (io.ReadCloser, int64, error) {
		r, size, err := req.body()
		if err != nil {
			return nil, 0, err
		}
		if size == 0 {
			return http.NoBody, 0, r.Close() // else net/http takes 0 for "unknown"
		}
		return &watchedReader{ReadCloser: r, w: dog}, size, nil
	}
	var err error
	if hr.Body, hr.ContentLength, err = open(); err != nil {
		return err
	}
	if !req.once {
		hr.GetBody = func() (io.ReadCloser, error) {
			r, _, err := open()
			return r, err
		}
	}
	return nil
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

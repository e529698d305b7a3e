package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"time"

	"oddish/api"
)

// ErrStop, returned by the function given to Events, ends the stream without an error.
var ErrStop = errors.New("stop reading events")

// settledAfter is how long a stream must have lasted for the next wait to start small again.
const settledAfter = 10 * time.Second

// Events calls fn for each event of an experiment whose id is greater than after, in order
// and each once, from one goroutine. It reconnects whenever the stream breaks, ends or
// falls silent, and goes on after the last event that fn has taken.
//
// It returns nil when fn returns ErrStop, fn's error when it returns another, ctx's when ctx
// ends, and the server's when it refuses for a reason that will not pass (no such
// experiment, no permission). A server that is away is waited for; Options.OnRetry tells.
func (c *Client) Events(ctx context.Context, experimentID string, after int64, fn func(api.Event) error) error {
	s := &eventStream{c: c, experiment: experimentID, last: after, fn: fn}
	for n := 0; ; n++ {
		started, from := time.Now(), s.last
		err := s.read(ctx)
		if done, result := s.over(ctx, err); done {
			return result
		}
		if s.last > from || time.Since(started) > settledAfter {
			n = 0
		}
		wait := s.wait(err, n)
		if c.o.OnRetry != nil {
			c.o.OnRetry(err, wait)
		}
		if !sleep(ctx, wait) {
			return ctx.Err()
		}
	}
}

// eventStream is the state that outlives one connection.
type eventStream struct {
	c          *Client
	experiment string
	last       int64 // id of the last event that fn has taken
	retry      time.Duration
	fn         func(api.Event) error
}

// callbackError is an error of fn, which ends the stream whatever it is.
type callbackError struct{ err error }

func (e callbackError) Error() string { return e.err.Error() }

// read reads one connection until it ends; the error is never nil.
func (s *eventStream) read(ctx context.Context) error {
	req := call{
		method: http.MethodGet,
		path:   path("experiments", s.experiment, "events"),
		header: http.Header{"Accept": {"text/event-stream"}},
		idle:   s.c.o.EventsIdleTimeout,
	}
	if s.last > 0 {
		req.header.Set("Last-Event-ID", strconv.FormatInt(s.last, 10))
	}
	resp, err := s.c.send(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		return fmt.Errorf("%s %s: %w but %q", req.method, s.c.address(req), errNotEvents, resp.Header.Get("Content-Type"))
	}
	events := newSSEReader(resp.Body)
	for {
		e, err := events.next()
		s.retry = events.retry
		if err != nil {
			return &TransportError{Method: req.method, URL: s.c.address(req), Err: fmt.Errorf("event stream ended: %w", err)}
		}
		if err := s.deliver(e); err != nil {
			return err
		}
	}
}

// deliver gives an event to fn, unless fn had it before a reconnection.
func (s *eventStream) deliver(e sseEvent) error {
	var ev api.Event
	if err := json.Unmarshal(e.data, &ev); err != nil {
		return fmt.Errorf("event %s of experiment %s: %w", e.id, s.experiment, err)
	}
	if ev.ID == 0 && e.id != "" {
		ev.ID, _ = strconv.ParseInt(e.id, 10, 64)
	}
	if ev.ID <= s.last {
		return nil
	}
	if err := s.fn(ev); err != nil {
		return callbackError{err}
	}
	s.last = ev.ID
	return nil
}

// over says whether the stream has come to its end, and with what.
func (s *eventStream) over(ctx context.Context, err error) (bool, error) {
	var own callbackError
	if errors.As(err, &own) {
		if errors.Is(own.err, ErrStop) {
			return true, nil
		}
		return true, own.err
	}
	if ctx.Err() != nil {
		return true, ctx.Err()
	}
	var transport *TransportError
	if errors.As(err, &transport) {
		return false, nil
	}
	switch status := StatusOf(err); {
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return false, nil
	}
	return true, err
}

// wait before the next connection: what the server asked for at least.
func (s *eventStream) wait(err error, n int) time.Duration {
	wait := max(backoff(n), s.retry)
	var answer *Error
	if errors.As(err, &answer) {
		wait = max(wait, answer.retryAfter)
	}
	return wait
}

package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oddish/api"
)

// script answers each try with the next status; 200 after the last. Status 0 breaks the connection.
func script(statuses ...int) (http.HandlerFunc, *atomic.Int32) {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1)) - 1
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case i >= len(statuses):
			reply(w, 200, struct{}{})
		case statuses[i] == 0:
			panic(http.ErrAbortHandler)
		default:
			reply(w, statuses[i], api.Problem{Detail: "not now"})
		}
	}, &n
}

func TestWhatIsRepeatedAndWhatIsNot(t *testing.T) {
	t.Parallel()
	get := func(ctx context.Context, c *Client) error { _, err := c.Trial(ctx, "x"); return err }
	submit := func(ctx context.Context, c *Client) error { _, err := c.Submit(ctx, api.Sweep{}); return err }
	claim := func(ctx context.Context, c *Client) error { _, err := c.Claim(ctx, api.Claim{}); return err }
	finish := func(ctx context.Context, c *Client) error {
		_, err := c.Finish(ctx, "j", "l", api.Finish{})
		return err
	}
	stream := func(ctx context.Context, c *Client) error {
		return c.PutFile(ctx, "j", "l", "a", Replace, io.LimitReader(strings.NewReader("abc"), 2))
	}
	for name, tc := range map[string]struct {
		do    func(context.Context, *Client) error
		first int
		tries int32
	}{
		"a read after a broken connection":         {get, 0, 2},
		"a read after a bad gateway":               {get, 502, 2},
		"a read after a gateway timeout":           {get, 504, 2},
		"a read after an internal error":           {get, 500, 1},
		"a read of what is not there":              {get, 404, 1},
		"a submission after a broken connection":   {submit, 0, 2},
		"a submission after a bad gateway":         {submit, 502, 2},
		"a submission after a gateway timeout":     {submit, 504, 2},
		"a submission whose key was used":          {submit, 409, 1},
		"a submission that was refused for now":    {submit, 503, 2},
		"a submission when too many":               {submit, 429, 2},
		"a claim that was refused for now":         {claim, 503, 1},
		"an idempotent post after a broken line":   {finish, 0, 2},
		"an idempotent post with a stale lease":    {finish, 409, 1},
		"a body that cannot be read a second time": {stream, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, n := script(tc.first)
			c := serve(t, Options{}, h)
			err := tc.do(t.Context(), c)
			if n.Load() != tc.tries {
				t.Errorf("%d tries, want %d", n.Load(), tc.tries)
			}
			if (err == nil) != (tc.tries == 2) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestASubmissionKeepsItsKeyAndTheNextHasAnother(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var keys, bodies []string
	h, _ := script(0, 502, 429)
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		keys, bodies = append(keys, r.Header.Get(api.IdempotencyKeyHeader)), append(bodies, string(body))
		mu.Unlock()
		h(w, r)
	})
	for range 2 {
		if _, err := c.Submit(t.Context(), api.Sweep{TaskID: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) != 5 || len(keys[0]) < 20 || len(slices.Compact(slices.Clone(keys))) != 2 || keys[3] == keys[4] {
		t.Errorf("keys %q", keys)
	}
	if len(slices.Compact(bodies)) != 1 {
		t.Errorf("bodies %q", bodies)
	}
}

func TestASubmissionIsRepeatedWhileNobodyListens(t *testing.T) {
	t.Parallel()
	var waits atomic.Int32
	c := New(refused(t), Options{RetryFor: 500 * time.Millisecond, OnRetry: func(error, time.Duration) { waits.Add(1) }})
	_, err := c.Submit(t.Context(), api.Sweep{})
	if !Unreachable(err) || waits.Load() == 0 {
		t.Errorf("error %v after %d waits", err, waits.Load())
	}
}

func TestRetryAfterIsObeyedAndBoundedByTheBudget(t *testing.T) {
	t.Parallel()
	handler := func(after string) http.HandlerFunc {
		h, _ := script(503)
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", after)
			h(w, r)
		}
	}
	var waited time.Duration
	c := serve(t, Options{OnRetry: func(_ error, d time.Duration) { waited = d }}, handler("1"))
	if _, err := c.Trial(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if waited < time.Second || waited > 2*time.Second {
		t.Errorf("waited %v, want a second and a bit", waited)
	}

	start := time.Now()
	c = serve(t, Options{}, handler("3600"))
	if _, err := c.Trial(t.Context(), "x"); StatusOf(err) != 503 || time.Since(start) > 2*time.Second {
		t.Errorf("error %v after %v, want the 503 at once", err, time.Since(start))
	}
}

func TestRetryAfterReadsSecondsAndDates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"0": 0, "7": 7 * time.Second, "Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:00:00 GMT": 0,
	} {
		if got, ok := parseRetryAfter(s, now); !ok || got != want {
			t.Errorf("%q: %v %v, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "-1", "soon", "99999999999999999999"} {
		if got, ok := parseRetryAfter(s, now); ok {
			t.Errorf("%q: %v, want nothing", s, got)
		}
	}
}

func TestTheContextEndsAWaitAndTheLastErrorIsReturned(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := New(refused(t), Options{RetryFor: time.Hour, OnRetry: func(error, time.Duration) { cancel() }})
	_, err := c.Trial(ctx, "x")
	if !Unreachable(err) || errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestBackoffGrowsAndStaysBounded(t *testing.T) {
	t.Parallel()
	for n := range 100 {
		d := backoff(n)
		if d < firstWait/2 || d > lastWait || n >= 5 && d < lastWait/2 {
			t.Fatalf("wait %d is %v", n, d)
		}
	}
}

func TestAHalfAnswerIsRepeatedAndNotMixed(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"trial_id":"x","s3_key":"old",`)
			return
		}
		reply(w, 200, map[string]string{"trial_id": "x"})
	})
	logs, err := c.TrialLogs(t.Context(), "x")
	if err != nil || logs.S3Key != nil || n.Load() != 2 {
		t.Errorf("%+v %v after %d tries", logs, err, n.Load())
	}
}

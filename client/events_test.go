package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oddish/api"
)

func writeEvent(w http.ResponseWriter, id int) {
	fmt.Fprintf(w, "id: %d\ndata: {\"id\":%d,\"trial_id\":\"t\"}\n\n", id, id)
	w.(http.Flusher).Flush()
}

func TestEventsResumeAfterABrokenStreamWithoutGapOrRepeat(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		last := r.Header.Get("Last-Event-ID")
		w.Header().Set("Content-Type", "text/event-stream")
		switch n.Add(1) {
		case 1:
			if last != "3" {
				t.Errorf("first connection resumes after %q, want 3", last)
			}
			writeEvent(w, 4)
			writeEvent(w, 5)
			_, _ = io.WriteString(w, "id: 6\ndata: {\"id\":6,") // cut in the middle
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case 2:
			reply(w, 503, api.Problem{Detail: "starting"})
		default:
			if last != "5" {
				t.Errorf("resumes after %q, want 5", last)
			}
			writeEvent(w, 5) // a server that repeats one
			writeEvent(w, 6)
			<-r.Context().Done()
		}
	})
	var got []int64
	err := c.Events(t.Context(), "e", 3, func(e api.Event) error {
		got = append(got, e.ID)
		if e.ID == 6 {
			return ErrStop
		}
		return nil
	})
	if err != nil || !slices.Equal(got, []int64{4, 5, 6}) {
		t.Errorf("%v, error %v", got, err)
	}
}

func TestASilentEventStreamIsReopenedAndCommentsKeepItOpen(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	c := serve(t, Options{EventsIdleTimeout: 150 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		if n.Add(1) == 1 {
			<-r.Context().Done() // says nothing
			return
		}
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range 8 { // longer than the idle timeout
			<-tick.C
			_, _ = io.WriteString(w, ": alive\n\n")
			w.(http.Flusher).Flush()
		}
		writeEvent(w, 1)
		<-r.Context().Done()
	})
	err := c.Events(t.Context(), "e", 0, func(api.Event) error { return ErrStop })
	if err != nil || n.Load() != 2 {
		t.Errorf("error %v after %d connections, want 2", err, n.Load())
	}
}

func TestEventsEndWithTheCallbackTheContextOrARefusal(t *testing.T) {
	t.Parallel()
	stream := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		writeEvent(w, 1)
		<-r.Context().Done()
	}
	boom := errors.New("boom")
	c := serve(t, Options{}, stream)
	if err := c.Events(t.Context(), "e", 0, func(api.Event) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("callback: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Events(ctx, "e", 0, func(api.Event) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("context: %v", err)
	}
	c = serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) { reply(w, 404, api.Problem{Detail: "no experiment e"}) })
	if err := c.Events(t.Context(), "e", 0, nil); StatusOf(err) != 404 {
		t.Errorf("not found: %v", err)
	}
	c = serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) { reply(w, 200, "hello") })
	if err := c.Events(t.Context(), "e", 0, nil); !errors.Is(err, errNotEvents) {
		t.Errorf("another program: %v", err)
	}
}

func TestEventStreamFormat(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want string }{
		"line feeds":               {"id: 1\ndata: a\n\n", "1/a"},
		"carriage returns":         {"id: 1\rdata: a\r\rdata: b\r\r", "1/a /b"},
		"both":                     {"id: 1\r\ndata: a\r\n\r\n", "1/a"},
		"no space after the colon": {"id:1\ndata:a\n\n", "1/a"},
		"two spaces keep one":      {"data:  a\n\n", "/ a"},
		"lines of data":            {"data: a\ndata: b\ndata\n\n", "/a\nb\n"},
		"comments and unknown":     {": hi\nfoo: bar\ndata: a\n\n", "/a"},
		"no data, no event":        {"id: 1\n\ndata: b\n\n", "/b"},
		"cut at the end":           {"data: a\n\ndata: b\n", "/a"},
		"cut in a line":            {"data: a\n\ndata: b", "/a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newSSEReader(strings.NewReader(tc.in))
			var got []string
			for {
				e, err := r.next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.id+"/"+string(e.data))
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("%q, want %q", s, tc.want)
			}
		})
	}
}

func TestALineWithoutEndIsRefused(t *testing.T) {
	t.Parallel()
	r := newSSEReader(strings.NewReader("data: " + strings.Repeat("x", 2*maxEventLine)))
	if _, err := r.next(); err == nil || err == io.EOF {
		t.Errorf("error %v", err)
	}
}

func FuzzEventStream(f *testing.F) {
	f.Add("id: 1\r\ndata: a\n\n: c\nretry: 5\r\r")
	f.Fuzz(func(t *testing.T, in string) {
		r := newSSEReader(strings.NewReader(in))
		for {
			e, err := r.next()
			if err != nil {
				return
			}
			if strings.ContainsAny(e.id, "\r\n") {
				t.Fatalf("id %q spans lines", e.id)
			}
		}
	})
}

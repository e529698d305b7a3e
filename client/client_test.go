package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oddish/api"
)

// serve starts a server with one handler and returns a client of it.
func serve(t *testing.T, o Options, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c := New(s.URL, o)
	t.Cleanup(c.Close)
	return c
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func TestAProblemDocumentBecomesAReadableError(t *testing.T) {
	t.Parallel()
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(422)
		_, _ = io.WriteString(w, `{"title":"Unprocessable Entity","status":422,"detail":"validation failed",
			"errors":[{"message":"model is required","location":"body.configs[0].model"}]}`)
	})
	_, err := c.Submit(t.Context(), api.Sweep{})
	want := "POST /tasks/sweep: 422: validation failed; model is required (body.configs[0].model)"
	if err == nil || err.Error() != want {
		t.Fatalf("error %v, want %q", err, want)
	}
	var e *Error
	if !errors.As(err, &e) || e.Status != 422 || e.Title != "Unprocessable Entity" || StatusOf(err) != 422 {
		t.Errorf("typed error %+v", e)
	}
}

func TestErrorAnswersOfOtherShapesAreReadable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		contentType, location, body string
		status                      int
		want                        string
	}{
		"plain text":          {"text/plain", "", "no such thing\n", 404, "GET /trials/x: 404: no such thing"},
		"html of a proxy":     {"text/html", "", "<html>...", 500, "GET /trials/x: 500: Internal Server Error"},
		"nothing at all":      {"", "", "", 418, "GET /trials/x: 418: I'm a teapot"},
		"unknown status":      {"", "", "", 599, "GET /trials/x: 599: no explanation given"},
		"json with no detail": {"application/json", "", `{"title":"Not Found"}`, 404, "GET /trials/x: 404: Not Found"},
		"broken json":         {"application/json", "", `{"tit`, 404, `GET /trials/x: 404: {"tit`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tc.contentType)
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			if _, err := c.Trial(t.Context(), "x"); err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestARedirectedPostSaysWhereTo(t *testing.T) {
	t.Parallel()
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://oddish.example/tasks/sweep", http.StatusMovedPermanently)
	})
	_, err := c.Submit(t.Context(), api.Sweep{})
	if err == nil || !strings.Contains(err.Error(), "301: the server sends to https://oddish.example/tasks/sweep") {
		t.Errorf("error %v", err)
	}
}

// refused is an address at which nobody listens.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func TestConnectionRefusedNamesTheAddress(t *testing.T) {
	t.Parallel()
	base := refused(t)
	_, err := New(base, Options{RetryFor: -1}).Health(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "GET "+base+"/health: dial tcp") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v", err)
	}
	if !Unreachable(err) || StatusOf(err) != 0 {
		t.Errorf("Unreachable(%v) is false", err)
	}
}

func TestAnAddressThatCannotBeUsedIsReportedByEveryCall(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "ftp://x", "http://", "http://a/?q=1", "http://[::1"} {
		c := New(base, Options{})
		_, err := c.Health(t.Context())
		if err == nil || !strings.Contains(err.Error(), "server address") {
			t.Errorf("%q: error %v", base, err)
		}
		url := "/tasks/a/versions/1/archive"
		if err := c.PutArchive(t.Context(), api.Upload{UploadURL: &url}, nil); err == nil {
			t.Errorf("%q: PutArchive gave no error", base)
		}
		if err := c.Events(t.Context(), "e", 0, nil); err == nil {
			t.Errorf("%q: Events gave no error", base)
		}
	}
	if got := New("localhost:8000/", Options{}).BaseURL(); got != "http://localhost:8000" {
		t.Errorf("base %q", got)
	}
}

func TestAnAnswerThatIsNotOursIsNotRepeated(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>welcome</html>")
	})
	_, err := c.Trial(t.Context(), "x")
	if err == nil || !strings.Contains(err.Error(), "is not what an Oddish server sends") || n.Load() != 1 {
		t.Errorf("error %v after %d tries", err, n.Load())
	}
}

func TestPathsKeysAndPrefixesAreSentAsTheyShould(t *testing.T) {
	t.Parallel()
	var got *http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		reply(w, 200, api.Experiment{ID: "e"})
	}))
	defer s.Close()
	c := New(s.URL+"/oddish/", Options{APIKey: "ok_secret"})
	if _, err := c.Experiment(t.Context(), "a b/c"); err != nil {
		t.Fatal(err)
	}
	if got.URL.EscapedPath() != "/oddish/experiments/a%20b%2Fc" || got.Header.Get("Authorization") != "Bearer ok_secret" {
		t.Errorf("%s %v", got.URL.EscapedPath(), got.Header)
	}
}

func TestTheEndOfTheContextIsNoFaultOfTheServer(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	_, err := c.Trial(ctx, "x")
	if !errors.Is(err, context.Canceled) || Unreachable(err) {
		t.Errorf("error %v", err)
	}
}

func TestASilentServerIsGivenUp(t *testing.T) {
	t.Parallel()
	c := serve(t, Options{IdleTimeout: 30 * time.Millisecond, RetryFor: -1}, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	_, err := c.Trial(t.Context(), "x")
	if !Unreachable(err) || !strings.Contains(err.Error(), "nothing moved for 30ms") {
		t.Errorf("error %v", err)
	}
}

package server

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"oddish/api"
)

func TestAPanicIsA500ThatTheLogExplains(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newServer(Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	h := s.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("kaboom") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/x", nil))
	id := w.Header().Get("X-Request-Id")
	if w.Code != 500 || id == "" || !strings.Contains(w.Body.String(), id) || strings.Contains(w.Body.String(), "kaboom") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	contains(t, log.String(), "kaboom", id, "middleware_test.go")
}

func TestAnAnswerCutByAPanicIsNotTakenForAWholeOne(t *testing.T) {
	t.Parallel()
	s := newServer(Config{Log: slog.New(slog.DiscardHandler)})
	srv := httptest.NewServer(s.wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("kaboom")
	})))
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if data, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer ended well: %q", data)
	}
}

func TestAnErrorOfTheDatabaseIsNotShownButLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := newRig(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	if _, err := r.db.Read().ExecContext(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	if err := r.db.Read().Close(); err != nil {
		t.Fatal(err)
	}
	detail := r.refuses(500, "GET", "/tasks", nil)
	if strings.Contains(detail, "closed") {
		t.Errorf("detail: %s", detail)
	}
	contains(t, log.String(), "closed", "request failed")
	if h := do[api.Health](r, "GET", "/health", nil); h.Status != "degraded" || h.Database != "disconnected" {
		t.Errorf("health: %+v", h)
	}
}

func TestHealthTellsWhoAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := do[api.Health](r, "GET", "/health", nil)
	if h.Status != "healthy" || h.Database != "connected" || h.Service != "oddish" || h.Version != "test" || h.PID == 0 || h.Timestamp.IsZero() {
		t.Errorf("health: %+v", h)
	}
}

func TestUnknownPathsSayWhereToLook(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	contains(t, r.refuses(404, "GET", "/nope", nil), "GET /nope", "/openapi.json")
	r.refuses(404, "POST", "/experiments/x/share", nil)
}

func TestLargeBodiesAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.refuses(413, "POST", "/tasks/cancel", `{"task_ids":["`+strings.Repeat("x", 2<<20)+`"]}`)
}

func TestMetricsCountRequestsAndTrials(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 2)
	r.claim(1)
	_, text, _ := r.request("GET", "/metrics", nil)
	contains(t, text, `oddish_trials{queue_key="local",state="queued"} 1`, `oddish_trials{queue_key="local",state="running"} 1`,
		`oddish_queue_effective_limit{queue_key="local"} `, `oddish_trials_held{queue_key="local"} 0`,
		`oddish_http_requests_total{route="POST /tasks/sweep",status="200"} 1`)
}

func TestTheServerLimitsHeadersAndNotAnswers(t *testing.T) {
	t.Parallel()
	s := HTTPServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if s.ReadHeaderTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes == 0 || s.WriteTimeout != 0 || s.ReadTimeout != 0 {
		t.Errorf("%+v", s)
	}
}

// Package web is the dashboard: pages drawn on the server with html/template, one style
// sheet, and one script that keeps them live. It needs no build step and loads
// nothing from elsewhere.
//
// It shows and changes nothing: what it shows comes from a Source, which package server
// makes of the same data that its API answers. Everything that an agent wrote is escaped as text.
package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"oddish/api"
)

// ErrNotFound is returned by a Source for what does not exist; the page says so with status 404.
var ErrNotFound = errors.New("not found")

// Source is where the pages take their data from. All methods may be called at once from many goroutines.
type Source interface {
	// Experiments lists experiments, the latest active first.
	Experiments(ctx context.Context, limit, offset int) ([]api.Experiment, error)
	// Experiment finds an experiment by id or name, and the id of its last event before that. ErrNotFound.
	Experiment(ctx context.Context, idOrName string) (api.Experiment, int64, error)
	// Trials lists the trials of an experiment by task and number.
	Trials(ctx context.Context, experimentID string, limit, offset int) ([]api.Trial, error)
	// TrialsByID gives those of the trials that exist.
	TrialsByID(ctx context.Context, ids []string) ([]api.Trial, error)
	// Trial gives one trial. ErrNotFound.
	Trial(ctx context.Context, id string) (api.Trial, error)
	// Attempts gives the runs of a trial, oldest first. ErrNotFound.
	Attempts(ctx context.Context, trialID string) ([]Attempt, error)
	// Steps gives what came of the steps of an attempt; none while it has not ended, or in a task without steps.
	Steps(ctx context.Context, trialID string, attempt int) ([]api.TrialStep, error)
	// Files lists the files of an attempt by path; attempt 0 is the last one. ErrNotFound.
	Files(ctx context.Context, trialID string, attempt int) ([]File, error)
	// Tail gives at most limit bytes from the end of a text file of an attempt, and how many bytes come before.
	Tail(ctx context.Context, trialID string, attempt int, path string, limit int64) (text string, cut int64, err error)
}

// Attempt is one run of a trial.
type Attempt struct {
	Number                          int
	Outcome                         api.Status // retrying: it failed and another followed
	Worker, ErrorType, ErrorMessage string     // empty: none
	Rewards                         map[string]float64
	Phases                          map[string]api.Phase
	StartedAt                       time.Time
	FinishedAt                      *time.Time
}

// File is one file of an attempt.
type File struct {
	Path  string
	Size  int64  // bytes
	URL   string // where it can be fetched
	IsLog bool   // text to be shown on the trial's page
}

// Mux is the part of http.ServeMux that Register uses.
type Mux interface {
	Handle(pattern string, h http.Handler)
}

// Pages serves the dashboard.
type Pages struct {
	source Source
	log    *slog.Logger
	views  map[string]*template.Template
	static *assets
	now    func() time.Time
}

// New returns the dashboard over source.
func New(source Source, log *slog.Logger) (*Pages, error) {
	p := &Pages{source: source, log: log, now: time.Now}
	var err error
	if p.static, err = loadAssets(); err != nil {
		return nil, err
	}
	if p.views, err = parseViews(p); err != nil {
		return nil, err
	}
	return p, nil
}

// Register adds the pages to a mux.
func (p *Pages) Register(mux Mux) {
	mux.Handle("GET /{$}", p.page(p.home))
	mux.Handle("GET /e/{id}", p.page(p.experiment))
	mux.Handle("GET /e/{id}/rows", p.page(p.rows))
	mux.Handle("GET /t/{id}", p.page(p.trial))
	mux.Handle("GET /static/{name}", p.static)
}

// policy allows what the pages themselves are made of, and no script or style inside them.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// view is what a page shows: a template and its data.
type view struct {
	name string
	data any
}

// page answers with what build gives. A page is drawn whole before its first byte is sent, so an error never
// leaves half of one.
func (p *Pages) page(build func(*http.Request) (view, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		v, err := build(r)
		var bad *badRequest
		switch {
		case err == nil:
		case errors.Is(err, ErrNotFound):
			status, v = http.StatusNotFound, problem("Not found", "There is no such page: what it showed may have been deleted.")
		case errors.As(err, &bad):
			status, v = http.StatusBadRequest, problem("Bad request", bad.why)
		case r.Context().Err() != nil:
			return // the reader left
		default:
			p.log.ErrorContext(r.Context(), "page not drawn", "path", r.URL.Path, "error", err)
			status, v = http.StatusInternalServerError, problem("Error", "The page could not be drawn; the server's log says why.")
		}
		p.send(w, status, v)
	})
}

func (p *Pages) send(w http.ResponseWriter, status int, v view) {
	var b bytes.Buffer
	if err := p.views[v.name].ExecuteTemplate(&b, v.name, v.data); err != nil {
		p.log.Error("page not drawn", "view", v.name, "error", err)
		http.Error(w, "the page could not be drawn; the server's log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // a reader that left is no error of ours
}

// badRequest is an address that cannot be meant.
type badRequest struct{ why string }

// Error implements error.
func (b *badRequest) Error() string { return b.why }

func badRequestf(format string, args ...any) error {
	return &badRequest{fmt.Sprintf(format, args...)}
}

func problem(title, text string) view {
	return view{"problem.html", struct{ Title, Text string }{title, text}}
}

// Package server is Oddish's HTTP side: the API that clients use, the protocol that
// workers use, the events that a browser follows, and the pages of package web.
//
// It translates. What is stored and counted is package store's, what moves a trial from one
// state to the next is package queue's, and files are package blob's; the server checks
// requests, calls those and writes JSON. It never runs anything of a trial: workers do, and
// they speak to it over the same HTTP as everyone else, also from inside the same process.
package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"oddish/internal/blob"
	"oddish/internal/llm/price"
	"oddish/internal/queue"
	"oddish/internal/store"
	"oddish/internal/web"
)

// DefaultMaxUploadBytes is the size limit of one uploaded file (a task archive, or one
// chunk of a trial's file) when Config.MaxUploadBytes is 0.
const DefaultMaxUploadBytes = 1 << 30

// Config is what a Server needs. DB, Queue and Blobs are required.
type Config struct {
	DB    *store.DB
	Queue *queue.Queue
	Blobs blob.Store
	// Log receives one debug line a request and an error line for each request that
	// failed by the server's own fault. Nil: slog.Default.
	Log *slog.Logger
	// Version of the program, told by GET /health.
	Version string
	// Environment is the sandbox kind of submissions that name none. Empty: "builtin".
	Environment string
	// MinIsolation is the least level of isolation that trials may have, 0 to 3.
	MinIsolation int
	// APIKey, when set, is wanted as a bearer token by every route but /health. When empty the
	// server answers only requests that name this machine itself, and refuses what
	// comes from pages of other sites.
	APIKey string
	// MaxUploadBytes limits one uploaded file. 0: DefaultMaxUploadBytes.
	MaxUploadBytes int64
	// Prices knows the aliases of models that submissions may name. Nil: the builtin table, which has none.
	Prices *price.Table
	// TempDir is where uploaded archives are unpacked to be checked. Empty: os.TempDir.
	TempDir string
}

// Server serves the API and the pages. Its handler may be used from many goroutines.
type Server struct {
	db      *store.DB
	queue   *queue.Queue
	blobs   blob.Store
	log     *slog.Logger
	cfg     Config
	mux     *recordingMux
	handler http.Handler
	uploads *uploadDesk
	folders *jobFolders
	metrics *metrics
	now     func() time.Time
}

// New returns a server that is ready to answer. It starts no goroutine; Close
// writes what is still to be written.
func New(c Config) (*Server, error) {
	if c.DB == nil || c.Queue == nil || c.Blobs == nil {
		return nil, errors.New("make server: database, queue and blob store are required")
	}
	s := newServer(c)
	if err := s.routes(); err != nil {
		return nil, err
	}
	return s, nil
}

func newServer(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Environment == "" {
		c.Environment = "builtin"
	}
	if c.Prices == nil {
		c.Prices = price.Builtin()
	}
	if c.MaxUploadBytes <= 0 {
		c.MaxUploadBytes = DefaultMaxUploadBytes
	}
	s := &Server{
		db: c.DB, queue: c.Queue, blobs: c.Blobs, log: c.Log, cfg: c,
		mux: newRecordingMux(), now: time.Now,
	}
	s.uploads = newUploadDesk(c.TempDir)
	s.folders = newJobFolders(c.DB, c.Blobs, c.Log)
	s.metrics = newMetrics(c.Queue)
	if c.DB != nil {
		s.metrics.watchDatabase(c.DB)
	}
	return s
}

// routes registers every route. Each resource registers its own in its own file.
func (s *Server) routes() error {
	humaAPI := humago.New(s.mux, humaConfig(s.cfg.Version))
	s.register(humaAPI)
	if err := s.serveOpenAPI(humaAPI); err != nil {
		return err
	}
	if s.cfg.DB != nil {
		pages, err := web.New(pageSource{s}, s.log)
		if err != nil {
			return fmt.Errorf("make pages: %w", err)
		}
		pages.Register(s.mux)
		s.mux.Handle("GET /metrics", s.metrics.handler())
	}
	s.mux.Handle("/", http.HandlerFunc(notFound))
	s.handler = s.wrap(s.mux)
	return nil
}

func (s *Server) register(a huma.API) {
	s.registerHealth(a)
	s.registerUploads(a)
	s.registerSweep(a)
	s.registerTasks(a)
	s.registerTrials(a)
	s.registerTrialQueries(a)
	s.registerLogs(a)
	s.registerFiles(a)
	s.registerExperiments(a)
	s.registerJobFiles(a)
	s.registerImports(a)
	s.registerEvents(a)
	s.registerQueue(a)
	s.registerWorker(a)
}

// Handler returns the whole of it: API, worker protocol and pages behind the checks.
func (s *Server) Handler() http.Handler { return s.handler }

// Close writes the job folders that are due and stops their timers. Call it once requests have ended.
func (s *Server) Close() error { return s.folders.close() }

// HTTPServer returns an http.Server for the handler with the limits that it should be
// served with: time for headers and idle connections is limited, time for bodies is
// limited by the handler (per read, so that slow uploads go on), and answers are not,
// since events and claims are held open. To shut it down, first cancel the context that its
// BaseContext gives, which ends those, and call Server.Close last.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

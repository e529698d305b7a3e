package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"oddish/client"
	"oddish/internal/agent"
	"oddish/internal/backup"
	"oddish/internal/config"
	"oddish/internal/queue"
	"oddish/internal/sandbox"
	"oddish/internal/server"
	"oddish/internal/store"
	"oddish/internal/worker"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// node is one server process: everything that `oddish api` holds open.
type node struct {
	cfg    config.Config
	dir    string
	log    *slog.Logger
	lock   *dirLock
	listen net.Listener
	url    string
	db     *store.DB
	queue  *queue.Queue
	server *server.Server
	worker *worker.Worker // nil: none inside
}

// openDir takes the data directory for this process.
func (n *node) openDir() error {
	if err := prepareDataDir(n.dir); err != nil {
		return err
	}
	lock, err := lockDataDir(n.dir)
	if errors.Is(err, errLocked) {
		where := ""
		if s, ok := liveServer(n.dir); ok {
			where = fmt.Sprintf(" (process %d, %s)", s.PID, s.URL)
		}
		return failf("stop it with `oddish clean --stop-only`, or set ODDISH_DATA_DIR to another folder",
			"a server runs on the data directory %s already%s", n.dir, where)
	}
	n.lock = lock
	if err == nil {
		err = backup.Interrupted(n.dir)
	}
	return err
}

// openParts opens database and files and puts queue, server and worker on top.
func (n *node) openParts(ctx context.Context, f *apiFlags) error {
	var err error
	if n.db, err = openDatabase(ctx, n.cfg, n.dir, n.log); err != nil {
		return err
	}
	own, err := openIdentity(n.cfg, n.dir)
	if err != nil {
		return err
	}
	if err := own.check(ctx, n.db); err != nil {
		return err
	}
	limits, err := queueLimits(n.cfg.ModelConcurrencyOverrides, f.nConcurrent.m)
	if err != nil {
		return err
	}
	n.queue = queue.New(n.db, queue.Options{Log: n.log, Sealer: own.sealer, DefaultLimit: n.cfg.DefaultModelConcurrency, Limits: limits, Lease: n.cfg.Lease, DailyBudget: n.cfg.DailyBudget.Budget})
	withWorker := n.cfg.AutoStartWorkers && !f.noWorker
	providers, kind, err := n.chooseSandboxes(ctx, withWorker)
	if err != nil {
		return err
	}
	tmp := filepath.Join(n.dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	prices, err := priceTable(n.cfg)
	if err != nil {
		return err
	}
	n.server, err = server.New(server.Config{
		DB: n.db, Queue: n.queue, Blobs: own.blobs, Log: n.log, Version: Version(), Environment: kind, MinIsolation: n.cfg.MinIsolation,
		APIKey: n.cfg.APIKey, MaxUploadBytes: n.cfg.MaxTaskUploadMB << 20, TempDir: tmp, Prices: prices,
	})
	if err != nil || !withWorker {
		return err
	}
	n.worker, err = newWorker(n.cfg, n.dir, n.url, f.slots, providers, n.log)
	return err
}

// chooseSandboxes decides the kinds that the worker offers and the one that trials get which ask for none. A server whose own
// worker could not run those would accept trials that wait for ever, so it says why and does not start.
func (n *node) chooseSandboxes(ctx context.Context, withWorker bool) ([]sandbox.Provider, string, error) {
	providers, reasons, err := sandboxes(ctx, machineOf(n.cfg, n.dir, n.log), nil)
	if err != nil {
		return nil, "", err
	}
	if withWorker {
		for _, r := range reasons {
			n.log.Info("sandbox kind is not offered", "reason", r)
		}
	}
	kind, ok := defaultKind(n.cfg.DefaultEnvironment, providers)
	if !ok && withWorker {
		return nil, "", failf("mend one of them, or set ODDISH_DEFAULT_ENVIRONMENT=fake to try things out, or use --no-worker with `oddish worker` on another machine",
			"no sandbox works on this machine:\n  %s", strings.Join(reasons, "\n  "))
	}
	return providers, kind, nil
}

// openDatabase opens the configured database and brings its tables up to date.
func openDatabase(ctx context.Context, cfg config.Config, dir string, log *slog.Logger) (*store.DB, error) {
	return openMigrated(ctx, cfg.DatabaseURL(dir), store.Options{Log: log, PoolSize: cfg.DBPoolSize})
}

// openMigrated opens a database, which is made if absent, and brings its tables up to date.
func openMigrated(ctx context.Context, url string, o store.Options) (*store.DB, error) {
	db, err := store.OpenWith(ctx, url, o)
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// newWorker makes a worker of the server at url.
func newWorker(cfg config.Config, dir, url string, slots int, providers []sandbox.Provider, log *slog.Logger) (*worker.Worker, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if err := journalFake(providers, cfg.FakeJournal); err != nil {
		return nil, err
	}
	prices, err := priceTable(cfg)
	if err != nil {
		return nil, err
	}
	if slots == 0 {
		slots = cfg.Slots()
	}
	drain := cfg.DrainTimeout
	if drain == 0 {
		drain = -1 // the worker takes 0 for its default
	}
	return worker.New(worker.Config{
		Server: client.New(url, client.Options{APIKey: cfg.APIKey}),
		ID:     fmt.Sprintf("%s-%d-%x", host, os.Getpid(), time.Now().UnixNano()&0xffffff), Hostname: host, Version: Version(),
		Slots: slots, Providers: providers, Dir: workDir(dir), Owner: ownerOf(dir), Getenv: cfg.Getenv, TaskEnv: cfg.TaskEnv, Prices: prices,
		Packages: &agent.Packages{Dir: filepath.Join(dir, agentsFolder), Given: cfg.AgentPackages},
		Log:      log, DrainTimeout: drain, KeepImages: int64(cfg.KeepImages),
	})
}

// close releases what is open, in any state of opening.
func (n *node) close() {
	if n.listen != nil {
		_ = n.listen.Close()
	}
	if n.db != nil {
		if err := n.db.Close(); err != nil {
			n.log.Error("close database", "error", err)
		}
	}
	if n.lock != nil {
		removeState(n.dir)
		n.lock.release()
	}
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"oddish/internal/config"
	"oddish/internal/server"
)

// shutdownPatience is how long requests that are being answered may take at the end.
const shutdownPatience = 5 * time.Second

// serve carries out `oddish api`.
func (a *App) serve(ctx context.Context, f *apiFlags) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if f.slots < 0 || f.slots > 1000 {
		return usagef("--slots %d: want 1 to 1000", f.slots)
	}
	host, port, err := listenAddress(cfg, f)
	if err != nil {
		return err
	}
	dir, err := cfg.RequireDataDir()
	if err != nil {
		return err
	}
	n := &node{cfg: cfg, dir: dir, log: a.logger(cfg)}
	defer n.close()
	if err := n.openDir(); err != nil {
		return err
	}
	if n.listen, err = listen(ctx, host, port); err != nil {
		return err
	}
	n.url = urlOf(n.listen, host)
	if err := n.openParts(ctx, f); err != nil {
		if trouble := dataDirTrouble(dir, err); trouble != nil {
			return trouble
		}
		return err
	}
	return n.run(ctx)
}

// logger writes to standard error in the form that the settings ask for.
func (a *App) logger(cfg config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" || cfg.LogFormat == "auto" && !a.isTerminal(a.Stderr) {
		return slog.New(slog.NewJSONHandler(a.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.Stderr, o))
}

// run serves until a signal comes, then lets trials end and closes in the order in which the parts need one another: the
// worker first, while the server still takes what it delivers.
func (n *node) run(ctx context.Context) error {
	ctx, stop := drainSignals(ctx, n.handBack, n.log)
	defer stop()
	l := n.start(context.WithoutCancel(ctx))
	err := n.announce()
	if err == nil {
		select {
		case <-ctx.Done():
			n.log.Info("server stops")
		case err = <-l.failed:
		}
	}
	l.stop()
	return errors.Join(err, n.server.Close())
}

// loops are the running parts of a node.
type loops struct {
	http        *http.Server
	idle        newConns
	stopWork    context.CancelFunc
	stopServing context.CancelFunc
	worker      sync.WaitGroup
	others      sync.WaitGroup
	failed      chan error // the first part that ended by itself
}

func (n *node) start(ctx context.Context) *loops {
	l := &loops{http: server.HTTPServer(n.server.Handler(), n.log), failed: make(chan error, 3)}
	var work, serving context.Context
	work, l.stopWork = context.WithCancel(ctx)
	serving, l.stopServing = context.WithCancel(ctx)
	l.http.BaseContext = func(net.Listener) context.Context { return serving }
	l.http.ConnState = l.idle.watch
	l.others.Go(func() {
		if err := l.http.Serve(n.listen); !errors.Is(err, http.ErrServerClosed) {
			l.failed <- fmt.Errorf("serve: %w", err)
		}
	})
	l.others.Go(func() {
		if err := n.queue.Run(serving); err != nil && serving.Err() == nil {
			l.failed <- fmt.Errorf("queue: %w", err)
		}
	})
	if n.worker != nil {
		l.worker.Go(func() {
			if err := n.worker.Run(work); err != nil && work.Err() == nil {
				l.failed <- fmt.Errorf("worker: %w", err)
			}
		})
	}
	return l
}

// stop drains the worker, then ends event streams and long polls, then the rest.
func (l *loops) stop() {
	l.stopWork()
	l.worker.Wait()
	l.stopServing()
	l.idle.close()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownPatience)
	defer cancel()
	if l.http.Shutdown(ctx) != nil {
		_ = l.http.Close()
	}
	l.others.Wait()
}

// announce tells other commands, and whoever reads the log, that the server is there.
func (n *node) announce() error {
	n.log.Info("server started", "url", n.url, "data", n.dir, "version", Version(), "worker", n.worker != nil)
	return writeState(n.dir, serverState{PID: os.Getpid(), URL: n.url, Version: Version(), StartedAt: time.Now().UTC()})
}

func (n *node) handBack() {
	if n.worker != nil {
		n.worker.HandBack()
	}
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"oddish/api"
)

// startPatience is how long a server may take until it answers.
const startPatience = 30 * time.Second

// ensureOptions say what to do about the local server.
type ensureOptions struct {
	fresh       bool
	nConcurrent map[string]int
	quiet       bool
}

// ensureServer makes sure that a server answers: one that does is used; otherwise, at an address of this machine, one is
// started in the background.
func (a *App) ensureServer(ctx context.Context, c connection, o ensureOptions) error {
	if o.fresh && !c.endpoint.local {
		return usagef("--fresh restarts the server of this machine, and the address is %s", c.endpoint.url)
	}
	if o.fresh {
		if err := a.stopForFresh(ctx, c); err != nil {
			return err
		}
	}
	health, err := probe(ctx, c.endpoint)
	switch {
	case err == nil:
		return a.useServer(c, health, o)
	case !c.endpoint.local:
		return c.explain(err)
	case !errors.Is(err, errNobody):
		return err
	}
	return a.startServer(ctx, c, o)
}

// useServer checks that the server which answers is one to work with, and says what is odd about it.
func (a *App) useServer(c connection, h api.Health, o ensureOptions) error {
	if len(o.nConcurrent) > 0 {
		return usagef("--n-concurrent is for a server that this command starts, and one runs at %s: add --fresh to restart it", c.endpoint.url)
	}
	if h.Status != "healthy" {
		a.warn("the server at %s is %s (database %s)", c.endpoint.url, h.Status, h.Database)
	}
	if o.quiet {
		return nil
	}
	if c.endpoint.local {
		if dir, err := c.cfg.RequireDataDir(); err == nil {
			if s, ok := liveServer(dir); !ok || s.PID != h.PID {
				a.note("using the server at %s, which does not keep its data in %s", c.endpoint.url, dir)
			}
		}
	}
	if v := Version(); h.Version != "" && h.Version != v {
		hint := ""
		if c.endpoint.local {
			hint = "; `--fresh` restarts it"
		}
		a.warn("the server at %s is version %s, this program is %s%s", c.endpoint.url, h.Version, v, hint)
	}
	return nil
}

// stopForFresh ends the server of the data directory. One at the address that belongs to something else is left alone.
func (a *App) stopForFresh(ctx context.Context, c connection) error {
	dir, err := c.cfg.RequireDataDir()
	if err != nil {
		return err
	}
	if _, err := stopServer(ctx, dir); err != nil {
		return err
	}
	if h, err := probe(ctx, c.endpoint); err == nil {
		return failf("stop it where it was started, or use --port to have one beside it",
			"the server at %s (process %d) does not keep its data in %s and cannot be restarted from here", c.endpoint.url, h.PID, dir)
	}
	return nil
}

// startServer starts `oddish api` in the background, in a session of its own, and waits until it answers.
func (a *App) startServer(ctx context.Context, c connection, o ensureOptions) error {
	dir, err := c.cfg.RequireDataDir()
	if err != nil {
		return err
	}
	if err := prepareDataDir(dir); err != nil {
		return err
	}
	if s, ok := liveServer(dir); ok && !sameAddress(s.URL, c.endpoint) {
		return failf(fmt.Sprintf("use it with ODDISH_API_URL=%s, or restart it at the new address with --fresh", s.URL),
			"a server runs on the data directory %s already, at %s", dir, s.URL)
	}
	logPath := filepath.Join(dir, "server.log")
	from, err := rotateLog(logPath)
	if err != nil {
		return dataDirError(dir, err)
	}
	exited, err := a.spawnServer(c, dir, logPath, o)
	if err != nil {
		return err
	}
	if err := waitForServer(ctx, c.endpoint, dir, exited); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return startFailure(err, logPath, from)
	}
	if !o.quiet {
		a.note("started a server at %s (data in %s)", c.endpoint.url, dir)
	}
	return nil
}

var errServerEnded = errors.New("the server ended")

// waitForServer waits until a server answers. One that ended at once may have found another that is starting, which will do as well.
func waitForServer(ctx context.Context, e endpoint, dir string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("the server does not answer after %s", startPatience))
	defer cancel()
	wait := 5 * time.Millisecond
	for {
		if _, err := probe(ctx, e); err == nil {
			return nil
		}
		select {
		case <-exited:
			if !isLocked(dir) {
				return errServerEnded
			}
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if wait = min(wait*3/2, 100*time.Millisecond); isDone(exited) {
			if err := pause(ctx, wait); err != nil {
				return context.Cause(ctx)
			}
		}
	}
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// startFailure shows the end of what the server wrote.
func startFailure(err error, logPath string, from int64) error {
	lines := lastLines(logPath, from, 8)
	msg := err.Error()
	if len(lines) > 0 {
		msg += "; its last words:\n  " + strings.Join(lines, "\n  ")
	}
	return failf("the whole log is in "+logPath, "%s", msg)
}

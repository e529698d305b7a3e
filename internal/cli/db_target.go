package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"oddish/internal/config"
	"oddish/internal/store"
)

// dbTarget is the configured database with the data directory around it.
type dbTarget struct {
	cfg  config.Config
	dir  string // data directory, which may not exist yet
	url  string
	file string // of SQLite; empty for PostgreSQL
}

func (a *App) dbTarget() (dbTarget, error) {
	cfg, err := a.config()
	if err != nil {
		return dbTarget{}, err
	}
	dir, err := cfg.RequireDataDir()
	if err != nil {
		return dbTarget{}, err
	}
	d := dbTarget{cfg: cfg, dir: dir, url: cfg.DatabaseURL(dir)}
	d.file, _ = store.SQLitePath(d.url)
	return d, nil
}

// open opens the database as it is. It does not make a file.
func (d dbTarget) open(ctx context.Context) (*store.DB, error) {
	return openExisting(ctx, d.url)
}

// openExisting is store.Open without making a SQLite file.
func openExisting(ctx context.Context, url string) (*store.DB, error) {
	if file, ok := store.SQLitePath(url); ok {
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			return nil, notFound("`oddish db setup` makes one; ODDISH_DATA_DIR and DATABASE_URL say where it is", "there is no database at %s", file)
		}
	}
	return store.Open(ctx, url, slog.New(slog.DiscardHandler))
}

// lock keeps servers from the data directory, and from that of a SQLite file which is elsewhere, until unlock.
func (d dbTarget) lock() (unlock func(), err error) { return lockServers(looksOurs, d.dirs()...) }

// lockNew is lock for a data directory that is about to become one.
func (d dbTarget) lockNew() (unlock func(), err error) {
	return lockServers(func(dir string) bool { return dir == d.dir || looksOurs(dir) }, d.dirs()...)
}

func (d dbTarget) dirs() []string {
	if d.file == "" {
		return []string{d.dir}
	}
	return []string{d.dir, filepath.Dir(d.file)}
}

// lockServers takes the locks of those directories that need one.
func lockServers(need func(dir string) bool, dirs ...string) (unlock func(), err error) {
	var locks []*dirLock
	unlock = func() {
		for _, l := range locks {
			l.release()
		}
	}
	taken := map[string]bool{}
	for _, dir := range dirs {
		if taken[dir] || !need(dir) {
			continue
		}
		taken[dir] = true
		lock, err := lockDataDir(dir)
		if errors.Is(err, errLocked) {
			err = failf("stop it with `oddish clean --stop-only`, or where it was started", "a server runs on the data directory %s", dir)
		}
		if err != nil {
			unlock()
			return nil, err
		}
		locks = append(locks, lock)
	}
	return unlock, nil
}

// warnOfOthers says what cannot be known of a PostgreSQL database.
func (a *App) warnOfOthers(urls ...string) {
	for _, url := range urls {
		if _, ok := store.SQLitePath(url); !ok {
			a.warn("whether a server on another machine or data directory uses %s cannot be seen from here: stop it first", withoutPassword(url))
		}
	}
}

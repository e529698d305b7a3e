package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The cache has
//
//	repos/KEY          clones, KEY by address
//	tasks/KEY/NAME     tasks, KEY by address, commit and path; whole, or not there
//	registries/KEY     registries, by address
//	locks/KEY          which of these somebody works on
func (r *Resolver) cached(kind string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%s\x00", p)
	}
	return filepath.Join(r.Cache, kind, hex.EncodeToString(h.Sum(nil)[:16]))
}

// lockPause is how often a lock is tried that another process holds.
const lockPause = 100 * time.Millisecond

// lock waits until no other process or goroutine works on what parts name. The lock goes with its process.
func (r *Resolver) lock(ctx context.Context, parts ...string) (unlock func(), err error) {
	path := r.cached("locks", parts...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cache of data sets: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cache of data sets: %w", err)
	}
	told := false
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if !told {
			told = true
			r.tell("waiting for another command that fetches %s", parts[0])
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(lockPause):
		}
	}
}

// keep copies a folder to its place in the cache, where it appears whole.
func keep(src, dst string) error {
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dst), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	copied := filepath.Join(tmp, "copy")
	if err := os.CopyFS(copied, withoutGit{os.DirFS(src)}); err != nil {
		return err
	}
	return os.Rename(copied, dst)
}

// withoutGit hides .git at the top, for tasks that are a whole repository.
type withoutGit struct{ fs.FS }

func (w withoutGit) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(w.FS, name)
	if name != "." {
		return list, err
	}
	kept := list[:0]
	for _, e := range list {
		if e.Name() != ".git" {
			kept = append(kept, e)
		}
	}
	return kept, err
}

// ReadLink and Lstat let links be copied as links.
func (w withoutGit) ReadLink(name string) (string, error)   { return fs.ReadLink(w.FS, name) }
func (w withoutGit) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(w.FS, name) }

package worker

import (
	"context"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"oddish/api"
)

// maxIdleTasks is how many unpacked tasks are kept that no trial uses.
const maxIdleTasks = 64

var digestForm = regexp.MustCompile(`^[0-9a-f]{16,128}$`)

// taskCache keeps unpacked tasks on disk, as <dir>/<digest>/<name>. Trials of the same task share one,
// which is fetched once however many ask at the same time, and is only read. A task has its
// final name only when it is whole and its digest is right.
type taskCache struct {
	dir    string
	digest func(dir string) ([]string, error)

	mu      sync.Mutex
	entries map[string]*taskEntry // by path relative to dir
}

type taskEntry struct {
	lock chan struct{} // holds one token while nobody prepares the task
	// Guarded by lock.
	ready bool // verified by this process
	// Guarded by the cache's mutex.
	refs int
	used time.Time
}

// newTaskCache takes over what a former worker left in dir; it is verified before it is used.
func newTaskCache(dir string, digest func(string) ([]string, error)) *taskCache {
	c := &taskCache{dir: dir, digest: digest, entries: map[string]*taskEntry{}}
	found, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	for _, name := range found {
		rel, err := filepath.Rel(dir, name)
		if err != nil || strings.HasPrefix(rel, ".") {
			continue
		}
		e := c.entry(rel)
		if info, err := os.Lstat(name); err == nil {
			e.used = info.ModTime()
		}
	}
	unfinished, _ := filepath.Glob(filepath.Join(dir, ".*"))
	for _, name := range unfinished {
		_ = os.RemoveAll(name)
	}
	digests, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range digests {
		_ = os.Remove(name) // only an empty one goes
	}
	return c
}

// acquire returns the folder of the trial's task, which stays until release. Fetching is repeated
// until ctx ends; what cannot be mended by that is a *failure.
func (c *taskCache) acquire(ctx context.Context, log *slog.Logger, spec api.TrialSpec, fetch fetchTask) (dir string, release func(), err error) {
	if !digestForm.MatchString(spec.TaskDigest) {
		return "", nil, permanent(errorTaskArchive, "task %s: %q is not a digest", spec.TaskID, spec.TaskDigest)
	}
	rel := filepath.Join(spec.TaskDigest, folderName(spec.TaskName))
	c.mu.Lock()
	e := c.entry(rel)
	e.refs++
	c.mu.Unlock()
	release = sync.OnceFunc(func() { c.release(e) })

	select {
	case <-e.lock:
	case <-ctx.Done():
		release()
		return "", nil, context.Cause(ctx)
	}
	defer func() { e.lock <- struct{}{} }()
	dir = filepath.Join(c.dir, rel)
	if !e.ready {
		if err := c.prepare(ctx, log, dir, spec, fetch); err != nil {
			release()
			return "", nil, err
		}
		e.ready = true
	}
	return dir, release, nil
}

// entry must be called with mu held, or before the cache is shared.
func (c *taskCache) entry(rel string) *taskEntry {
	e := c.entries[rel]
	if e == nil {
		e = &taskEntry{lock: make(chan struct{}, 1)}
		e.lock <- struct{}{}
		c.entries[rel] = e
	}
	return e
}

func (c *taskCache) release(e *taskEntry) {
	c.mu.Lock()
	e.refs--
	e.used = time.Now()
	graves := c.evict()
	c.mu.Unlock()
	for _, g := range graves {
		_ = os.RemoveAll(g)
	}
}

// evict takes away the tasks that were not used for the longest time and returns the folders to
// delete, once mu is free again.
func (c *taskCache) evict() (graves []string) {
	var idle []string
	for rel, e := range c.entries {
		if e.refs == 0 {
			idle = append(idle, rel)
		}
	}
	if len(idle) <= maxIdleTasks {
		return nil
	}
	slices.SortFunc(idle, func(a, b string) int { return c.entries[a].used.Compare(c.entries[b].used) })
	for _, rel := range idle[:len(idle)-maxIdleTasks] {
		delete(c.entries, rel)
		if g := c.bury(filepath.Join(c.dir, rel)); g != "" {
			graves = append(graves, g)
		}
	}
	return graves
}

// bury moves a task to a folder that is to be deleted, because a half deleted one must not
// keep a name under which it would be taken for whole.
func (c *taskCache) bury(dir string) string {
	grave, err := os.MkdirTemp(c.dir, ".old-")
	if err != nil {
		return "" // nothing was stored here yet, or the disk is full
	}
	_ = os.Rename(dir, filepath.Join(grave, "task")) // one that was never fetched is not there
	return grave
}

// folderName makes the name of a folder of the task's name, which may be "org/name".
func folderName(taskName string) string {
	name := path.Base(taskName)
	if !isFileName(name) || strings.HasPrefix(name, ".") {
		return "task"
	}
	return name
}

package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Resolver finds data sets and fetches tasks. It is safe for concurrent use, also by several processes on one Cache.
type Resolver struct {
	// Cache is the folder that keeps what was fetched. What is in it was written whole; it may be removed at any time.
	Cache string
	// Dir is the folder in which relative paths of registries and repositories begin.
	Dir string
	// Registry is the registry's file or address where a Ref names none.
	Registry string
	Client   *http.Client
	Log      *slog.Logger
	// Progress tells the user what takes long, in a line; nil: nobody is told.
	Progress func(string)
}

func (r *Resolver) tell(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(fmt.Sprintf(format, args...))
	}
}

// Resolve finds the data set. All its tasks in repositories are at full commits afterwards, except those that a registry names without one: Fetch takes these
// at the newest.
func (r *Resolver) Resolve(ctx context.Context, ref Ref) (*Set, error) {
	if ref.Repo != "" {
		if ref.Repo = r.here(ref.Repo); !remote(ref.Repo) && !strings.Contains(ref.Repo, "://") {
			ref.Repo = "file://" + ref.Repo
		}
		return r.inRepo(ctx, ref)
	}
	source := cmp.Or(ref.Registry, r.Registry)
	data, from, err := r.registry(ctx, r.here(source))
	if err != nil {
		return nil, err
	}
	list, err := readRegistry(data)
	if err != nil {
		return nil, fmt.Errorf("registry %s %w", source, err)
	}
	e, err := choose(list, ref.Name, ref.Version)
	if err != nil {
		return nil, fmt.Errorf("%w (registry %s)", err, source)
	}
	return e.set(from)
}

// here makes a path of this machine absolute. Addresses stay as they are.
func (r *Resolver) here(path string) string {
	if filepath.IsAbs(path) || strings.Contains(path, "://") || remote(path) {
		return path
	}
	return filepath.Join(r.Dir, path)
}

// inRepo finds a data set in a git repository.
func (r *Resolver) inRepo(ctx context.Context, ref Ref) (set *Set, err error) {
	err = r.withRepo(ctx, ref.Repo, func(repo *repo) error {
		commit, err := repo.resolve(ctx, ref.RepoRef)
		if err != nil {
			return err
		}
		r.tell("reading %s at %s", ref.Repo, commit[:12])
		if err := repo.fetch(ctx, commit); err != nil {
			return err
		}
		if ref.Name != "" {
			set, err = repo.registered(ctx, ref, commit)
			return err
		}
		set, err = repo.all(ctx, ref, commit)
		return err
	})
	return set, err
}

// registered finds a data set in the registry of a repository.
func (r *repo) registered(ctx context.Context, ref Ref, commit string) (*Set, error) {
	file := cmp.Or(ref.Registry, registryFile)
	data, err := r.read(ctx, commit, file)
	if err != nil {
		return nil, fmt.Errorf("has no registry: %w", err)
	}
	list, err := readRegistry(data)
	if err != nil {
		return nil, fmt.Errorf("%s %w", file, err)
	}
	e, err := choose(list, ref.Name, ref.Version)
	if err != nil {
		return nil, err
	}
	return e.set(origin{url: r.url, commit: commit})
}

// all takes every task of a repository below a path.
func (r *repo) all(ctx context.Context, ref Ref, commit string) (*Set, error) {
	dir := path.Clean(cmp.Or(filepath.ToSlash(ref.Path), "."))
	if path.IsAbs(dir) || dir == ".." || strings.HasPrefix(dir, "../") {
		return nil, fmt.Errorf("path %q leaves the repository", ref.Path)
	}
	found, err := r.tasks(ctx, commit, dir)
	if err != nil {
		return nil, err
	}
	set := &Set{Name: repoName(r.url), Version: ref.RepoRef}
	for _, p := range found {
		name := path.Base(p)
		if p == "." {
			name = path.Base(set.Name)
		}
		set.Tasks = append(set.Tasks, Item{Name: name, URL: r.url, Commit: commit, Path: p})
	}
	if len(set.Tasks) == 0 {
		return nil, fmt.Errorf("has no task below %s at %s: no folder there has task.toml and environment/", dir, commit[:12])
	}
	return set, nil
}

// repoName is what the tasks of a repository are grouped by: the end of its address.
func repoName(url string) string {
	parts := strings.FieldsFunc(strings.TrimSuffix(strings.TrimRight(url, "/"), ".git"), func(c rune) bool { return c == '/' || c == ':' })
	return strings.Join(parts[max(len(parts)-2, 0):], "/")
}

// withRepo runs f on the clone of a repository that is this process's alone meanwhile. A clone that an interruption has
// left in disorder is made anew, once.
func (r *Resolver) withRepo(ctx context.Context, url string, f func(*repo) error) error {
	unlock, err := r.lock(ctx, url)
	if err != nil {
		return err
	}
	defer unlock()
	clone := &repo{url: url, dir: r.cached("repos", url), log: r.Log}
	_, statErr := os.Stat(clone.dir)
	for fresh := statErr != nil; ; fresh = true {
		if err = clone.open(ctx); err == nil {
			err = f(clone)
		}
		if err == nil || fresh || ctx.Err() != nil || errors.Is(err, errNoGit) {
			break
		}
		r.Log.Debug("clone is made anew", "repository", url, "error", err)
		if err := os.RemoveAll(clone.dir); err != nil {
			return fmt.Errorf("cache of data sets: %w", err)
		}
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, errNoGit) {
		return fmt.Errorf("repository %s: %w", url, err)
	}
	return err
}

// Fetched is a task on this machine.
type Fetched struct {
	Item // with the full commit that it is at
	Dir  string
}

// parallel is how many repositories are fetched from at once.
const parallel = 4

// Fetch brings tasks to this machine and gives them in their order. Those that are in the cache are not fetched again.
func (r *Resolver) Fetch(ctx context.Context, items []Item) ([]Fetched, error) {
	out := make([]Fetched, len(items))
	byRepo, named := map[string][]int{}, map[string]Item{}
	for i, item := range items {
		if other, twice := named[item.folder()]; twice {
			return nil, fmt.Errorf("two tasks are named %s, the ones in %s and %s: choose one with the filters", item.folder(), other.Path, item.Path)
		}
		named[item.folder()] = item
		out[i] = Fetched{Item: item, Dir: item.Path}
		if item.URL == "" {
			continue
		}
		out[i].Dir = r.taskDir(item)
		if _, err := os.Stat(out[i].Dir); err != nil || !fullCommit.MatchString(item.Commit) {
			byRepo[item.URL] = append(byRepo[item.URL], i)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for url, missing := range byRepo {
		g.Go(func() error {
			return r.withRepo(ctx, url, func(repo *repo) error { return r.fetch(ctx, repo, out, missing) })
		})
	}
	return out, g.Wait()
}

// taskDir is where the cache keeps a task. Its last element is the name by which the data set knows the task.
func (r *Resolver) taskDir(item Item) string {
	return filepath.Join(r.cached("tasks", item.URL, item.Commit, item.Path), item.folder())
}

// folder is the name of a task's folder: its own without the organisation.
func (i Item) folder() string {
	name := path.Base(i.Name)
	if !filepath.IsLocal(name) || name == "." || strings.HasPrefix(name, ".") {
		return path.Base(i.Path)
	}
	return name
}

// fetch brings those of the tasks, all of one repository, to their places.
func (r *Resolver) fetch(ctx context.Context, repo *repo, tasks []Fetched, missing []int) error {
	byCommit := map[string][]int{}
	for _, i := range missing {
		commit, err := repo.resolve(ctx, tasks[i].Commit)
		if err != nil {
			return err
		}
		tasks[i].Commit = commit
		tasks[i].Dir = r.taskDir(tasks[i].Item)
		if _, err := os.Stat(tasks[i].Dir); err != nil { // nobody else has fetched it meanwhile
			byCommit[commit] = append(byCommit[commit], i)
		}
	}
	for commit, list := range byCommit {
		if err := repo.fetch(ctx, commit); err != nil {
			return err
		}
		r.tell("fetching %d tasks of %s at %s", len(list), repo.url, commit[:12])
		var dirs []string
		for _, i := range list {
			dirs = append(dirs, tasks[i].Path)
		}
		slices.Sort(dirs)
		if err := repo.checkout(ctx, commit, slices.Compact(dirs)); err != nil {
			return err
		}
		for _, i := range list {
			if err := keep(filepath.Join(repo.dir, filepath.FromSlash(tasks[i].Path)), tasks[i].Dir); err != nil {
				return fmt.Errorf("keep task %s: %w", tasks[i].Name, err)
			}
		}
	}
	return nil
}

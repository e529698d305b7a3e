package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"oddish/api"
	"oddish/internal/dataset"
	"oddish/internal/result"
	"oddish/internal/task"
)

// runTasks are the tasks of a run.
type runTasks struct {
	tasks   []*task.Task
	invalid int // those that were left out
	// source is the data set that results are grouped by; empty: none.
	source  string
	metrics []string                   // of the data set
	origins map[string]*api.TaskOrigin // of tasks of git repositories, by their folder
}

// findTasks loads the tasks of the plan, those of a data set after they were fetched. What is not valid is listed and left out.
func (a *App) findTasks(ctx context.Context, p *runPlan) (*runTasks, error) {
	if p.taskID != "" {
		return &runTasks{}, nil
	}
	c, invalid, err := a.loadTasks(ctx, p)
	if err != nil {
		return nil, err
	}
	a.listInvalid(invalid)
	c.invalid = len(invalid)
	if len(c.tasks) == 0 {
		if len(invalid) > 0 {
			return nil, failf("mend the tasks above", "no valid tasks in %s", p.tasksName())
		}
		return nil, failf("compare the names with --task-name and --exclude-task-name", "no task of %s passes the filters", p.tasksName())
	}
	if !p.quiet {
		for _, t := range c.tasks {
			for _, w := range t.Warnings {
				a.warn("%s: %s", taskName(t), w)
			}
		}
	}
	return c, nil
}

// tasksName is where the tasks come from, as the user wrote it.
func (p *runPlan) tasksName() string {
	switch {
	case p.dataset == nil:
		return p.path
	case p.dataset.Name == "":
		return p.dataset.Repo
	}
	return p.dataset.Name
}

func (a *App) loadTasks(ctx context.Context, p *runPlan) (*runTasks, []task.Invalid, error) {
	if p.dataset != nil {
		return a.loadDataset(ctx, p)
	}
	discover := task.Discover
	if p.noVerify {
		discover = task.DiscoverUnverified
	}
	dir := a.path(p.path)
	tasks, invalid, err := discover(dir)
	if err != nil {
		return nil, nil, failf("", "%v", err)
	}
	c := &runTasks{}
	if one := len(tasks) == 1 && tasks[0].Dir == dir; !one {
		if c.source, err = a.checkManifest(dir, tasks, p.quiet); err != nil {
			return nil, nil, err
		}
	}
	c.tasks, invalid = p.filter(tasks, invalid)
	return c, invalid, nil
}

// checkManifest gives the name of the data set that a folder of tasks is, and warns of tasks that are not what its manifest says.
func (a *App) checkManifest(dir string, tasks []*task.Task, quiet bool) (string, error) {
	m, err := dataset.ReadManifest(dir)
	if err != nil {
		return "", failf("", "%v", err)
	}
	if m == nil {
		return filepath.Base(dir), nil
	}
	for _, t := range tasks {
		want := m.Digest(t.Name)
		if want == "" || quiet {
			continue
		}
		got, err := task.Digest(t.Dir)
		if err != nil {
			return "", fmt.Errorf("read task %s: %w", t.Name, err)
		}
		if got != want {
			a.warn("%s: is not as %s says: its content has digest sha256:%s", taskName(t), dataset.ManifestFile, got)
		}
	}
	return m.Name, nil
}

// registryTimeout bounds the download of a registry.
const registryTimeout = time.Minute

// loadDataset finds the tasks of a data set, brings those that are chosen to this machine, and loads them.
func (a *App) loadDataset(ctx context.Context, p *runPlan) (*runTasks, []task.Invalid, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, nil, failf("set HOME or XDG_CACHE_HOME", "no folder to keep data sets in: %v", err)
	}
	r := &dataset.Resolver{
		Cache: filepath.Join(cache, "oddish"), Dir: a.Dir, Registry: cfg.Registry, Client: &http.Client{Timeout: registryTimeout}, Log: slog.New(slog.DiscardHandler),
	}
	if !p.quiet {
		r.Progress = func(line string) { a.note("%s", line) }
	}
	set, err := r.Resolve(ctx, *p.dataset)
	if err == nil {
		err = set.Select(dataset.Filter{Include: p.include, Exclude: p.exclude, Limit: p.limit})
	}
	var fetched []dataset.Fetched
	if err == nil {
		fetched, err = r.Fetch(ctx, set.Tasks)
	}
	if err != nil {
		return nil, nil, datasetError(ctx, err)
	}
	if !p.quiet {
		a.note("data set %s: %s", set.Label(), plural(len(fetched), "task"))
	}
	c, invalid := p.load(set.Name, fetched)
	c.metrics = a.metrics(set)
	return c, invalid, nil
}

// metrics are those of the data set that can be had. One that is a script is named and left out: it would be a program of the data set's, and run
// where the results are.
func (a *App) metrics(set *dataset.Set) []string {
	var names []string
	for _, m := range set.Metrics {
		switch {
		case m.Type == "uv-script":
			a.warn("data set %s: its metric is a script, which is not run: results have the mean", set.Label())
		case !result.Metric(m.Type):
			a.warn("data set %s: its metric %q is unknown: results have the mean", set.Label(), m.Type)
		case !slices.Contains(names, m.Type):
			names = append(names, m.Type)
		}
	}
	return names
}

func datasetError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, dataset.ErrNoMatch):
		return failf("compare the names with --task-name and --exclude-task-name", "%v", err)
	case errors.Is(err, dataset.ErrNotFound):
		return usagef("%v", err)
	}
	return failf("", "%v", err)
}

// load loads the tasks of a data set in its order.
func (p *runPlan) load(source string, fetched []dataset.Fetched) (*runTasks, []task.Invalid) {
	load := task.Load
	if p.noVerify {
		load = task.LoadUnverified
	}
	c := &runTasks{source: source, origins: map[string]*api.TaskOrigin{}}
	var invalid []task.Invalid
	for _, f := range fetched {
		t, err := load(f.Dir)
		if err != nil {
			invalid = append(invalid, task.Invalid{Dir: f.Dir, Err: err})
			continue
		}
		c.tasks = append(c.tasks, t)
		if f.URL != "" {
			c.origins[t.Dir] = &api.TaskOrigin{GitURL: f.URL, GitCommitID: f.Commit, Path: f.Path}
		}
	}
	return c, invalid
}

// datasetRef gives the data set that flags and file name; nil: they name none.
func (f *runFlags) datasetRef(file *sweepFile) (*dataset.Ref, error) {
	name := f.dataset
	if name == "" && f.path == "" && f.repo == "" {
		name = file.Dataset
	}
	if name == "" && f.repo == "" {
		if f.registryURL+f.registryPath != "" {
			return nil, usagef("--registry-url and --registry-path say where --dataset is looked up: name one")
		}
		return nil, nil
	}
	ref := dataset.Ref{}
	var err error
	if name != "" {
		if ref, err = dataset.ParseName(name); err != nil {
			return nil, usagef("%v", err)
		}
	}
	if f.repo != "" {
		if ref.Repo, ref.RepoRef, err = dataset.ParseRepo(f.repo); err != nil {
			return nil, usagef("--repo: %v", err)
		}
		ref.Path = f.path
	}
	return f.registryOf(ref)
}

// registryOf fills in the registry.
func (f *runFlags) registryOf(ref dataset.Ref) (*dataset.Ref, error) {
	given := slices.DeleteFunc([]string{ref.Registry, f.registryURL, f.registryPath}, func(s string) bool { return s == "" })
	switch {
	case len(given) > 1:
		return nil, usagef("the registry is given more than once: %s", given)
	case f.repo == "" && f.path != "":
		return nil, usagef("both --dataset %s and the path %s say which tasks to run: give one", f.dataset, f.path)
	case f.repo != "" && ref.Name != "" && f.path != "":
		return nil, usagef("--repo with --dataset looks into the repository's registry: leave out the path")
	case f.registryURL != "" && !isHTTP(f.registryURL):
		return nil, usagef("--registry-url %q: want an address such as https://example.org/registry.json", f.registryURL)
	}
	if len(given) == 1 {
		ref.Registry = given[0]
	}
	return &ref, nil
}

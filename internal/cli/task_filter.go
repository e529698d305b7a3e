package cli

import (
	"oddish/internal/task"
	"path"
	"path/filepath"
	"slices"
)

// filter applies the globs and the limit, in that order, to the names of tasks. Invalid ones are filtered too, so that they
// are not reported where they were not asked for, but do not count against the limit.
func (p *runPlan) filter(tasks []*task.Task, invalid []task.Invalid) ([]*task.Task, []task.Invalid) {
	tasks = slices.DeleteFunc(tasks, func(t *task.Task) bool { return !p.wants(taskName(t), t.Name, t.ShortName) })
	invalid = slices.DeleteFunc(invalid, func(i task.Invalid) bool { return !p.wants(filepath.Base(i.Dir)) })
	if p.limit > 0 && len(tasks) > p.limit {
		tasks = tasks[:p.limit]
	}
	return tasks, invalid
}

// wants reports whether a task of which these are the names passes the filters.
func (p *runPlan) wants(names ...string) bool {
	return (len(p.include) == 0 || matchesAny(p.include, names)) && !matchesAny(p.exclude, names)
}

func matchesAny(globs, names []string) bool {
	for _, g := range globs {
		for _, n := range names {
			if ok, _ := path.Match(g, n); ok {
				return true
			}
		}
	}
	return false
}

func checkGlobs(globs []string) error {
	for _, g := range globs {
		if _, err := path.Match(g, ""); err != nil {
			return usagef("%q is no pattern: want something like hello-*", g)
		}
	}
	return nil
}

// taskName is the name under which a task is uploaded: its folder's, as in every Oddish client.
func taskName(t *task.Task) string { return filepath.Base(t.Dir) }

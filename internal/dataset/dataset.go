// Package dataset finds the tasks of a data set: in a registry.json (a file, an address, or in a repository), in a git repository, or in
// a folder with dataset.toml. It fetches those that are in git repositories into a cache, at a commit that is named in full, so that
// the same data set is the same tasks everywhere.
//
// It runs on the machine of the one who starts trials; from there tasks are uploaded like any others. The formats are Harbor's. It
// knows nothing of trials or servers; package task, beside it, reads what was fetched.
package dataset

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Errors that callers branch on.
var (
	// ErrNotFound: the registry has no such data set, or not in that version.
	ErrNotFound = errors.New("data set not found")
	// ErrNoMatch: no task passes the filter.
	ErrNoMatch = errors.New("no task matches")
)

// Set is a data set: which tasks it has and where they are.
type Set struct {
	Name    string // what results are grouped by
	Version string // empty: it has none
	Tasks   []Item
	// Metrics are how the data set wants rewards summed up; empty: it does not say.
	Metrics []Metric
}

// Label is the set's name with its version, as users write it.
func (s *Set) Label() string {
	if s.Version == "" {
		return s.Name
	}
	return s.Name + "@" + s.Version
}

// Item is a task of a data set.
type Item struct {
	Name string
	// URL is of the git repository that has the task, Commit its commit in full and Path the task's folder in it, with slashes. Without URL, Path is
	// a folder of this machine.
	URL, Commit, Path string
}

// Metric is a way to sum up rewards: "sum", "min", "max", "mean" or "uv-script".
type Metric struct {
	Type   string         `json:"type"`
	Kwargs map[string]any `json:"kwargs,omitempty"`
}

// Filter chooses tasks by name.
type Filter struct {
	Include, Exclude []string // globs as in path.Match; a task's name with an organisation matches also without it
	Limit            int      // the first so many that pass; 0: all
}

// Select leaves only the tasks that pass the filter, in their order. If none does the error wraps ErrNoMatch and names some that there are.
func (s *Set) Select(f Filter) error {
	var chosen []Item
	for _, t := range s.Tasks {
		if f.wants(t.Name) {
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 {
		var names []string
		for _, t := range s.Tasks[:min(5, len(s.Tasks))] {
			names = append(names, t.Name)
		}
		return fmt.Errorf("%w in %s, which has %d, such as %s", ErrNoMatch, s.Label(), len(s.Tasks), strings.Join(names, ", "))
	}
	if f.Limit > 0 {
		chosen = chosen[:min(f.Limit, len(chosen))]
	}
	s.Tasks = chosen
	return nil
}

func (f Filter) wants(name string) bool {
	return (len(f.Include) == 0 || matches(f.Include, name)) && !matches(f.Exclude, name)
}

func matches(globs []string, name string) bool {
	names := []string{name, path.Base(name)}
	return slices.ContainsFunc(globs, func(g string) bool {
		return slices.ContainsFunc(names, func(n string) bool { ok, _ := path.Match(g, n); return ok })
	})
}

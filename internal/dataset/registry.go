package dataset

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"oddish/internal/nearest"
)

// registryFile is the name of a registry in a folder or repository.
const registryFile = "registry.json"

// entry is a data set of a registry in one version.
type entry struct {
	Name        string         `json:"name"`
	Version     string         `json:"version"`
	Description string         `json:"description"`
	Tasks       []registryTask `json:"tasks"`
	Metrics     []Metric       `json:"metrics"`
}

type registryTask struct {
	Name   string `json:"name"`
	URL    string `json:"git_url"`
	Commit string `json:"git_commit_id"`
	Path   string `json:"path"`
}

// readRegistry reads a registry: a JSON array of data sets. Keys that it does not know are passed over, as Harbor does.
func readRegistry(data []byte) ([]entry, error) {
	var list []entry
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("is no registry, which is a JSON array of data sets: %w", err)
	}
	for i, e := range list {
		if e.Name == "" {
			return nil, fmt.Errorf("data set %d has no name", i+1)
		}
	}
	return list, nil
}

// choose gives the data set of that name in the version asked for.
func choose(list []entry, name, version string) (*entry, error) {
	var versions, names []string
	byVersion := map[string]*entry{}
	for i := range list {
		if !slices.Contains(names, list[i].Name) {
			names = append(names, list[i].Name)
		}
		if list[i].Name == name {
			versions = append(versions, list[i].Version)
			byVersion[list[i].Version] = &list[i]
		}
	}
	switch {
	case len(versions) == 0:
		hint := ""
		if near := nearest.To(name, names); near != "" {
			hint = ", did you mean " + near + "?"
		}
		return nil, fmt.Errorf("%w: the registry has no %q among its %d%s", ErrNotFound, name, len(names), hint)
	case version == "":
		return byVersion[newest(versions)], nil
	case byVersion[version] == nil:
		slices.Sort(versions)
		return nil, fmt.Errorf("%w: %s has no version %q, only %s", ErrNotFound, name, version, strings.Join(versions, ", "))
	}
	return byVersion[version], nil
}

var fullCommit = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// origin says where a registry was read: what its tasks without a repository belong to.
type origin struct {
	dir         string // folder of this machine
	url, commit string // repository
}

// set gives the data set with its tasks where they are.
func (e *entry) set(from origin) (*Set, error) {
	s := &Set{Name: e.Name, Version: e.Version, Metrics: e.Metrics}
	for i, t := range e.Tasks {
		item, err := t.item(from)
		if err != nil {
			return nil, fmt.Errorf("data set %s: task %d (%s): %w", s.Label(), i+1, t.Name, err)
		}
		s.Tasks = append(s.Tasks, item)
	}
	if len(s.Tasks) == 0 {
		return nil, fmt.Errorf("data set %s has no tasks", s.Label())
	}
	return s, nil
}

func (t registryTask) item(from origin) (Item, error) {
	item := Item(t)
	if item.URL == "" && from.url != "" {
		item.URL, item.Commit = from.url, from.commit
	}
	if item.Name == "" {
		item.Name = path.Base(filepath.ToSlash(t.Path))
	}
	if item.URL == "" {
		if from.dir == "" {
			return Item{}, fmt.Errorf("has no git_url, and the registry is not a file of this machine")
		}
		if !filepath.IsAbs(item.Path) {
			item.Path = filepath.Join(from.dir, item.Path)
		}
		return item, nil
	}
	if item.Path = path.Clean(item.Path); path.IsAbs(item.Path) || item.Path == ".." || strings.HasPrefix(item.Path, "../") {
		return Item{}, fmt.Errorf("path %q leaves the repository", t.Path)
	}
	if err := checkURL(item.URL); err != nil {
		return Item{}, fmt.Errorf("git_url %q %w", item.URL, err)
	}
	if item.Commit != "" && !safeRef.MatchString(item.Commit) {
		return Item{}, fmt.Errorf("git_commit_id %q is no commit", item.Commit)
	}
	// What comes from elsewhere has no business with this machine's files.
	if from.dir == "" && item.URL != from.url && !remote(item.URL) {
		return Item{}, fmt.Errorf("git_url %q is on this machine, and the registry is not", item.URL)
	}
	return item, nil
}

package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ManifestFile is the name of a data set's manifest in its folder.
const ManifestFile = "dataset.toml"

// Manifest is dataset.toml: which tasks a data set has, by their content.
type Manifest struct {
	Name, Version, Description string
	Digests                    map[string]string // of tasks by name, hex
	Files                      map[string]string // of further files by name, hex; empty: not given
}

// Digest gives what the manifest says of a task, which it knows with its organisation; "" if it does not list it.
func (m *Manifest) Digest(task string) string {
	if d := m.Digests[task]; d != "" || strings.Contains(task, "/") {
		return d
	}
	for name, d := range m.Digests {
		if path.Base(name) == task {
			return d
		}
	}
	return ""
}

type manifestFile struct {
	Dataset struct {
		Name        string `toml:"name"`
		Version     string `toml:"version"`
		Description string `toml:"description"`
	} `toml:"dataset"`
	Tasks []struct {
		Name   string `toml:"name"`
		Digest string `toml:"digest"`
	} `toml:"tasks"`
	Files []struct {
		Path   string `toml:"path"`
		Digest string `toml:"digest"`
	} `toml:"files"`
}

var (
	packageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)
	sha256Hex   = regexp.MustCompile(`^sha256:([0-9a-f]{64})$`)
)

// ReadManifest reads dataset.toml of a folder; nil if there is none.
func ReadManifest(dir string) (*Manifest, error) {
	file := filepath.Join(dir, ManifestFile)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the data set's manifest: %w", err)
	}
	m, err := parseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

func parseManifest(data []byte) (*Manifest, error) {
	var f manifestFile
	if err := toml.Unmarshal(data, &f); err != nil {
		var d *toml.DecodeError
		if errors.As(err, &d) {
			row, col := d.Position()
			return nil, fmt.Errorf("line %d, column %d: %w", row, col, err)
		}
		return nil, err
	}
	m := &Manifest{
		Name: f.Dataset.Name, Version: f.Dataset.Version, Description: f.Dataset.Description, Digests: map[string]string{}, Files: map[string]string{},
	}
	if !packageName.MatchString(m.Name) || strings.Contains(m.Name, "..") {
		return nil, fmt.Errorf("dataset.name %q: want ORG/NAME", m.Name)
	}
	for i, t := range f.Tasks {
		d := sha256Hex.FindStringSubmatch(t.Digest)
		switch {
		case !packageName.MatchString(t.Name):
			return nil, fmt.Errorf("tasks[%d].name %q: want ORG/NAME", i, t.Name)
		case d == nil:
			return nil, fmt.Errorf("tasks[%d].digest %q: want sha256: and 64 hex digits", i, t.Digest)
		}
		m.Digests[t.Name] = d[1]
	}
	for i, file := range f.Files {
		if file.Path == "" || filepath.Base(file.Path) != file.Path {
			return nil, fmt.Errorf("files[%d].path %q: want the name of a file beside the manifest", i, file.Path)
		}
		m.Files[file.Path] = strings.TrimPrefix(file.Digest, "sha256:")
	}
	return m, nil
}

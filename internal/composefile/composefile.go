// Package composefile reads what must be known of a compose file before the plugin `docker compose` does: which variables it wants and which
// files of the machine it would make the plugin read.
//
// It merges and interprets nothing; that is the plugin's. Packages task, trial and sandbox/compose are above it.
package composefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Variable is one that a file wants a value for.
type Variable struct {
	Name string
	Line int // 1-based, of the first mention; 0: a variable that is passed on by its name alone
	// Optional: the file says what stands in its place.
	Optional bool
}

// Read is a file of the machine that the plugin would read into the project.
type Read struct {
	Key  string // such as services.db.env_file
	Path string // as written, relative to the file
	// Compose: it is a compose file itself.
	Compose bool
}

// File is what a compose file says of itself.
type File struct {
	Services  []string // sorted
	Variables []Variable
	Reads     []Read
	// Include: it has the key include, which draws in whole projects.
	Include bool
}

// SelfContained says what of the file makes the plugin read others; nil: nothing.
func (f *File) SelfContained() error {
	if f.Include {
		return errors.New("include")
	}
	if len(f.Reads) > 0 {
		return fmt.Errorf("%s %s", f.Reads[0].Key, f.Reads[0].Path)
	}
	return nil
}

// Error is a file that cannot be read as YAML.
type Error struct {
	Line, Column int // 1-based; 0: unknown
	Msg          string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Msg
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
}

// Load reads a compose file. Its error is an *Error, unless the file cannot be opened.
func Load(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(data)
}

// Parse reads the text of a compose file, which may be several documents that the plugin merges. Its error is an *Error.
func Parse(data []byte) (*File, error) {
	f := &File{Variables: variables(string(data))}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc map[string]any
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, yamlError(err)
		}
		f.document(doc)
	}
	slices.Sort(f.Services)
	f.Services = slices.Compact(f.Services)
	return f, nil
}

func yamlError(err error) error {
	e := &Error{Msg: err.Error()}
	if y := yaml.Error(nil); errors.As(err, &y) {
		e.Msg = y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			e.Line, e.Column = t.Position.Line, t.Position.Column
		}
	}
	return e
}

func (f *File) document(doc map[string]any) {
	if _, has := doc["include"]; has {
		f.Include = true
	}
	services, _ := doc["services"].(map[string]any)
	for name, v := range services {
		f.Services = append(f.Services, name)
		if s, ok := v.(map[string]any); ok {
			f.service("services."+name, s)
		}
	}
}

func (f *File) service(at string, s map[string]any) {
	for _, key := range []string{"env_file", "label_file"} {
		for _, path := range paths(s[key]) {
			f.Reads = append(f.Reads, Read{Key: at + "." + key, Path: path})
		}
	}
	if extends, ok := s["extends"].(map[string]any); ok {
		for _, path := range paths(extends["file"]) {
			f.Reads = append(f.Reads, Read{Key: at + ".extends.file", Path: path, Compose: true})
		}
	}
	for _, name := range passedOn(s["environment"]) {
		f.Variables = append(f.Variables, Variable{Name: name, Optional: true})
	}
}

// paths gives the paths of env_file in all its forms.
func paths(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case map[string]any:
		return paths(v["path"])
	case []any:
		var all []string
		for _, e := range v {
			all = append(all, paths(e)...)
		}
		return all
	}
	return nil
}

// passedOn gives the names in `environment` that have no value there, and get the plugin's.
func passedOn(environment any) []string {
	var names []string
	switch env := environment.(type) {
	case []any:
		for _, e := range env {
			if s, ok := e.(string); ok && !strings.Contains(s, "=") {
				names = append(names, s)
			}
		}
	case map[string]any:
		for name, v := range env {
			if v == nil {
				names = append(names, name)
			}
		}
	}
	return names
}

// mention matches a variable, or the escape $$.
var mention = regexp.MustCompile(`\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(:?[-+])?|([A-Za-z_][A-Za-z0-9_]*))`)

// variables gives what a text mentions, each once: optional only if it is everywhere.
func variables(text string) []Variable {
	var all []Variable
	n := 0
	for line := range strings.Lines(text) {
		n++
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, m := range mention.FindAllStringSubmatch(line, -1) {
			v := Variable{Name: m[1] + m[3], Line: n, Optional: m[2] != ""}
			if v.Name == "" {
				continue
			}
			i := slices.IndexFunc(all, func(o Variable) bool { return o.Name == v.Name })
			if i < 0 {
				all = append(all, v)
			} else if !v.Optional && all[i].Optional {
				all[i] = v
			}
		}
	}
	return all
}

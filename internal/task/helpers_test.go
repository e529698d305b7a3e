package task

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// makeTask writes files below a new folder and gives its path. Without a task.toml of its own it
// gets a valid one, and everything else that a valid task has; a file whose content is "absent" is left out.
func makeTask(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "my-task")
	all := map[string]string{
		"task.toml": minimal, "instruction.md": "Do it.\n",
		"environment/Dockerfile": "FROM scratch\n", "tests/test.sh": "#!/bin/sh\n",
	}
	for name, content := range files {
		all[name] = content
	}
	for name, content := range all {
		if content != "absent" {
			writeFile(t, dir+"/"+name, content)
		}
	}
	return dir
}

const minimal = "schema_version = \"1.4\"\n"

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, "/") {
		return
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// parse gives the configuration of a task.toml that must be valid.
func parse(t testing.TB, toml string) (Config, []Warning) {
	t.Helper()
	c, warnings, err := parseConfig([]byte(toml))
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, toml)
	}
	return c, warnings
}

// allErrors splits what errors.Join has joined.
func allErrors(err error) []string {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []string
		for _, e := range many.Unwrap() {
			out = append(out, allErrors(e)...)
		}
		return out
	}
	var e *Error
	if !errors.As(err, &e) {
		return []string{"no *Error: " + err.Error()}
	}
	return []string{e.Error()}
}

func warningTexts(ws []Warning) string {
	var out []string
	for _, w := range ws {
		out = append(out, w.String())
	}
	return strings.Join(out, "\n")
}

func ptr[T any](v T) *T { return &v }

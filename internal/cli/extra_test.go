package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Harbor test list #37
func TestExtraInstructionsAreThoseOfFilesAndThenThoseOfTheCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.md": "A", "b.md": "B", "blank.md": " \n", "binary": "\x00"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, c := range map[string]struct {
		flags runFlags
		file  sweepFile
		want  []string
		err   string
	}{
		"none":                {},
		"in order":            {flags: runFlags{extraTexts: []string{"x", "y"}, extraPaths: []string{at("b.md"), at("a.md")}}, want: []string{"B", "A", "x", "y"}},
		"of a file":           {file: sweepFile{extraTexts: []string{"x"}, extraPaths: []string{at("a.md")}}, want: []string{"A", "x"}},
		"flags replace those": {flags: runFlags{extraTexts: []string{"y"}}, file: sweepFile{extraTexts: []string{"x"}, extraPaths: []string{at("a.md")}}, want: []string{"y"}},
		"not there":           {flags: runFlags{extraPaths: []string{at("none.md")}}, err: "none.md"},
		"not text":            {flags: runFlags{extraPaths: []string{at("binary")}}, err: "is not UTF-8 text"},
		"nothing in it":       {flags: runFlags{extraPaths: []string{at("blank.md")}}, err: "is empty"},
	} {
		got, err := (&App{}).readExtra(&c.flags, &c.file)
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

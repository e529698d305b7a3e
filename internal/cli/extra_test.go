package cli

import (
	"maps"
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

func TestComposeFilesOfARunAreReadAndLookedAt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	big := "# " + strings.Repeat("x", maxComposeFile)
	for name, text := range map[string]string{
		"a.yaml": "services: {db: {image: \"${KEY}${CPUS}${UNSET}\"}}\n", "b.yaml": "services: {}\n", "broken.yaml": "services: [\n",
		"reads.yaml": "services: {db: {env_file: x.env}}\n", "include.yaml": "include: [b.yaml]\n", "big.yaml": big,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		flags, file []string
		want        string // names
		err         string
	}{
		"none":                 {},
		"in order":             {flags: []string{"b.yaml", "a.yaml"}, want: "b.yaml a.yaml"},
		"of a file":            {file: []string{"a.yaml"}, want: "a.yaml"},
		"flags replace those":  {flags: []string{"b.yaml"}, file: []string{"a.yaml"}, want: "b.yaml"},
		"not there":            {flags: []string{"none.yaml"}, err: "none.yaml"},
		"no YAML":              {flags: []string{"broken.yaml"}, err: "broken.yaml is no valid YAML: line 1"},
		"that reads others":    {flags: []string{"reads.yaml"}, err: "not sent along: services.db.env_file x.env"},
		"that includes others": {flags: []string{"include.yaml"}, err: "not sent along: include"},
		"too big":              {flags: []string{"big.yaml"}, err: "want at most 262144"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, err := (&App{Dir: dir}).readExtraCompose(&runFlags{extraCompose: c.flags}, &sweepFile{extraCompose: c.file})
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			var names []string
			for _, f := range files {
				names = append(names, f.Name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("files are %q, want %q", got, c.want)
			}
			by := map[string][]string{}
			addComposeVars(by, files, func(name string) bool { return name != "UNSET" })
			want := map[string][]string{}
			if slices.Contains(names, "a.yaml") {
				want["KEY"] = []string{"a.yaml"}
			}
			if !maps.EqualFunc(by, want, slices.Equal) {
				t.Errorf("their variables are %v, want %v", by, want)
			}
		})
	}
}

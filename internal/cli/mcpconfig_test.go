package cli

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"oddish/api"
	"oddish/internal/tarball"
)

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestToolServersAreReadInEveryForm(t *testing.T) {
	t.Parallel()
	files := api.MCPServer{Name: "files", Transport: "stdio", Command: "serve", Args: []string{"--port", "1"}}
	web := api.MCPServer{Name: "web", Transport: "streamable-http", URL: "http://x"}
	for name, c := range map[string]struct {
		file, content string
		want          []api.MCPServer
		dropped       string
		err           string
	}{
		"as of Claude Code": {"a.json", `{"mcpServers":{"web":{"type":"http","url":"http://x","headers":{"a":"b"}},"files":{"command":"serve","args":["--port",1],"env":{}}}}`,
			[]api.MCPServer{files, web}, "env headers", ""},
		"as a list": {"a.yaml", "mcp_servers:\n- {name: files, transport: stdio, command: serve, args: [--port, '1']}\n- {name: web, transport: streamable-http, url: 'http://x'}\n",
			[]api.MCPServer{files, web}, "", ""},
		"as of a task":         {"a.toml", "[[environment.mcp_servers]]\nname = \"old\"\nurl = \"http://y\"\n", []api.MCPServer{{Name: "old", Transport: "sse", URL: "http://y"}}, "", ""},
		"nothing":              {"a.json", `{}`, nil, "", "has no tool servers"},
		"not JSON":             {"a.json", `{`, nil, "", "unexpected end"},
		"another ending":       {"a.txt", `{}`, nil, "", "want .json"},
		"an unknown transport": {"a.json", `{"mcp_servers":[{"name":"a","transport":"pigeon"}]}`, nil, "", `"pigeon" is none of`},
		"no name":              {"a.json", `{"mcp_servers":[{"url":"http://x"}]}`, nil, "", "has no name"},
		"a number":             {"a.json", `{"mcpServers":{"a":{"url":5}}}`, nil, "", "url is no text"},
		"no object":            {"a.json", `{"mcpServers":{"a":5}}`, nil, "", "is no object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), c.file)
			writeFile(t, path, c.content)
			got, dropped, err := readMCPConfig(path)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error is %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) || strings.Join(dropped, " ") != c.dropped {
				t.Errorf("got %+v, dropped %v, %v", got, dropped, err)
			}
		})
	}
}

func TestSkillsArePacked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "all", "one", "SKILL.md"), "---\nname: first\ndescription: does it\n---\nDo it.\n")
	writeFile(t, filepath.Join(dir, "all", "two", "SKILL.md"), "Do it.\n")
	writeFile(t, filepath.Join(dir, "all", "two", "scripts", "x.sh"), "echo\n")
	writeFile(t, filepath.Join(dir, "none", "README.md"), "")
	writeFile(t, filepath.Join(dir, "bad", "SKILL.md"), "---\nname: a b\n---\n")
	writeFile(t, filepath.Join(dir, "open", "SKILL.md"), "---\nname: a\n")
	a := &App{Dir: dir}
	skills, err := a.readSkills([]string{"all"})
	if err != nil || len(skills) != 2 || skills[0].Name != "first" || skills[1].Name != "two" {
		t.Fatalf("skills are %+v, %v", skills, err)
	}
	z, err := gzip.NewReader(bytes.NewReader(skills[1].Archive))
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if _, err := tarball.Unpack(z, out, tarball.UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(out, "scripts", "x.sh")); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		paths []string
		want  string
	}{
		"no skill":      {[]string{"none"}, "has a SKILL.md"},
		"no folder":     {[]string{"absent"}, "absent"},
		"a bad name":    {[]string{"bad"}, `cannot be named "a b"`},
		"an open front": {[]string{"open"}, "has no end"},
		"the same name": {[]string{"all", filepath.Join("all", "two")}, "are both named two"},
	} {
		if _, err := a.readSkills(c.paths); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one with %q", name, err, c.want)
		}
	}
}

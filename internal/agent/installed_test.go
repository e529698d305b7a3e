package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"oddish/internal/llm"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// scripted is a box whose commands are answered by a function, and that remembers them.
type scripted struct {
	Box
	answer func(script string) (out string, code int)

	mu       sync.Mutex
	commands []sandbox.Command
	stdin    []string
}

func (s *scripted) Exec(_ context.Context, cmd sandbox.Command) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, cmd)
	in := ""
	if cmd.Stdin != nil {
		b := new(strings.Builder)
		if r, ok := cmd.Stdin.(*strings.Reader); ok {
			if _, err := r.WriteTo(b); err != nil {
				return 0, err
			}
		}
		in = b.String()
	}
	s.stdin = append(s.stdin, in)
	out, code := s.answer(cmd.Script)
	if cmd.Stdout != nil {
		if _, err := cmd.Stdout.Write([]byte(out)); err != nil {
			return 0, err
		}
	}
	return code, nil
}

// imageWith answers as an image whose claude has the given version.
func imageWith(version string) func(string) (string, int) {
	return func(script string) (string, int) {
		switch {
		case strings.HasPrefix(script, "echo \"arch="):
			return "arch=x86_64\nlibc=glibc\nversion=" + version + "\n", 0
		case strings.Contains(script, "--version"):
			return "2.1.331 (Claude Code)", 0
		}
		return "", 0
	}
}

func newClaude(t *testing.T, o Options) *installed {
	t.Helper()
	o.Model = "anthropic/claude-sonnet-4-5"
	a, err := New("claude-code", o)
	if err != nil {
		t.Fatal(err)
	}
	return a.(*installed)
}

func TestWhatTheImageHasIsUsed(t *testing.T) {
	t.Parallel()
	env, _ := newEnv(t, nil)
	box := &scripted{Box: env.Box, answer: imageWith("2.1.331 (Claude Code)")}
	env.Box = box
	a := newClaude(t, Options{})
	if err := a.Setup(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if a.Version() != "2.1.331" {
		t.Errorf("version is %s", a.Version())
	}
	if len(box.commands) != 3 || !strings.Contains(box.stdin[1], `exec claude "$@"`) || box.commands[1].User != "0" || box.commands[0].User != "worker" {
		t.Errorf("commands are %+v, %q", box.commands, box.stdin)
	}
}

func TestSetupFailuresAreInstallErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kwargs map[string]any
		answer func(string) (string, int)
		want   string
	}{
		"no installer in the image": {nil, func(script string) (string, int) {
			if strings.Contains(script, "npm install") {
				return "the image has no package manager that is known, and lacks: nodejs npm", 1
			}
			return imageWith("")(script)
		}, "no package manager"},
		"another version than asked for": {map[string]any{"version": "9.9.9"}, imageWith("1.0.0"), "9.9.9 was asked for and is 2.1.331"},
		"a program that does not run": {nil, func(script string) (string, int) {
			if strings.HasSuffix(script, "--version </dev/null") {
				return "cannot execute binary file", 126
			}
			return imageWith("")(script)
		}, "does not run"},
		"no shell": {nil, func(string) (string, int) { return "", 127 }, "cannot run a shell"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, _ := newEnv(t, nil)
			env.Box = &scripted{Box: env.Box, answer: c.answer}
			err := newClaude(t, Options{Kwargs: c.kwargs}).Setup(t.Context(), env)
			if errorType(err) != result.AgentInstallError || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestAGivenArchiveIsUnpacked(t *testing.T) {
	t.Parallel()
	given, prefix := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(prefix, "program"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := packPrefix(prefix, filepath.Join(given, "claude-code-2.1.331-linux-x86_64-glibc.tar.gz")); err != nil {
		t.Fatal(err)
	}
	env, box := newEnv(t, nil)
	env.Box = &scripted{Box: env.Box, answer: imageWith("")}
	if err := newClaude(t, Options{Packages: &Packages{Given: given}}).Setup(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if _, ok := box.File("/opt/oddish/agents/claude-code/program"); !ok {
		t.Error("the program is not in the sandbox")
	}
}

func TestADamagedArchiveIsNamed(t *testing.T) {
	t.Parallel()
	given := t.TempDir()
	if err := os.WriteFile(filepath.Join(given, "claude-code-2.1.331-linux-x86_64-glibc.tar.gz"), []byte("not gzip"), 0o644); err != nil {
		t.Fatal(err)
	}
	env, _ := newEnv(t, nil)
	env.Box = &scripted{Box: env.Box, answer: imageWith("")}
	err := newClaude(t, Options{Packages: &Packages{Given: given}}).Setup(t.Context(), env)
	if errorType(err) != result.AgentInstallError || !strings.Contains(err.Error(), "is damaged, remove it") {
		t.Errorf("error is %v", err)
	}
}

func TestOneCallerMakesAnArchiveAndOthersWait(t *testing.T) {
	t.Parallel()
	p := &Packages{}
	done, err := p.enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.enter(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("error of one who waits is %v", err)
	}
	if other, err := p.enter(t.Context(), "b"); err != nil {
		t.Error(err)
	} else {
		other()
	}
	done()
	if again, err := p.enter(t.Context(), "a"); err != nil {
		t.Error(err)
	} else {
		again()
	}
}

// endpoint is a gateway of every dialect.
func endpoint() *Endpoint {
	return &Endpoint{BaseURL: "http://gw/t/token", Token: "odt_secret", Dialects: llm.Dialects()}
}

func TestLaunchesUseTheGatewayAndNothingElse(t *testing.T) {
	t.Parallel()
	servers := []MCPServer{{Name: "files", Transport: "stdio", Command: "serve", Args: []string{"a b"}}, {Name: "web", Transport: "streamable-http", URL: "http://x"}}
	for _, d := range definitions() {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			kwargs := map[string]any{}
			if d.Name == "command" {
				kwargs["run"] = "x {{ prompt_file }} {{ model }}"
			}
			made, err := New(d.Name, Options{Model: "anthropic/it's a model", Kwargs: kwargs})
			if err != nil {
				t.Fatal(err)
			}
			env := Env{Model: endpoint(), Skills: "/skills"}
			if d.MCP {
				env.MCP = servers
			}
			l, err := made.(*installed).launch(env)
			if err != nil {
				t.Fatal(err)
			}
			all := l.Script
			for _, v := range l.Env {
				all += "\n" + v
			}
			for _, f := range l.Files {
				all += "\n" + f.Content
			}
			if strings.Contains(all, "http://gw/t/token") != (d.OwnKey == "") || !strings.Contains(all, promptFile) ||
				strings.Contains(l.Script, "odt_secret") || strings.Contains(l.Script, "gw/t/token") {
				t.Errorf("launch is %+v", l)
			}
			if d.MCP && (!strings.Contains(all, "serve") || !strings.Contains(all, "a b") || !strings.Contains(all, "http://x")) {
				t.Errorf("tool servers are missing: %+v", l)
			}
			if strings.Contains(l.Script, "/skills'") != d.Skills {
				t.Errorf("it is said of skills %v, and the launch is %s", d.Skills, l.Script)
			}
			for _, f := range l.Files {
				if strings.HasSuffix(f.Path, ".json") && !json.Valid([]byte(f.Content)) {
					t.Errorf("%s is not JSON: %s", f.Path, f.Content)
				}
			}
		})
	}
}

func TestWhatCannotBeLaunched(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		agent, model string
		env          Env
		errorType    string
		want         string
	}{
		"no model":            {"codex", "", Env{Model: endpoint()}, result.ValueError, "name one with -m"},
		"no gateway":          {"codex", "openai/m", Env{}, result.AgentAuthenticationError, "set its provider's key"},
		"another dialect":     {"codex", "anthropic/m", Env{Model: &Endpoint{Dialects: []llm.Dialect{llm.Anthropic}}}, result.ValueError, "as responses, and the provider of anthropic/m is spoken to as anthropic"},
		"tool servers for pi": {"pi", "openai/m", Env{Model: endpoint(), MCP: []MCPServer{{Name: "x"}}}, result.ValueError, "cannot use tool servers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, err := New(c.agent, Options{Model: c.model})
			if err != nil {
				t.Fatal(err)
			}
			_, err = made.(*installed).launch(c.env)
			if errorType(err) != c.errorType || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestTheUsersVariablesWin(t *testing.T) {
	t.Parallel()
	l, err := newClaude(t, Options{Kwargs: map[string]any{"max_retries": 3.0}}).launch(Env{Model: endpoint(), Vars: map[string]string{"IS_SANDBOX": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, set := l.Env["IS_SANDBOX"]; set || l.Env["CLAUDE_CODE_MAX_RETRIES"] != "3" {
		t.Errorf("environment is %v", l.Env)
	}
}

func TestOptionsOfInstalledAgents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		agent  string
		kwargs map[string]any
		want   string
	}{
		"an unknown one":           {"claude-code", map[string]any{"speed": 1}, `no option "speed": known are`},
		"a value that is not one":  {"claude-code", map[string]any{"reasoning_effort": "much"}, "it is one of low"},
		"a switch":                 {"gemini-cli", map[string]any{"sandbox": "perhaps"}, "true or false"},
		"a bad version":            {"codex", map[string]any{"version": "1; rm -rf /"}, "is not like 1.2.3"},
		"a template by its path":   {"codex", map[string]any{"prompt_template_path": "/etc/passwd"}, "is read by `oddish run`"},
		"a template without it":    {"codex", map[string]any{"prompt_template": "do it"}, "must contain"},
		"a template that has more": {"codex", map[string]any{"prompt_template": "{% if x %}{{ instruction }}"}, "all that can be filled in"},
		"a command without run":    {"command", nil, "--ak run="},
		"good ones":                {"claude-code", map[string]any{"max_turns": 5.0, "prompt_template": "Do: {{instruction}}", "version": "2.1.331"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(c.agent, Options{Kwargs: c.kwargs})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
	s, err := newSettings(claudeCode(), map[string]any{"max_turns": 5.0, "prompt_template": "Do: {{ instruction }}!", "append_system_prompt": "it's"})
	if err != nil {
		t.Fatal(err)
	}
	if s.flags != `--max-turns '5' --append-system-prompt 'it'\''s' '--permission-mode=bypassPermissions'` {
		t.Errorf("flags are %s", s.flags)
	}
	if p := s.prompt("that {{ instruction }}"); p != "Do: that {{ instruction }}!" {
		t.Errorf("prompt is %q", p)
	}
}

func TestTemplatesOfCommands(t *testing.T) {
	t.Parallel()
	made, err := New("command", Options{Model: "openai/gpt", Kwargs: map[string]any{"run": "go {{model}} {{ instruction }}", "result_files": "~/a.log /b"}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := made.(*installed).launch(Env{Model: endpoint()})
	if err != nil {
		t.Fatal(err)
	}
	if l.Script != `go 'gpt' "$(cat '/tmp/oddish-agent/prompt.txt')"` || l.Env["OPENAI_BASE_URL"] != "http://gw/t/token/v1" || !strings.Contains(l.After, `"$HOME"/'a.log'`) {
		t.Errorf("launch is %+v", l)
	}
	made, err = New("command", Options{Kwargs: map[string]any{"run": "go {{ modle }}"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.(*installed).launch(Env{}); err == nil || !strings.Contains(err.Error(), "modle") {
		t.Errorf("error is %v", err)
	}
}

func TestPlacedFilesAreTheUsersOwn(t *testing.T) {
	t.Parallel()
	env, _ := newEnv(t, nil)
	box := &scripted{Box: env.Box, answer: func(string) (string, int) { return "", 0 }}
	env.Box, env.Model = box, endpoint()
	made, err := New("pi", Options{Model: "openai/m"})
	if err != nil {
		t.Fatal(err)
	}
	a := made.(*installed)
	l, err := a.launch(env)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.place(t.Context(), env, l, "the instruction"); err != nil {
		t.Fatal(err)
	}
	if len(box.commands) != 2 || box.stdin[0] != "the instruction" || box.commands[1].User != "worker" || !strings.Contains(box.commands[1].Script, `"$HOME"/'.pi/agent/models.json'`) {
		t.Errorf("commands are %+v, %q", box.commands, box.stdin)
	}
	box.answer = func(string) (string, int) { return "Read-only file system", 1 }
	if err := a.place(t.Context(), env, l, "x"); errorType(err) != result.AgentInstallError || !strings.Contains(err.Error(), "Read-only") {
		t.Errorf("error is %v", err)
	}
}

func TestAProgramIsUnpackedOnceForSandboxesThatShowIt(t *testing.T) {
	t.Parallel()
	p, prefix := &Packages{Dir: t.TempDir(), Given: t.TempDir()}, t.TempDir()
	if err := os.WriteFile(filepath.Join(prefix, "program"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(p.Given, "claude-code-2.1.331-linux-x86_64-glibc.tar.gz")
	if err := packPrefix(prefix, archive); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		env, _ := newEnv(t, nil)
		box := &scripted{Box: env.Box, answer: imageWith("")}
		env.Box, env.Programs = box, true
		if err := newClaude(t, Options{Packages: p}).Setup(t.Context(), env); err != nil {
			t.Fatal(err)
		}
		if start := strings.Join(box.stdin, ""); !strings.Contains(start, "exec '/oddish/programs/claude-code-2.1.331-linux-x86_64-glibc/") {
			t.Errorf("it is started by %q", start)
		}
		if err := os.Remove(archive); err != nil && !errors.Is(err, fs.ErrNotExist) { // the second time it is not needed
			t.Fatal(err)
		}
	}
	shown, err := p.Shown()
	if err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{"": 0o755, "claude-code-2.1.331-linux-x86_64-glibc": 0o755, "claude-code-2.1.331-linux-x86_64-glibc/program": 0o755} {
		info, err := os.Stat(filepath.Join(shown, path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

func TestThePythonOfTheImageThatFitsIsChosen(t *testing.T) {
	t.Parallel()
	p := Package{Python: [2]int{10, 12}}
	for version, want := range map[string]bool{"3.9": false, "3.10": true, "3.12": true, "3.13": false, "": false, "2.7": false} {
		if p.runsOn(version) != want {
			t.Errorf("%s: %t", version, !want)
		}
	}
	if name := programName("a", "1", platform{"x86_64", "musl", "3.12"}); name != "a-1-linux-x86_64-musl-py3.12" {
		t.Error(name)
	}
}

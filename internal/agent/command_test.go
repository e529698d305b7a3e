package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/result"
)

func TestProgramsUnderNamesOfTheUsers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		agent, base string
		kwargs      map[string]any
		want        string
	}{
		"a good one":          {"my-agent", "command", map[string]any{"run": "x", "output": "mine.log", "trajectory": "~/t.json"}, ""},
		"one of ours":         {"codex", "command", map[string]any{"run": "x"}, "one of Oddish's own"},
		"a name with a slash": {"a/b", "command", map[string]any{"run": "x"}, "small letters"},
		"another base":        {"mine", "codex", nil, "only command"},
		"nothing to run":      {"mine", "command", nil, "needs --ak run=SCRIPT"},
		"a relative file":     {"mine", "command", map[string]any{"run": "x", "result_files": "/a b"}, `"b" is to be given with its whole path`},
		"an output elsewhere": {"mine", "command", map[string]any{"run": "x", "output": "../x"}, "plain name"},
		"the trajectory's":    {"mine", "command", map[string]any{"run": "x", "output": "trajectory.json"}, "plain name"},
		"an unknown option":   {"mine", "command", map[string]any{"run": "x", "speed": 1}, `agent mine has no option "speed"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := New(c.agent, Options{Base: c.base, Kwargs: c.kwargs})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error is %v, want one with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			l, err := a.(*installed).launch(Env{})
			if err != nil || a.Name() != c.agent || a.(*installed).Output != "mine.log" || !strings.Contains(l.After, `cp "$HOME"/'t.json' /logs/agent/trajectory.json`) {
				t.Errorf("agent %+v, launch %+v, %v", a, l, err)
			}
		})
	}
}

func TestAProgramOfTheUsersIsInstalledUnlessItIsThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		version   string
		before    string // what version_command prints before and after the installation; empty: it fails
		after     string
		installed bool
		want      string // version, or part of the error
	}{
		"it is in the image":               {"", "my-agent 1.2.3", "", false, "1.2.3"},
		"it is in the wanted version":      {"1.2.3", "my-agent 1.2.3", "", false, "1.2.3"},
		"another version is there":         {"1.3.0", "my-agent 1.2.3", "my-agent 1.3.0", true, "1.3.0"},
		"it is not there":                  {"", "", "my-agent 1.3.0", true, "1.3.0"},
		"another version is installed":     {"1.4.0", "", "my-agent 1.3.0", true, "1.4.0 was asked for and is 1.3.0"},
		"it does not run when it is there": {"", "", "", true, "does not tell its version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kwargs := map[string]any{"run": "my-agent", "install": "install-it", "version_command": "my-agent --version"}
			if c.version != "" {
				kwargs["version"] = c.version
			}
			made, err := New("my-agent", Options{Base: "command", Kwargs: kwargs})
			if err != nil {
				t.Fatal(err)
			}
			env, _ := newEnv(t, nil)
			installed := false
			env.Box = &scripted{Box: env.Box, answer: func(script string) (string, int) {
				if script == "install-it" {
					installed = true
					return "", 0
				}
				says := c.before
				if installed {
					says = c.after
				}
				if says == "" {
					return "my-agent: not found", 127
				}
				return says, 0
			}}
			err = made.Setup(t.Context(), env)
			if installed != c.installed {
				t.Errorf("installed: %v", installed)
			}
			switch {
			case err == nil && made.Version() != c.want:
				t.Errorf("version is %s", made.Version())
			case err != nil && (errorType(err) != result.AgentInstallError || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestTheTrajectoryThatAProgramLeavesTellsItsUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, err := New("command", Options{Kwargs: map[string]any{"run": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	a := made.(Reporter)
	if log, err := a.Report(dir, "1", "do it"); err != nil || log.Usage.Known() || log.Trajectory != nil {
		t.Errorf("of nothing it reads %+v, %v", log, err)
	}
	const trajectory = `{"schema_version":"ATIF-v1.6","session_id":"s","agent":{"name":"mine","version":"1"},` +
		`"steps":[{"step_id":1,"source":"user","message":"do it"}],"final_metrics":{"total_prompt_tokens":10,"total_completion_tokens":2,"total_cost_usd":0.5}}`
	file := filepath.Join(dir, "trajectory.json")
	if err := os.WriteFile(file, []byte(trajectory), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := a.Report(dir, "1", "do it")
	if err != nil || *log.Usage.InputTotal != 10 || *log.Usage.OutputTotal != 2 || *log.CostUSD != 0.5 || log.Usage.CacheRead != nil {
		t.Errorf("read %+v, %v", log, err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Report(dir, "1", "do it"); err == nil {
		t.Error("a trajectory that is cut off was read")
	}
}

func TestNamesThatAreNotKnown(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"claude": "did you mean claude-code?", "qwen-code": "did you mean qwen-coder?", "Gemini": "did you mean gemini-cli?", "codx": "did you mean codex?",
		"junie": "known to Harbor and not here", "my.module:Agent": "known to Harbor and not here", "wizard": `unknown agent "wizard": known are aider`,
	} {
		if err := UnknownError(name); !strings.Contains(err.Error(), want) {
			t.Errorf("of %s it says %v", name, err)
		}
	}
}

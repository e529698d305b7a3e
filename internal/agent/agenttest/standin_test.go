//go:build linux && (amd64 || arm64)

package agenttest

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/sandbox"
)

// standIn is a program that plays an agent which cannot be had from a registry: it writes down how it was started, asks the model once where it was told
// to, and leaves the log of a success.
type standIn struct {
	agent, model string
	dialect      llm.Dialect
	command      string // its name on the PATH
	ask          string // curl's arguments for a call of the model; empty: it makes none
	golden       string // file of the log below the agent's testdata
	log          string // where it is left; empty: it is printed
	files        string // that it writes down as well
	want         []string
}

func standIns() []standIn {
	chat := `-H "Authorization: Bearer $OPENAI_API_KEY" -d '{"model":"gpt-5","messages":[{"role":"user","content":"x"}]}'`
	messages := ` -H "x-api-key: $ANTHROPIC_API_KEY" -d '{"model":"claude-sonnet-4-5","max_tokens":100,"messages":[{"role":"user","content":"x"}]}'`
	return []standIn{
		{agent: "goose", model: "openai/gpt-5", dialect: llm.Chat, command: "goose", ask: `"$OPENAI_HOST$OPENAI_BASE_PATH" ` + chat,
			golden: "goose.txt", files: `"$HOME/.config/goose/config.yaml"`,
			want: []string{"args: run --instructions /tmp/oddish-agent/prompt.txt --output-format stream-json", "GOOSE_PROVIDER=openai", "GOOSE_MODEL=gpt-5", `"developer"`}},
		{agent: "goose", model: "anthropic/claude-sonnet-4-5", dialect: llm.Anthropic, command: "goose", ask: `"${ANTHROPIC_HOST}v1/messages"` + messages,
			golden: "goose.txt", want: []string{"GOOSE_PROVIDER=anthropic", "GOOSE_MODEL=claude-sonnet-4-5"}},
		{agent: "cursor-cli", model: "cursor/gpt-5", command: "cursor-agent", golden: "cursor-cli.txt",
			want: []string{"args: --yolo --print --output-format=stream-json --model=gpt-5", "stdin: Write hello to out.txt.", "CURSOR_API_KEY=key-of-the-user"}},
		{agent: "swe-agent", model: "openai/gpt-5", dialect: llm.Chat, command: "sweagent", ask: `"$OPENAI_BASE_URL/chat/completions" ` + chat,
			golden: "swe-agent-output/task/task.traj", log: "/logs/agent/swe-agent-output/task/task.traj",
			want: []string{"args: run --agent.model.name=openai/gpt-5 --problem_statement.type=text_file --problem_statement.path=/tmp/oddish-agent/prompt.txt",
				"--env.repo.repo_name=app ", "--agent.model.per_instance_cost_limit=0"}},
		{agent: "trae-agent", model: "anthropic/claude-sonnet-4-5", dialect: llm.Anthropic, command: "trae-cli",
			ask:    `"$(sed 's/.*"base_url":"\([^"]*\)".*/\1/' /tmp/oddish-agent/trae.yaml)/v1/messages"` + messages,
			golden: "trae-agent.trajectory.json", log: "/logs/agent/trae-agent.trajectory.json", files: "/tmp/oddish-agent/trae.yaml",
			want: []string{"args: run --file /tmp/oddish-agent/prompt.txt --config-file /tmp/oddish-agent/trae.yaml --working-dir . --trajectory-file /logs/agent/trae-agent.trajectory.json",
				`"max_steps":200`, `"temperature":0.7`, `"top_k":20`}},
	}
}

// script gives the program's text.
func (s standIn) script(t *testing.T) string {
	t.Helper()
	log, err := os.ReadFile(filepath.Join("..", "testdata", s.agent, "ok", s.golden))
	if err != nil {
		t.Fatal(err)
	}
	leave := "cat"
	if s.log != "" {
		leave = "mkdir -p " + filepath.Dir(s.log) + " && cat > " + s.log
	}
	ask := ""
	if s.ask != "" {
		ask = `echo "answered: $(curl -s -o /dev/null -w '%{http_code}' -H 'content-type: application/json' ` + s.ask + `)"`
	}
	return `#!/bin/sh
case "$1" in --version|--help) echo 'version 1.2.3'; exit 0;; esac
{ echo "args: $*"; echo "stdin: $(cat)"; env; cat /dev/null ` + s.files + "\n" + ask + `
} > /tmp/seen 2>&1
echo ` + base64.StdEncoding.EncodeToString(log) + ` | base64 -d | { ` + leave + `; }
`
}

func TestProgramsThatNoRegistryHasAreStartedAsTheyWantIt(t *testing.T) {
	t.Parallel()
	for _, s := range standIns() {
		t.Run(s.agent+" with "+s.model, func(t *testing.T) {
			t.Parallel()
			c := config(t, Config{Agent: s.agent, Model: s.model, Dialect: s.dialect, Prepare: put("/usr/local/bin/"+s.command, s.script(t))})
			r := newRig(t, c, fakellm.Script{})
			if s.ask == "" { // it has its own service
				r.env.Model, r.env.Vars = nil, map[string]string{"CURSOR_API_KEY": "key-of-the-user"}
			}
			if r.agent.Version() != "1.2.3" {
				t.Errorf("version is %s", r.agent.Version())
			}
			if err := r.run(t); err != nil {
				t.Errorf("it ended with %v", err)
			}
			seen, want := r.file(t, "/tmp/seen"), s.want
			if s.ask != "" {
				want = append(want, "answered: 200")
			}
			for _, w := range want {
				if !strings.Contains(seen, w) {
					t.Errorf("the program has not seen %q:\n%s", w, seen)
				}
			}
			if log := r.report(t); !log.Answered || !log.Usage.Known() {
				t.Errorf("the log tells %+v", log)
			}
		})
	}
}

// put gives the commands that make an executable file.
func put(path, text string) string {
	return "mkdir -p " + filepath.Dir(path) + " && echo " + base64.StdEncoding.EncodeToString([]byte(text)) + " | base64 -d > " + path + " && chmod 0755 " + path + "\n"
}

// Programs by which vendors' files are fetched, played: they write what they were asked for to /tmp/fetched and leave a program of the wanted name.
const (
	fakeCurl = `#!/bin/sh
echo "$*" >> /tmp/fetched
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
d=$(mktemp -d) && mkdir "$d/dist-package" && for p in goose dist-package/cursor-agent; do printf '#!/bin/sh\necho version 9.8.7\n' > "$d/$p"; chmod 0755 "$d/$p"; done
case "$out" in *.bz2) tar -cjf "$out" -C "$d" goose;; *) tar -czf "$out" -C "$d" dist-package;; esac
`
	fakeGit = `#!/bin/sh
echo "$*" >> /tmp/fetched
for last; do :; done
mkdir "$last"
`
	fakePython = `#!/bin/sh
[ "$1" = -m ] || exit 0
mkdir -p "$3/bin"
printf '#!/bin/sh\necho "$*" >> /tmp/fetched\nfor p in sweagent trae-cli; do printf "#!/bin/sh\\necho version 9.8.7\\n" > venv/bin/$p; chmod 0755 venv/bin/$p; done\n' > "$3/bin/pip"
chmod 0755 "$3/bin/pip"
`
)

func TestVendorsProgramsAreInstalledInTheSandbox(t *testing.T) {
	t.Parallel()
	prepare := put("/usr/local/bin/curl", fakeCurl) + put("/usr/local/bin/git", fakeGit) + put("/usr/local/bin/python3", fakePython) +
		put("/usr/local/bin/apt-get", "#!/bin/sh\necho \"apt-get $*\" >> /tmp/fetched\n")
	for _, c := range []struct{ agent, version, want string }{
		{"goose", "9.8.7", "https://github.com/block/goose/releases/download/v9.8.7/goose-"},
		{"cursor-cli", "9.8.7", "https://downloads.cursor.com/lab/9.8.7/linux/"},
		{"swe-agent", "9.8.7", "--branch v9.8.7 https://github.com/SWE-agent/SWE-agent source"},
		{"trae-agent", "0a1b2c3", "git+https://github.com/bytedance/trae-agent@0a1b2c3"},
	} {
		t.Run(c.agent, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, config(t, Config{Agent: c.agent, Model: "openai/gpt-5", Dialect: llm.Chat, Prepare: prepare, Kwargs: map[string]any{"version": c.version}}), fakellm.Script{})
			if r.agent.Version() != "9.8.7" {
				t.Errorf("version is %s", r.agent.Version())
			}
			if got := r.file(t, "/tmp/fetched"); !strings.Contains(got, c.want) {
				t.Errorf("fetched was %q, want %q", got, c.want)
			}
			var out strings.Builder
			if _, err := r.box.Exec(t.Context(), sandbox.Command{Script: "/opt/oddish/agents/" + c.agent + "/start --version", Stdout: &out}); err != nil || out.String() != "version 9.8.7\n" {
				t.Errorf("the starter gives %q, %v", out.String(), err)
			}
		})
	}
}

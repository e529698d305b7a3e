package agent

import (
	"fmt"
	"strconv"
	"strings"

	"oddish/internal/llm"
	"oddish/internal/sandbox"
)

// codexHome is where the program keeps its state; what of it is a record goes to LogsDir afterwards.
const codexHome = "/tmp/codex-home"

func codex() *Definition {
	return &Definition{
		Name: "codex", Description: "OpenAI's Codex CLI",
		Package: Package{
			Command: "codex", NPM: "@openai/codex", Version: "0.169.0",
			Native: "node_modules/@openai/codex-linux-{cpu}/vendor/{arch}-unknown-linux-musl/bin/codex",
			Tools:  "node_modules/@openai/codex-linux-{cpu}/vendor/{arch}-unknown-linux-musl/codex-path",
		},
		Output: "codex.txt",
		Options: []Option{
			{Name: "reasoning_effort", Default: "high"},
			{Name: "reasoning_summary", Values: []string{"auto", "concise", "detailed", "none"}},
			{Name: "web_search", Values: []string{"disabled", "cached", "live"}},
			{Name: "config"}, // lines of TOML
			{Name: "max_retries"},
		},
		MCP:      true,
		Dialects: only(llm.Responses),
		Launch:   launchCodex,
		Read:     readCodex,
	}
}

func launchCodex(r Request) (Launch, error) {
	flags := ""
	for _, name := range []string{"reasoning_effort", "reasoning_summary", "web_search"} {
		key := name
		if name != "web_search" {
			key = "model_" + name
		}
		if v := r.Options[name]; v != "" {
			flags += " -c " + sandbox.Quote(key+"="+v)
		}
	}
	config, err := codexConfig(r)
	if err != nil {
		return Launch{}, err
	}
	return Launch{
		Script: skillsInto(r.Skills, `"$HOME/.agents/skills"`) +
			r.Program + " exec --dangerously-bypass-approvals-and-sandbox --skip-git-repo-check --model " + sandbox.Quote(r.Model) +
			" --json --enable unified_exec" + flags + " - < " + r.Prompt,
		Env:   map[string]string{"CODEX_HOME": codexHome, "ODDISH_MODEL_TOKEN": r.Token},
		Files: []File{{codexHome + "/config.toml", config}},
		After: `[ -d "$CODEX_HOME/sessions" ] || exit 0; rm -rf /logs/agent/sessions && cp -R "$CODEX_HOME/sessions" /logs/agent/sessions`,
	}, nil
}

// codexConfig writes the configuration: a provider of our own, so that no WebSocket is tried and no file holds a key.
func codexConfig(r Request) (string, error) {
	var b strings.Builder
	if own := r.Options["config"]; own != "" {
		b.WriteString(own + "\n") // keys at the root come before the tables that follow
	}
	retries := ""
	if n := r.Options["max_retries"]; n != "" {
		if _, err := strconv.ParseUint(n, 10, 16); err != nil {
			return "", fmt.Errorf("agent codex: max_retries is a number, not %q", n)
		}
		retries = fmt.Sprintf("request_max_retries = %s\nstream_max_retries = %[1]s\n", n)
	}
	table := fmt.Sprintf("[model_providers.oddish]\nname = \"oddish\"\nbase_url = %s\nenv_key = \"ODDISH_MODEL_TOKEN\"\nwire_api = \"responses\"\nsupports_websockets = false\n%s",
		toml(r.BaseURL+"/v1"), retries)
	fmt.Fprintf(&b, "[analytics]\nenabled = false\n%s", table)
	for _, s := range r.MCP {
		fmt.Fprintf(&b, "[mcp_servers.%s]\n", toml(s.Name))
		if s.Transport != "stdio" {
			fmt.Fprintf(&b, "url = %s\n", toml(s.URL))
			continue
		}
		var args []string
		for _, a := range s.Args {
			args = append(args, toml(a))
		}
		fmt.Fprintf(&b, "command = %s\nargs = [%s]\n", toml(s.Command), strings.Join(args, ", "))
	}
	return "model_provider = \"oddish\"\n" + b.String(), nil
}

// toml writes a text as a basic string of TOML, whose escapes are among those of JSON.
func toml(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

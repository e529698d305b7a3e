package agent

import (
	"fmt"
	"strconv"

	"github.com/pelletier/go-toml/v2"

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
			{Name: "reasoning_effort", Default: "high", Help: "how much the model thinks"},
			{Name: "reasoning_summary", Values: []string{"auto", "concise", "detailed", "none"}, Help: "how much of it is told"},
			{Name: "web_search", Values: []string{"disabled", "cached", "live"}, Help: "search by the provider"},
			codexOwnConfig(),
			{Name: "max_retries", Help: "how often it repeats a failed call"},
		},
		MCP:      true,
		Skills:   true,
		Tells:    Tells{Tokens: true},
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

// codexConfig lays what it needs over the user's configuration: a provider of our own, so that no WebSocket is tried and no file holds a key.
func codexConfig(r Request) (string, error) {
	users, err := native(codexOwnConfig(), r.Options["config"])
	if err != nil {
		return "", fmt.Errorf("agent codex: %w", err)
	}
	provider := map[string]any{
		"name": "oddish", "base_url": r.BaseURL + "/v1", "env_key": "ODDISH_MODEL_TOKEN", "wire_api": "responses", "supports_websockets": false,
	}
	if n := r.Options["max_retries"]; n != "" {
		retries, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return "", fmt.Errorf("agent codex: max_retries is a number, not %q", n)
		}
		provider["request_max_retries"], provider["stream_max_retries"] = retries, retries
	}
	servers := map[string]any{}
	for _, s := range r.MCP {
		if s.Transport == "stdio" {
			servers[s.Name] = map[string]any{"command": s.Command, "args": append([]string{}, s.Args...)}
		} else {
			servers[s.Name] = map[string]any{"url": s.URL}
		}
	}
	config, err := toml.Marshal(mergedWith(users, map[string]any{
		"model_provider": "oddish", "model_providers": map[string]any{"oddish": provider}, "analytics": map[string]any{"enabled": false}, "mcp_servers": servers,
	}))
	return string(config), err
}

func codexOwnConfig() Option {
	return Option{Name: "config", Form: formTOML, Help: "its configuration (config.toml)"}
}

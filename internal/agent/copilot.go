package agent

import (
	"encoding/json"

	"oddish/internal/llm"
	"oddish/internal/sandbox"
)

// copilotHome is the folder with the program's state, of which only the sessions are kept.
const copilotHome = LogsDir + "/copilot"

func copilot() *Definition {
	return &Definition{
		Name: "copilot-cli", Description: "GitHub Copilot CLI, with models of your own providers",
		Package: Package{
			Command: "copilot", NPM: "@github/copilot", Version: "1.0.102", NPMPlatform: "@github/copilot-linux{musl}-{cpu}",
			Native: "node_modules/@github/copilot-linux{musl}-{cpu}/copilot",
		},
		Output: "copilot-cli.jsonl",
		Options: []Option{
			{Name: "reasoning_effort", Flag: "--reasoning-effort", Values: []string{"low", "medium", "high", "xhigh", "max"}, Help: "how much the model thinks"},
			{Name: "max_autopilot_continues", Flag: "--max-autopilot-continues", Help: "most times that it goes on by itself"},
			{Name: "excluded_tools", Flag: "--excluded-tools=", Help: "tools that the model does not get"},
		},
		MCP:   true,
		Tells: Tells{Tokens: true},
		Dialects: func(provider string) []llm.Dialect {
			switch provider {
			case "anthropic":
				return []llm.Dialect{llm.Anthropic, llm.Chat}
			case "openai":
				return []llm.Dialect{llm.Responses, llm.Chat}
			}
			return []llm.Dialect{llm.Chat, llm.Anthropic, llm.Responses}
		},
		Launch: launchCopilot,
		Read:   readCopilot,
	}
}

// launchCopilot lets it speak to a provider of the user's, which needs no login at GitHub.
func launchCopilot(r Request) (Launch, error) {
	env := map[string]string{
		"COPILOT_PROVIDER_BASE_URL": r.BaseURL + "/v1", "COPILOT_PROVIDER_TYPE": "openai", "COPILOT_PROVIDER_API_KEY": r.Token,
		"COPILOT_PROVIDER_WIRE_API": "completions", "COPILOT_PROVIDER_TRANSPORT": "http", "COPILOT_MODEL": r.Model,
		"COPILOT_HOME": copilotHome, "COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false",
	}
	switch r.Dialect {
	case llm.Anthropic:
		env["COPILOT_PROVIDER_BASE_URL"], env["COPILOT_PROVIDER_TYPE"] = r.BaseURL, "anthropic"
	case llm.Responses:
		env["COPILOT_PROVIDER_WIRE_API"] = "responses"
	}
	flags := r.Flags
	if len(r.MCP) > 0 {
		config, err := json.Marshal(map[string]any{"mcpServers": copilotServers(r.MCP)})
		if err != nil {
			return Launch{}, err
		}
		flags += " --additional-mcp-config=" + sandbox.Quote(string(config))
	}
	return Launch{
		// Of what it prints half is told again, piece by piece and in its sessions.
		Script: r.Program + ` --prompt="$(cat ` + r.Prompt + `)" --yolo --output-format=json --stream=off --no-color --log-level=none ` + flags +
			` </dev/null 2>&1 | sed -u -e '/"ephemeral":true/d'`,
		Env:   env,
		After: "cd " + copilotHome + " 2>/dev/null && find . -mindepth 1 ! -path './session-state*' -delete; find . -type f ! -name events.jsonl -delete; true",
	}, nil
}

func copilotServers(list []MCPServer) map[string]any {
	servers := map[string]any{}
	for _, s := range list {
		if s.Transport == "stdio" {
			servers[s.Name] = map[string]any{"type": "local", "command": s.Command, "args": nonNil(s.Args), "tools": []string{"*"}}
			continue
		}
		kind := "http"
		if s.Transport == "sse" {
			kind = "sse"
		}
		servers[s.Name] = map[string]any{"type": kind, "url": s.URL, "tools": []string{"*"}}
	}
	return servers
}

// nonNil gives a list that JSON writes as one.
func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

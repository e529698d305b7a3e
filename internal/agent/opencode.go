package agent

import (
	"encoding/json"
	"fmt"

	"oddish/internal/llm"
	"oddish/internal/sandbox"
)

func opencode() *Definition {
	return &Definition{
		Name: "opencode", Description: "opencode, for models of every provider",
		Package: Package{Command: "opencode", NPM: "opencode-ai", Version: "1.18.33", Native: "node_modules/opencode-linux-{cpu}{libc}/bin/opencode"},
		Output:  "opencode.txt",
		Options: []Option{
			{Name: "variant", Flag: "--variant", Help: "kind of the model, such as its reasoning effort"},
			opencodeOwnConfig(),
		},
		MCP:      true,
		Skills:   true,
		Tells:    Tells{Tokens: true, Cost: true},
		Dialects: byProvider,
		Launch:   launchOpencode,
		Read:     readOpencode,
	}
}

func launchOpencode(r Request) (Launch, error) {
	name, options := "oddish", map[string]any{"baseURL": r.BaseURL + "/v1", "apiKey": r.Token}
	provider := map[string]any{"options": options, "models": map[string]any{r.Model: map[string]any{}}}
	switch r.Dialect {
	case llm.Anthropic:
		name = "anthropic"
	case llm.Responses:
		name = "openai"
	case llm.Gemini:
		name = "google"
		options["baseURL"] = r.BaseURL + "/v1beta"
	default:
		provider["npm"] = "@ai-sdk/openai-compatible"
	}
	users, err := native(opencodeOwnConfig(), r.Options["opencode_config"])
	if err != nil {
		return Launch{}, fmt.Errorf("agent opencode: %w", err)
	}
	config, err := json.Marshal(mergedWith(users, map[string]any{
		"provider": map[string]any{name: provider}, "small_model": name + "/" + r.Model, // its own choice is another model, which was not asked for
		"autoupdate": false, "share": "disabled", "mcp": opencodeServers(r.MCP),
	}))
	if err != nil {
		return Launch{}, err
	}
	flags := r.Flags
	if flags != "" {
		flags += " "
	}
	return Launch{
		Script: skillsInto(r.Skills, `"$HOME/.config/opencode/skills"`) +
			r.Program + " --model=" + sandbox.Quote(name+"/"+r.Model) + " run --format=json --thinking --dangerously-skip-permissions " + flags +
			`-- "$(cat ` + r.Prompt + `)" </dev/null 2>&1`,
		Env: map[string]string{
			"OPENCODE_FAKE_VCS": "git", "OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1",
			"XDG_DATA_HOME": LogsDir + "/opencode/xdg-data", "XDG_STATE_HOME": LogsDir + "/opencode/xdg-state",
		},
		Files: []File{{"~/.config/opencode/opencode.json", string(config)}},
		After: opencodeExports(r.Program),
	}, nil
}

// opencodeExports gives the commands that write down the sessions of the agent and its sub-agents, of which the program keeps a database. The output names
// them and tells of the agent's own alone.
func opencodeExports(program string) string {
	return `mkdir -p ` + opencodeSessions + ` && cd ` + opencodeSessions + ` || exit
for s in $(grep -ho '"session[A-Za-z]*":"ses_[A-Za-z0-9]*"' ` + LogsDir + `/opencode.txt | grep -o 'ses_[A-Za-z0-9]*' | sort -u | head -n 50); do
	` + program + ` export "$s" > "$s.json" 2>/dev/null </dev/null || rm -f "$s.json"
done`
}

// opencodeSessions is where they are written.
const opencodeSessions = LogsDir + "/opencode/sessions"

func opencodeOwnConfig() Option {
	return Option{Name: "opencode_config", Form: formJSON, Help: "its configuration (opencode.json)"}
}

func opencodeServers(list []MCPServer) map[string]any {
	servers := map[string]any{}
	for _, s := range list {
		if s.Transport == "stdio" {
			servers[s.Name] = map[string]any{"type": "local", "command": append([]string{s.Command}, s.Args...), "enabled": true}
		} else {
			servers[s.Name] = map[string]any{"type": "remote", "url": s.URL, "enabled": true}
		}
	}
	return servers
}

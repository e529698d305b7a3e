package agent

import (
	"encoding/json"
	"fmt"
	"strings"

	"oddish/internal/llm"
	"oddish/internal/sandbox"
)

func geminiCLI() *Definition {
	return &Definition{
		Name: "gemini-cli", Description: "Google's Gemini CLI",
		Package: Package{Command: "gemini", NPM: "@google/gemini-cli", Version: "0.61.0", Script: geminiScript},
		Output:  "gemini-cli.txt",
		Options: []Option{
			{Name: "sandbox", Flag: "--sandbox", Switch: true, Help: "a sandbox of its own within this one"},
			{Name: "reasoning_effort", Values: []string{"none", "minimal", "low", "medium", "high"}, Help: "how much the model thinks"},
			settingsOption(),
		},
		MCP:      true,
		Skills:   true,
		Tells:    Tells{Tokens: true},
		Dialects: only(llm.Gemini),
		Launch:   launchGemini,
		Read:     readGemini,
	}
}

const geminiScript = "node_modules/@google/gemini-cli/bundle/gemini.js"

// settingsOption takes settings of Gemini CLI or a descendant of it.
func settingsOption() Option {
	return Option{Name: "config", Form: formJSON, Help: "its settings (settings.json)"}
}

// geminiSettings lays over the user's settings what this way of running needs.
func geminiSettings(r Request, ours map[string]any) (string, error) {
	users, err := native(settingsOption(), r.Options["config"])
	if err != nil {
		return "", err
	}
	settings := mergedWith(users, map[string]any{
		"privacy":    map[string]any{"usageStatisticsEnabled": false},
		"general":    map[string]any{"disableAutoUpdate": true},
		"mcpServers": geminiServers(r.MCP),
	})
	data, err := json.Marshal(mergedWith(settings, ours))
	return string(data), err
}

func launchGemini(r Request) (Launch, error) {
	model, ours := r.Model, map[string]any{"security": map[string]any{"auth": map[string]any{"selectedType": "gemini-api-key"}}}
	if effort := r.Options["reasoning_effort"]; effort != "" {
		model = "oddish-" + effort
		ours["modelConfigs"] = map[string]any{"customAliases": map[string]any{model: geminiThinking(r.Model, effort)}}
	}
	settings, err := geminiSettings(r, ours)
	if err != nil {
		return Launch{}, fmt.Errorf("agent gemini-cli: %w", err)
	}
	return Launch{
		Script: skillsInto(r.Skills, `"$HOME/.gemini/skills"`) +
			r.Program + " --yolo " + r.Flags + " --model=" + sandbox.Quote(model) + " --output-format stream-json " + `--prompt="$(cat ` + r.Prompt + `)" </dev/null 2>&1`,
		Env: map[string]string{
			"GEMINI_API_KEY": r.Token, "GOOGLE_GEMINI_BASE_URL": r.BaseURL, "GEMINI_CLI_TRUST_WORKSPACE": "true",
		},
		Files: []File{{"~/.gemini/settings.json", settings}},
		// Of a project, its sessions, and in a folder for each those of its sub-agents.
		After: `cd "$HOME/.gemini/tmp" 2>/dev/null || exit 0; mkdir -p /logs/agent/sessions; for d in */chats; do [ ! -d "$d" ] || cp -R "$d"/. /logs/agent/sessions/ || exit; done`,
	}, nil
}

// geminiThinking gives a name of the program's own for the model with an effort: a level for Gemini 3, before that a number of tokens.
func geminiThinking(model, effort string) map[string]any {
	thinking := map[string]any{"includeThoughts": true}
	if strings.Contains(model, "gemini-2") || strings.Contains(model, "gemini-1") {
		thinking["thinkingBudget"] = map[string]int{"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576}[effort]
	} else {
		thinking["thinkingLevel"] = map[string]string{"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}[effort]
	}
	return map[string]any{"modelConfig": map[string]any{"model": model, "generateContentConfig": map[string]any{"thinkingConfig": thinking}}}
}

// geminiServers gives the task's tool servers in Gemini's form, which tells them apart by the key of their address.
func geminiServers(list []MCPServer) map[string]any {
	servers := map[string]any{}
	for _, s := range list {
		switch s.Transport {
		case "stdio":
			servers[s.Name] = map[string]any{"command": s.Command, "args": append([]string{}, s.Args...)}
		case "sse":
			servers[s.Name] = map[string]any{"url": s.URL}
		default:
			servers[s.Name] = map[string]any{"httpUrl": s.URL}
		}
	}
	return servers
}

package agent

import (
	"fmt"

	"oddish/internal/llm"
)

func qwenCoder() *Definition {
	return &Definition{
		Name: "qwen-coder", Description: "Qwen Code, for every OpenAI-compatible model",
		Package: Package{
			Command: "qwen", NPM: "@qwen-code/qwen-code", Version: "0.24.4",
			Script: "node_modules/@qwen-code/qwen-code/cli.js",
		},
		Output:   "qwen-code.txt",
		Options:  []Option{settingsOption()},
		MCP:      true,
		Skills:   true,
		Tells:    Tells{Tokens: true},
		Dialects: only(llm.Chat),
		Launch:   launchQwen,
		Read:     readQwen,
	}
}

func launchQwen(r Request) (Launch, error) {
	settings, err := geminiSettings(r, nil)
	if err != nil {
		return Launch{}, fmt.Errorf("agent qwen-coder: %w", err)
	}
	return Launch{
		Script: skillsInto(r.Skills, `"$HOME/.qwen/skills"`) +
			r.Program + " --yolo --auth-type openai --chat-recording --output-format stream-json " + `--prompt="$(cat ` + r.Prompt + `)" </dev/null 2>&1`,
		Env: map[string]string{
			"OPENAI_API_KEY": r.Token, "OPENAI_BASE_URL": r.BaseURL + "/v1", "OPENAI_MODEL": r.Model,
		},
		Files: []File{{"~/.qwen/settings.json", settings}},
		After: `cd "$HOME/.qwen/projects" 2>/dev/null || exit 0; mkdir -p /logs/agent/qwen-sessions; find . -name '*.jsonl' -exec cp {} /logs/agent/qwen-sessions/ \;`,
	}, nil
}

//go:build linux && (amd64 || arm64)

package agenttest

import (
	"os"
	"strings"
	"testing"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
)

func TestOptionsReachTheModel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		Config
		path, body string // parts of a call's path and body
		long       bool   // runs only with all agents
	}{
		"codex's configuration": {Config: Config{Agent: "codex", Model: "openai/gpt-5", Dialect: llm.Responses,
			Kwargs: map[string]any{"config": map[string]any{"developer_instructions": "Remember the aardvark."}}}, body: "aardvark"},
		"claude-code's settings": {Config: Config{Agent: "claude-code", Model: "anthropic/claude-sonnet-4-5", Dialect: llm.Anthropic,
			Kwargs: map[string]any{"config": map[string]any{"language": "esperanto"}}}, body: "esperanto"},
		"claude-code's longest answer": {Config: Config{Agent: "claude-code", Model: "anthropic/claude-sonnet-4-5", Dialect: llm.Anthropic,
			Kwargs: map[string]any{"max_output_tokens": 4321}}, body: `"max_tokens":4321`},
		"claude-code's memories": {Config: Config{Agent: "claude-code", Model: "anthropic/claude-sonnet-4-5", Dialect: llm.Anthropic,
			Prepare: "mkdir -p /mem && echo 'Remember the aardvark.' > /mem/MEMORY.md", Kwargs: map[string]any{"memory_dir": "/mem"}}, body: "aardvark"},
		"gemini-cli's effort": {Config: Config{Agent: "gemini-cli", Model: "google/gemini-2.5-pro", Dialect: llm.Gemini,
			Kwargs: map[string]any{"reasoning_effort": "low"}}, path: "/models/gemini-2.5-pro:", body: `"thinkingBudget":1024`, long: true},
		"opencode's configuration": {Config: Config{Agent: "opencode", Model: "local/my-model", Dialect: llm.Chat,
			Kwargs: map[string]any{"opencode_config": map[string]any{"agent": map[string]any{"build": map[string]any{"prompt": "Remember the aardvark."}}}}}, body: "aardvark", long: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.long && os.Getenv("ODDISH_TEST_AGENTS") != "all" {
				t.Skip("set ODDISH_TEST_AGENTS=all to test every agent with its real program")
			}
			r := newRig(t, config(t, c.Config), fakellm.Default())
			if err := r.run(t); err != nil {
				t.Fatal(err)
			}
			for _, call := range r.fake.Calls() {
				if strings.Contains(call.Path, c.path) && strings.Contains(string(call.Body), c.body) {
					return
				}
			}
			t.Errorf("no call has %q in its path and %q in its body", c.path, c.body)
		})
	}
}

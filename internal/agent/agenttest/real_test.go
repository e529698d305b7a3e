//go:build linux && (amd64 || arm64)

package agenttest

import (
	"os"
	"testing"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/builtin"
)

func TestMain(m *testing.M) {
	if builtin.Dispatch() {
		return
	}
	os.Exit(m.Run())
}

func TestClaudeCode(t *testing.T) {
	t.Parallel()
	Run(t, config(t, Config{Agent: "claude-code", Model: "anthropic/claude-sonnet-4-5", Dialect: llm.Anthropic, Usage: true, Kwargs: map[string]any{"max_retries": 1}}))
}

func TestCodex(t *testing.T) {
	t.Parallel()
	Run(t, config(t, Config{Agent: "codex", Model: "openai/gpt-5", Dialect: llm.Responses, Usage: true, Kwargs: map[string]any{"max_retries": 1}}))
}

func TestPi(t *testing.T) {
	t.Parallel()
	Run(t, config(t, Config{Agent: "pi", Model: "anthropic/claude-sonnet-4-5", Dialect: llm.Anthropic, Usage: true}))
}

// TestFurtherAgents takes minutes and gigabytes, so it runs only when it is asked for.
func TestFurtherAgents(t *testing.T) {
	t.Parallel()
	if os.Getenv("ODDISH_TEST_AGENTS") != "all" {
		t.Skip("set ODDISH_TEST_AGENTS=all to test every agent with its real program")
	}
	for name, c := range map[string]Config{
		"pi by Responses":       {Agent: "pi", Model: "openai/gpt-5", Dialect: llm.Responses},
		"pi by Chat":            {Agent: "pi", Model: "local/my-model", Dialect: llm.Chat},
		"pi by Gemini":          {Agent: "pi", Model: "google/gemini-2.5-pro", Dialect: llm.Gemini},
		"gemini-cli":            {Agent: "gemini-cli", Model: "google/gemini-2.5-pro", Dialect: llm.Gemini, Stubborn: true},
		"qwen-coder":            {Agent: "qwen-coder", Model: "dashscope/qwen3-coder", Dialect: llm.Chat, Stubborn: true},
		"opencode by Anthropic": {Agent: "opencode", Model: "anthropic/claude-sonnet-4-5", Dialect: llm.Anthropic, Stubborn: true, Compacts: true},
		"copilot by Anthropic":  {Agent: "copilot-cli", Model: "anthropic/claude-sonnet-4-5", Dialect: llm.Anthropic},
		"copilot by Responses":  {Agent: "copilot-cli", Model: "openai/gpt-5", Dialect: llm.Responses, Stubborn: true},
		"copilot by Chat":       {Agent: "copilot-cli", Model: "local/my-model", Dialect: llm.Chat, Stubborn: true},
		"cline by Responses":    {Agent: "cline-cli", Model: "openai/gpt-5", Dialect: llm.Responses, Stubborn: true},
		"cline by Chat":         {Agent: "cline-cli", Model: "local/my-model", Dialect: llm.Chat, Stubborn: true},
		"mini-swe-agent":        {Agent: "mini-swe-agent", Model: "anthropic/claude-sonnet-4-5", Dialect: llm.Anthropic, Stubborn: true, End: "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"},
		"opencode by Responses": {Agent: "opencode", Model: "openai/gpt-5", Dialect: llm.Responses, Stubborn: true, Compacts: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.Usage = true
			Run(t, config(t, c))
		})
	}
}

// TestAider tests the program with answers of its own form: it declares no tools.
func TestAider(t *testing.T) {
	t.Parallel()
	if os.Getenv("ODDISH_TEST_AGENTS") != "all" {
		t.Skip("set ODDISH_TEST_AGENTS=all to test every agent with its real program")
	}
	c := config(t, Config{Agent: "aider", Model: "anthropic/claude-sonnet-4-5", Dialect: llm.Anthropic, Kwargs: map[string]any{"edit_format": "whole"}})
	script := fakellm.Script{TextAgent: true, Turns: []fakellm.Turn{{Text: "I will write the file.\n\nout.txt\n```\nhello\n```\n", Usage: fakellm.Usage{Input: 900, Output: 20}}}}
	t.Run("it works", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, c, script)
		if err := r.run(t); err != nil {
			t.Fatalf("%v\ncalls: %v", err, statuses(r))
		}
		r.wantHello(t)
	})
	t.Run("a rate limit that ends is survived", func(t *testing.T) {
		t.Parallel()
		limited := script
		limited.Faults = []fakellm.Fault{{Kind: fakellm.RateLimit, Times: 1, RetryAfter: "1"}}
		r := newRig(t, c, limited)
		if err := r.run(t); err != nil {
			t.Fatalf("%v\ncalls: %v", err, statuses(r))
		}
		r.wantHello(t)
	})
}

// config completes c by a sandbox of this machine's own tools.
func config(t *testing.T, c Config) Config {
	t.Helper()
	if err := builtin.CheckProgram(); err != nil {
		t.Skipf("the sandbox needs a statically linked test: run it with CGO_ENABLED=0: %v", err)
	}
	p, err := builtin.New(builtin.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(t.Context()); err != nil {
		t.Skip(err)
	}
	c.Provider, c.Image = p, sandbox.Image{Host: true}
	return c
}

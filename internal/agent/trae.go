package agent

import (
	"encoding/json"
	"fmt"
	"strconv"

	"oddish/internal/llm"
	"oddish/internal/sandbox"
)

const (
	traeConfig     = "/tmp/oddish-agent/trae.yaml"
	traeTrajectory = "trae-agent.trajectory.json"
)

func traeAgent() *Definition {
	return &Definition{
		Name: "trae-agent", Description: "ByteDance's Trae Agent",
		Package: Package{
			Command: "trae-cli", Version: "main",
			Vendor: &Vendor{
				Source: "git, bytedance/trae-agent on GitHub", Program: "venv/bin/trae-cli", Ref: true, // it has no releases
				Script: fetching("git curl") + pythonVenv(12) +
					`venv/bin/pip install --quiet --disable-pip-version-check "git+https://github.com/bytedance/trae-agent@$VERSION"`,
			},
		},
		Output: "trae-agent.txt", Record: traeTrajectory,
		Options: []Option{
			{Name: "max_steps", Default: "200", Help: "most answers of the model"},
			{Name: "temperature", Default: "0.7", Help: "of the model"},
			{Name: "max_tokens", Default: "16384", Help: "longest answer of the model"},
			{Name: "top_p", Default: "0.95", Help: "of the model"},
			{Name: "top_k", Default: "20", Help: "of the model"},
			{Name: "max_retries", Default: "10", Help: "how often it repeats a failed call"},
		},
		Tells:    Tells{Tokens: true},
		Dialects: byProvider,
		Launch:   launchTrae,
		Read:     readTrae,
	}
}

// traeProvider gives the name of the program's client for a dialect, and the form of base URL that it wants.
func traeProvider(r Request) (name, base string) {
	switch r.Dialect {
	case llm.Anthropic:
		return "anthropic", r.BaseURL
	case llm.Responses:
		return "openai", r.BaseURL + "/v1"
	case llm.Gemini:
		return "google", r.BaseURL
	}
	return "openrouter", r.BaseURL + "/v1" // its client for every server of Chat Completions
}

func launchTrae(r Request) (Launch, error) {
	provider, base := traeProvider(r)
	model := map[string]any{"model_provider": provider, "model": r.Model, "parallel_tool_calls": true}
	for _, name := range []string{"temperature", "max_tokens", "top_p", "top_k", "max_retries"} {
		n, err := strconv.ParseFloat(r.Options[name], 64)
		if err != nil {
			return Launch{}, fmt.Errorf("agent trae-agent: %s is a number, not %q", name, r.Options[name])
		}
		model[name] = json.Number(strconv.FormatFloat(n, 'f', -1, 64))
	}
	steps, err := strconv.ParseUint(r.Options["max_steps"], 10, 31)
	if err != nil {
		return Launch{}, fmt.Errorf("agent trae-agent: max_steps is a whole number, not %q", r.Options["max_steps"])
	}
	config, err := json.Marshal(map[string]any{ // which is YAML as well
		"agents": map[string]any{"trae_agent": map[string]any{
			"enable_lakeview": false, "model": "model", "max_steps": steps,
			"tools": []string{"bash", "str_replace_based_edit_tool", "sequentialthinking", "task_done"},
		}},
		"model_providers": map[string]any{provider: map[string]any{"api_key": r.Token, "provider": provider, "base_url": base}},
		"models":          map[string]any{"model": model},
	})
	if err != nil {
		return Launch{}, err
	}
	return Launch{
		Script: r.Program + " run --file " + r.Prompt + " --config-file " + sandbox.Quote(traeConfig) + " --working-dir . --trajectory-file " + LogsDir + "/" + traeTrajectory +
			" --patch-path " + LogsDir + "/trae-agent.patch --console-type simple </dev/null 2>&1",
		Env:   map[string]string{"GOOGLE_GEMINI_BASE_URL": r.BaseURL}, // its client for Gemini is not told of the one in the file
		Files: []File{{traeConfig, string(config)}},
	}, nil
}

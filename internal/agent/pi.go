package agent

import (
	"encoding/json"

	"oddish/internal/llm"
	"oddish/internal/sandbox"
)

func pi() *Definition {
	return &Definition{
		Name: "pi", Description: "the pi coding agent, for models of every provider",
		Package: Package{
			Command: "pi", NPM: "@mariozechner/pi-coding-agent", Version: "0.73.1",
			Script: "node_modules/@mariozechner/pi-coding-agent/dist/cli.js",
		},
		Output: "pi.txt",
		Options: []Option{
			{Name: "thinking", Flag: "--thinking", Values: []string{"off", "minimal", "low", "medium", "high", "xhigh"}, Help: "how much the model thinks"},
			{Name: "append_system_prompt", Flag: "--append-system-prompt", Help: "text behind its system prompt"},
		},
		Skills:   true,
		Tells:    Tells{Tokens: true, Cost: true},
		Dialects: byProvider,
		Launch:   launchPi,
		Read:     readPi,
	}
}

// piProvider gives the name of pi's own provider for a dialect, and the form of base URL that it wants. Chat has none: other servers than
// OpenAI's are added as one of ours.
func piProvider(r Request) (name, base string) {
	switch r.Dialect {
	case llm.Anthropic:
		return "anthropic", r.BaseURL
	case llm.Responses:
		return "openai", r.BaseURL + "/v1"
	case llm.Gemini:
		return "google", r.BaseURL + "/v1beta"
	}
	return "oddish", r.BaseURL + "/v1"
}

func launchPi(r Request) (Launch, error) {
	name, base := piProvider(r)
	settings := map[string]any{"baseUrl": base}
	if name == "oddish" {
		settings = map[string]any{
			"baseUrl": base, "api": "openai-completions", "apiKey": r.Token,
			"models": []map[string]any{{"id": r.Model}},
		}
	}
	models, err := json.Marshal(map[string]any{"providers": map[string]any{name: settings}})
	if err != nil {
		return Launch{}, err
	}
	flags := r.Flags
	if flags != "" {
		flags += " "
	}
	return Launch{
		// Every piece of an answer is printed with all that came before it, so that the log of a long run would not fit anywhere: only whole messages are kept.
		Script: skillsInto(r.Skills, `"$HOME/.pi/agent/skills"`) +
			r.Program + " --print --mode json --session-dir " + LogsDir + "/pi/sessions --provider " + name + " --model " + sandbox.Quote(r.Model) + " " + flags +
			`"$(cat ` + r.Prompt + `)" </dev/null 2>&1 | sed -u -e '/^{"type":"message_update"/d' -e '/^{"type":"agent_end"/d'`,
		Env: map[string]string{
			"PI_OFFLINE": "1", "ANTHROPIC_API_KEY": r.Token, "OPENAI_API_KEY": r.Token, "GEMINI_API_KEY": r.Token,
		},
		Files: []File{{"~/.pi/agent/models.json", string(models)}},
	}, nil
}

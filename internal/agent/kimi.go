package agent

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/pelletier/go-toml/v2"

	"oddish/internal/atif"
	"oddish/internal/llm"
)

func kimiCLI() *Definition {
	return &Definition{
		Name: "kimi-cli", Description: "Kimi CLI, for every server that speaks Chat Completions",
		// Later versions do nothing: their maker has replaced the program by another.
		Package: Package{Command: "kimi", PyPI: "kimi-cli", Version: "1.49.0", Python: [2]int{12, 0}},
		Output:  "kimi-cli.txt",
		Options: []Option{
			{Name: "max_steps_per_turn", Flag: "--max-steps-per-turn", Help: "most steps"},
			{Name: "max_context_size", Default: "262144", Help: "tokens that fit into the model"},
		},
		Tells:    Tells{Tokens: true},
		Dialects: only(llm.Chat),
		Launch:   launchKimi,
		Read:     readKimi,
	}
}

// kimiConfig is the file with the model, in the home of the agent's user.
const kimiConfig = "~/.kimi/oddish.toml"

func launchKimi(r Request) (Launch, error) {
	context, err := strconv.Atoi(r.Options["max_context_size"])
	if err != nil {
		return Launch{}, fmt.Errorf("agent kimi-cli: max_context_size is a number of tokens, not %q", r.Options["max_context_size"])
	}
	config, err := toml.Marshal(map[string]any{
		"default_model": "oddish",
		"providers":     map[string]any{"oddish": map[string]any{"type": "kimi", "base_url": r.BaseURL + "/v1", "api_key": r.Token}},
		"models":        map[string]any{"oddish": map[string]any{"provider": "oddish", "model": r.Model, "max_context_size": context}},
	})
	if err != nil {
		return Launch{}, err
	}
	return Launch{
		Script: r.Program + ` --config-file "$HOME/.kimi/oddish.toml" --print --output-format stream-json --yolo ` + r.Flags + ` --command "$(cat ` + r.Prompt + `)" </dev/null 2>&1`,
		Env:    map[string]string{"KIMI_DISABLE_TELEMETRY": "1", "COLUMNS": "1000"}, // or it breaks what went wrong into short lines
		Files:  []File{{kimiConfig, string(config)}},
		After:  "mkdir -p " + LogsDir + `/kimi && cp -R "$HOME/.kimi/sessions" ` + LogsDir + "/kimi/ 2>/dev/null; true",
	}, nil
}

// kimiRecord is a line of a session's record.
type kimiRecord struct {
	Timestamp float64 `json:"timestamp"` // seconds
	Message   struct {
		Type    string `json:"type"`
		Payload struct {
			UserInput json.RawMessage `json:"user_input"`
			Type      string          `json:"type"`
			Text      string          `json:"text"`
			Think     string          `json:"think"`
			ID        string          `json:"id"`
			Function  struct {
				Name      string `json:"name"`
				Arguments string `json:"arguments"`
			} `json:"function"`
			ToolCallID  string `json:"tool_call_id"`
			ReturnValue struct {
				IsError bool            `json:"is_error"`
				Output  json.RawMessage `json:"output"`
				Message string          `json:"message"`
			} `json:"return_value"`
			TokenUsage *struct {
				Other    int64 `json:"input_other"`
				Output   int64 `json:"output"`
				Read     int64 `json:"input_cache_read"`
				Creation int64 `json:"input_cache_creation"`
			} `json:"token_usage"`
		} `json:"payload"`
	} `json:"message"`
}

// kimiLog collects what the record tells.
type kimiLog struct {
	log Log
	t   atif.Trajectory
}

// readKimi reads the session's record; the output tells the steps and no tokens.
func readKimi(dir string) (*Log, error) {
	k := &kimiLog{}
	if err := eachEvent(filepath.Join(dir, "kimi-cli.txt"), k.printed); err != nil {
		return nil, err
	}
	if err := eachFile(filepath.Join(dir, "kimi", "sessions"), "wire.jsonl", func(path string) error { return eachEvent(path, k.record) }); err != nil {
		return nil, err
	}
	if len(k.t.Steps) > 0 && k.log.Answered {
		k.log.Trajectory = &k.t
	}
	k.log.Failure = kimiFailure(endOf(filepath.Join(dir, "kimi-cli.txt"), 4000))
	return &k.log, nil
}

// kimiFailure reads what the program says at its end when a call of its model has failed, such as "Error code: 401 - {…}".
func kimiFailure(words string) *Failure {
	m := regexp.MustCompile(`(?m)^Error code: (\d{3}) - (.*)$`).FindStringSubmatch(words)
	if m == nil {
		return nil
	}
	status, err := strconv.Atoi(m[1])
	if err != nil {
		return nil
	}
	return &Failure{Status: status, Message: m[2]}
}

// printed takes a message of the output: there is one as soon as the model has answered.
func (k *kimiLog) printed(m *struct{ Role string }) {
	k.log.Answered = k.log.Answered || m.Role == "assistant"
}

func (k *kimiLog) record(r *kimiRecord) {
	p, at := &r.Message.Payload, millis(int64(r.Timestamp*1000))
	switch r.Message.Type {
	case "TurnBegin":
		k.t.Add(atif.Step{Source: atif.SourceUser, Timestamp: at, Message: atif.Text(textOf(p.UserInput))})
		return
	case "StepBegin":
		k.t.Add(atif.Step{Source: atif.SourceAgent, Timestamp: at})
		return
	case "ToolResult":
		k.t.Observe(p.ToolCallID, atif.Text(join(textOf(p.ReturnValue.Output), p.ReturnValue.Message)), map[string]any{"is_error": p.ReturnValue.IsError})
		return
	}
	if len(k.t.Steps) == 0 {
		return
	}
	step := &k.t.Steps[len(k.t.Steps)-1]
	switch r.Message.Type {
	case "ContentPart":
		if p.Type == "think" {
			step.ReasoningContent += p.Think
		} else {
			step.Message = atif.Text(step.Message.Text + p.Text)
		}
	case "ToolCall":
		step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: p.ID, Function: p.Function.Name, Arguments: object(json.RawMessage(p.Function.Arguments))})
	case "StatusUpdate":
		if u := p.TokenUsage; u != nil {
			used := parts(u.Other, u.Read, u.Creation, u.Output)
			step.Metrics, k.log.Usage, k.log.Answered = metricsOf(used, nil), k.log.Usage.Add(used), true
		}
	}
}

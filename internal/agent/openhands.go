package agent

import (
	"encoding/json"
	"path/filepath"

	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/usage"
	"oddish/internal/sandbox"
)

func openHands() *Definition {
	return &Definition{
		Name: "openhands", Description: "OpenHands' command line",
		Package: Package{Command: "openhands", PyPI: "openhands", Version: "1.16.0", Python: [2]int{12, 12}},
		Output:  "openhands.txt",
		Options: []Option{
			{Name: "max_iterations", Env: "MAX_ITERATIONS", Help: "most steps"},
			{Name: "reasoning_effort", Env: "LLM_REASONING_EFFORT", Help: "how much the model thinks"},
		},
		Tells:    Tells{Tokens: true},
		Dialects: liteLLMDialects,
		Launch:   launchOpenHands,
		Read:     readOpenHands,
	}
}

func launchOpenHands(r Request) (Launch, error) {
	model, env := liteLLM(r)
	env["LLM_MODEL"], env["LLM_API_KEY"], env["LLM_BASE_URL"] = model, r.Token, r.BaseURL+"/v1"
	if r.Dialect == llm.Anthropic {
		env["LLM_BASE_URL"] = r.BaseURL
	}
	env["OPENHANDS_SUPPRESS_BANNER"] = "1"
	return Launch{
		Script: r.Program + " --headless --json --override-with-envs --always-approve " + r.Flags + ` -t "$(cat ` + r.Prompt + `)" </dev/null 2>&1`,
		Env:    env,
		After:  "mkdir -p " + sandbox.Quote(LogsDir+"/openhands") + ` && cp -R "$HOME/.openhands/conversations" ` + LogsDir + "/openhands/ 2>/dev/null; true",
	}, nil
}

// openHandsEvent is an event of a conversation, as the program prints it and keeps it.
type openHandsEvent struct {
	Kind         string          `json:"kind"`
	Timestamp    string          `json:"timestamp"`
	Source       string          `json:"source"`
	SystemPrompt json.RawMessage `json:"system_prompt"`
	Message      struct {
		Content   json.RawMessage `json:"content"`
		Reasoning string          `json:"reasoning_content"`
	} `json:"llm_message"`
	Thought    json.RawMessage `json:"thought"`
	Reasoning  string          `json:"reasoning_content"`
	ToolName   string          `json:"tool_name"`
	ToolCallID string          `json:"tool_call_id"`
	ToolCall   struct {
		Arguments string `json:"arguments"`
	} `json:"tool_call"`
	ResponseID  string `json:"llm_response_id"`
	Observation struct {
		Content  json.RawMessage `json:"content"`
		IsError  bool            `json:"is_error"`
		ExitCode *int            `json:"exit_code"`
	} `json:"observation"`
	Code    string `json:"code"` // of an error
	Detail  string `json:"detail"`
	Error   string `json:"error"`
	Summary string `json:"summary"` // of a condensation
}

// openHandsState is what a conversation has used, by who has asked.
type openHandsState struct {
	Stats struct {
		By map[string]struct {
			Cost   float64          `json:"accumulated_cost"`
			Sum    openHandsTokens  `json:"accumulated_token_usage"`
			Usages []openHandsUsage `json:"token_usages"`
		} `json:"usage_to_metrics"`
	} `json:"stats"`
}

// openHandsTokens counts; those of the cache are in the prompt's.
type openHandsTokens struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	CacheRead  int64 `json:"cache_read_tokens"`
	CacheWrite int64 `json:"cache_write_tokens"`
	Reasoning  int64 `json:"reasoning_tokens"`
}

type openHandsUsage struct {
	openHandsTokens
	ResponseID string `json:"response_id"`
}

func (k openHandsTokens) normal() usage.Usage {
	u := parts(k.Prompt-k.CacheRead-k.CacheWrite, k.CacheRead, k.CacheWrite, k.Completion)
	if u.Known() {
		u.Reasoning = usage.Of(k.Reasoning)
	}
	return u
}

// openHandsLog collects what events and states tell.
type openHandsLog struct {
	log  Log
	t    atif.Trajectory
	used map[string]usage.Usage // by the id of the answer
	last string                 // id of the last answer that has a step
}

// readOpenHands reads what the program has printed, and its state for the tokens.
func readOpenHands(dir string) (*Log, error) {
	o := &openHandsLog{used: map[string]usage.Usage{}}
	err := eachFile(filepath.Join(dir, "openhands", "conversations"), "base_state.json", func(path string) error {
		state, err := readRecord[openHandsState](path)
		if err == nil && state != nil {
			o.state(state)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := eachEvent(filepath.Join(dir, "openhands.txt"), o.event); err != nil {
		return nil, err
	}
	if o.log.Answered {
		o.log.Trajectory = &o.t
	}
	return &o.log, nil
}

func (o *openHandsLog) state(s *openHandsState) {
	for _, by := range s.Stats.By {
		o.log.Usage = o.log.Usage.Add(by.Sum.normal())
		if by.Cost > 0 {
			o.log.CostUSD = sum(o.log.CostUSD, by.Cost)
		}
		for _, u := range by.Usages {
			o.used[u.ResponseID] = u.normal()
		}
	}
}

func (o *openHandsLog) event(e *openHandsEvent) {
	switch {
	case e.Kind == "MessageEvent" && e.Source == "user":
		o.t.Add(atif.Step{Source: atif.SourceUser, Timestamp: e.Timestamp, Message: atif.Text(textOf(e.Message.Content))})
	case e.Kind == "MessageEvent" && e.Source == "agent":
		o.answer(e, textOf(e.Message.Content), e.Message.Reasoning)
	case e.Kind == "ActionEvent":
		step := o.answer(e, textOf(e.Thought), e.Reasoning)
		step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: e.ToolCallID, Function: e.ToolName, Arguments: object(json.RawMessage(e.ToolCall.Arguments))})
	case e.Kind == "ObservationEvent":
		extra := map[string]any{"is_error": e.Observation.IsError}
		if e.Observation.ExitCode != nil {
			extra["exit_code"] = *e.Observation.ExitCode
		}
		o.t.Observe(e.ToolCallID, atif.Text(textOf(e.Observation.Content)), extra)
	case e.Kind == "AgentErrorEvent":
		o.t.Observe(e.ToolCallID, atif.Text(e.Error), map[string]any{"is_error": true})
	case e.Kind == "Condensation":
		o.t.Add(atif.Step{
			Source: atif.SourceSystem, Timestamp: e.Timestamp, Message: atif.Text(e.Summary),
			Extra: map[string]any{"context_management": map[string]any{"type": "compaction", "boundary": "replace"}},
		})
	case e.Kind == "ConversationErrorEvent":
		o.log.Failure = &Failure{Message: join(e.Code, e.Detail)}
	}
}

// answer gives the step of the model's answer: one that calls several tools is several events.
func (o *openHandsLog) answer(e *openHandsEvent, text, reasoning string) *atif.Step {
	o.log.Answered, o.log.Failure = true, nil
	if e.ResponseID != "" && e.ResponseID == o.last {
		return &o.t.Steps[len(o.t.Steps)-1]
	}
	o.last = e.ResponseID
	step := atif.Step{Source: atif.SourceAgent, Timestamp: e.Timestamp, Message: atif.Text(text), ReasoningContent: reasoning}
	if u, known := o.used[e.ResponseID]; known {
		step.Metrics = metricsOf(u, nil)
	}
	return o.t.Add(step)
}

package agent

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
)

// copilotEvent is a line of a session's record, or of the output.
type copilotEvent struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      struct {
		SessionID     string `json:"sessionId"`
		Content       string `json:"content"`
		Model         string `json:"model"`
		ReasoningText string `json:"reasoningText"`
		ToolRequests  []struct {
			ID        string          `json:"toolCallId"`
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"toolRequests"`
		ToolCallID string `json:"toolCallId"`
		Success    bool   `json:"success"`
		Result     struct {
			Content string `json:"content"`
		} `json:"result"`
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
		Usage struct {
			Input      *int64 `json:"inputTokens"` // with both of the cache
			Output     *int64 `json:"outputTokens"`
			CacheRead  *int64 `json:"cacheReadTokens"`
			CacheWrite *int64 `json:"cacheWriteTokens"`
			Reasoning  *int64 `json:"reasoningTokens"`
		} `json:"usage"`
		Message    string `json:"message"` // of an error
		StatusCode int    `json:"statusCode"`
	} `json:"data"`
}

// copilotLog collects what a session tells.
type copilotLog struct {
	log   Log
	t     atif.Trajectory
	spent *usage.Usage // by the answer that comes next
}

// readCopilot reads the sessions. A run has one; what the program prints tells as little as how it ended.
func readCopilot(dir string) (*Log, error) {
	c := &copilotLog{}
	if err := eachEvent(filepath.Join(dir, "copilot-cli.jsonl"), c.ending); err != nil {
		return nil, err
	}
	if err := eachFile(filepath.Join(dir, "copilot", "session-state"), "events.jsonl", func(path string) error { return eachEvent(path, c.event) }); err != nil {
		return nil, err
	}
	if len(c.t.Steps) > 0 && c.log.Answered {
		c.log.Trajectory = &c.t
	}
	return &c.log, nil
}

// ending takes a line of the output.
func (c *copilotLog) ending(e *copilotEvent) {
	switch e.Type {
	case "session.error":
		c.fail(e)
	case "assistant.message":
		c.log.Failure, c.log.Answered = nil, true
	}
}

func (c *copilotLog) fail(e *copilotEvent) {
	f := &Failure{Status: e.Data.StatusCode, Message: e.Data.Message}
	if strings.Contains(f.Message, "prompt as too long") {
		f.Type = result.ContextWindowExceededError
	}
	c.log.Failure = f
}

// event takes a line of a session's record.
func (c *copilotLog) event(e *copilotEvent) {
	d := &e.Data
	switch e.Type {
	case "session.start":
		c.t.SessionID = d.SessionID
	case "system.message":
		// It is written down after what the user said, and is what the model is told first.
		c.t.Steps = slices.Insert(c.t.Steps, 0, atif.Step{Source: atif.SourceSystem, Timestamp: e.Timestamp, Message: atif.Text(d.Content)})
	case "user.message":
		c.t.Add(atif.Step{Source: atif.SourceUser, Timestamp: e.Timestamp, Message: atif.Text(d.Content)})
	case "session.usage_record":
		u := usage.Usage{InputTotal: d.Usage.Input, OutputTotal: d.Usage.Output, CacheRead: d.Usage.CacheRead, CacheWrite: d.Usage.CacheWrite, Reasoning: d.Usage.Reasoning}
		c.log.Usage = c.log.Usage.Add(u)
		c.spent = &u
	case "assistant.message":
		c.answer(e)
	case "tool.execution_complete":
		c.t.Observe(d.ToolCallID, atif.Text(join(strings.TrimSpace(d.Result.Content), d.Error.Message)), map[string]any{"success": d.Success})
	}
}

func (c *copilotLog) answer(e *copilotEvent) {
	d := &e.Data
	step := atif.Step{
		Source: atif.SourceAgent, Timestamp: e.Timestamp, Message: atif.Text(d.Content), ModelName: d.Model, ReasoningContent: d.ReasoningText,
	}
	for _, r := range d.ToolRequests {
		step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: r.ID, Function: r.Name, Arguments: object(r.Arguments)})
	}
	if c.spent != nil {
		step.Metrics, c.spent = metricsOf(*c.spent, nil), nil
	}
	c.t.Add(step)
	c.log.Answered = true
}

package agent

import (
	"encoding/json"
	"path/filepath"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
)

// clineEvent is a line of the output.
type clineEvent struct {
	Time  string `json:"ts"`
	Type  string `json:"type"`
	Event struct {
		Type        string          `json:"type"`
		ContentType string          `json:"contentType"`
		Text        string          `json:"text"`
		Reasoning   string          `json:"reasoning"`
		ToolName    string          `json:"toolName"`
		ToolCallID  string          `json:"toolCallId"`
		Input       json.RawMessage `json:"input"`
		Output      json.RawMessage `json:"output"`
		clineUsage
		Error struct{ Name, Message string } `json:"error"`
		Class string                         `json:"errorClass"`
	} `json:"event"`
	FinishReason string      `json:"finishReason"` // of run_result, as are those below
	Text         string      `json:"text"`
	Sum          *clineUsage `json:"aggregateUsage"`
}

// clineUsage counts tokens; those of the cache are in the input.
type clineUsage struct {
	Input      *int64   `json:"inputTokens"`
	Output     *int64   `json:"outputTokens"`
	CacheRead  *int64   `json:"cacheReadTokens"`
	CacheWrite *int64   `json:"cacheWriteTokens"`
	Cost       *float64 `json:"cost"`
	TotalCost  *float64 `json:"totalCost"`
}

func (u *clineUsage) normal() usage.Usage {
	return usage.Usage{InputTotal: u.Input, OutputTotal: u.Output, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite}
}

// clineLog collects what the output tells.
type clineLog struct {
	log Log
	t   atif.Trajectory
}

func readCline(dir string) (*Log, error) {
	c := &clineLog{}
	if err := eachEvent(filepath.Join(dir, "cline.txt"), c.line); err != nil {
		return nil, err
	}
	if c.log.Answered {
		c.log.Trajectory = &c.t
	}
	return &c.log, nil
}

func (c *clineLog) line(e *clineEvent) {
	switch {
	case e.Type == "run_result":
		c.ended(e)
	case e.Type != "agent_event":
	case e.Event.Type == "iteration_start":
		c.t.Add(atif.Step{Source: atif.SourceAgent, Timestamp: e.Time})
	case e.Event.Type == "error":
		c.log.Failure = &Failure{Message: e.Event.Error.Message}
		if e.Event.Error.Name == "ContextWindowOverflowError" {
			c.log.Failure.Type = result.ContextWindowExceededError
		}
	case len(c.t.Steps) > 0:
		c.step(e, &c.t.Steps[len(c.t.Steps)-1])
	}
}

// step adds what an iteration brings to its step.
func (c *clineLog) step(e *clineEvent, s *atif.Step) {
	v := &e.Event
	switch {
	case v.Type == "usage":
		u := v.normal()
		c.log.Usage, c.log.Failure, c.log.Answered = c.log.Usage.Add(u), nil, true
		s.Metrics = metricsOf(u, v.Cost)
	case v.Type == "content_end" && v.ContentType == "text":
		s.Message = atif.Text(join(s.Message.Text, v.Text))
	case v.Type == "content_end" && v.ContentType == "reasoning":
		s.ReasoningContent = join(s.ReasoningContent, v.Reasoning)
	case v.Type == "content_start" && v.ContentType == "tool":
		s.ToolCalls = append(s.ToolCalls, atif.ToolCall{ID: v.ToolCallID, Function: v.ToolName, Arguments: object(v.Input)})
	case v.Type == "content_end" && v.ContentType == "tool":
		c.t.Observe(v.ToolCallID, atif.Text(clineOutput(v.Output)), nil)
	}
}

// clineOutput gives what a tool gave as text: that of commands is a list.
func clineOutput(raw json.RawMessage) string {
	var commands []struct {
		Query, Result string
		Success       bool
	}
	if json.Unmarshal(raw, &commands) == nil && len(commands) > 0 {
		text := ""
		for _, c := range commands {
			text = join(text, c.Result)
		}
		if text != "" {
			return text
		}
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// ended takes the program's own sums. A cost of 0 means that it has no price.
func (c *clineLog) ended(e *clineEvent) {
	if e.Sum != nil && c.log.Answered {
		c.log.Usage = e.Sum.normal()
		if e.Sum.TotalCost != nil && *e.Sum.TotalCost > 0 {
			c.log.CostUSD = e.Sum.TotalCost
		}
	}
	if e.FinishReason == "error" && c.log.Failure == nil {
		c.log.Failure = &Failure{Message: e.Text}
	}
}

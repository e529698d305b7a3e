package agent

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"time"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// cursorEvent is a line of the output, as Cursor documents it for --output-format stream-json.
type cursorEvent struct {
	Type      string `json:"type"`
	Subtype   string `json:"subtype"`
	SessionID string `json:"session_id"`
	Model     string `json:"model"`
	Text      string `json:"text"` // a piece of what was thought
	CallID    string `json:"call_id"`
	Millis    int64  `json:"timestamp_ms"`
	Message   struct {
		Content json.RawMessage `json:"content"`
	} `json:"message"`
	ToolCall map[string]json.RawMessage `json:"tool_call"` // one entry has the name of the tool and ToolCall behind it

	// Of the result.
	IsError bool         `json:"is_error"`
	Result  string       `json:"result"`
	Usage   *cursorUsage `json:"usage"`
}

// cursorUsage counts each token once: the input is what came from no cache and went into none.
type cursorUsage struct {
	Input      int64 `json:"inputTokens"`
	Output     int64 `json:"outputTokens"`
	CacheRead  int64 `json:"cacheReadTokens"`
	CacheWrite int64 `json:"cacheWriteTokens"`
}

func (u *cursorUsage) normal() usage.Usage {
	if u == nil || u.Input+u.Output == 0 {
		return usage.Usage{}
	}
	return usage.Usage{
		InputTotal: usage.Of(u.Input + u.CacheRead + u.CacheWrite), OutputTotal: usage.Of(u.Output),
		CacheRead: usage.Of(u.CacheRead), CacheWrite: usage.Of(u.CacheWrite),
	}
}

// cursorLog collects what the output tells.
type cursorLog struct {
	t     *atif.Trajectory
	log   *Log
	model string
	open  bool // the last step takes more of the same answer
}

// readCursor reads cursor-cli.txt.
func readCursor(dir string) (*Log, error) {
	c := &cursorLog{t: &atif.Trajectory{}, log: &Log{}}
	err := eachEvent(filepath.Join(dir, "cursor-cli.txt"), c.event)
	if c.log.Answered {
		c.log.Trajectory = c.t
	}
	return c.log, err
}

func (c *cursorLog) event(e *cursorEvent) {
	if c.t.SessionID == "" {
		c.t.SessionID = e.SessionID
	}
	switch e.Type {
	case "system":
		c.model = e.Model
	case "thinking":
		if e.Text != "" {
			c.step(e).ReasoningContent += e.Text
		}
	case "assistant":
		step := c.step(e)
		step.Message = atif.Text(step.Message.Text + geminiText(e.Message.Content))
	case "tool_call":
		c.tool(e)
	case "result":
		c.log.Usage = e.Usage.normal()
		if e.IsError {
			c.log.Failure = &Failure{Message: orName(e.Result, e.Subtype)}
		}
	}
}

// step gives the step that the agent is at.
func (c *cursorLog) step(e *cursorEvent) *atif.Step {
	if !c.open {
		s := atif.Step{Source: atif.SourceAgent, ModelName: c.model}
		if e.Millis > 0 {
			s.Timestamp = time.UnixMilli(e.Millis).UTC().Format(time.RFC3339Nano)
		}
		c.t.Add(s)
	}
	c.open, c.log.Answered = true, true
	return &c.t.Steps[len(c.t.Steps)-1]
}

// tool adds a call when it begins, and what it gave when it has ended, with which the step is closed.
func (c *cursorLog) tool(e *cursorEvent) {
	for key, raw := range e.ToolCall {
		name, is := strings.CutSuffix(key, "ToolCall")
		var call struct{ Args, Result json.RawMessage }
		if !is || json.Unmarshal(raw, &call) != nil {
			continue
		}
		if e.Subtype == "started" {
			step := c.step(e)
			step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: e.CallID, Function: name, Arguments: object(call.Args)})
			return
		}
		c.t.Observe(e.CallID, atif.Text(cursorResult(call.Result)), nil)
		c.open = false
		return
	}
}

// cursorResult gives what a tool said: the outputs of a command, else the result as it is.
func cursorResult(raw json.RawMessage) string {
	var result map[string]json.RawMessage // one entry says how it ended
	if json.Unmarshal(raw, &result) != nil || len(result) != 1 {
		return string(raw)
	}
	for how, said := range result {
		var out struct {
			Stdout *string
			Stderr string
		}
		if json.Unmarshal(said, &out) == nil && out.Stdout != nil {
			return join(*out.Stdout, out.Stderr)
		}
		return how + ": " + string(said)
	}
	return ""
}

package agent

import (
	"encoding/json"
	"path/filepath"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// codexEvent is a line of the output.
type codexEvent struct {
	Type     string      `json:"type"`
	ThreadID string      `json:"thread_id"`
	Item     codexItem   `json:"item"`
	Usage    *codexUsage `json:"usage"`
	Message  string      `json:"message"`
	Error    struct {
		Message string `json:"message"`
	} `json:"error"`
}

// codexItem is one thing that the agent did. Which fields it has depends on its type.
type codexItem struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Command   string          `json:"command"`
	Output    string          `json:"aggregated_output"`
	ExitCode  *int            `json:"exit_code"`
	Status    string          `json:"status"`
	Server    string          `json:"server"`
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	Result    json.RawMessage `json:"result"`
	Query     string          `json:"query"`
	Changes   json.RawMessage `json:"changes"`
	Items     json.RawMessage `json:"items"`
}

type codexUsage struct {
	Input      int64 `json:"input_tokens"` // with the cached ones
	CacheRead  int64 `json:"cached_input_tokens"`
	CacheWrite int64 `json:"cache_write_input_tokens"`
	Output     int64 `json:"output_tokens"` // with reasoning
	Reasoning  int64 `json:"reasoning_output_tokens"`
}

func (u codexUsage) normal() usage.Usage {
	if u.Input+u.Output == 0 {
		return usage.Usage{}
	}
	return usage.Usage{
		InputTotal: usage.Of(u.Input), CacheRead: usage.Of(u.CacheRead), CacheWrite: usage.Of(u.CacheWrite),
		OutputTotal: usage.Of(u.Output), Reasoning: usage.Of(u.Reasoning),
	}
}

// codexLog collects what the output and the rollouts tell. A rollout has all that the model was told and has said; of it the output shows only a
// part, and what the program was doing when it was killed.
type codexLog struct {
	t       atif.Trajectory // of the output
	open    bool            // the last step takes more of the same answer
	log     Log
	images  *atif.Images
	threads map[string]*codexThread // of the rollouts, by id
	order   []string
	totals  usage.Usage // of all rollouts
}

// readCodex reads codex.txt and the session's files.
func readCodex(dir string) (*Log, error) {
	c := &codexLog{images: &atif.Images{}, threads: map[string]*codexThread{}}
	if err := eachFile(filepath.Join(dir, "sessions"), ".jsonl", c.readRollout); err != nil {
		return nil, err
	}
	if err := eachEvent(filepath.Join(dir, "codex.txt"), c.event); err != nil {
		return nil, err
	}
	c.finish()
	return &c.log, nil
}

func (c *codexLog) event(e *codexEvent) {
	switch e.Type {
	case "thread.started":
		c.t.SessionID = e.ThreadID
	case "item.completed":
		c.item(&e.Item)
	case "turn.completed":
		c.log.Answered, c.log.Failure = true, nil
		if e.Usage != nil {
			c.log.Usage = c.log.Usage.Add(e.Usage.normal())
		}
	case "turn.failed":
		c.log.Failure = &Failure{Message: e.Error.Message}
	}
}

// item adds what was done to the trajectory. What was said begins a step unless tools have not been called since the last began.
func (c *codexLog) item(i *codexItem) {
	switch i.Type {
	case "error":
		return
	case "reasoning":
		s := c.step()
		s.ReasoningContent = join(s.ReasoningContent, i.Text)
		return
	case "agent_message":
		s := c.step()
		s.Message = atif.Text(join(s.Message.Text, i.Text))
		return
	}
	call, result := i.call()
	var s *atif.Step
	if c.log.Answered && len(c.t.Steps) > 0 {
		s = &c.t.Steps[len(c.t.Steps)-1]
	} else {
		s = c.step()
	}
	c.open = false
	s.ToolCalls = append(s.ToolCalls, call)
	var extra map[string]any
	if i.ExitCode != nil {
		extra = map[string]any{"exit_code": *i.ExitCode}
	}
	c.t.Observe(call.ID, atif.Text(result), extra)
}

// step gives the step that takes what is said now.
func (c *codexLog) step() *atif.Step {
	c.log.Answered = true
	if !c.open {
		c.t.Add(atif.Step{Source: atif.SourceAgent})
		c.open = true
	}
	return &c.t.Steps[len(c.t.Steps)-1]
}

// call gives the item as a tool call and what it gave.
func (i *codexItem) call() (atif.ToolCall, string) {
	call := atif.ToolCall{ID: i.ID, Function: i.Type, Arguments: map[string]any{}}
	if i.Status != "" {
		call.Extra = map[string]any{"status": i.Status}
	}
	switch i.Type {
	case "command_execution":
		call.Arguments["command"] = i.Command
		return call, i.Output
	case "mcp_tool_call":
		call.Function, call.Arguments = i.Server+"."+i.Tool, object(i.Arguments)
		return call, string(i.Result)
	case "web_search":
		call.Arguments["query"] = i.Query
	case "file_change":
		call.Arguments["changes"] = i.Changes
	case "todo_list":
		call.Arguments["items"] = i.Items
	}
	return call, i.Status
}

// finish chooses the better source.
func (c *codexLog) finish() {
	if c.totals.Known() { // it also has the turn in which the agent was killed, and sub-agents
		c.log.Usage = c.totals
	}
	if t := c.trajectory(c.t.SessionID); t != nil {
		c.log.Trajectory, c.log.Images, c.log.Answered = t, c.images, true
	} else if len(c.t.Steps) > 0 {
		c.log.Trajectory = &c.t
	}
}

package agent

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
)

// claudeEvent is a line of the output, or of a session's file.
type claudeEvent struct {
	Type      string        `json:"type"`
	Subtype   string        `json:"subtype"`
	SessionID string        `json:"session_id"`
	Parent    string        `json:"parent_tool_use_id"` // the call that started the sub-agent that says this
	Timestamp string        `json:"timestamp"`
	Message   claudeMessage `json:"message"`
	Synthetic bool          `json:"is_api_error_message"`
	// Of the result, which is the last line.
	IsError        bool                        `json:"is_error"`
	Status         *int                        `json:"api_error_status"`
	TerminalReason string                      `json:"terminal_reason"`
	Result         string                      `json:"result"`
	CostUSD        *float64                    `json:"total_cost_usd"`
	ModelUsage     map[string]claudeModelUsage `json:"modelUsage"`
}

type claudeMessage struct {
	ID      string          `json:"id"`
	Role    string          `json:"role"`
	Model   string          `json:"model"`
	Content json.RawMessage `json:"content"`
	Usage   *claudeUsage    `json:"usage"`
}

type claudeUsage struct {
	Input      *int64 `json:"input_tokens"`
	Output     *int64 `json:"output_tokens"`
	CacheRead  *int64 `json:"cache_read_input_tokens"`
	CacheWrite *int64 `json:"cache_creation_input_tokens"`
}

type claudeModelUsage struct {
	Input      int64 `json:"inputTokens"`
	Output     int64 `json:"outputTokens"`
	CacheRead  int64 `json:"cacheReadInputTokens"`
	CacheWrite int64 `json:"cacheCreationInputTokens"`
}

type claudeBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

// normal gives the usage in the normal form: what the cache read and wrote comes on top of the input.
func (u *claudeUsage) normal() usage.Usage {
	if u == nil || u.Input == nil {
		return usage.Usage{}
	}
	return parts(*u.Input, deref(u.CacheRead), deref(u.CacheWrite), deref(u.Output))
}

// parts makes a usage of an input without its cache; all of it 0 means that nobody counted.
func parts(input, cacheRead, cacheWrite, output int64) usage.Usage {
	if input+cacheRead+cacheWrite+output == 0 {
		return usage.Usage{}
	}
	return usage.Usage{
		InputTotal: usage.Of(input + cacheRead + cacheWrite), CacheRead: usage.Of(cacheRead), CacheWrite: usage.Of(cacheWrite),
		OutputTotal: usage.Of(output),
	}
}

func deref(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// claudeLog collects what the output tells.
type claudeLog struct {
	main, current *atif.Trajectory
	subs          map[string]*atif.Trajectory
	subOrder      []string
	steps         map[string]int         // message id → index of its step in its trajectory
	usages        map[string]usage.Usage // by message id, from the session's files: the output has only what was known at the start of each answer
	log           Log
}

// readClaude reads claude-code.txt and the session's files.
func readClaude(dir string) (*Log, error) {
	c := &claudeLog{main: &atif.Trajectory{}, subs: map[string]*atif.Trajectory{}, steps: map[string]int{}, usages: map[string]usage.Usage{}}
	if err := c.readSessions(filepath.Join(dir, "sessions", "projects")); err != nil {
		return nil, err
	}
	if err := eachEvent(filepath.Join(dir, "claude-code.txt"), c.event); err != nil {
		return nil, err
	}
	c.finish()
	return &c.log, nil
}

// readSessions finds the usage of each message. A message stands in several lines; the last is the whole.
func (c *claudeLog) readSessions(dir string) error {
	return eachFile(dir, ".jsonl", func(path string) error {
		return eachEvent(path, func(e *claudeEvent) {
			if u := e.Message.Usage.normal(); e.Type == "assistant" && e.Message.ID != "" && u.Known() {
				c.usages[e.Message.ID] = u
			}
		})
	})
}

// eachFile calls f for every regular file with that ending at and below a folder, which may be missing.
func eachFile(dir, ending string, f func(path string) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read was not written
		}
		if d.Type().IsRegular() && strings.HasSuffix(path, ending) {
			return f(path)
		}
		return nil
	})
}

func (c *claudeLog) event(e *claudeEvent) {
	c.current = c.main
	if e.Parent != "" {
		if c.subs[e.Parent] == nil {
			c.subs[e.Parent] = &atif.Trajectory{SchemaVersion: atif.Version, TrajectoryID: e.Parent}
			c.subOrder = append(c.subOrder, e.Parent)
		}
		c.current = c.subs[e.Parent]
	}
	if c.main.SessionID == "" {
		c.main.SessionID = e.SessionID
	}
	switch e.Type {
	case "assistant":
		c.assistant(e)
	case "user":
		c.user(e)
	case "result":
		c.result(e)
	}
}

// assistant adds to the step of the message, of which each line has another block.
func (c *claudeLog) assistant(e *claudeEvent) {
	m := &e.Message
	if m.Model == "<synthetic>" || e.Synthetic { // an error in an answer's clothes
		return
	}
	c.log.Answered = true
	i, known := c.steps[m.ID]
	if !known || m.ID == "" {
		c.current.Add(atif.Step{Source: atif.SourceAgent, Timestamp: e.Timestamp, ModelName: m.Model, Metrics: metricsOf(c.usages[m.ID], nil)})
		i = len(c.current.Steps) - 1
		c.steps[m.ID] = i
	}
	step := &c.current.Steps[i]
	if c.current == c.main && c.main.Agent.ModelName == "" {
		c.main.Agent.ModelName = m.Model
	}
	for _, b := range blocks(m.Content) {
		switch b.Type {
		case "text":
			step.Message = atif.Text(join(step.Message.Text, b.Text))
		case "thinking":
			step.ReasoningContent = join(step.ReasoningContent, b.Thinking)
		case "tool_use", "server_tool_use":
			step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: b.ID, Function: b.Name, Arguments: object(b.Input)})
		}
	}
}

// user attaches what tools gave; what users say becomes a step.
func (c *claudeLog) user(e *claudeEvent) {
	said := ""
	for _, b := range blocks(e.Message.Content) {
		switch b.Type {
		case "text":
			said = join(said, b.Text)
		case "tool_result":
			var extra map[string]any
			if b.IsError {
				extra = map[string]any{"is_error": true}
			}
			c.current.Observe(b.ToolUseID, atif.Text(textOf(b.Content)), extra)
		}
	}
	if said != "" {
		c.current.Add(atif.Step{Source: atif.SourceUser, Timestamp: e.Timestamp, Message: atif.Text(said)})
	}
}

func (c *claudeLog) result(e *claudeEvent) {
	sum := usage.Usage{}
	for _, u := range e.ModelUsage {
		sum = sum.Add(parts(u.Input, u.CacheRead, u.CacheWrite, u.Output))
	}
	c.log.Usage = sum
	if sum.Known() {
		c.log.CostUSD = e.CostUSD
	}
	c.log.Failure = nil
	if !e.IsError {
		return
	}
	f := &Failure{Message: e.Result}
	if e.Status != nil {
		f.Status = *e.Status
	}
	switch {
	case e.TerminalReason == "prompt_too_long":
		f.Type = result.ContextWindowExceededError
	case strings.HasPrefix(e.Subtype, "error_"): // its own limits: turns, money
		f.Type, f.Message = result.NonZeroAgentExitCodeError, join(strings.ReplaceAll(e.Subtype, "_", " "), e.Result)
	}
	c.log.Failure = f
}

// finish puts the parts together.
func (c *claudeLog) finish() {
	if !c.log.Usage.Known() { // it was killed
		for _, u := range c.usages {
			c.log.Usage = c.log.Usage.Add(u)
		}
	}
	if len(c.main.Steps) == 0 {
		return
	}
	for _, id := range c.subOrder {
		sub := c.subs[id]
		if len(sub.Steps) == 0 {
			continue
		}
		sub.Agent = atif.Agent{Name: "claude-code", Version: "unknown"}
		c.main.SubTrajectories = append(c.main.SubTrajectories, *sub)
		c.refer(id)
	}
	c.log.Trajectory = c.main
}

// refer names a sub-agent's trajectory at what its call gave.
func (c *claudeLog) refer(call string) {
	for _, s := range c.main.Steps {
		if s.Observation == nil {
			continue
		}
		for i := range s.Observation.Results {
			if r := &s.Observation.Results[i]; r.SourceCallID == call {
				r.SubagentRefs = []atif.SubagentRef{{TrajectoryID: call}}
			}
		}
	}
}

// blocks gives a message's content as blocks; a text is one.
func blocks(content json.RawMessage) []claudeBlock {
	var list []claudeBlock
	if json.Unmarshal(content, &list) == nil {
		return list
	}
	var text string
	if json.Unmarshal(content, &text) == nil {
		return []claudeBlock{{Type: "text", Text: text}}
	}
	return nil
}

// textOf gives the text of a content that is text, or blocks of which some are.
func textOf(content json.RawMessage) string {
	all := ""
	for _, b := range blocks(content) {
		if b.Type == "text" {
			all = join(all, b.Text)
		} else {
			all = join(all, "["+b.Type+"]")
		}
	}
	return all
}

// join puts texts apart by an empty line.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n\n" + b
}

// metricsOf gives a step's metrics; nil if nothing is known.
func metricsOf(u usage.Usage, cost *float64) *atif.Metrics {
	if !u.Known() {
		return nil
	}
	m := &atif.Metrics{PromptTokens: u.InputTotal, CompletionTokens: u.OutputTotal, CachedTokens: u.CacheRead, CostUSD: cost}
	if deref(u.CacheWrite) > 0 {
		m.Extra = map[string]any{"cache_creation_input_tokens": *u.CacheWrite}
	}
	if deref(u.Reasoning) > 0 {
		if m.Extra == nil {
			m.Extra = map[string]any{}
		}
		m.Extra["reasoning_tokens"] = *u.Reasoning
	}
	return m
}

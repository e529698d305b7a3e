package agent

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
)

// claudeEvent is a line of the output, or of a session's file, which writes some names in another way.
type claudeEvent struct {
	Type      string          `json:"type"`
	Subtype   string          `json:"subtype"`
	UUID      string          `json:"uuid"`
	Timestamp string          `json:"timestamp"`
	Message   claudeMessage   `json:"message"`
	Content   json.RawMessage `json:"content"`
	// Of the output.
	SessionID string `json:"session_id"`
	Parent    string `json:"parent_tool_use_id"` // the call that started the sub-agent that says this
	Synthetic bool   `json:"is_api_error_message"`
	// Of a session's file.
	Session   string          `json:"sessionId"`
	Sidechain bool            `json:"isSidechain"`
	AgentID   string          `json:"agentId"` // the sub-agent that says this
	Meta      bool            `json:"isMeta"`  // the program's own words
	APIError  bool            `json:"isApiErrorMessage"`
	ToolInfo  json.RawMessage `json:"toolUseResult"`
	Dir       string          `json:"cwd"`
	Branch    string          `json:"gitBranch"`
	// Of the result, which is the last line of the output.
	IsError        bool                        `json:"is_error"`
	Status         *int                        `json:"api_error_status"`
	TerminalReason string                      `json:"terminal_reason"`
	Result         string                      `json:"result"`
	CostUSD        *float64                    `json:"total_cost_usd"`
	ModelUsage     map[string]claudeModelUsage `json:"modelUsage"`
}

type claudeMessage struct {
	ID         string          `json:"id"`
	Role       string          `json:"role"`
	Model      string          `json:"model"`
	Content    json.RawMessage `json:"content"`
	StopReason string          `json:"stop_reason"`
	Usage      *claudeUsage    `json:"usage"`
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

// claudeLog collects what the output and the session's files tell. The files have all of every agent, the output less of sub-agents and no usage of
// single calls (only what was known at the start of each answer); but there may be no files.
type claudeLog struct {
	log      Log
	images   *atif.Images
	output   *claudeRun
	sessions map[string]*claudeRun // by id
	order    []string
	usages   map[string]usage.Usage // by message id, from the files
}

// readClaude reads claude-code.txt and the session's files.
func readClaude(dir string) (*Log, error) {
	c := &claudeLog{images: &atif.Images{}, sessions: map[string]*claudeRun{}, usages: map[string]usage.Usage{}}
	c.output = newClaudeRun(c)
	err := eachEvent(filepath.Join(dir, "claude-code.txt"), func(e *claudeEvent) {
		if e.Type == "result" {
			c.result(e)
			return
		}
		if c.output.main.SessionID == "" {
			c.output.main.SessionID = e.SessionID
		}
		c.output.starts(e.Parent, e.Parent)
		c.output.event(e, e.Parent)
	})
	if err != nil {
		return nil, err
	}
	if err := c.readSessions(filepath.Join(dir, "sessions", "projects")); err != nil {
		return nil, err
	}
	c.finish()
	return &c.log, nil
}

// readSessions reads the files of all sessions: of the agent's own, of its sub-agents, and of what it may have started itself.
func (c *claudeLog) readSessions(dir string) error {
	return eachFile(dir, "", func(path string) error {
		switch {
		case strings.HasSuffix(path, ".meta.json"):
			return c.readMeta(path)
		case strings.HasSuffix(path, ".jsonl"):
			return eachEvent(path, c.sessionEvent)
		}
		return nil
	})
}

// readMeta reads which call started a sub-agent.
func (c *claudeLog) readMeta(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var meta struct {
		ToolUseID string `json:"toolUseId"`
	}
	id, is := strings.CutPrefix(strings.TrimSuffix(filepath.Base(path), ".meta.json"), "agent-")
	if is && json.Unmarshal(data, &meta) == nil {
		session := filepath.Base(filepath.Dir(filepath.Dir(path)))
		c.session(session).starts(meta.ToolUseID, id)
	}
	return nil
}

func (c *claudeLog) session(id string) *claudeRun {
	if c.sessions[id] == nil {
		r := newClaudeRun(c)
		r.main.SessionID = id
		c.sessions[id] = r
		c.order = append(c.order, id)
	}
	return c.sessions[id]
}

// sessionEvent takes a line of a session's file. A message of the model stands in several lines; the last has its usage as a whole.
func (c *claudeLog) sessionEvent(e *claudeEvent) {
	if e.Session == "" || e.Type != "assistant" && e.Type != "user" && e.Type != "system" {
		return
	}
	if u := e.Message.Usage.normal(); e.Type == "assistant" && e.Message.ID != "" && u.Known() {
		c.usages[e.Message.ID] = u
	}
	agent := e.AgentID
	if e.Sidechain && agent == "" {
		agent = "sidechain"
	}
	c.session(e.Session).event(e, agent)
}

// result takes the last line. A program that goes on after it, for what ran in the background, writes another, whose sums are of all.
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

// finish chooses the better source and puts its parts together.
func (c *claudeLog) finish() {
	if !c.log.Usage.Known() { // it was killed
		for _, u := range c.usages {
			c.log.Usage = c.log.Usage.Add(u)
		}
	}
	best := c.own()
	c.log.Answered = c.output.answered || best.answered
	if len(best.main.Steps) == 0 {
		return
	}
	c.log.Trajectory = best.trajectory()
	c.log.Images = c.images
}

// own gives the agent's own session, as the output names it or else the first; the output itself if no file has an answer of it.
func (c *claudeLog) own() *claudeRun {
	named := c.sessions[c.output.main.SessionID]
	if named == nil && c.output.main.SessionID == "" {
		for _, id := range c.order {
			if named == nil && c.sessions[id].answered {
				named = c.sessions[id]
			}
		}
	}
	if named == nil || !named.answered {
		return c.output
	}
	return named
}

// claudeRun is an agent with its sub-agents as one source tells of them.
type claudeRun struct {
	log      *claudeLog
	main     *atif.Trajectory
	subs     map[string]*atif.Trajectory
	order    []string            // of subs
	calls    map[string]string   // sub-agent → the call that started it
	steps    map[string]stepAt   // by message id
	seen     map[string]struct{} // ids of events
	answered bool
	dirs     map[string]bool
	branches map[string]bool
}

// stepAt is a step of one of the trajectories.
type stepAt struct {
	t *atif.Trajectory
	n int
}

func (s stepAt) step() *atif.Step { return &s.t.Steps[s.n] }

func newClaudeRun(c *claudeLog) *claudeRun {
	return &claudeRun{
		log: c, main: &atif.Trajectory{}, subs: map[string]*atif.Trajectory{}, calls: map[string]string{},
		steps: map[string]stepAt{}, seen: map[string]struct{}{}, dirs: map[string]bool{}, branches: map[string]bool{},
	}
}

// starts notes the call that started a sub-agent.
func (r *claudeRun) starts(call, agent string) {
	if call != "" && agent != "" {
		r.calls[agent] = call
	}
}

// of gives the trajectory of a sub-agent; "" is the agent itself.
func (r *claudeRun) of(agent string) *atif.Trajectory {
	if agent == "" {
		return r.main
	}
	if r.subs[agent] == nil {
		r.subs[agent] = &atif.Trajectory{SchemaVersion: atif.Version, TrajectoryID: agent}
		r.order = append(r.order, agent)
	}
	return r.subs[agent]
}

func (r *claudeRun) event(e *claudeEvent, agent string) {
	if _, again := r.seen[e.UUID]; again && e.UUID != "" {
		return
	}
	r.seen[e.UUID] = struct{}{}
	if e.Dir != "" {
		r.dirs[e.Dir] = true
	}
	if e.Branch != "" {
		r.branches[e.Branch] = true
	}
	switch {
	case e.Type == "assistant":
		r.assistant(e, r.of(agent))
	case e.Type == "user" && !e.Meta:
		r.user(e, r.of(agent))
	case e.Type == "system" && e.Subtype == "compact_boundary":
		r.of(agent).Add(compaction(e.Timestamp, textOf(e.Content)))
	}
}

// assistant adds to the step of the message, of which each line has another block.
func (r *claudeRun) assistant(e *claudeEvent, t *atif.Trajectory) {
	m := &e.Message
	if m.Model == "<synthetic>" || e.Synthetic || e.APIError { // an error in an answer's clothes
		return
	}
	r.answered = true
	at, known := r.steps[m.ID]
	if !known || m.ID == "" {
		t.Add(atif.Step{Source: atif.SourceAgent, Timestamp: e.Timestamp, ModelName: m.Model})
		at = stepAt{t, len(t.Steps) - 1}
		r.steps[m.ID] = at
	}
	if t.Agent.ModelName == "" {
		t.Agent.ModelName = m.Model
	}
	claudeBlocks(at.step(), m.Content)
	if m.StopReason != "" {
		at.step().Extra = map[string]any{"stop_reason": m.StopReason}
	}
}

// claudeBlocks adds what a message of the model consists of to its step.
func claudeBlocks(step *atif.Step, content json.RawMessage) {
	for _, b := range blocks(content) {
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
func (r *claudeRun) user(e *claudeEvent, t *atif.Trajectory) {
	var said []atif.Part
	for _, b := range blocks(e.Message.Content) {
		if b.Type != "tool_result" {
			said = append(said, b.part(r.log.images))
			continue
		}
		var extra map[string]any
		if b.IsError {
			extra = map[string]any{"is_error": true}
		}
		t.Observe(b.ToolUseID, contentOf(b.Content, r.log.images), extra)
		var info struct {
			AgentID string `json:"agentId"`
		}
		if json.Unmarshal(e.ToolInfo, &info) == nil {
			r.starts(b.ToolUseID, info.AgentID)
		}
	}
	if message := atif.Parts(said); message.Parts != nil || message.Text != "" {
		t.Add(atif.Step{Source: atif.SourceUser, Timestamp: e.Timestamp, Message: message})
	}
}

// trajectory puts the agent and its sub-agents together.
func (r *claudeRun) trajectory() *atif.Trajectory {
	for id, at := range r.steps {
		at.step().Metrics = metricsOf(r.log.usages[id], nil)
	}
	for _, id := range r.order {
		sub := r.subs[id]
		if len(sub.Steps) == 0 {
			continue
		}
		for _, t := range append([]*atif.Trajectory{r.main}, slices.Collect(maps.Values(r.subs))...) {
			refer(t, r.calls[id], id)
		}
		r.main.SubTrajectories = append(r.main.SubTrajectories, *sub)
	}
	extra := map[string]any{}
	if len(r.dirs) > 0 {
		extra["cwds"] = slices.Sorted(maps.Keys(r.dirs))
	}
	if len(r.branches) > 0 {
		extra["git_branches"] = slices.Sorted(maps.Keys(r.branches))
	}
	if len(extra) > 0 {
		r.main.Agent.Extra = extra
	}
	return r.main
}

// refer names a sub-agent's trajectory at what the call that started it gave.
func refer(t *atif.Trajectory, call, id string) {
	if call == "" {
		return
	}
	for _, s := range t.Steps {
		if s.Observation == nil {
			continue
		}
		for i := range s.Observation.Results {
			if r := &s.Observation.Results[i]; r.SourceCallID == call {
				r.SubagentRefs = append(r.SubagentRefs, atif.SubagentRef{TrajectoryID: id})
			}
		}
	}
}

// compaction marks that from here on the model knows a summary of what came before.
func compaction(timestamp, words string) atif.Step {
	if words == "" {
		words = "The agent has put a summary in the place of the conversation so far."
	}
	return atif.Step{
		Source: atif.SourceSystem, Timestamp: timestamp, Message: atif.Text(words),
		Extra: map[string]any{"context_management": map[string]any{"type": "compaction", "boundary": "replace"}},
	}
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

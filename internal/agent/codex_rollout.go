package agent

import (
	"encoding/json"
	"strings"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// codexRecord is a line of a rollout file.
type codexRecord struct {
	Timestamp string       `json:"timestamp"`
	Type      string       `json:"type"`
	Payload   codexPayload `json:"payload"`
}

// codexPayload is what a record has. Which fields it has depends on the types of both.
type codexPayload struct {
	Type string `json:"type"`
	// Of session_meta and turn_context.
	ID     string `json:"id"`
	Parent string `json:"parent_thread_id"`
	Dir    string `json:"cwd"`
	Model  string `json:"model"`
	// Of token_count and token_usage_record.
	Info *struct {
		Total *codexUsage `json:"total_token_usage"`
		Last  *codexUsage `json:"last_token_usage"`
	} `json:"info"`
	Usage *codexUsage `json:"usage"`
	// Of compacted.
	Message json.RawMessage `json:"message"`
	// Of response_item.
	Role      string          `json:"role"`
	Content   []codexPart     `json:"content"`
	Summary   []codexPart     `json:"summary"`
	Name      string          `json:"name"`
	Namespace string          `json:"namespace"`
	CallID    string          `json:"call_id"`
	Arguments json.RawMessage `json:"arguments"`
	Input     json.RawMessage `json:"input"`
	Action    json.RawMessage `json:"action"`
	Output    json.RawMessage `json:"output"`
}

type codexPart struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	ImageURL string `json:"image_url"`
}

// codexThread is the conversation of the agent or of one that it has started.
type codexThread struct {
	t        atif.Trajectory
	parent   string
	model    string
	open     int         // step that takes more of the same answer, from 1; 0: the next answer begins one
	observed bool        // something was observed since that began
	total    usage.Usage // last sum that was told
	images   *atif.Images
	answered bool
}

// readRollout reads a file, which is of one thread. It may go on with one of another file.
func (c *codexLog) readRollout(path string) error {
	var thread *codexThread
	total := usage.Usage{}
	err := eachEvent(path, func(r *codexRecord) {
		if thread == nil {
			thread = c.thread(r)
		}
		thread.record(r)
		if i := r.Payload.Info; r.Payload.Type == "token_count" && i != nil && i.Total != nil {
			total = i.Total.normal()
		}
	})
	c.totals = c.totals.Add(total)
	return err
}

// thread gives the thread that a file's first record names.
func (c *codexLog) thread(r *codexRecord) *codexThread {
	id := ""
	if r.Type == "session_meta" {
		id = r.Payload.ID
	}
	if c.threads[id] == nil {
		c.threads[id] = &codexThread{t: atif.Trajectory{SessionID: id}, parent: r.Payload.Parent, images: c.images}
		c.order = append(c.order, id)
	}
	return c.threads[id]
}

func (h *codexThread) record(r *codexRecord) {
	p := &r.Payload
	switch {
	case r.Type == "session_meta" && p.Dir != "":
		h.t.Agent.Extra = map[string]any{"cwds": []string{p.Dir}}
	case r.Type == "turn_context" && p.Model != "":
		if h.model = p.Model; h.t.Agent.ModelName == "" {
			h.t.Agent.ModelName = p.Model
		}
	case r.Type == "compacted":
		h.close()
		var words string
		if json.Unmarshal(p.Message, &words) != nil {
			words = ""
		}
		h.t.Add(compaction(r.Timestamp, words))
	case r.Type == "response_item":
		h.item(r)
	case r.Type == "token_usage_record" && p.Usage != nil:
		h.spent(p.Usage.normal())
	case p.Type == "token_count":
		h.count(p)
	}
}

// count takes what is told after each call of the model, and again when nothing was added.
func (h *codexThread) count(p *codexPayload) {
	if p.Info == nil || p.Info.Total == nil || p.Info.Last == nil {
		h.close()
		return
	}
	if now := p.Info.Total.normal(); now.Tokens() != h.total.Tokens() {
		h.total = now
		h.spent(p.Info.Last.normal())
	}
}

// spent ends the answer, whose tokens are known. Newer versions tell them twice: at once and when the tools have run.
func (h *codexThread) spent(u usage.Usage) {
	h.close()
	for i := len(h.t.Steps) - 1; i >= 0; i-- {
		if s := &h.t.Steps[i]; s.Source == atif.SourceAgent {
			if s.Metrics == nil {
				s.Metrics = metricsOf(u, nil)
			}
			return
		}
	}
}

func (h *codexThread) close() { h.open, h.observed = 0, false }

// step gives the step of the answer that is told now. Words after what a tool gave are another's.
func (h *codexThread) step(r *codexRecord, words bool) *atif.Step {
	h.answered = true
	if h.open == 0 || words && h.observed {
		h.t.Add(atif.Step{Source: atif.SourceAgent, Timestamp: r.Timestamp, ModelName: h.model})
		h.open, h.observed = len(h.t.Steps), false
	}
	return &h.t.Steps[h.open-1]
}

// item adds a part of the conversation.
func (h *codexThread) item(r *codexRecord) {
	p := &r.Payload
	switch {
	case p.Type == "reasoning":
		s := h.step(r, true)
		for _, part := range append(p.Summary, p.Content...) {
			s.ReasoningContent = join(s.ReasoningContent, part.Text)
		}
	case p.Type == "message" && p.Role == "assistant":
		s := h.step(r, true)
		s.Message = atif.Join(s.Message, h.content(p.Content))
	case p.Type == "message":
		h.close()
		said := h.content(p.Content)
		h.t.Add(atif.Step{Source: codexSource(p.Role, said.Text), Timestamp: r.Timestamp, Message: said})
	case strings.HasSuffix(p.Type, "_output"):
		content, extra := h.output(p.Output)
		h.t.Observe(p.CallID, content, extra)
		h.observed = true
	case strings.HasSuffix(p.Type, "_call"):
		s := h.step(r, false)
		s.ToolCalls = append(s.ToolCalls, p.call())
	}
}

// codexSource tells what the program says to the model from what the user says.
func codexSource(role, text string) string {
	for _, begin := range []string{"<environment_context>", "<user_instructions>", "# AGENTS.md instructions"} {
		if strings.HasPrefix(text, begin) {
			return atif.SourceSystem
		}
	}
	if role == "user" {
		return atif.SourceUser
	}
	return atif.SourceSystem
}

func (h *codexThread) content(list []codexPart) atif.Content {
	var made []atif.Part
	for _, p := range list {
		switch {
		case p.ImageURL != "":
			made = append(made, h.images.URL(p.ImageURL))
		case p.Text != "":
			made = append(made, atif.TextPart(p.Text))
		}
	}
	return atif.Parts(made)
}

// output gives what a tool gave: parts, text, or text that is JSON with the output and its exit status in it.
func (h *codexThread) output(raw json.RawMessage) (atif.Content, map[string]any) {
	var list []codexPart
	if json.Unmarshal(raw, &list) == nil {
		return h.content(list), nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return atif.Text(string(raw)), nil
	}
	var wrapped struct {
		Output   *string        `json:"output"`
		Metadata map[string]any `json:"metadata"`
	}
	if json.Unmarshal([]byte(text), &wrapped) == nil && wrapped.Output != nil {
		return atif.Text(*wrapped.Output), wrapped.Metadata
	}
	return atif.Text(text), nil
}

// call gives a tool call; those of the provider's own tools have no name but their type.
func (p *codexPayload) call() atif.ToolCall {
	c := atif.ToolCall{ID: p.CallID, Function: p.Name, Arguments: object(p.Arguments)}
	if c.ID == "" {
		c.ID = p.ID
	}
	if c.Function == "" {
		c.Function = strings.TrimSuffix(p.Type, "_call")
	}
	if p.Namespace != "" {
		c.Function = p.Namespace + "." + c.Function
	}
	for _, other := range []json.RawMessage{p.Input, p.Action} {
		if len(p.Arguments) == 0 && len(other) > 0 {
			c.Arguments = object(other)
		}
	}
	return c
}

// trajectory gives the thread with that id, with those that come from it; nil if there is none in which the model has answered. Without an id it is the first.
func (c *codexLog) trajectory(id string) *atif.Trajectory {
	own := c.threads[id]
	if own == nil {
		own = c.threads[""] // of a file that does not tell
	}
	for _, first := range c.order {
		if own == nil && id == "" && c.threads[first].parent == "" {
			own = c.threads[first]
		}
	}
	if own == nil || !own.answered {
		return nil
	}
	for _, id := range c.order {
		sub := c.threads[id]
		parent := c.threads[sub.parent]
		if sub == own || parent == nil || len(sub.t.Steps) == 0 {
			continue
		}
		embedded := sub.t
		embedded.SchemaVersion, embedded.TrajectoryID = atif.Version, id
		referByName(&parent.t, id)
		own.t.SubTrajectories = append(own.t.SubTrajectories, embedded)
	}
	return &own.t
}

// referByName names a sub-agent's trajectory at the first result that tells its id.
func referByName(t *atif.Trajectory, id string) {
	for _, s := range t.Steps {
		if s.Observation == nil {
			continue
		}
		for i := range s.Observation.Results {
			if r := &s.Observation.Results[i]; r.Content != nil && strings.Contains(r.Content.Text, id) {
				r.SubagentRefs = append(r.SubagentRefs, atif.SubagentRef{TrajectoryID: id})
				return
			}
		}
	}
}

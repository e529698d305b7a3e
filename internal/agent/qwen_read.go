package agent

import (
	"encoding/json"
	"path/filepath"
	"strings"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// qwenEvent is a line of the output, which is like Claude Code's except for how the end is told and what the tokens contain.
type qwenEvent struct {
	claudeEvent
	Usage *claudeUsage `json:"usage"`
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
}

// qwenRecord is a line of a session's file, or of that of a sub-agent: a message of Gemini's form.
type qwenRecord struct {
	UUID      string `json:"uuid"`
	SessionID string `json:"sessionId"`
	AgentID   string `json:"agentId"` // of a sub-agent; it ends in the id of the call that started it
	Timestamp string `json:"timestamp"`
	Type      string `json:"type"`
	Subtype   string `json:"subtype"`
	Model     string `json:"model"`
	Message   struct {
		Parts json.RawMessage `json:"parts"`
	} `json:"message"`
	Usage *qwenCount `json:"usageMetadata"`
}

type qwenCount struct {
	Input    int64 `json:"promptTokenCount"`     // with the cached
	Output   int64 `json:"candidatesTokenCount"` // with the thought
	Thoughts int64 `json:"thoughtsTokenCount"`
	Cached   int64 `json:"cachedContentTokenCount"`
}

func (q *qwenCount) normal() usage.Usage {
	if q == nil || q.Input+q.Output == 0 {
		return usage.Usage{}
	}
	return usage.Usage{InputTotal: usage.Of(q.Input), CacheRead: usage.Of(q.Cached), OutputTotal: usage.Of(q.Output), Reasoning: usage.Of(q.Thoughts)}
}

// qwenThread is what one agent says, in the files.
type qwenThread struct {
	t        *atif.Trajectory
	open     bool // the last step takes more of the same answer
	answered bool
}

// qwenLog collects what the output and the sessions' files tell. The output lacks what sub-agents do.
type qwenLog struct {
	log     Log
	images  *atif.Images
	t       *atif.Trajectory       // of the output
	open    bool                   // its last step takes more of the same answer
	threads map[string]*qwenThread // of the files, by session and sub-agent
	order   []string
	seen    map[string]bool
	counted usage.Usage // in the files
}

// readQwen reads qwen-code.txt, and the sessions' files.
func readQwen(dir string) (*Log, error) {
	q := &qwenLog{images: &atif.Images{}, t: &atif.Trajectory{}, threads: map[string]*qwenThread{}, seen: map[string]bool{}}
	if err := eachEvent(filepath.Join(dir, "qwen-code.txt"), q.event); err != nil {
		return nil, err
	}
	err := eachFile(filepath.Join(dir, "qwen-sessions"), ".jsonl", func(path string) error { return eachEvent(path, q.record) })
	if err != nil {
		return nil, err
	}
	q.finish()
	return &q.log, nil
}

// event takes a line of the output.
func (q *qwenLog) event(e *qwenEvent) {
	if q.t.SessionID == "" {
		q.t.SessionID = e.SessionID
	}
	switch {
	case e.Type == "result":
		qwenResult(&q.log, e)
	case e.Parent != "": // what a sub-agent was told
	case e.Type == "assistant":
		if e.Message.Usage == nil || deref(e.Message.Usage.Input)+deref(e.Message.Usage.Output) > 0 || len(blocks(e.Message.Content)) > 0 {
			qwenStep(q.t, &e.Message, &q.open)
		}
	case e.Type == "user":
		q.open = false
		for _, b := range blocks(e.Message.Content) {
			if b.Type == "tool_result" {
				q.t.Observe(b.ToolUseID, contentOf(b.Content, q.images), nil)
			}
		}
	}
}

// record takes a line of a file.
func (q *qwenLog) record(r *qwenRecord) {
	if r.SessionID == "" || q.seen[r.UUID] && r.UUID != "" {
		return
	}
	q.seen[r.UUID] = true
	h := q.thread(r)
	parts := geminiParts(r.Message.Parts)
	switch r.Type {
	case "user":
		h.open = false
		if said := geminiContent(parts, q.images); said.Text != "" || said.Parts != nil {
			h.t.Add(atif.Step{Source: atif.SourceUser, Timestamp: r.Timestamp, Message: said})
		}
	case "tool_result":
		h.open = false
		for _, p := range parts {
			if p.Response != nil {
				h.t.Observe(p.Response.ID, geminiContent([]geminiPart{p}, q.images), nil)
			}
		}
	case "system":
		if r.Subtype == "chat_compression" {
			h.t.Add(compaction(r.Timestamp, ""))
		}
	case "assistant":
		q.answer(h, r, parts)
	}
}

func (q *qwenLog) thread(r *qwenRecord) *qwenThread {
	key := r.SessionID + " " + r.AgentID
	if q.threads[key] == nil {
		t := &atif.Trajectory{SessionID: r.SessionID}
		if r.AgentID != "" {
			t.SchemaVersion, t.TrajectoryID = atif.Version, r.AgentID
		}
		q.threads[key] = &qwenThread{t: t}
		q.order = append(q.order, key)
	}
	return q.threads[key]
}

// answer adds what the model says, in one record or several.
func (q *qwenLog) answer(h *qwenThread, r *qwenRecord, parts []geminiPart) {
	h.answered = true
	if !h.open {
		h.t.Add(atif.Step{Source: atif.SourceAgent, Timestamp: r.Timestamp, ModelName: r.Model})
		h.open = true
	}
	if h.t.Agent.ModelName == "" {
		h.t.Agent.ModelName = r.Model
	}
	step := &h.t.Steps[len(h.t.Steps)-1]
	for _, p := range parts {
		switch {
		case p.Call != nil:
			step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: p.Call.ID, Function: p.Call.Name, Arguments: object(p.Call.Args)})
		case p.Thought:
			step.ReasoningContent = join(step.ReasoningContent, p.Text)
		}
	}
	step.Message = atif.Join(step.Message, geminiContent(parts, q.images))
	if u := r.Usage.normal(); u.Known() {
		step.Metrics, q.counted = metricsOf(u, nil), q.counted.Add(u)
	}
}

// finish chooses the better source. An answer that the program makes of an error is no step.
func (q *qwenLog) finish() {
	if !q.log.Usage.Known() { // it was killed
		q.log.Usage = q.counted
	}
	if !q.log.Usage.Known() {
		q.log.Usage = stepUsage(q.t)
	}
	own := q.threads[q.t.SessionID+" "]
	if own == nil && q.t.SessionID == "" && len(q.order) > 0 {
		own = q.threads[q.order[0]]
	}
	if own != nil && own.answered && own.t.TrajectoryID == "" {
		q.log.Answered, q.log.Images, q.log.Trajectory = true, q.images, own.t
		q.embed(own.t)
		return
	}
	q.log.Answered = len(q.t.Steps) > 0 && q.log.Failure == nil
	if q.log.Answered {
		q.log.Trajectory, q.log.Images = q.t, q.images
	}
}

// embed adds the sub-agents, each named at the call that its id ends in.
func (q *qwenLog) embed(own *atif.Trajectory) {
	var subs []*atif.Trajectory
	for _, key := range q.order {
		if t := q.threads[key].t; t.TrajectoryID != "" && t.SessionID == own.SessionID {
			subs = append(subs, t)
		}
	}
	for _, sub := range subs {
		for _, t := range append([]*atif.Trajectory{own}, subs...) {
			for _, s := range t.Steps {
				for _, c := range s.ToolCalls {
					if strings.HasSuffix(sub.TrajectoryID, "-"+c.ID) {
						refer(t, c.ID, sub.TrajectoryID)
					}
				}
			}
		}
	}
	for _, sub := range subs {
		own.SubTrajectories = append(own.SubTrajectories, *sub)
	}
}

// stepUsage sums up what steps have used.
func stepUsage(t *atif.Trajectory) usage.Usage {
	sum := usage.Usage{}
	for i := range t.Steps {
		if m := t.Steps[i].Metrics; m != nil {
			sum = sum.Add(usage.Usage{InputTotal: m.PromptTokens, CacheRead: m.CachedTokens, OutputTotal: m.CompletionTokens})
		}
	}
	return sum
}

func qwenStep(t *atif.Trajectory, m *claudeMessage, open *bool) {
	if !*open {
		t.Add(atif.Step{Source: atif.SourceAgent, ModelName: m.Model})
		*open = true
	}
	step := &t.Steps[len(t.Steps)-1]
	claudeBlocks(step, m.Content)
	if u := m.Usage; u != nil && deref(u.Input) > 0 {
		step.Metrics = metricsOf(qwenUsage(u), nil)
	}
}

// qwenUsage gives the usage in the normal form; its input has the cached tokens in it, and its output what was thought.
func qwenUsage(u *claudeUsage) usage.Usage {
	if u == nil || deref(u.Input)+deref(u.Output) == 0 {
		return usage.Usage{}
	}
	return usage.Usage{InputTotal: usage.Of(deref(u.Input)), CacheRead: u.CacheRead, OutputTotal: usage.Of(deref(u.Output))}
}

func qwenResult(log *Log, e *qwenEvent) {
	log.Usage, log.Failure = qwenUsage(e.Usage), nil
	if e.IsError {
		log.Failure = &Failure{Message: orName(e.Error.Message, e.Result, e.Subtype)}
	}
}

package agent

import (
	"encoding/json"
	"os"
	"path/filepath"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
)

// opencodeEvent is a line of the output.
type opencodeEvent struct {
	Type      string         `json:"type"`
	Timestamp int64          `json:"timestamp"` // milliseconds
	SessionID string         `json:"sessionID"`
	Part      opencodePart   `json:"part"`
	Error     *opencodeError `json:"error"`
}

// opencodeExport is a session as the program writes it down.
type opencodeExport struct {
	Info struct {
		ID       string `json:"id"`
		ParentID string `json:"parentID"`
	} `json:"info"`
	Messages []opencodeMessage `json:"messages"`
}

type opencodeMessage struct {
	Info struct {
		Role   string         `json:"role"`
		Model  string         `json:"modelID"`
		Cost   float64        `json:"cost"`
		Tokens opencodeTokens `json:"tokens"`
		Error  *opencodeError `json:"error"`
		Time   struct {
			Created int64 `json:"created"` // milliseconds
		} `json:"time"`
	} `json:"info"`
	Parts []opencodePart `json:"parts"`
}

type opencodePart struct {
	Type   string         `json:"type"`
	Text   string         `json:"text"`
	Mime   string         `json:"mime"` // of a file
	URL    string         `json:"url"`
	Tool   string         `json:"tool"`
	CallID string         `json:"callID"`
	Cost   float64        `json:"cost"`
	Tokens opencodeTokens `json:"tokens"`
	State  struct {
		Status      string          `json:"status"`
		Input       json.RawMessage `json:"input"`
		Output      string          `json:"output"`
		Error       string          `json:"error"`
		Attachments []opencodePart  `json:"attachments"`
		Metadata    struct {
			SessionID string `json:"sessionId"` // of the sub-agent that it started
		} `json:"metadata"`
	} `json:"state"`
}

type opencodeTokens struct {
	Input, Output, Reasoning int64
	Cache                    struct{ Read, Write int64 }
}

type opencodeError struct {
	Name string `json:"name"`
	Data struct {
		Message    string `json:"message"`
		StatusCode int    `json:"statusCode"`
	} `json:"data"`
}

// normal gives the usage in the normal form; neither cache nor reasoning are in what the program names input and output.
func (k *opencodeTokens) normal() usage.Usage {
	u := parts(k.Input, k.Cache.Read, k.Cache.Write, k.Output+k.Reasoning)
	if u.Known() {
		u.Reasoning = usage.Of(k.Reasoning)
	}
	return u
}

// opencodeLog collects what the output and the sessions tell.
type opencodeLog struct {
	log     Log
	t       atif.Trajectory // of the output
	images  *atif.Images
	exports map[string]*opencodeExport
	order   []string
}

// readOpencode reads opencode.txt, and the sessions that were written down.
func readOpencode(dir string) (*Log, error) {
	o := &opencodeLog{images: &atif.Images{}, exports: map[string]*opencodeExport{}}
	if err := eachEvent(filepath.Join(dir, "opencode.txt"), o.event); err != nil {
		return nil, err
	}
	if err := eachFile(filepath.Join(dir, "opencode", "sessions"), ".json", o.readExport); err != nil {
		return nil, err
	}
	if own := o.exports[o.t.SessionID]; own == nil || !o.readSessions(own) {
		if o.log.Answered {
			o.log.Trajectory = &o.t
		}
	}
	if o.log.Trajectory != nil {
		o.log.Images = o.images
	}
	return &o.log, nil
}

// event takes a line of the output: turns of the model lie between step_start and step_finish.
func (o *opencodeLog) event(e *opencodeEvent) {
	if o.t.SessionID == "" {
		o.t.SessionID = e.SessionID
	}
	switch {
	case e.Type == "error" && e.Error != nil:
		o.log.Failure = e.Error.failure()
		return
	case e.Type == "step_start":
		o.t.Add(atif.Step{Source: atif.SourceAgent, Timestamp: millis(e.Timestamp)})
		return
	case len(o.t.Steps) == 0:
		return
	}
	step := &o.t.Steps[len(o.t.Steps)-1]
	switch e.Type {
	case "text", "reasoning", "tool_use":
		o.part(&o.t, step, &e.Part)
	case "step_finish":
		o.log.Failure = nil
		o.spent(step, e.Part.Tokens.normal(), e.Part.Cost)
	default:
		return
	}
	o.log.Answered = true
}

// spent notes what a step has used; a cost of 0 means that the program has no price.
func (o *opencodeLog) spent(step *atif.Step, u usage.Usage, cost float64) {
	var known *float64
	if cost > 0 {
		known = &cost
		o.log.CostUSD = sum(o.log.CostUSD, cost)
	}
	step.Metrics, o.log.Usage = metricsOf(u, known), o.log.Usage.Add(u)
}

// part adds a part of an answer to its step.
func (o *opencodeLog) part(t *atif.Trajectory, step *atif.Step, p *opencodePart) {
	switch p.Type {
	case "text":
		step.Message = atif.Text(join(step.Message.Text, p.Text))
	case "reasoning":
		step.ReasoningContent = join(step.ReasoningContent, p.Text)
	case "tool":
		step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: p.CallID, Function: p.Tool, Arguments: object(p.State.Input)})
		gave := []atif.Part{atif.TextPart(join(p.State.Output, p.State.Error))}
		for _, a := range p.State.Attachments {
			gave = append(gave, o.images.URL(a.URL))
		}
		t.Observe(p.CallID, atif.Parts(gave), map[string]any{"status": p.State.Status})
		if id := p.State.Metadata.SessionID; o.exports[id] != nil {
			refer(t, p.CallID, id)
		}
	}
}

func (e *opencodeError) failure() *Failure {
	f := &Failure{Status: e.Data.StatusCode, Message: join(e.Name, e.Data.Message)}
	if e.Name == "ContextOverflowError" {
		f.Type = result.ContextWindowExceededError
	}
	return f
}

// readExport reads a session. One that was cut off is passed over.
func (o *opencodeLog) readExport(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() > 2*maxLine {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	e := &opencodeExport{}
	if json.Unmarshal(data, e) == nil && e.Info.ID != "" {
		o.exports[e.Info.ID] = e
		o.order = append(o.order, e.Info.ID)
	}
	return nil
}

// readSessions makes the trajectory of sessions that were written down, whose sums are those of all of them. It is false if the model has answered in none.
func (o *opencodeLog) readSessions(own *opencodeExport) bool {
	told := o.log
	o.log.Usage, o.log.CostUSD = usage.Usage{}, nil
	t, answered := o.session(own)
	if !answered {
		o.log = told
		return false
	}
	for _, id := range o.order {
		if e := o.exports[id]; e != own && e.Info.ParentID != "" {
			sub, _ := o.session(e)
			sub.SchemaVersion, sub.TrajectoryID = atif.Version, id
			t.SubTrajectories = append(t.SubTrajectories, *sub)
		}
	}
	o.log.Trajectory, o.log.Answered = t, true
	return true
}

// session gives the steps of a session, and whether the model has answered in it.
func (o *opencodeLog) session(e *opencodeExport) (t *atif.Trajectory, answered bool) {
	t = &atif.Trajectory{SessionID: e.Info.ID}
	for i := range e.Messages {
		m := &e.Messages[i]
		if m.Info.Role == "user" {
			o.user(t, m)
			continue
		}
		if len(m.Parts) == 0 { // it failed
			continue
		}
		answered = true
		if t.Agent.ModelName == "" {
			t.Agent.ModelName = m.Info.Model
		}
		step := t.Add(atif.Step{Source: atif.SourceAgent, Timestamp: millis(m.Info.Time.Created), ModelName: m.Info.Model})
		for n := range m.Parts {
			o.part(t, step, &m.Parts[n])
		}
		o.spent(step, m.Info.Tokens.normal(), m.Info.Cost)
	}
	return t, answered
}

// user adds what a user, or the program in a user's place, says.
func (o *opencodeLog) user(t *atif.Trajectory, m *opencodeMessage) {
	var said []atif.Part
	for _, p := range m.Parts {
		switch p.Type {
		case "text":
			said = append(said, atif.TextPart(p.Text))
		case "file":
			said = append(said, o.images.URL(p.URL))
		case "compaction":
			t.Add(compaction(millis(m.Info.Time.Created), ""))
		}
	}
	if message := atif.Parts(said); message.Text != "" || message.Parts != nil {
		t.Add(atif.Step{Source: atif.SourceUser, Timestamp: millis(m.Info.Time.Created), Message: message})
	}
}

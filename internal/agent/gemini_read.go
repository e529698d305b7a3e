package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// geminiRecord is a line of a session's file: what the session is, a message, a change, or a step back. Older versions write one object with
// all messages.
type geminiRecord struct {
	geminiMessage
	SessionID string          `json:"sessionId"`
	Kind      string          `json:"kind"` // main or subagent
	Messages  []geminiMessage `json:"messages"`
	Set       *struct {
		Messages []geminiMessage `json:"messages"`
	} `json:"$set"`
	Rewind string `json:"$rewindTo"`
}

// geminiMessage may be written again with what has been added: the last counts.
type geminiMessage struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"`
	Content   json.RawMessage `json:"content"`
	Model     string          `json:"model"`
	Thoughts  []struct {
		Subject     string `json:"subject"`
		Description string `json:"description"`
	} `json:"thoughts"`
	Tokens *struct {
		Input, Output, Cached, Thoughts, Tool int64
	} `json:"tokens"`
	ToolCalls []struct {
		ID      string          `json:"id"`
		Name    string          `json:"name"`
		Args    json.RawMessage `json:"args"`
		Status  string          `json:"status"`
		Result  json.RawMessage `json:"result"`
		AgentID string          `json:"agentId"` // the session of the sub-agent that it started
	} `json:"toolCalls"`
}

// geminiPart is a part of a content.
type geminiPart struct {
	Text    string `json:"text"`
	Thought bool   `json:"thought"`
	Inline  *struct {
		MimeType string `json:"mimeType"`
		Data     string `json:"data"`
	} `json:"inlineData"`
	Call *struct {
		ID   string          `json:"id"`
		Name string          `json:"name"`
		Args json.RawMessage `json:"args"`
	} `json:"functionCall"`
	Response *struct {
		ID       string          `json:"id"`
		Response json.RawMessage `json:"response"`
	} `json:"functionResponse"`
}

// geminiSession is one session: messages, and nil where the history was replaced by another.
type geminiSession struct {
	id, kind string
	list     []*geminiMessage
	known    map[string]int // message id → place in list
	context  map[string]bool
	answered bool
}

func (s *geminiSession) take(m *geminiMessage) {
	if m.ID == "" || m.Type != "gemini" && m.Type != "user" {
		return
	}
	s.answered = s.answered || m.Type == "gemini"
	s.context[m.ID] = true
	if at, again := s.known[m.ID]; again {
		s.list[at] = m
		return
	}
	s.known[m.ID] = len(s.list)
	s.list = append(s.list, m)
}

// replace puts another history in the place of what the model knew. If it lacks answers that were there, it is a compaction.
func (s *geminiSession) replace(messages []geminiMessage) {
	stays := map[string]bool{}
	for i := range messages {
		stays[messages[i].ID] = true
	}
	lost := false
	for id := range s.context {
		lost = lost || !stays[id] && s.list[s.known[id]].Type == "gemini"
	}
	if lost {
		s.list = append(s.list, nil)
	}
	s.context = map[string]bool{}
	for i := range messages {
		s.take(&messages[i])
	}
}

// geminiLog collects sessions.
type geminiLog struct {
	sessions map[string]*geminiSession
	order    []string
	images   *atif.Images
	log      Log
}

// readGemini reads the sessions' files, and the output for how it ended.
func readGemini(dir string) (*Log, error) {
	g := &geminiLog{sessions: map[string]*geminiSession{}, images: &atif.Images{}}
	err := eachFile(filepath.Join(dir, "sessions"), "", func(path string) error {
		switch filepath.Ext(path) {
		case ".jsonl":
			return g.readFile(path)
		case ".json":
			return g.readOld(path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	g.finish()
	return &g.log, readGeminiOutput(filepath.Join(dir, "gemini-cli.txt"), &g.log)
}

func (g *geminiLog) session(r *geminiRecord) *geminiSession {
	if g.sessions[r.SessionID] == nil {
		g.sessions[r.SessionID] = &geminiSession{id: r.SessionID, kind: r.Kind, known: map[string]int{}, context: map[string]bool{}}
		g.order = append(g.order, r.SessionID)
	}
	return g.sessions[r.SessionID]
}

func (g *geminiLog) readFile(path string) error {
	var s *geminiSession
	return eachEvent(path, func(r *geminiRecord) {
		if s == nil || r.SessionID != "" {
			s = g.session(r)
		}
		switch {
		case r.Rewind != "":
			s.rewind(r.Rewind)
		case r.ID != "":
			s.take(&r.geminiMessage)
		case r.Set != nil && r.Set.Messages != nil:
			s.replace(r.Set.Messages)
		}
		for i := range r.Messages {
			s.take(&r.Messages[i])
		}
	})
}

// rewind takes the model back to before a message.
func (s *geminiSession) rewind(id string) {
	var stay []geminiMessage
	for _, m := range s.list {
		if m != nil && m.ID == id {
			break
		}
		if m != nil && s.context[m.ID] {
			stay = append(stay, *m)
		}
	}
	s.replace(stay)
}

// readOld reads a file that is one object.
func (g *geminiLog) readOld(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxLine {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var r geminiRecord
	if json.Unmarshal(data, &r) != nil || r.SessionID == "" { // it was cut off, or is something else
		return nil
	}
	s := g.session(&r)
	for i := range r.Messages {
		s.take(&r.Messages[i])
	}
	return nil
}

// finish makes the trajectory of the first session that is no sub-agent's. What all used counts.
func (g *geminiLog) finish() {
	var own *geminiSession
	made := map[string]*atif.Trajectory{}
	for _, id := range g.order {
		s := g.sessions[id]
		made[id] = g.trajectory(s)
		if own == nil && s.answered && s.kind != "subagent" {
			own = s
		}
	}
	if own == nil {
		return
	}
	t := made[own.id]
	g.log.Answered, g.log.Trajectory, g.log.Images = true, t, g.images
	for _, id := range g.order {
		if g.sessions[id].kind == "subagent" {
			sub := *made[id]
			sub.SchemaVersion, sub.TrajectoryID = atif.Version, id
			t.SubTrajectories = append(t.SubTrajectories, sub)
		}
	}
}

func (g *geminiLog) trajectory(s *geminiSession) *atif.Trajectory {
	t := &atif.Trajectory{SessionID: s.id}
	for _, m := range s.list {
		switch {
		case m == nil:
			t.Add(compaction("", ""))
		case m.Type == "user":
			g.user(t, m)
		default:
			g.answer(t, m)
		}
	}
	return t
}

// user adds what the user says; what a tool gave stands at its call too. The first is the program's own.
func (g *geminiLog) user(t *atif.Trajectory, m *geminiMessage) {
	parts := geminiParts(m.Content)
	if slices.ContainsFunc(parts, func(p geminiPart) bool { return p.Response != nil }) {
		return
	}
	said := geminiContent(parts, g.images)
	if said.Text == "" && said.Parts == nil {
		return
	}
	step := atif.Step{Source: atif.SourceUser, Timestamp: m.Timestamp, Message: said}
	if strings.HasPrefix(said.Text, "<session_context>") {
		step.Source = atif.SourceSystem
	}
	t.Add(step)
}

// answer adds what the model says, with what came of the tools that it calls.
func (g *geminiLog) answer(t *atif.Trajectory, m *geminiMessage) {
	step := atif.Step{Source: atif.SourceAgent, Timestamp: m.Timestamp, ModelName: m.Model, Message: geminiContent(geminiParts(m.Content), g.images)}
	for _, th := range m.Thoughts {
		step.ReasoningContent = join(step.ReasoningContent, join(th.Subject, th.Description))
	}
	if k := m.Tokens; k != nil && k.Input+k.Output > 0 { // input has the cached in it, output lacks what was thought
		u := usage.Usage{
			InputTotal: usage.Of(k.Input), CacheRead: usage.Of(k.Cached),
			OutputTotal: usage.Of(k.Output + k.Thoughts + k.Tool), Reasoning: usage.Of(k.Thoughts),
		}
		step.Metrics, g.log.Usage = metricsOf(u, nil), g.log.Usage.Add(u)
	}
	if t.Agent.ModelName == "" {
		t.Agent.ModelName = m.Model
	}
	for i, c := range m.ToolCalls {
		if c.ID == "" {
			c.ID = fmt.Sprintf("%s-%d", m.ID, i)
		}
		step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: c.ID, Function: c.Name, Arguments: object(c.Args)})
	}
	t.Add(step)
	for i, c := range m.ToolCalls {
		if len(c.Result) == 0 && c.Status == "" { // it was killed before
			continue
		}
		t.Observe(step.ToolCalls[i].ID, geminiContent(geminiParts(c.Result), g.images), map[string]any{"status": c.Status})
		if g.sessions[c.AgentID] != nil && c.AgentID != "" {
			refer(t, step.ToolCalls[i].ID, c.AgentID)
		}
	}
}

// geminiContent gives the words and pictures of parts; what a function gave is mostly {"output": text} or {"error": text}.
func geminiContent(parts []geminiPart, images *atif.Images) atif.Content {
	var made []atif.Part
	for _, p := range parts {
		switch {
		case p.Inline != nil:
			made = append(made, images.Base64(p.Inline.MimeType, p.Inline.Data))
		case p.Response != nil:
			made = append(made, atif.TextPart(geminiGave(p.Response.Response)))
		case p.Text != "" && !p.Thought:
			made = append(made, atif.TextPart(p.Text))
		}
	}
	return atif.Parts(made)
}

func geminiGave(response json.RawMessage) string {
	var told struct{ Output, Error *string }
	if json.Unmarshal(response, &told) == nil && told.Output != nil {
		return *told.Output
	}
	if told.Error != nil {
		return *told.Error
	}
	return string(response)
}

// geminiParts gives a content, which is text, a part or a list of both.
func geminiParts(content json.RawMessage) []geminiPart {
	var list []json.RawMessage
	if json.Unmarshal(content, &list) != nil {
		list = []json.RawMessage{content}
	}
	var parts []geminiPart
	for _, raw := range list {
		var p geminiPart
		if json.Unmarshal(raw, &p.Text) == nil || json.Unmarshal(raw, &p) == nil {
			parts = append(parts, p)
		}
	}
	return parts
}

// readGeminiOutput looks for the result, or for the status with which it gave up.
func readGeminiOutput(path string, log *Log) error {
	err := eachEvent(path, func(e *struct {
		Type, Role, Status string
		Error              struct{ Type, Message string }
	}) {
		if e.Type == "message" && e.Role == "assistant" {
			log.Answered = true
		}
		if e.Type == "result" && e.Status == "error" {
			log.Failure = &Failure{Message: join(e.Error.Type, e.Error.Message)}
		}
	})
	if log.Answered && log.Failure == nil {
		return err
	}
	words := endOf(path, 8000)
	if m := regexp.MustCompile(`(?:status|code)\\?"?:\s?(\d{3})\b`).FindAllStringSubmatch(words, -1); len(m) > 0 {
		status, e := strconv.Atoi(m[len(m)-1][1])
		if e == nil && status >= 400 {
			log.Failure = &Failure{Status: status, Message: lastWords([]byte(words), 1000)}
		}
	}
	return err
}

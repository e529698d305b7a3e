package agent

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// piEvent is a line of the output. Its messages are told again at the end of each turn: only message_end counts.
type piEvent struct {
	Type       string    `json:"type"`
	ID         string    `json:"id"`
	Message    piMessage `json:"message"`
	Success    *bool     `json:"success"`
	FinalError string    `json:"finalError"`
	Result     *struct { // of a compaction
		Summary string `json:"summary"`
	} `json:"result"`
}

type piMessage struct {
	Role       string    `json:"role"`
	Content    []piBlock `json:"content"`
	Model      string    `json:"model"`
	Usage      *piUsage  `json:"usage"`
	StopReason string    `json:"stopReason"`
	Error      string    `json:"errorMessage"`
	Timestamp  int64     `json:"timestamp"` // milliseconds
	ToolCallID string    `json:"toolCallId"`
	IsError    bool      `json:"isError"`
}

type piBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
	Data      string          `json:"data"` // of an image
	MimeType  string          `json:"mimeType"`
}

type piUsage struct {
	Input      int64 `json:"input"` // without the cache
	Output     int64 `json:"output"`
	CacheRead  int64 `json:"cacheRead"`
	CacheWrite int64 `json:"cacheWrite"`
	Cost       struct {
		Total float64 `json:"total"`
	} `json:"cost"`
}

// readPi reads pi.txt.
func readPi(dir string) (*Log, error) {
	log, t := &Log{Images: &atif.Images{}}, &atif.Trajectory{}
	err := eachEvent(filepath.Join(dir, "pi.txt"), func(e *piEvent) {
		switch e.Type {
		case "session":
			t.SessionID = e.ID
		case "message_end":
			readPiMessage(log, t, &e.Message)
		case "compaction_end":
			if e.Result != nil {
				t.Add(compaction("", e.Result.Summary))
			}
		case "auto_retry_end":
			if e.Success != nil && !*e.Success && e.FinalError != "" {
				log.Failure = piFailure(e.FinalError)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if len(t.Steps) > 0 && log.Answered {
		log.Trajectory = t
	}
	return log, nil
}

func readPiMessage(log *Log, t *atif.Trajectory, m *piMessage) {
	step := atif.Step{Timestamp: millis(m.Timestamp)}
	var said []atif.Part
	for _, b := range m.Content {
		switch b.Type {
		case "text":
			said = append(said, atif.TextPart(b.Text))
		case "image":
			said = append(said, log.Images.Base64(b.MimeType, b.Data))
		case "thinking":
			step.ReasoningContent = join(step.ReasoningContent, b.Thinking)
		case "toolCall":
			step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: b.ID, Function: b.Name, Arguments: object(b.Arguments)})
		}
	}
	step.Message = atif.Parts(said)
	switch m.Role {
	case "user":
		t.Add(atif.Step{Source: atif.SourceUser, Timestamp: step.Timestamp, Message: step.Message})
	case "toolResult":
		var extra map[string]any
		if m.IsError {
			extra = map[string]any{"is_error": true}
		}
		t.Observe(m.ToolCallID, step.Message, extra)
	case "assistant":
		log.Failure = nil
		if m.StopReason == "error" {
			log.Failure = piFailure(m.Error)
			return
		}
		log.Answered = true
		step.Source, step.ModelName = atif.SourceAgent, m.Model
		u, cost := m.Usage.normal()
		step.Metrics = metricsOf(u, cost)
		log.Usage = log.Usage.Add(u)
		if cost != nil {
			log.CostUSD = sum(log.CostUSD, *cost)
		}
		if t.Agent.ModelName == "" {
			t.Agent.ModelName = m.Model
		}
		t.Add(step)
	}
}

// normal gives the usage in the normal form, and the cost; a cost of 0 means that pi has no price.
func (u *piUsage) normal() (usage.Usage, *float64) {
	if u == nil {
		return usage.Usage{}, nil
	}
	if u.Cost.Total == 0 {
		return parts(u.Input, u.CacheRead, u.CacheWrite, u.Output), nil
	}
	cost := u.Cost.Total
	return parts(u.Input, u.CacheRead, u.CacheWrite, u.Output), &cost
}

func sum(a *float64, b float64) *float64 {
	if a != nil {
		b += *a
	}
	return &b
}

// piFailure takes the status from where pi writes it, in front.
func piFailure(message string) *Failure {
	f := &Failure{Message: message}
	if m := regexp.MustCompile(`^(\d{3})\b`).FindStringSubmatch(message); m != nil {
		f.Status, _ = strconv.Atoi(m[1]) //nolint:errcheck // three digits
	}
	return f
}

// millis gives a time in milliseconds as ISO 8601; "" for none.
func millis(ms int64) string {
	if ms <= 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

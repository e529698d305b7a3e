package agent

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"time"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// gooseEvent is a line of the output: a message, or a piece of one that comes in pieces with the same id, an error, or the end. The
// shapes are those of goose's source (crates/goose-cli/src/session and crates/goose/src/conversation).
type gooseEvent struct {
	Type    string       `json:"type"`
	Message gooseMessage `json:"message"`
	Error   string       `json:"error"`

	// Of the end. Earlier versions have only the sum of all tokens there, which says nothing about either.
	Input      *int64   `json:"input_tokens"` // with the cache
	Output     *int64   `json:"output_tokens"`
	CacheRead  *int64   `json:"cache_read_input_tokens"`
	CacheWrite *int64   `json:"cache_write_input_tokens"`
	Cost       *float64 `json:"cost_usd"`
}

type gooseMessage struct {
	ID      string         `json:"id"`
	Role    string         `json:"role"`
	Created int64          `json:"created"` // seconds
	Content []gooseContent `json:"content"`
}

type gooseContent struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Thinking string `json:"thinking"`
	ID       string `json:"id"`
	ToolCall struct {
		Value struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"value"`
		Error string `json:"error"` // the model called it in a wrong way
	} `json:"toolCall"`
	ToolResult struct {
		Status string          `json:"status"`
		Value  json.RawMessage `json:"value"` // contents, or an object with them
		Error  string          `json:"error"`
	} `json:"toolResult"`
}

// gooseGaveUp begins the message by which goose tells that a call of the model failed; it ends with status 0 then.
const gooseGaveUp = "Ran into this error: "

// readGoose reads goose.txt.
func readGoose(dir string) (*Log, error) {
	log, t := &Log{}, &atif.Trajectory{}
	open := "" // id of the message that the last step is
	err := eachEvent(filepath.Join(dir, "goose.txt"), func(e *gooseEvent) {
		switch e.Type {
		case "error":
			log.Failure = &Failure{Message: e.Error}
		case "complete":
			log.Usage = usage.Usage{InputTotal: e.Input, OutputTotal: e.Output, CacheRead: e.CacheRead, CacheWrite: e.CacheWrite}
			log.CostUSD = e.Cost
		case "message":
			open = e.Message.add(log, t, open)
		}
	})
	if log.Answered {
		log.Trajectory = t
	}
	return log, err
}

// add adds the message to the trajectory and gives the id by which more of it is known.
func (m *gooseMessage) add(log *Log, t *atif.Trajectory, open string) string {
	if m.Role != "assistant" {
		for _, c := range m.Content {
			if c.Type == "toolResponse" {
				t.Observe(c.ID, atif.Text(c.result()), map[string]any{"status": c.ToolResult.Status})
			}
		}
		return ""
	}
	if len(m.Content) > 0 {
		if words, gaveUp := strings.CutPrefix(m.Content[0].Text, gooseGaveUp); gaveUp {
			log.Failure = &Failure{Message: words}
			return ""
		}
	}
	log.Answered, log.Failure = true, nil // whatever went wrong before, it went on
	if m.ID == "" || m.ID != open {
		step := atif.Step{Source: atif.SourceAgent}
		if m.Created > 0 {
			step.Timestamp = time.Unix(m.Created, 0).UTC().Format(time.RFC3339)
		}
		t.Add(step)
	}
	step := &t.Steps[len(t.Steps)-1]
	for _, c := range m.Content {
		switch c.Type {
		case "text":
			step.Message = atif.Text(step.Message.Text + c.Text)
		case "thinking":
			step.ReasoningContent += c.Thinking
		case "toolRequest":
			call := c.ToolCall.Value
			step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: c.ID, Function: orName(call.Name, "unknown"), Arguments: object(call.Arguments)})
		}
	}
	return m.ID
}

// result gives what the tool said.
func (c *gooseContent) result() string {
	var wrapped struct {
		Content json.RawMessage `json:"content"`
	}
	value := c.ToolResult.Value
	if json.Unmarshal(value, &wrapped) == nil && wrapped.Content != nil {
		value = wrapped.Content
	}
	return orName(geminiText(value), c.ToolResult.Error)
}

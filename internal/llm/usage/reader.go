package usage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"oddish/internal/llm"
)

// Reader reads the events of one stream. It is not safe for concurrent use.
type Reader struct {
	event  func(data []byte, r *Report) error
	report Report
}

// NewReader makes a reader for a stream in the dialect.
func NewReader(d llm.Dialect) *Reader {
	events := map[llm.Dialect]func([]byte, *Report) error{
		llm.Anthropic: anthropicEvent, llm.Chat: chatEvent, llm.Responses: responsesEvent, llm.Gemini: geminiBody,
	}
	return &Reader{event: events[d]}
}

// Event takes the data of the next event. It keeps nothing of the slice.
func (r *Reader) Event(data []byte) {
	switch data = bytes.TrimSpace(data); {
	case len(data) == 0:
	case string(data) == "[DONE]":
		r.report.Finished = true
	case r.event(data, &r.report) != nil:
		r.report.Malformed++
	}
}

// Report gives what was read so far.
func (r *Reader) Report() Report {
	report := r.report
	report.settle()
	return report
}

// Body reads an answer that did not stream. The error says what is wrong with its form; an error of the provider's inside a
// well-formed body is the report's Fault.
func Body(d llm.Dialect, body []byte) (Report, error) {
	bodies := map[llm.Dialect]func([]byte, *Report) error{
		llm.Anthropic: anthropicBody, llm.Chat: chatBody, llm.Responses: responsesBody, llm.Gemini: geminiBody,
	}
	var r Report
	if err := bodies[d](body, &r); err != nil {
		return Report{}, fmt.Errorf("read %s answer: %w", d, err)
	}
	r.settle()
	return r, nil
}

// count is a number of tokens that some servers send as a fraction, text or null: what can't be read is unknown.
type count struct{ n *int64 }

func (c *count) UnmarshalJSON(data []byte) error {
	var n float64
	if json.Unmarshal(bytes.Trim(data, `"`), &n) == nil && string(data) != "null" && n >= 0 && n < math.MaxInt32*1024 {
		c.n = Of(int64(n))
	}
	return nil
}

// fault is an error of any dialect.
type fault struct {
	Type    text   `json:"type"`
	Code    text   `json:"code"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

func (f *fault) tell() *Fault {
	if f == nil {
		return nil
	}
	kind := string(f.Type)
	if kind == "" {
		kind = f.Status
	}
	return &Fault{Type: kind, Code: string(f.Code), Message: f.Message}
}

// text is a string or a number.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	if string(data) != "null" {
		*t = text(bytes.Trim(data, `"`))
	}
	return nil
}

func (f *fault) UnmarshalJSON(data []byte) error {
	type plain fault
	if json.Unmarshal(data, (*plain)(f)) != nil { // some servers put a bare string there
		f.Message = string(bytes.Trim(data, `"`))
	}
	return nil
}

// ReadFault reads the body of an answer with an error's status. It gives nil for a body in no known form.
func ReadFault(body []byte) *Fault {
	body = bytes.TrimSpace(body)
	if bytes.HasPrefix(body, []byte("[")) { // Gemini's streams put the error in an array
		var list []json.RawMessage
		if json.Unmarshal(body, &list) != nil || len(list) == 0 {
			return nil
		}
		body = list[0]
	}
	var whole struct {
		Error *fault `json:"error"`
	}
	if json.Unmarshal(body, &whole) != nil {
		return nil
	}
	return whole.Error.tell()
}

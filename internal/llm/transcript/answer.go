package transcript

import (
	"encoding/json"
	"strings"

	"oddish/internal/llm"
)

// answer is what a model said.
type answer struct {
	id      string // of the answer, as the provider names it
	text    paragraphs
	thought paragraphs
	calls   []call
}

// paragraphs are texts with empty lines between them.
type paragraphs string

func (p *paragraphs) add(text string) {
	switch text = strings.TrimSpace(text); {
	case text == "":
	case *p == "":
		*p = paragraphs(text)
	default:
		*p += paragraphs("\n\n" + text)
	}
}

func (a answer) empty() bool { return a.text == "" && a.thought == "" && len(a.calls) == 0 }

// answerItem gives an answer as it stands in the next request.
func answerItem(a answer) message {
	if a.empty() {
		return nil
	}
	i := item{Role: assistant, Thought: string(a.thought), Calls: a.calls}
	if a.text != "" {
		i.Parts = []part{{Text: string(a.text)}}
	}
	return message{i}
}

// reader reads one answer, whole or by its events.
type reader interface {
	body(data []byte)
	event(data []byte)
	answer() answer
}

func newReader(d llm.Dialect) reader {
	switch d {
	case llm.Anthropic:
		return &anthropicReader{}
	case llm.Chat:
		return &chatReader{}
	case llm.Responses:
		return &responsesReader{}
	}
	return &geminiReader{}
}

func readRequest(d llm.Dialect, body []byte) (request, error) {
	switch d {
	case llm.Anthropic:
		return anthropicRequest(body)
	case llm.Chat:
		return chatRequest(body)
	case llm.Responses:
		return responsesRequest(body)
	}
	return geminiRequest(body)
}

// readMessage reads a message of a request; nil for one that says nothing or is not understood.
func readMessage(d llm.Dialect, raw json.RawMessage) message {
	switch d {
	case llm.Anthropic:
		return readAs(raw, anthropicMessage.message)
	case llm.Chat:
		return readAs(raw, chatMessage.message)
	case llm.Responses:
		return readAs(raw, responsesItem.message)
	}
	return readAs(raw, geminiContent.message)
}

func readAs[T any](raw json.RawMessage, f func(T) message) message {
	var form T
	if json.Unmarshal(raw, &form) != nil {
		return nil
	}
	return f(form)
}

// longestAnswer bounds what is kept of one answer while it streams, in bytes.
const longestAnswer = 4 << 20

// bound counts what is kept of an answer.
type bound struct{ used int }

// take reports whether n more bytes may be kept.
func (b *bound) take(n int) bool {
	if b.used+n > longestAnswer {
		return false
	}
	b.used += n
	return true
}

// arguments gives the text of arguments as JSON; as a text in JSON where it was cut off.
func arguments(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return quoted(text)
}

package transcript

import (
	"encoding/json"
	"strings"
)

// anthropicBlock is a block of a message's content, in a request or an answer.
type anthropicBlock struct {
	Type     string          `json:"type"`
	Text     string          `json:"text"`
	Thinking string          `json:"thinking"`
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Input    json.RawMessage `json:"input"`
	ToolID   string          `json:"tool_use_id"`
	Content  json.RawMessage `json:"content"`
	IsError  bool            `json:"is_error"`
	Source   struct {
		Type      string `json:"type"`
		MediaType string `json:"media_type"`
		Data      string `json:"data"`
		URL       string `json:"url"`
	} `json:"source"`
}

type anthropicMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

func anthropicRequest(body []byte) (request, error) {
	var b struct {
		System   json.RawMessage   `json:"system"`
		Tools    json.RawMessage   `json:"tools"`
		Messages []json.RawMessage `json:"messages"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return request{}, err
	}
	r := request{tools: b.Tools, messages: b.Messages}
	for _, block := range anthropicBlocks(b.System) {
		r.system = append(r.system, textItem(system, block.Text)...)
	}
	return r, nil
}

// anthropicBlocks gives a content as blocks; a text is one.
func anthropicBlocks(content json.RawMessage) []anthropicBlock {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return []anthropicBlock{{Type: "text", Text: text}}
	}
	var blocks []anthropicBlock
	if json.Unmarshal(content, &blocks) != nil {
		return nil
	}
	return blocks
}

func (m anthropicMessage) message() message {
	blocks := anthropicBlocks(m.Content)
	if m.Role == assistant {
		return answerItem(anthropicAnswer(blocks))
	}
	role := user
	if m.Role == system {
		role = system
	}
	var made message
	for _, b := range blocks {
		if b.Type == "tool_result" {
			made = append(made, item{Role: tool, CallID: b.ToolID, Failed: b.IsError, Parts: anthropicParts(anthropicBlocks(b.Content))})
		} else if parts := anthropicParts([]anthropicBlock{b}); parts != nil {
			made = append(made, item{Role: role, Parts: parts})
		}
	}
	return made
}

func anthropicParts(blocks []anthropicBlock) []part {
	var parts []part
	for _, b := range blocks {
		switch {
		case b.Type == "text" && strings.TrimSpace(b.Text) != "":
			parts = append(parts, part{Text: strings.TrimSpace(b.Text)})
		case b.Type == "image":
			parts = append(parts, part{MediaType: b.Source.MediaType, Data: b.Source.Data, URL: b.Source.URL})
		case b.Type != "text":
			parts = append(parts, part{Text: "[" + b.Type + "]"})
		}
	}
	return parts
}

func anthropicAnswer(blocks []anthropicBlock) answer {
	var a answer
	for _, b := range blocks {
		switch b.Type {
		case "text":
			a.text.add(b.Text)
		case "thinking":
			a.thought.add(b.Thinking)
		case "tool_use", "server_tool_use", "mcp_tool_use":
			a.calls = append(a.calls, call{ID: b.ID, Name: b.Name, Args: b.Input})
		}
	}
	return a
}

// anthropicReader reads the answers of Messages.
type anthropicReader struct {
	id     string
	blocks []anthropicBlock
	at     map[int]int              // index of a block in the stream → in blocks
	said   map[int]*strings.Builder // what came of a block in pieces: text, thinking or arguments
	bound  bound
}

func (r *anthropicReader) body(data []byte) {
	var m struct {
		ID      string           `json:"id"`
		Content []anthropicBlock `json:"content"`
	}
	if json.Unmarshal(data, &m) == nil {
		r.id, r.blocks = m.ID, m.Content
	}
}

func (r *anthropicReader) event(data []byte) {
	var e struct {
		Type    string `json:"type"`
		Index   int    `json:"index"`
		Message struct {
			ID string `json:"id"`
		} `json:"message"`
		Block anthropicBlock `json:"content_block"`
		Delta struct {
			Text     string `json:"text"`
			Thinking string `json:"thinking"`
			JSON     string `json:"partial_json"`
		} `json:"delta"`
	}
	if json.Unmarshal(data, &e) != nil {
		return
	}
	switch e.Type {
	case "message_start":
		r.id = e.Message.ID
	case "content_block_start":
		if r.at == nil {
			r.at, r.said = map[int]int{}, map[int]*strings.Builder{}
		}
		r.at[e.Index] = len(r.blocks)
		r.said[len(r.blocks)] = &strings.Builder{}
		r.blocks = append(r.blocks, e.Block)
	case "content_block_delta":
		piece := e.Delta.Text + e.Delta.Thinking + e.Delta.JSON
		if n, known := r.at[e.Index]; known && r.bound.take(len(piece)) {
			r.said[n].WriteString(piece)
		}
	}
}

func (r *anthropicReader) answer() answer {
	for n, said := range r.said {
		b := &r.blocks[n]
		switch {
		case said.Len() == 0:
		case b.Type == "text":
			b.Text += said.String()
		case b.Type == "thinking":
			b.Thinking += said.String()
		default:
			b.Input = arguments(said.String())
		}
	}
	r.said = nil
	a := anthropicAnswer(r.blocks)
	a.id = r.id
	return a
}

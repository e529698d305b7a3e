package transcript

import (
	"encoding/json"
	"slices"
	"strings"
)

// chatMessage is a message of Chat Completions, in a request or an answer.
type chatMessage struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	Refusal   string          `json:"refusal"`
	Thought   string          `json:"reasoning_content"` // as most servers name it
	Reasoning json.RawMessage `json:"reasoning"`         // as others do: a text
	CallID    string          `json:"tool_call_id"`
	Name      string          `json:"name"`
	Calls     []chatCall      `json:"tool_calls"`
	Function  *chatFunction   `json:"function_call"` // before there were several
}

type chatCall struct {
	Index    *int         `json:"index"`
	ID       string       `json:"id"`
	Function chatFunction `json:"function"`
	Custom   struct {
		Name  string `json:"name"`
		Input string `json:"input"`
	} `json:"custom"`
}

type chatFunction struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"` // a text that is JSON
}

func chatRequest(body []byte) (request, error) {
	var b struct {
		Tools    json.RawMessage   `json:"tools"`
		Messages []json.RawMessage `json:"messages"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return request{}, err
	}
	return request{tools: b.Tools, messages: b.Messages}, nil
}

func (m chatMessage) message() message {
	switch m.Role {
	case assistant:
		return answerItem(m.answer())
	case "tool", "function":
		i := item{Role: tool, CallID: m.CallID, Parts: chatParts(m.Content)}
		if m.CallID == "" {
			i.Name = m.Name
		}
		return message{i}
	}
	role := user
	if m.Role == "system" || m.Role == "developer" {
		role = system
	}
	var made message
	for _, p := range chatParts(m.Content) {
		made = append(made, item{Role: role, Parts: []part{p}})
	}
	return made
}

func (m chatMessage) answer() answer {
	var a answer
	for _, p := range chatParts(m.Content) {
		a.text.add(p.Text)
	}
	a.text.add(m.Refusal)
	a.thought.add(m.Thought)
	if m.Thought == "" {
		a.thought.add(plainText(m.Reasoning))
	}
	for _, c := range m.Calls {
		name, args := c.Function.Name, c.Function.Arguments
		if name == "" {
			name, args = c.Custom.Name, quoted(c.Custom.Input)
		}
		a.calls = append(a.calls, call{ID: c.ID, Name: name, Args: args})
	}
	if f := m.Function; f != nil {
		a.calls = append(a.calls, call{Name: f.Name, Args: f.Arguments})
	}
	return a
}

// chatParts gives a content, which is text or a list, as parts.
func chatParts(content json.RawMessage) []part {
	if text := strings.TrimSpace(plainText(content)); text != "" {
		return []part{{Text: text}}
	}
	var list []struct {
		Type  string          `json:"type"`
		Text  string          `json:"text"`
		Image json.RawMessage `json:"image_url"` // {url} in Chat, the address itself in Responses
	}
	if json.Unmarshal(content, &list) != nil {
		return nil
	}
	var parts []part
	for _, p := range list {
		switch {
		case p.Image != nil:
			parts = append(parts, part{URL: addressOf(p.Image)})
		case strings.TrimSpace(p.Text) != "":
			parts = append(parts, part{Text: strings.TrimSpace(p.Text)})
		case !strings.HasSuffix(p.Type, "text"):
			parts = append(parts, part{Text: "[" + p.Type + "]"})
		}
	}
	return parts
}

func addressOf(image json.RawMessage) string {
	var in struct {
		URL string `json:"url"`
	}
	if json.Unmarshal(image, &in) == nil {
		return in.URL
	}
	return plainText(image)
}

// plainText gives a text; "" for what is none.
func plainText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// chatReader reads the answers of Chat Completions.
type chatReader struct {
	id            string
	whole         *chatMessage
	text, thought strings.Builder
	calls         []chatCall
	args          []*strings.Builder
	bound         bound
}

type chatChoices struct {
	ID      string `json:"id"`
	Choices []struct {
		Message *chatMessage `json:"message"`
		Delta   struct {
			Content   string          `json:"content"`
			Refusal   string          `json:"refusal"`
			Thought   string          `json:"reasoning_content"`
			Reasoning json.RawMessage `json:"reasoning"`
			Calls     []chatCall      `json:"tool_calls"`
		} `json:"delta"`
	} `json:"choices"`
}

func (r *chatReader) body(data []byte) {
	var b chatChoices
	if json.Unmarshal(data, &b) == nil && len(b.Choices) > 0 {
		r.id, r.whole = b.ID, b.Choices[0].Message
	}
}

func (r *chatReader) event(data []byte) {
	var e chatChoices
	if json.Unmarshal(data, &e) != nil {
		return
	}
	if e.ID != "" {
		r.id = e.ID
	}
	if len(e.Choices) == 0 || !r.bound.take(len(data)/2) { // half of an event is names
		return
	}
	d := &e.Choices[0].Delta
	r.text.WriteString(d.Content + d.Refusal)
	if d.Thought == "" {
		d.Thought = plainText(d.Reasoning)
	}
	r.thought.WriteString(d.Thought)
	for _, c := range d.Calls {
		r.call(c)
	}
}

// call takes a piece of a tool call: the first of each has its name, and some servers number none.
func (r *chatReader) call(c chatCall) {
	n := len(r.calls) - 1
	if c.Index != nil {
		n = slices.IndexFunc(r.calls, func(known chatCall) bool { return known.Index != nil && *known.Index == *c.Index })
	} else if c.Function.Name != "" {
		n = -1
	}
	if n < 0 {
		n = len(r.calls)
		r.calls, r.args = append(r.calls, c), append(r.args, &strings.Builder{})
	}
	r.args[n].WriteString(plainText(c.Function.Arguments) + c.Custom.Input)
}

func (r *chatReader) answer() answer {
	if r.whole != nil {
		a := r.whole.answer()
		a.id = r.id
		return a
	}
	a := answer{id: r.id}
	a.text.add(r.text.String())
	a.thought.add(r.thought.String())
	for i, c := range r.calls {
		name := c.Function.Name
		if name == "" {
			name = c.Custom.Name
		}
		a.calls = append(a.calls, call{ID: c.ID, Name: name, Args: arguments(r.args[i].String())})
	}
	return a
}

package transcript

import (
	"encoding/json"
	"slices"
	"strings"
)

// responsesItem is an item of Responses, of the input or the output.
type responsesItem struct {
	Type      string          `json:"type"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	Summary   []responsesText `json:"summary"`
	ID        string          `json:"id"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"` // a text that is JSON
	Input     json.RawMessage `json:"input"`
	Action    json.RawMessage `json:"action"`
	Output    json.RawMessage `json:"output"`
}

type responsesText struct {
	Type    string `json:"type"`
	Text    string `json:"text"`
	Refusal string `json:"refusal"`
}

func responsesRequest(body []byte) (request, error) {
	var b struct {
		Instructions string          `json:"instructions"`
		Tools        json.RawMessage `json:"tools"`
		Previous     string          `json:"previous_response_id"`
		Input        json.RawMessage `json:"input"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return request{}, err
	}
	r := request{system: textItem(system, b.Instructions), tools: b.Tools, previous: b.Previous}
	if plainText(b.Input) != "" {
		r.messages = []json.RawMessage{slices.Concat([]byte(`{"role":"user","content":`), b.Input, []byte("}"))}
		return r, nil
	}
	if len(b.Input) > 0 {
		if err := json.Unmarshal(b.Input, &r.messages); err != nil {
			return request{}, err
		}
	}
	return r, nil
}

func (i responsesItem) message() message {
	switch {
	case strings.HasSuffix(i.Type, "_output"):
		made := item{Role: tool, CallID: i.CallID, Parts: chatParts(i.Output)}
		if made.Parts == nil && len(i.Output) > 0 && i.Output[0] == '{' {
			made.Parts = []part{{Text: string(i.Output)}}
		}
		return message{made}
	case i.Role == assistant || i.Type == "reasoning" || strings.HasSuffix(i.Type, "_call"):
		return answerItem(responsesAnswer([]responsesItem{i}))
	case i.Type == "compaction": // what the provider made of the conversation so far, and only it can read
		return textItem(user, "[compaction]")
	}
	return chatMessage{Role: i.Role, Content: i.Content}.message()
}

// responsesAnswer puts the items of an answer together.
func responsesAnswer(items []responsesItem) answer {
	var a answer
	for _, i := range items {
		switch {
		case i.Type == "reasoning":
			a.thought.add(joined(i.Summary))
			if len(i.Summary) == 0 {
				a.thought.add(joined(responsesTexts(i.Content)))
			}
		case strings.HasSuffix(i.Type, "_call"):
			a.calls = append(a.calls, i.call())
		case i.Role == assistant || i.Type == "message":
			a.text.add(plainText(i.Content))
			a.text.add(joined(responsesTexts(i.Content)))
		}
	}
	return a
}

func responsesTexts(content json.RawMessage) []responsesText {
	var list []responsesText
	if json.Unmarshal(content, &list) != nil {
		return nil
	}
	return list
}

func joined(texts []responsesText) string {
	var all paragraphs
	for _, t := range texts {
		all.add(t.Text + t.Refusal)
	}
	return string(all)
}

// call gives a tool call. Those of the provider's own tools have no name but their type, and no arguments but an action.
func (i responsesItem) call() call {
	c := call{ID: i.CallID, Name: i.Name, Args: i.Arguments}
	if c.ID == "" {
		c.ID = i.ID
	}
	if c.Name == "" {
		c.Name = strings.TrimSuffix(i.Type, "_call")
	}
	if c.Args == nil {
		c.Args = i.Input
	}
	if c.Args == nil {
		c.Args = i.Action
	}
	return c
}

// responsesReader reads the answers of Responses.
type responsesReader struct {
	id            string
	items         []responsesItem
	text, thought strings.Builder // of the item that is on its way
	bound         bound
}

type responsesBody struct {
	ID     string          `json:"id"`
	Output []responsesItem `json:"output"`
}

func (r *responsesReader) body(data []byte) {
	var b responsesBody
	if json.Unmarshal(data, &b) == nil {
		r.id, r.items = b.ID, b.Output
	}
}

func (r *responsesReader) event(data []byte) {
	var e struct {
		Type     string        `json:"type"`
		Delta    string        `json:"delta"`
		Item     responsesItem `json:"item"`
		Response struct {
			ID string `json:"id"`
		} `json:"response"`
	}
	if json.Unmarshal(data, &e) != nil {
		return
	}
	if e.Response.ID != "" {
		r.id = e.Response.ID
	}
	switch e.Type {
	case "response.output_text.delta", "response.refusal.delta":
		if r.bound.take(len(e.Delta)) {
			r.text.WriteString(e.Delta)
		}
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		if r.bound.take(len(e.Delta)) {
			r.thought.WriteString(e.Delta)
		}
	case "response.output_item.done":
		r.text.Reset()
		r.thought.Reset()
		if len(e.Item.Content)+len(e.Item.Arguments)+len(e.Item.Input) <= longestAnswer {
			r.items = append(r.items, e.Item)
		}
	}
}

func (r *responsesReader) answer() answer {
	a := responsesAnswer(r.items)
	a.id = r.id
	a.thought.add(r.thought.String())
	a.text.add(r.text.String())
	return a
}

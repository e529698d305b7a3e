package transcript

import (
	"encoding/json"
	"strings"
)

// geminiPart is a part of a content of Gemini's.
type geminiPart struct {
	Text    string `json:"text"`
	Thought bool   `json:"thought"`
	Inline  *struct {
		MimeType string `json:"mimeType"`
		Data     string `json:"data"`
	} `json:"inlineData"`
	File *struct {
		URI string `json:"fileUri"`
	} `json:"fileData"`
	Call *struct {
		ID   string          `json:"id"`
		Name string          `json:"name"`
		Args json.RawMessage `json:"args"`
	} `json:"functionCall"`
	Result *struct {
		ID       string          `json:"id"`
		Name     string          `json:"name"`
		Response json.RawMessage `json:"response"`
		Parts    []geminiPart    `json:"parts"`
	} `json:"functionResponse"`
}

type geminiContent struct {
	Role  string       `json:"role"`
	Parts []geminiPart `json:"parts"`
}

func geminiRequest(body []byte) (request, error) {
	var b struct {
		System   geminiContent     `json:"systemInstruction"`
		Snake    geminiContent     `json:"system_instruction"`
		Tools    json.RawMessage   `json:"tools"`
		Contents []json.RawMessage `json:"contents"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return request{}, err
	}
	r := request{tools: b.Tools, messages: b.Contents}
	for _, p := range append(b.System.Parts, b.Snake.Parts...) {
		r.system = append(r.system, textItem(system, p.Text)...)
	}
	return r, nil
}

func (c geminiContent) message() message {
	if c.Role == "model" {
		return answerItem(geminiAnswer(c.Parts))
	}
	var m message
	for _, p := range c.Parts {
		if p.Result != nil {
			m = append(m, p.result())
		} else if made, is := p.part(); is {
			m = append(m, item{Role: user, Parts: []part{made}})
		}
	}
	return m
}

// result gives what a function gave: {"output": text}, {"error": text} or any object.
func (p geminiPart) result() item {
	i := item{Role: tool, CallID: p.Result.ID}
	if i.CallID == "" {
		i.Name = p.Result.Name
	}
	var told map[string]json.RawMessage
	text := string(p.Result.Response)
	if json.Unmarshal(p.Result.Response, &told) == nil && len(told) == 1 {
		for key, value := range told {
			if said := plainText(value); said != "" && (key == "output" || key == "result" || key == "content" || key == "error") {
				text, i.Failed = said, key == "error"
			}
		}
	}
	if text != "" {
		i.Parts = append(i.Parts, part{Text: text})
	}
	for _, inner := range p.Result.Parts {
		if made, is := inner.part(); is {
			i.Parts = append(i.Parts, made)
		}
	}
	return i
}

func (p geminiPart) part() (part, bool) {
	switch {
	case p.Inline != nil:
		return part{MediaType: p.Inline.MimeType, Data: p.Inline.Data}, true
	case p.File != nil:
		return part{URL: p.File.URI}, true
	case strings.TrimSpace(p.Text) != "" && !p.Thought:
		return part{Text: strings.TrimSpace(p.Text)}, true
	}
	return part{}, false
}

func geminiAnswer(parts []geminiPart) answer {
	var a answer
	var text, thought strings.Builder
	for _, p := range parts {
		switch {
		case p.Call != nil:
			a.calls = append(a.calls, call{ID: p.Call.ID, Name: p.Call.Name, Args: p.Call.Args})
		case p.Thought:
			thought.WriteString(p.Text)
		default:
			text.WriteString(p.Text)
		}
	}
	a.thought.add(thought.String())
	a.text.add(text.String())
	return a
}

// geminiReader reads the answers of Gemini, whose events are pieces of the same form.
type geminiReader struct {
	id    string
	parts []geminiPart
	bound bound
}

func (r *geminiReader) body(data []byte) { r.event(data) }

func (r *geminiReader) event(data []byte) {
	var e struct {
		ID         string `json:"responseId"`
		Candidates []struct {
			Content geminiContent `json:"content"`
		} `json:"candidates"`
	}
	if json.Unmarshal(data, &e) != nil {
		return
	}
	if e.ID != "" {
		r.id = e.ID
	}
	if len(e.Candidates) > 0 && r.bound.take(len(data)/2) {
		r.parts = append(r.parts, e.Candidates[0].Content.Parts...)
	}
}

func (r *geminiReader) answer() answer {
	a := geminiAnswer(r.parts)
	a.id = r.id
	return a
}

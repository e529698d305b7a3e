package atif

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// Content is a message: text, or, where Parts is not nil, parts of text and images.
type Content struct {
	Text  string
	Parts []Part
}

// Part is one part of a Content. Type is text or image.
type Part struct {
	Type   string  `json:"type"`
	Text   *string `json:"text,omitempty"`
	Source *Image  `json:"source,omitempty"`
}

// Image is a picture in a file beside the trajectory, or at a URL.
type Image struct {
	MediaType string `json:"media_type"`
	Path      string `json:"path"`
}

// Text makes a Content of text.
func Text(text string) Content { return Content{Text: valid(text)} }

// TextPart makes a part of text.
func TextPart(text string) Part {
	text = valid(text)
	return Part{Type: "text", Text: &text}
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// Parts makes a Content of parts: a text, with an empty line between the parts, unless there is an image among them.
func Parts(parts []Part) Content {
	var texts []string
	for _, p := range parts {
		if p.Text == nil {
			return Content{Parts: parts}
		}
		if *p.Text != "" {
			texts = append(texts, *p.Text)
		}
	}
	return Content{Text: strings.Join(texts, "\n\n")}
}

// Join puts one Content behind another, with an empty line between texts.
func Join(a, b Content) Content { return Parts(append(a.list(), b.list()...)) }

func (c Content) list() []Part {
	switch {
	case c.Parts != nil:
		return append([]Part{}, c.Parts...)
	case c.Text == "":
		return nil
	}
	return []Part{TextPart(c.Text)}
}

// MarshalJSON writes a string, or a list of parts.
func (c Content) MarshalJSON() ([]byte, error) {
	if c.Parts != nil {
		return json.Marshal(c.Parts)
	}
	return json.Marshal(c.Text)
}

// UnmarshalJSON reads a string or a list of parts.
func (c *Content) UnmarshalJSON(data []byte) error {
	*c = Content{}
	switch {
	case len(data) > 0 && data[0] == '"':
		return json.Unmarshal(data, &c.Text)
	case len(data) > 0 && data[0] == '[':
		c.Parts = []Part{}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		return dec.Decode(&c.Parts)
	}
	return errors.New("a message is a text or a list of parts")
}

// Arguments gives what a tool was called with as the object that ATIF wants. Some programs give the arguments as text that is JSON; what is no
// object stands under the key input.
func Arguments(raw json.RawMessage) map[string]any {
	out := map[string]any{}
	if len(raw) == 0 || string(raw) == "null" {
		return out
	}
	if json.Unmarshal(raw, &out) == nil && out != nil {
		return out
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		v = valid(string(raw))
	}
	if s, ok := v.(string); ok {
		if json.Unmarshal([]byte(s), &out) == nil && out != nil {
			return out
		}
	}
	return map[string]any{"input": v}
}

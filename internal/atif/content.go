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
func Text(text string) Content { return Content{Text: strings.ToValidUTF8(text, "\uFFFD")} }

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

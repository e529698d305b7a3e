package transcript

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// Roles of items.
const (
	system    = "system"
	user      = "user"
	assistant = "assistant"
	tool      = "tool"
)

// item is a message of a conversation, or a part of one, in a form that all dialects share.
type item struct {
	Role    string `json:"role"`
	Parts   []part `json:"parts,omitempty"`
	Thought string `json:"thought,omitempty"`
	Calls   []call `json:"calls,omitempty"`
	// Of what a tool gave: the id of its call, or where the dialect has none its name; and whether it failed.
	CallID string `json:"call_id,omitempty"`
	Name   string `json:"name,omitempty"`
	Failed bool   `json:"failed,omitempty"`
}

// part is text or a picture: its data in base64 or its address.
type part struct {
	Text      string `json:"text,omitempty"`
	MediaType string `json:"media_type,omitempty"`
	Data      string `json:"data,omitempty"`
	URL       string `json:"url,omitempty"`
}

// call is one use of a tool.
type call struct {
	ID   string          `json:"id,omitempty"`
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"` // an object, or text that is one
}

// Bounds of what is kept of one item: what is longer is cut, and a picture that is larger left out. In bytes.
const (
	longestText  = 1 << 20
	largestImage = 8 << 20
)

// clip cuts what is too long, so that one message cannot fill the whole record.
func (i *item) clip() {
	for n := range i.Parts {
		p := &i.Parts[n]
		p.Text = cut(p.Text)
		if len(p.Data) > largestImage {
			*p = part{Text: "[" + p.MediaType + ", too large]"}
		}
	}
	i.Thought = cut(i.Thought)
	for n := range i.Calls {
		if len(i.Calls[n].Args) > longestText {
			i.Calls[n].Args = quoted(cut(string(i.Calls[n].Args)))
		}
	}
}

func cut(text string) string {
	if len(text) > longestText {
		return strings.ToValidUTF8(text[:longestText], "") + "\n[cut]"
	}
	return text
}

// quoted makes JSON of a text.
func quoted(text string) json.RawMessage {
	data, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage(`""`)
	}
	return data
}

// ref is the name of an item: the same for messages that say the same. Reasoning does not count, since agents drop it from what they send again.
func (i item) ref() string {
	i.Thought = ""
	data, err := json.Marshal(i)
	if err != nil { // arguments that are no JSON, which no dialect's form lets through
		data = []byte(i.text())
	}
	sum := sha256.Sum256(data)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// text gives the texts of an item.
func (i item) text() string {
	var texts []string
	for _, p := range i.Parts {
		if p.Text != "" {
			texts = append(texts, p.Text)
		}
	}
	return strings.Join(texts, "\n\n")
}

// message is what one message of a request holds: several items where tools' results and words come together.
type message []item

// request is what a call asks.
type request struct {
	system   []item
	messages []json.RawMessage // as sent: most of them are known from the request before
	tools    []byte            // likewise, to tell agents apart; nil: none
	previous string            // id of the answer that this one goes on from, where the provider keeps the conversation
}

// textItem is an item of text; none for an empty text.
func textItem(role, text string) message {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	return message{{Role: role, Parts: []part{{Text: strings.TrimSpace(text)}}}}
}

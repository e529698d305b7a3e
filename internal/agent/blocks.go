package agent

import (
	"encoding/json"
	"strings"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// block is a part of a message in the form of Anthropic's, which other programs took over.
type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
	Source    struct {
		MediaType string `json:"media_type"`
		Data      string `json:"data"`
		URL       string `json:"url"`
	} `json:"source"`
}

// part gives a block of words or a picture as a part of a message.
func (b *block) part(images *atif.Images) atif.Part {
	switch {
	case b.Type == "text":
		return atif.TextPart(strings.TrimSpace(b.Text))
	case b.Type == "image" && b.Source.URL != "":
		return images.URL(b.Source.URL)
	case b.Type == "image":
		return images.Base64(b.Source.MediaType, b.Source.Data)
	}
	return atif.TextPart("[" + b.Type + "]")
}

// blocks gives a message's content as blocks; a text is one.
func blocks(content json.RawMessage) []block {
	var list []block
	if json.Unmarshal(content, &list) == nil {
		return list
	}
	var text string
	if json.Unmarshal(content, &text) == nil {
		return []block{{Type: "text", Text: text}}
	}
	return nil
}

// contentOf gives what a tool gave, with its pictures.
func contentOf(content json.RawMessage, images *atif.Images) atif.Content {
	var made []atif.Part
	for _, b := range blocks(content) {
		made = append(made, b.part(images))
	}
	return atif.Parts(made)
}

// textOf gives the text of a content that is text, or blocks of which some are.
func textOf(content json.RawMessage) string {
	all := ""
	for _, b := range blocks(content) {
		if b.Type == "text" {
			all = join(all, b.Text)
		} else {
			all = join(all, "["+b.Type+"]")
		}
	}
	return all
}

// geminiText gives the text of a content, which is text or a list of parts.
func geminiText(content json.RawMessage) string {
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(content, &parts) != nil {
		var text string
		if json.Unmarshal(content, &text) != nil {
			return ""
		}
		return text
	}
	all := ""
	for _, p := range parts {
		all += p.Text
	}
	return all
}

// join puts texts apart by an empty line.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n\n" + b
}

// metricsOf gives a step's metrics; nil if nothing is known.
func metricsOf(u usage.Usage, cost *float64) *atif.Metrics {
	if !u.Known() {
		return nil
	}
	m := &atif.Metrics{PromptTokens: u.InputTotal, CompletionTokens: u.OutputTotal, CachedTokens: u.CacheRead, CostUSD: cost}
	if deref(u.CacheWrite) > 0 {
		m.Extra = map[string]any{"cache_creation_input_tokens": *u.CacheWrite}
	}
	if deref(u.Reasoning) > 0 {
		if m.Extra == nil {
			m.Extra = map[string]any{}
		}
		m.Extra["reasoning_tokens"] = *u.Reasoning
	}
	return m
}

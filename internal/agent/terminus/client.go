package terminus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
)

// Client is a Model behind one of the dialects, asked without streaming.
type Client struct {
	HTTP    *http.Client
	Dialect llm.Dialect
	// BaseURL has no version at its end. Token is sent as the key.
	BaseURL, Token string
	// Model is the model's name as the provider knows it.
	Model string
	// Effort is how much the model thinks (minimal, low, medium, high, xhigh, max; empty or none: as it does by itself), ThinkingTokens the same in tokens; 0: not set.
	Effort         string
	ThinkingTokens int64
	Temperature    *float64
	// MaxOutput is the limit of an answer in tokens; 0: the provider's.
	MaxOutput int64
	// Interleave: thoughts are given back to the model.
	Interleave bool
	// Body is merged into the body of each request, Header into its header.
	Body   map[string]any
	Header map[string]string
	// Classify names the error that a status and the words beside it mean.
	Classify func(status int, message string) string
}

var _ Model = (*Client)(nil)

// maxAnswer bounds an answer in bytes.
const maxAnswer = 64 << 20

// wire is how a dialect is spoken.
type wire struct {
	path  string
	body  func(c *Client, conversation []Message) map[string]any
	parse func(body []byte, a *Answer) error
}

func (c *Client) wire() (wire, error) {
	switch c.Dialect {
	case llm.Anthropic:
		return wire{"/v1/messages", anthropicBody, parseAnthropic}, nil
	case llm.Chat:
		return wire{"/v1/chat/completions", chatBody, parseChat}, nil
	case llm.Responses:
		return wire{"/v1/responses", responsesBody, parseResponses}, nil
	case llm.Gemini:
		return wire{"/v1beta/models/" + c.Model + ":generateContent", geminiBody, parseGemini}, nil
	}
	return wire{}, fmt.Errorf("the dialect %q is not spoken", c.Dialect)
}

// Ask makes one call. What goes wrong with it is a *CallError, unless ctx has ended.
func (c *Client) Ask(ctx context.Context, conversation []Message) (Answer, error) {
	w, err := c.wire()
	if err != nil {
		return Answer{}, err
	}
	body := w.body(c, conversation)
	maps.Copy(body, c.Body)
	data, err := json.Marshal(body)
	if err != nil {
		return Answer{}, fmt.Errorf("write the request to the model: %w", err)
	}
	status, header, answer, err := c.post(ctx, w.path, data)
	if ctx.Err() != nil {
		return Answer{}, ctx.Err()
	}
	if err != nil {
		return Answer{}, &CallError{Type: result.NetworkConnectionError, Message: err.Error()}
	}
	if status != http.StatusOK {
		return Answer{}, c.failure(status, header, answer)
	}
	return c.read(w, answer)
}

func (c *Client) post(ctx context.Context, path string, body []byte) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range c.Header {
		req.Header.Set(name, value)
	}
	switch c.Dialect {
	case llm.Anthropic:
		req.Header.Set("X-Api-Key", c.Token)
		req.Header.Set("Anthropic-Version", "2023-06-01")
	case llm.Gemini:
		req.Header.Set("X-Goog-Api-Key", c.Token)
	default:
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, resp.Header, answer, err
}

// failure is the error that an answer tells.
func (c *Client) failure(status int, header http.Header, body []byte) error {
	message := strings.TrimSpace(string(body))
	if f := usage.ReadFault(body); f != nil && f.Message != "" {
		message = f.Message
	}
	e := &CallError{Status: status, Type: c.Classify(status, message), Message: fmt.Sprintf("status %d: %s", status, limit(message, 2000))}
	if seconds, err := strconv.ParseFloat(header.Get("Retry-After"), 64); err == nil && seconds > 0 {
		e.Wait = time.Duration(seconds * float64(time.Second))
	}
	return e
}

func (c *Client) read(w wire, body []byte) (Answer, error) {
	report, err := usage.Body(c.Dialect, body)
	if err != nil {
		return Answer{}, &CallError{Type: result.UnknownAPIError, Status: http.StatusBadGateway, Message: "the model's answer is not as it should be: " + err.Error()}
	}
	if report.Fault != nil {
		return Answer{}, &CallError{Type: c.Classify(http.StatusInternalServerError, report.Fault.Message), Status: http.StatusInternalServerError, Message: report.Fault.Message}
	}
	a := Answer{Usage: report.Usage}
	if err := w.parse(body, &a); err != nil {
		return Answer{}, &CallError{Type: result.UnknownAPIError, Status: http.StatusBadGateway, Message: "the model's answer is not as it should be: " + err.Error()}
	}
	if a.Text == "" && report.Refused {
		return Answer{}, &CallError{Type: result.AgentSafetyRefusalError, Status: http.StatusOK, Message: "the model declined to answer"}
	}
	return a, nil
}

// budget is how many tokens Anthropic's and Google's models may think, where users say it in words; 0: it is not said.
func (c *Client) budget() int64 {
	if c.ThinkingTokens > 0 {
		return c.ThinkingTokens
	}
	switch c.Effort {
	case "minimal", "low":
		return 1024
	case "medium":
		return 2048
	case "high":
		return 4096
	case "xhigh":
		return 8192
	case "max":
		return 16384
	}
	return 0
}

type object = map[string]any

// answerTokens is asked for where a dialect demands a limit and none is known.
const answerTokens = 8192

// anthropicBody marks the first and the last message as ends of what the provider may keep in its cache.
func anthropicBody(c *Client, conversation []Message) object {
	var messages []object
	for i, m := range conversation {
		var content any
		switch {
		case m.Role == "assistant" && c.Interleave && len(m.Raw) > 0:
			content = json.RawMessage(m.Raw)
		default:
			block := object{"type": "text", "text": m.Text}
			if m.Role == "user" && (i == 0 || i == len(conversation)-1) {
				block["cache_control"] = object{"type": "ephemeral"}
			}
			content = []object{block}
		}
		messages = append(messages, object{"role": m.Role, "content": content})
	}
	most := c.MaxOutput
	if most == 0 {
		most = answerTokens
	}
	body := object{"model": c.Model, "messages": messages}
	if n := c.budget(); n > 0 {
		body["thinking"] = object{"type": "enabled", "budget_tokens": n}
		most = max(most, n+answerTokens)
	} else if c.Temperature != nil { // beside thinking it is fixed
		body["temperature"] = *c.Temperature
	}
	body["max_tokens"] = most
	return body
}

func parseAnthropic(body []byte, a *Answer) error {
	var m struct {
		Content    json.RawMessage `json:"content"`
		StopReason string          `json:"stop_reason"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return err
	}
	var blocks []struct{ Type, Text, Thinking string }
	if err := json.Unmarshal(m.Content, &blocks); err != nil {
		return err
	}
	for _, b := range blocks {
		a.Text += b.Text
		a.Reasoning += b.Thinking
	}
	a.Raw, a.Cut = m.Content, m.StopReason == "max_tokens"
	return nil
}

// effort is what OpenAI's dialects take; empty: nothing is said.
func (c *Client) effort() string {
	switch c.Effort {
	case "", "default":
		return ""
	case "max":
		return "xhigh"
	}
	return c.Effort
}

func chatBody(c *Client, conversation []Message) object {
	var messages []object
	for _, m := range conversation {
		message := object{"role": m.Role, "content": m.Text}
		if c.Interleave && m.Reasoning != "" {
			message["reasoning_content"] = m.Reasoning
		}
		messages = append(messages, message)
	}
	body := object{"model": c.Model, "messages": messages}
	if c.Temperature != nil {
		body["temperature"] = *c.Temperature
	}
	if e := c.effort(); e != "" {
		body["reasoning_effort"] = e
	}
	if c.MaxOutput > 0 {
		body["max_completion_tokens"] = c.MaxOutput
	}
	return body
}

func parseChat(body []byte, a *Answer) error {
	var m struct {
		Choices []struct {
			Message struct {
				Content          string `json:"content"`
				ReasoningContent string `json:"reasoning_content"`
				Reasoning        string `json:"reasoning"`
			} `json:"message"`
			FinishReason string `json:"finish_reason"`
		} `json:"choices"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return err
	}
	if len(m.Choices) == 0 {
		return errors.New("it has no choices")
	}
	first := m.Choices[0]
	a.Text, a.Reasoning, a.Cut = first.Message.Content, first.Message.ReasoningContent, first.FinishReason == "length"
	if a.Reasoning == "" {
		a.Reasoning = first.Message.Reasoning
	}
	return nil
}

func responsesBody(c *Client, conversation []Message) object {
	var input []object
	for _, m := range conversation {
		input = append(input, object{"role": m.Role, "content": m.Text})
	}
	body := object{"model": c.Model, "input": input, "store": false}
	if c.Temperature != nil {
		body["temperature"] = *c.Temperature
	}
	if e := c.effort(); e != "" {
		body["reasoning"] = object{"effort": e}
	}
	if c.MaxOutput > 0 {
		body["max_output_tokens"] = c.MaxOutput
	}
	return body
}

func parseResponses(body []byte, a *Answer) error {
	type text struct{ Text string }
	var m struct {
		Status     string `json:"status"`
		Incomplete struct {
			Reason string `json:"reason"`
		} `json:"incomplete_details"`
		Output []struct {
			Type    string `json:"type"`
			Content []text `json:"content"`
			Summary []text `json:"summary"`
		} `json:"output"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return err
	}
	for _, o := range m.Output {
		for _, s := range o.Summary {
			a.Reasoning += s.Text
		}
		if o.Type != "message" {
			continue
		}
		for _, c := range o.Content {
			a.Text += c.Text
		}
	}
	a.Cut = m.Status == "incomplete" && m.Incomplete.Reason == "max_output_tokens"
	return nil
}

func geminiBody(c *Client, conversation []Message) object {
	var contents []object
	for _, m := range conversation {
		role := m.Role
		if role == "assistant" {
			role = "model"
		}
		contents = append(contents, object{"role": role, "parts": []object{{"text": m.Text}}})
	}
	config := object{}
	if c.Temperature != nil {
		config["temperature"] = *c.Temperature
	}
	if n := c.budget(); n > 0 {
		config["thinkingConfig"] = object{"thinkingBudget": n}
	}
	if c.MaxOutput > 0 {
		config["maxOutputTokens"] = c.MaxOutput
	}
	return object{"contents": contents, "generationConfig": config}
}

func parseGemini(body []byte, a *Answer) error {
	var m struct {
		Candidates []struct {
			Content struct {
				Parts []struct {
					Text    string `json:"text"`
					Thought bool   `json:"thought"`
				} `json:"parts"`
			} `json:"content"`
			FinishReason string `json:"finishReason"`
		} `json:"candidates"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return err
	}
	if len(m.Candidates) == 0 {
		return errors.New("it has no candidates")
	}
	for _, p := range m.Candidates[0].Content.Parts {
		if p.Thought {
			a.Reasoning += p.Text
		} else {
			a.Text += p.Text
		}
	}
	a.Cut = m.Candidates[0].FinishReason == "MAX_TOKENS"
	return nil
}

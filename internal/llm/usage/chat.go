package usage

import (
	"encoding/json"
	"errors"
)

// chatUsage is OpenAI's form with the fields that other servers of the same dialect have added to it.
type chatUsage struct {
	Prompt     count `json:"prompt_tokens"`
	Completion count `json:"completion_tokens"`
	Total      count `json:"total_tokens"`
	In         *struct {
		Cached  count `json:"cached_tokens"`
		Written count `json:"cache_write_tokens"`
	} `json:"prompt_tokens_details"`
	Out *struct {
		Reasoning count `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
	Cached   count `json:"cached_tokens"`               // Moonshot
	CacheHit count `json:"prompt_cache_hit_tokens"`     // DeepSeek
	Read     count `json:"cache_read_input_tokens"`     // LiteLLM
	Created  count `json:"cache_creation_input_tokens"` // LiteLLM
}

func (c *chatUsage) normal() Usage {
	u := Usage{InputTotal: c.Prompt.n, OutputTotal: c.Completion.n}
	if c.In != nil {
		u.CacheRead, u.CacheWrite = c.In.Cached.n, c.In.Written.n
	}
	for _, other := range []*int64{c.Cached.n, c.CacheHit.n, c.Read.n} {
		if u.CacheRead == nil {
			u.CacheRead = other
		}
	}
	if u.CacheWrite == nil {
		u.CacheWrite = c.Created.n
	}
	if c.Out != nil {
		u.Reasoning = c.Out.Reasoning.n
	}
	// Some (xAI, Gemini's compatible endpoint) leave reasoning out of the completion and have it only in the total.
	if value(u.Reasoning) > 0 && value(c.Total.n) == value(c.Prompt.n)+value(c.Completion.n)+value(u.Reasoning) {
		u.OutputTotal = Of(value(c.Completion.n) + value(u.Reasoning))
	}
	return u
}

type chatMessage struct {
	Content          json.RawMessage `json:"content"`
	ReasoningContent string          `json:"reasoning_content"`
	Reasoning        json.RawMessage `json:"reasoning"`
	ToolCalls        []struct {
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
}

func (m chatMessage) size() int64 {
	n := len(m.Content) + len(m.ReasoningContent) + len(m.Reasoning)
	for _, call := range m.ToolCalls {
		n += len(call.Function.Name) + len(call.Function.Arguments)
	}
	return int64(n)
}

type chatAnswer struct {
	Model   string     `json:"model"`
	Usage   *chatUsage `json:"usage"`
	Error   *fault     `json:"error"`
	Choices []struct {
		Finish  string      `json:"finish_reason"`
		Message chatMessage `json:"message"`
		Delta   chatMessage `json:"delta"`
	} `json:"choices"`
	Groq *struct {
		Usage *chatUsage `json:"usage"`
	} `json:"x_groq"`
}

func (a *chatAnswer) tell(r *Report) {
	if a.Model != "" {
		r.Model = a.Model
	}
	if a.Error != nil {
		r.Fault = a.Error.tell()
	}
	if a.Usage == nil && a.Groq != nil {
		a.Usage = a.Groq.Usage
	}
	if a.Usage != nil && a.Usage.Prompt.n != nil {
		r.Usage = a.Usage.normal()
	}
	for _, choice := range a.Choices {
		r.outputSize += choice.Message.size() + choice.Delta.size()
		r.Finished = r.Finished || choice.Finish != ""
		r.Refused = r.Refused || choice.Finish == "content_filter"
	}
}

func chatBody(body []byte, r *Report) error {
	var a chatAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return err
	}
	if a.Error == nil && len(a.Choices) == 0 {
		return errors.New("it has no choices")
	}
	a.tell(r)
	r.Finished = r.Fault == nil
	return nil
}

func chatEvent(data []byte, r *Report) error {
	var a chatAnswer
	if err := json.Unmarshal(data, &a); err != nil {
		return err
	}
	a.tell(r)
	return nil
}

// ChatUsageChunk reports whether the event is the extra last chunk that carries only the usage, which a client gets only if it asked for it.
func ChatUsageChunk(data []byte) bool {
	var chunk struct {
		Choices []json.RawMessage `json:"choices"`
		Usage   *json.RawMessage  `json:"usage"`
	}
	return json.Unmarshal(data, &chunk) == nil && len(chunk.Choices) == 0 && chunk.Usage != nil
}

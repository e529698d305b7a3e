package usage

import (
	"encoding/json"
	"errors"
)

// anthropicUsage has three input counts of which none contains another.
type anthropicUsage struct {
	Input         count `json:"input_tokens"`
	CacheRead     count `json:"cache_read_input_tokens"`
	CacheCreation count `json:"cache_creation_input_tokens"`
	ByLife        *struct {
		Hour count `json:"ephemeral_1h_input_tokens"`
	} `json:"cache_creation"`
	Output  count `json:"output_tokens"`
	Details *struct {
		Thinking count `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

// input takes the input counts; those that are missing or 0 leave what was known, since some servers
// send 0 at the start and the truth at the end, others the reverse.
func (u *anthropicUsage) input(known Usage) Usage {
	if value(u.Input.n)+value(u.CacheRead.n)+value(u.CacheCreation.n) == 0 && known.InputTotal != nil {
		return known
	}
	if u.Input.n == nil && u.CacheRead.n == nil && u.CacheCreation.n == nil {
		return known
	}
	plain := value(known.InputTotal) - value(known.CacheRead) - value(known.CacheWrite)
	if u.Input.n != nil {
		plain = *u.Input.n
	}
	if u.CacheRead.n != nil {
		known.CacheRead = u.CacheRead.n
	}
	if u.CacheCreation.n != nil {
		known.CacheWrite = u.CacheCreation.n
	}
	if u.ByLife != nil && u.ByLife.Hour.n != nil {
		known.CacheWrite1h = u.ByLife.Hour.n
	}
	known.InputTotal = Of(plain + value(known.CacheRead) + value(known.CacheWrite))
	return known
}

func (u *anthropicUsage) output(known Usage) Usage {
	if u.Output.n != nil {
		known.OutputTotal = u.Output.n
	}
	if u.Details != nil && u.Details.Thinking.n != nil {
		known.Reasoning = u.Details.Thinking.n
	}
	return known
}

type anthropicMessage struct {
	Type    string          `json:"type"`
	Model   string          `json:"model"`
	Stop    string          `json:"stop_reason"`
	Usage   *anthropicUsage `json:"usage"`
	Error   *fault          `json:"error"`
	Content json.RawMessage `json:"content"`
}

func anthropicBody(body []byte, r *Report) error {
	var m anthropicMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return err
	}
	if r.Fault = m.Error.tell(); r.Fault != nil {
		return nil
	}
	if m.Content == nil {
		return errors.New("it has no content")
	}
	r.Model, r.Finished, r.Refused = m.Model, true, m.Stop == "refusal"
	r.outputSize = int64(len(m.Content))
	if m.Usage != nil {
		r.Usage = m.Usage.output(m.Usage.input(Usage{}))
	}
	return nil
}

func anthropicEvent(data []byte, r *Report) error {
	var e struct {
		Type    string            `json:"type"`
		Message *anthropicMessage `json:"message"`
		Usage   *anthropicUsage   `json:"usage"`
		Error   *fault            `json:"error"`
		Delta   *struct {
			Text     string `json:"text"`
			Thinking string `json:"thinking"`
			JSON     string `json:"partial_json"`
			Stop     string `json:"stop_reason"`
		} `json:"delta"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	switch e.Type {
	case "message_start":
		if e.Message != nil {
			r.Model = e.Message.Model
		}
		if e.Message != nil && e.Message.Usage != nil { // its output count is a placeholder
			r.Usage = e.Message.Usage.input(r.Usage)
		}
	case "content_block_delta":
		if e.Delta != nil {
			r.saw(e.Delta.Text, e.Delta.Thinking, e.Delta.JSON)
		}
	case "message_delta":
		if e.Usage != nil {
			r.Usage = e.Usage.output(e.Usage.input(r.Usage))
		}
		r.Finished = r.Finished || e.Delta != nil && e.Delta.Stop != ""
		r.Refused = r.Refused || e.Delta != nil && e.Delta.Stop == "refusal"
	case "message_stop":
		r.Finished = true
	case "error":
		r.Fault = e.Error.tell()
	}
	return nil
}

package usage

import (
	"encoding/json"
	"errors"
)

// geminiUsage counts tool results that the provider itself fetched apart from the prompt, and thoughts apart from the candidates.
type geminiUsage struct {
	Prompt     count `json:"promptTokenCount"`
	Cached     count `json:"cachedContentTokenCount"`
	Candidates count `json:"candidatesTokenCount"`
	Thoughts   count `json:"thoughtsTokenCount"`
	ToolUse    count `json:"toolUsePromptTokenCount"`
}

func (u *geminiUsage) normal() Usage {
	n := Usage{InputTotal: plus(u.Prompt.n, u.ToolUse.n), CacheRead: u.Cached.n, Reasoning: u.Thoughts.n}
	n.OutputTotal = plus(u.Candidates.n, u.Thoughts.n)
	return n
}

// geminiBody reads a whole answer and, since these have the same form, one chunk of a stream: the last counts win.
func geminiBody(data []byte, r *Report) error {
	var a struct {
		Model      string       `json:"modelVersion"`
		Usage      *geminiUsage `json:"usageMetadata"`
		Error      *fault       `json:"error"`
		Candidates []struct {
			Finish  string `json:"finishReason"`
			Content struct {
				Parts json.RawMessage `json:"parts"`
			} `json:"content"`
		} `json:"candidates"`
		Feedback *struct {
			Block string `json:"blockReason"`
		} `json:"promptFeedback"`
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return err
	}
	if a.Error == nil && a.Usage == nil && a.Candidates == nil && a.Feedback == nil {
		return errors.New("it has no candidates")
	}
	if a.Error != nil {
		r.Fault = a.Error.tell()
	}
	if a.Model != "" {
		r.Model = a.Model
	}
	if a.Usage != nil {
		r.Usage = a.Usage.normal()
	}
	if a.Feedback != nil && a.Feedback.Block != "" {
		r.Refused, r.Finished = true, true
	}
	for _, c := range a.Candidates {
		r.outputSize += int64(len(c.Content.Parts))
		r.Finished = r.Finished || c.Finish != ""
		r.Refused = r.Refused || geminiRefusal(c.Finish)
	}
	return nil
}

func geminiRefusal(finish string) bool {
	switch finish {
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII":
		return true
	}
	return false
}

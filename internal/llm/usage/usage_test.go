package usage_test

import (
	"encoding/json"
	"strings"
	"testing"

	"oddish/internal/llm"
	"oddish/internal/llm/usage"
)

// text writes a usage in short: input, cache read, cache write, output, reasoning; "-" for unknown.
func text(u usage.Usage) string {
	var parts []string
	for _, n := range []*int64{u.InputTotal, u.CacheRead, u.CacheWrite, u.OutputTotal, u.Reasoning} {
		part := "-"
		if n != nil {
			data, _ := json.Marshal(n)
			part = string(data)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

func TestBody(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		dialect llm.Dialect
		body    string
		want    string
	}{
		{"anthropic adds the three input counts", llm.Anthropic, `{"content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":200,"cache_creation_input_tokens":30,"output_tokens":5}}`, "240 200 30 5 -"},
		{"anthropic without a cache", llm.Anthropic, `{"content":[],"usage":{"input_tokens":10,"output_tokens":5}}`, "10 - - 5 -"},
		{"anthropic without usage", llm.Anthropic, `{"content":[]}`, "- - - - -"},
		{"chat", llm.Chat, `{"choices":[{}],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":40},"completion_tokens_details":{"reasoning_tokens":8}}}`, "100 40 - 20 8"},
		{"chat of xAI has reasoning outside the completion", llm.Chat, `{"choices":[{}],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":128,"completion_tokens_details":{"reasoning_tokens":8}}}`, "100 - - 28 8"},
		{"chat of DeepSeek", llm.Chat, `{"choices":[{}],"usage":{"prompt_tokens":100,"completion_tokens":20,"prompt_cache_hit_tokens":64}}`, "100 64 - 20 -"},
		{"chat of Moonshot", llm.Chat, `{"choices":[{}],"usage":{"prompt_tokens":100,"completion_tokens":20,"cached_tokens":12}}`, "100 12 - 20 -"},
		{"chat of OpenRouter tells cache writes", llm.Chat, `{"choices":[{}],"usage":{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":90}}}`, "100 0 90 20 -"},
		{"chat with fractions and nulls", llm.Chat, `{"choices":[{}],"usage":{"prompt_tokens":100.0,"completion_tokens":"20","total_tokens":null}}`, "100 - - 20 -"},
		{"chat with zeros does not count", llm.Chat, `{"choices":[{}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`, "- - - - -"},
		{"responses", llm.Responses, `{"output":[],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":8}}}`, "100 40 - 20 8"},
		{"gemini adds thoughts and tool results", llm.Gemini, `{"candidates":[{}],"usageMetadata":{"promptTokenCount":100,"toolUsePromptTokenCount":7,"cachedContentTokenCount":40,"candidatesTokenCount":20,"thoughtsTokenCount":8}}`, "107 40 - 28 8"},
		{"gemini that only thought", llm.Gemini, `{"candidates":[{}],"usageMetadata":{"promptTokenCount":100,"thoughtsTokenCount":8}}`, "100 - - 8 8"},
	}
	for _, tt := range tests {
		r, err := usage.Body(tt.dialect, []byte(tt.body))
		if err != nil || text(r.Usage) != tt.want || !r.Finished && tt.dialect != llm.Gemini {
			t.Errorf("%s: %s, %v, finished %t; want %s", tt.name, text(r.Usage), err, r.Finished, tt.want)
		}
	}
}

func TestBodyRefusesWhatIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, d := range llm.Dialects() {
		for _, body := range []string{"", "null", "{}", "[]", `{"model":"x"}`, "<html>"} {
			if _, err := usage.Body(d, []byte(body)); err == nil {
				t.Errorf("%s accepts %q", d, body)
			}
		}
		r, err := usage.Body(d, []byte(`{"error":{"message":"no","code":429}}`))
		if err != nil || r.Fault == nil || r.Fault.Message != "no" || r.Fault.Code != "429" {
			t.Errorf("%s: fault %+v, %v", d, r.Fault, err)
		}
	}
}

func read(d llm.Dialect, events ...string) usage.Report {
	r := usage.NewReader(d)
	for _, e := range events {
		r.Event([]byte(e))
	}
	return r.Report()
}

func TestStreams(t *testing.T) {
	t.Parallel()
	start := `{"type":"message_start","message":{"model":"m","usage":{"input_tokens":10,"cache_read_input_tokens":200,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_1h_input_tokens":30},"output_tokens":1}}}`
	zero := `{"type":"message_start","message":{"model":"m","usage":{"input_tokens":0,"output_tokens":0}}}`
	tests := []struct {
		name     string
		dialect  llm.Dialect
		events   []string
		want     string
		finished bool
	}{
		{"anthropic takes the last output", llm.Anthropic, []string{start, `{"type":"message_delta","delta":{},"usage":{"output_tokens":5}}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}`, `{"type":"message_stop"}`}, "240 200 30 9 -", true},
		{"anthropic with zeros at the start", llm.Anthropic, []string{zero, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":9}}`}, "15 5 - 9 -", true},
		{"anthropic with zeros at the end", llm.Anthropic, []string{start, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":9}}`}, "240 200 30 9 -", true},
		{"anthropic repeats the input at the end", llm.Anthropic, []string{start, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":10,"cache_read_input_tokens":200,"cache_creation_input_tokens":30,"output_tokens":9}}`}, "240 200 30 9 -", true},
		{"anthropic cut knows its input", llm.Anthropic, []string{start, `{"type":"content_block_delta","delta":{"text":"hello"}}`}, "240 200 30 - -", false},
		{"chat with an extra chunk", llm.Chat, []string{`{"choices":[{"delta":{"content":"x"}}],"usage":null}`, `{"choices":[{"finish_reason":"stop","delta":{}}]}`, `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2}}`, `[DONE]`}, "10 - - 2 -", true},
		{"chat without choices in the extra chunk", llm.Chat, []string{`{"choices":[{"finish_reason":"stop"}]}`, `{"choices":null,"usage":{"prompt_tokens":10,"completion_tokens":2}}`}, "10 - - 2 -", true},
		{"chat with usage in the last chunk", llm.Chat, []string{`{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":2}}`}, "10 - - 2 -", true},
		{"chat of Groq", llm.Chat, []string{`{"choices":[{"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":10,"completion_tokens":2}}}`}, "10 - - 2 -", true},
		{"responses", llm.Responses, []string{`{"type":"response.created","response":{"model":"m"}}`, `{"type":"response.completed","response":{"output":[],"usage":{"input_tokens":10,"output_tokens":2}}}`}, "10 - - 2 -", true},
		{"responses incomplete", llm.Responses, []string{`{"type":"response.incomplete","response":{"usage":{"input_tokens":10,"output_tokens":2},"incomplete_details":{"reason":"max_output_tokens"}}}`}, "10 - - 2 -", true},
		{"responses failed", llm.Responses, []string{`{"type":"response.failed","response":{"usage":{"input_tokens":10,"output_tokens":2},"error":{"code":"server_error","message":"x"}}}`}, "10 - - 2 -", false},
		{"gemini takes the last counts", llm.Gemini, []string{`{"candidates":[{}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":1}}`, `{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":7,"thoughtsTokenCount":3}}`}, "10 - - 10 3", true},
		{"nothing in a known form", llm.Chat, []string{"nonsense"}, "- - - - -", false},
	}
	for _, tt := range tests {
		r := read(tt.dialect, tt.events...)
		if text(r.Usage) != tt.want || r.Finished != tt.finished {
			t.Errorf("%s: %s, finished %t; want %s, %t", tt.name, text(r.Usage), r.Finished, tt.want, tt.finished)
		}
	}
	if r := read(llm.Anthropic, start); *r.Usage.CacheWrite1h != 30 || r.Model != "m" {
		t.Errorf("1 h cache %v, model %q", r.Usage.CacheWrite1h, r.Model)
	}
	if r := read(llm.Chat, "nonsense", "{"); r.Malformed != 2 {
		t.Errorf("malformed %d", r.Malformed)
	}
}

func TestFaultsAndRefusalsInStreams(t *testing.T) {
	t.Parallel()
	faults := map[llm.Dialect]string{
		llm.Anthropic: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`,
		llm.Chat:      `{"error":{"type":"overloaded_error","message":"Overloaded"}}`,
		llm.Responses: `{"type":"error","code":"overloaded_error","message":"Overloaded"}`,
		llm.Gemini:    `{"error":{"status":"overloaded_error","message":"Overloaded"}}`,
	}
	for d, event := range faults {
		r := read(d, event)
		if r.Fault == nil || r.Fault.Type+r.Fault.Code != "overloaded_error" || r.Fault.Message != "Overloaded" || r.Finished {
			t.Errorf("%s: %+v", d, r.Fault)
		}
	}
	refusals := map[llm.Dialect]string{
		llm.Anthropic: `{"type":"message_delta","delta":{"stop_reason":"refusal"}}`,
		llm.Chat:      `{"choices":[{"finish_reason":"content_filter"}]}`,
		llm.Responses: `{"type":"response.incomplete","response":{"incomplete_details":{"reason":"content_filter"}}}`,
		llm.Gemini:    `{"promptFeedback":{"blockReason":"SAFETY"}}`,
	}
	for d, event := range refusals {
		if r := read(d, event); !r.Refused || !r.Finished {
			t.Errorf("%s: %+v", d, r)
		}
	}
}

func TestEstimateFillsInOnlyWhatIsUnknown(t *testing.T) {
	t.Parallel()
	r := read(llm.Anthropic, `{"type":"message_start","message":{"usage":{"input_tokens":100,"output_tokens":1}}}`, `{"type":"content_block_delta","delta":{"text":"twelve bytes"}}`)
	r.Estimate(4000)
	if text(r.Usage) != "100 - - 3 -" || !r.Estimated {
		t.Errorf("cut: %s, estimated %t", text(r.Usage), r.Estimated)
	}
	r = read(llm.Chat, `{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}`)
	r.Estimate(4000)
	if text(r.Usage) != "1000 - - 1 -" || !r.Estimated {
		t.Errorf("untold: %s, estimated %t", text(r.Usage), r.Estimated)
	}
	r = read(llm.Chat, `{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":2}}`)
	r.Estimate(4000)
	if text(r.Usage) != "10 - - 2 -" || r.Estimated {
		t.Errorf("told: %s, estimated %t", text(r.Usage), r.Estimated)
	}
}

func TestAddKeepsUnknownUnknown(t *testing.T) {
	t.Parallel()
	a := usage.Usage{InputTotal: usage.Of(1), OutputTotal: usage.Of(2)}
	b := usage.Usage{InputTotal: usage.Of(10), Reasoning: usage.Of(3)}
	if got := text(a.Add(b)); got != "11 - - 2 3" {
		t.Errorf("the sum is %s", got)
	}
	if sum := a.Add(usage.Usage{}); sum.InputTotal == a.InputTotal {
		t.Error("the sum shares a count with what it was made from")
	}
}

func TestChatUsageChunk(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]bool{
		`{"choices":[],"usage":{"prompt_tokens":1}}`:   true,
		`{"choices":null,"usage":{"prompt_tokens":1}}`: true,
		`{"usage":{"prompt_tokens":1}}`:                true,
		`{"choices":[{}],"usage":{"prompt_tokens":1}}`: false,
		`{"choices":[],"usage":null}`:                  false,
		`{"choices":[{"delta":{"content":"usage"}}]}`:  false,
		`[DONE]`: false,
	} {
		if got := usage.ChatUsageChunk([]byte(event)); got != want {
			t.Errorf("%s: %t", event, got)
		}
	}
}

func FuzzReadersTakeAnything(f *testing.F) {
	f.Add(`{"type":"message_delta","usage":{"output_tokens":-1}}`)
	f.Add(`{"choices":[{"delta":null}],"usage":{"prompt_tokens":1e300}}`)
	f.Add(`{"response":null,"type":"response.completed"}`)
	f.Fuzz(func(t *testing.T, in string) {
		for _, d := range llm.Dialects() {
			r := read(d, in, in)
			r.Estimate(int64(len(in)))
			if *r.Usage.InputTotal < 0 || *r.Usage.OutputTotal < 0 {
				t.Errorf("%s %q: %s", d, in, text(r.Usage))
			}
			if _, err := usage.Body(d, []byte(in)); err != nil {
				continue
			}
		}
		usage.ReadFault([]byte(in))
	})
}

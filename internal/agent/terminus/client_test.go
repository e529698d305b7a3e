package terminus

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
)

func clientOf(t *testing.T, d llm.Dialect, h http.Handler) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &Client{
		HTTP: s.Client(), Dialect: d, BaseURL: s.URL, Token: "key", Model: "m",
		Classify: func(status int, _ string) string { return http.StatusText(status) },
	}
}

func TestEveryDialectIsSpoken(t *testing.T) {
	t.Parallel()
	for _, d := range llm.Dialects() {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			c := clientOf(t, d, fakellm.New(fakellm.Script{TextAgent: true, Keys: []string{"key"}, Turns: []fakellm.Turn{
				{Text: "one", Reasoning: "thought", Usage: fakellm.Usage{Input: 10, Output: 5, CacheRead: 3}},
				{Text: "two", Usage: fakellm.Usage{Input: 20, Output: 6}},
			}}))
			first, err := c.Ask(t.Context(), []Message{{Role: "user", Text: "hi"}})
			if err != nil {
				t.Fatal(err)
			}
			if first.Text != "one" || *first.Usage.InputTotal != 10 || *first.Usage.OutputTotal != 5 || *first.Usage.CacheRead != 3 || first.Cut {
				t.Errorf("%+v", first)
			}
			if d != llm.Responses && d != llm.Chat && first.Reasoning != "thought" {
				t.Errorf("reasoning %q", first.Reasoning)
			}
			second, err := c.Ask(t.Context(), []Message{{Role: "user", Text: "hi"}, {Role: "assistant", Text: "one"}, {Role: "user", Text: "on"}})
			if err != nil || second.Text != "two" {
				t.Errorf("%+v, %v", second, err)
			}
			c.Token = "wrong"
			_, err = c.Ask(t.Context(), []Message{{Role: "user", Text: "hi"}})
			var failed *CallError
			if !errors.As(err, &failed) || failed.Status != http.StatusUnauthorized {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAnswersThatAreCutAreSeen(t *testing.T) {
	t.Parallel()
	for d, body := range map[llm.Dialect]string{
		llm.Anthropic: `{"type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"max_tokens","usage":{"input_tokens":1,"output_tokens":1}}`,
		llm.Chat:      `{"choices":[{"message":{"content":"x"},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`,
		llm.Responses: `{"object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"message","content":[{"type":"output_text","text":"x"}]}],"usage":{"input_tokens":1,"output_tokens":1}}`,
		llm.Gemini:    `{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}`,
	} {
		c := clientOf(t, d, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
		if a, err := c.Ask(t.Context(), []Message{{Role: "user", Text: "hi"}}); err != nil || !a.Cut || a.Text != "x" {
			t.Errorf("%s: %+v, %v", d, a, err)
		}
	}
}

func TestOptionsReachTheModel(t *testing.T) {
	t.Parallel()
	warm := 0.5
	for d, want := range map[llm.Dialect][]string{
		llm.Anthropic: {`"thinking":{"budget_tokens":4096,"type":"enabled"}`, `"cache_control"`, `"x":1`},
		llm.Chat:      {`"reasoning_effort":"high"`, `"temperature":0.5`, `"max_completion_tokens":99`, `"x":1`},
		llm.Responses: {`"reasoning":{"effort":"high"}`, `"store":false`, `"max_output_tokens":99`},
		llm.Gemini:    {`"thinkingBudget":4096`, `"maxOutputTokens":99`},
	} {
		var body string
		c := clientOf(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			body = string(data)
			if r.Header.Get("X-Session-ID") != "s" {
				t.Errorf("%s: header %v", d, r.Header)
			}
			w.WriteHeader(http.StatusTeapot)
		}))
		c.Effort, c.Temperature, c.MaxOutput, c.Body, c.Header = "high", &warm, 99, map[string]any{"x": 1}, map[string]string{"X-Session-ID": "s"}
		if _, err := c.Ask(t.Context(), []Message{{Role: "user", Text: "hi"}}); err == nil {
			t.Error("418 is no error")
		}
		for _, part := range want {
			if !strings.Contains(body, part) {
				t.Errorf("%s: %s lacks %s", d, body, part)
			}
		}
	}
}

func TestThoughtsAreGivenBackOnlyWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	raw, _ := json.Marshal([]object{{"type": "thinking", "thinking": "t", "signature": "sig"}, {"type": "text", "text": "x"}})
	conversation := []Message{{Role: "user", Text: "hi"}, {Role: "assistant", Text: "x", Reasoning: "t", Raw: raw}, {Role: "user", Text: "on"}}
	for d, sign := range map[llm.Dialect]string{llm.Anthropic: `"signature":"sig"`, llm.Chat: `"reasoning_content":"t"`} {
		for _, interleave := range []bool{true, false} {
			c := &Client{Dialect: d, Model: "m", Interleave: interleave}
			w, err := c.wire()
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(w.body(c, conversation))
			if err != nil || strings.Contains(string(data), sign) != interleave {
				t.Errorf("%s, %t: %s, %v", d, interleave, data, err)
			}
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	c := clientOf(t, llm.Chat, http.NotFoundHandler())
	c.BaseURL = "http://127.0.0.1:1"
	var failed *CallError
	if _, err := c.Ask(t.Context(), nil); !errors.As(err, &failed) || failed.Status != 0 {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Ask(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

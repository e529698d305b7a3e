package transcript_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
	"oddish/internal/llm/transcript"
)

type object = map[string]any

// agent is a small agent that keeps its whole conversation and sends it with every call, as agents do.
type agent struct {
	t       *testing.T
	dialect llm.Dialect
	url     string
	model   string
	stream  bool
	system  string
	tools   bool
	history []any
	call    func(name, args string) string // what its tool gives
}

// rig is a gateway with a record, before a scripted provider.
type rig struct {
	t        *testing.T
	path     string
	provider string
	gateway  *gateway.Gateway
	session  *gateway.Session
	record   *transcript.Recorder
	front    *httptest.Server
}

func newRig(t *testing.T, script fakellm.Script) *rig {
	t.Helper()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "record.jsonl")}
	provider := httptest.NewServer(fakellm.New(script))
	t.Cleanup(provider.Close)
	r.provider = provider.URL
	r.gateway = gateway.New(gateway.Config{Retry: gateway.Retry{Base: time.Millisecond}})
	r.front = httptest.NewServer(r.gateway.Handler())
	t.Cleanup(r.front.Close)
	r.reopen()
	return r
}

// reopen begins a session with the record as it is.
func (r *rig) reopen() {
	r.t.Helper()
	var err error
	if r.record, err = transcript.NewPool().Open(r.path); err != nil {
		r.t.Fatal(err)
	}
	trial := gateway.Trial{ID: "trial", Upstreams: map[llm.Dialect]gateway.Upstream{}, Transcript: r.record}
	for _, d := range llm.Dialects() {
		trial.Upstreams[d] = gateway.Upstream{BaseURL: r.provider}
	}
	if r.session, err = r.gateway.Open(trial); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) agent(d llm.Dialect, stream bool, prompt string) *agent {
	model := map[llm.Dialect]string{llm.Anthropic: "claude-sonnet-4-5", llm.Chat: "gpt-5", llm.Responses: "gpt-5", llm.Gemini: "gemini-2.5-flash"}[d]
	a := &agent{t: r.t, dialect: d, url: r.front.URL + r.session.Path(), model: model, stream: stream, system: "You are a small agent that works in tests.", tools: true}
	a.call = func(_, _ string) string { return "done" }
	a.say(prompt)
	return a
}

// trajectory ends the session and gives what the record makes.
func (r *rig) trajectory(instruction string) (*atif.Trajectory, *atif.Images) {
	r.t.Helper()
	r.session.Close()
	if err := r.record.Close(); err != nil {
		r.t.Fatal(err)
	}
	f, err := os.Open(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	tr, images, err := transcript.Build(f, instruction)
	if err != nil {
		r.t.Fatal(err)
	}
	if tr == nil {
		return nil, images
	}
	tr.Agent.Name, tr.Agent.Version = "small", "1"
	for i := range tr.SubTrajectories {
		tr.SubTrajectories[i].Agent.Name, tr.SubTrajectories[i].Agent.Version = "small", "1"
	}
	if err := tr.Validate(); err != nil {
		r.t.Fatal(err)
	}
	return tr, images
}

// say adds words of the user's.
func (a *agent) say(text string) {
	switch a.dialect {
	case llm.Gemini:
		a.history = append(a.history, object{"role": "user", "parts": []any{object{"text": text}}})
	case llm.Anthropic: // with a mark that wanders from request to request
		a.history = append(a.history, object{"role": "user", "content": []any{object{"type": "text", "text": text, "cache_control": object{"type": "ephemeral"}}}})
	default:
		a.history = append(a.history, object{"role": "user", "content": text})
	}
}

// picture adds one of the user's.
func (a *agent) picture(mediaType, data string) {
	address := "data:" + mediaType + ";base64," + data
	switch a.dialect {
	case llm.Gemini:
		a.history = append(a.history, object{"role": "user", "parts": []any{object{"inlineData": object{"mimeType": mediaType, "data": data}}}})
	case llm.Anthropic:
		a.history = append(a.history, object{"role": "user", "content": []any{object{"type": "image", "source": object{"type": "base64", "media_type": mediaType, "data": data}}}})
	case llm.Responses:
		a.history = append(a.history, object{"role": "user", "content": []any{object{"type": "input_image", "image_url": address}}})
	default:
		a.history = append(a.history, object{"role": "user", "content": []any{object{"type": "image_url", "image_url": object{"url": address}}}})
	}
}

// run calls the model until it calls no tool.
func (a *agent) run() {
	a.t.Helper()
	for a.step() {
	}
}

func (a *agent) request() (path string, body object) {
	schema := object{"type": "object", "properties": object{"command": object{"type": "string"}}, "required": []string{"command"}}
	body = object{"model": a.model}
	var tools []any
	switch a.dialect {
	case llm.Anthropic:
		path, body["max_tokens"], body["system"], body["messages"], body["stream"] = "/v1/messages", 1000, a.system, a.history, a.stream
		tools = []any{object{"name": "bash", "input_schema": schema}}
	case llm.Chat:
		path, body["stream"] = "/v1/chat/completions", a.stream
		body["messages"] = append([]any{object{"role": "system", "content": a.system}}, a.history...)
		tools = []any{object{"type": "function", "function": object{"name": "bash", "parameters": schema}}}
	case llm.Responses:
		path, body["instructions"], body["input"], body["stream"] = "/v1/responses", a.system, a.history, a.stream
		tools = []any{object{"type": "function", "name": "bash", "parameters": schema}}
	case llm.Gemini:
		path = "/v1beta/models/" + a.model + ":generateContent"
		if a.stream {
			path = "/v1beta/models/" + a.model + ":streamGenerateContent?alt=sse"
		}
		body["contents"], body["systemInstruction"] = a.history, object{"parts": []any{object{"text": a.system}}}
		tools = []any{object{"functionDeclarations": []any{object{"name": "bash", "parametersJsonSchema": schema}}}}
	}
	if a.tools {
		body["tools"] = tools
	}
	return path, body
}

// ask makes a call and gives the answer; nil if it failed.
func (a *agent) ask() []byte {
	a.t.Helper()
	path, body := a.request()
	data, err := json.Marshal(body)
	if err != nil {
		a.t.Fatal(err)
	}
	got, err := http.Post(a.url+path, "application/json", bytes.NewReader(data))
	if err != nil {
		return nil
	}
	defer got.Body.Close()
	said, err := io.ReadAll(got.Body)
	if err != nil || got.StatusCode != http.StatusOK {
		return nil
	}
	return said
}

// step makes a call and reports whether the model called the tool, whose result it adds.
func (a *agent) step() bool {
	a.t.Helper()
	said := a.ask()
	if said == nil {
		a.t.Fatal("the call failed")
	}
	if a.stream {
		return a.takeEvents(said)
	}
	return a.take(said)
}

// takeEvents puts the answer together from its events.
func (a *agent) takeEvents(said []byte) bool {
	var text, args, name, id string
	var whole []byte
	var geminiParts []any
	for line := range strings.Lines(string(said)) {
		data, is := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !is || data == "[DONE]" {
			continue
		}
		var e struct {
			Type     string                          `json:"type"`
			Response json.RawMessage                 `json:"response"`
			Content  struct{ Type, ID, Name string } `json:"content_block"`
			Delta    struct {
				Text string `json:"text"`
				JSON string `json:"partial_json"`
			}
			Choices []struct {
				Delta struct {
					Content string
					Calls   []struct {
						ID       string
						Function struct{ Name, Arguments string }
					} `json:"tool_calls"`
				}
			}
			Candidates []struct{ Content struct{ Parts []any } }
		}
		if a.dialect == llm.Responses {
			var kind struct{ Type string }
			if json.Unmarshal([]byte(data), &kind) != nil || kind.Type != "response.completed" {
				continue
			}
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			a.t.Fatalf("%s: %v", data, err)
		}
		if e.Type == "response.completed" {
			whole = e.Response
		}
		if e.Content.ID != "" {
			id, name = e.Content.ID, e.Content.Name
		}
		text += e.Delta.Text
		args += e.Delta.JSON
		for _, c := range e.Choices {
			text += c.Delta.Content
			for _, call := range c.Delta.Calls {
				if call.ID != "" {
					id, name = call.ID, call.Function.Name
				}
				args += call.Function.Arguments
			}
		}
		for _, c := range e.Candidates {
			geminiParts = append(geminiParts, c.Content.Parts...)
		}
	}
	switch a.dialect {
	case llm.Responses:
		return a.take(whole)
	case llm.Gemini:
		return a.takeGemini(geminiParts)
	case llm.Anthropic:
		content := []any{object{"type": "text", "text": text}}
		if id != "" {
			content = append(content, object{"type": "tool_use", "id": id, "name": name, "input": json.RawMessage(args)})
		}
		return a.takeAnthropic(content)
	}
	message := object{"role": "assistant", "content": text}
	if id != "" {
		message["tool_calls"] = []any{object{"id": id, "type": "function", "function": object{"name": name, "arguments": args}}}
	}
	return a.takeChat(message)
}

func (a *agent) take(said []byte) bool {
	var body struct {
		Content    []any
		Choices    []struct{ Message object }
		Output     []any
		Candidates []struct{ Content struct{ Parts []any } }
	}
	if err := json.Unmarshal(said, &body); err != nil {
		a.t.Fatalf("%s: %v", said, err)
	}
	switch a.dialect {
	case llm.Anthropic:
		return a.takeAnthropic(body.Content)
	case llm.Chat:
		return a.takeChat(body.Choices[0].Message)
	case llm.Responses:
		return a.takeResponses(body.Output)
	}
	return a.takeGemini(body.Candidates[0].Content.Parts)
}

// takeAnthropic sends reasoning back as it came, as the provider wants it.
func (a *agent) takeAnthropic(content []any) bool {
	a.history = append(a.history, object{"role": "assistant", "content": content})
	var results []any
	for _, b := range content {
		if b := b.(object); b["type"] == "tool_use" {
			results = append(results, object{"type": "tool_result", "tool_use_id": b["id"], "content": a.call(b["name"].(string), fmt.Sprint(b["input"]))})
		}
	}
	if results != nil {
		a.history = append(a.history, object{"role": "user", "content": results})
	}
	return results != nil
}

func (a *agent) takeChat(message object) bool {
	delete(message, "reasoning_content") // it is not sent back
	a.history = append(a.history, message)
	calls, _ := message["tool_calls"].([]any)
	for _, c := range calls {
		c := c.(object)
		a.history = append(a.history, object{"role": "tool", "tool_call_id": c["id"], "content": a.call("bash", fmt.Sprint(c))})
	}
	return calls != nil
}

func (a *agent) takeResponses(output []any) bool {
	called := false
	for _, item := range output {
		item := item.(object)
		a.history = append(a.history, item)
		if item["type"] == "function_call" {
			called = true
			a.history = append(a.history, object{"type": "function_call_output", "call_id": item["call_id"], "output": a.call(item["name"].(string), fmt.Sprint(item["arguments"]))})
		}
	}
	return called
}

func (a *agent) takeGemini(parts []any) bool {
	a.history = append(a.history, object{"role": "model", "parts": parts})
	var results []any
	for _, p := range parts {
		if c, is := p.(object)["functionCall"].(object); is {
			results = append(results, object{"functionResponse": object{"name": c["name"], "response": object{"output": a.call(c["name"].(string), fmt.Sprint(c["args"]))}}})
		}
	}
	if results != nil {
		a.history = append(a.history, object{"role": "user", "parts": results})
	}
	return results != nil
}

package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
)

const (
	providerKey = "sk-provider-key-0123456789"
	sonnet      = "claude-sonnet-4-5"
	gpt         = "gpt-5"
	flash       = "gemini-2.5-flash"
)

// modelOf gives a priced model of the dialect's provider.
func modelOf(d llm.Dialect) string {
	switch d {
	case llm.Anthropic:
		return sonnet
	case llm.Gemini:
		return flash
	}
	return gpt
}

// rig is an agent's view of a gateway before a scripted provider.
type rig struct {
	t        testing.TB
	fake     *fakellm.Server
	upstream *httptest.Server
	gateway  *gateway.Gateway
	front    *httptest.Server
	session  *gateway.Session
	log      *lockedBuffer // of the session
	slog     *lockedBuffer // of the gateway
}

// lockedBuffer is a buffer that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// quick makes waits of the default length short.
func quick() gateway.Config { return gateway.Config{Retry: gateway.Retry{Base: time.Millisecond}} }

func newRig(t testing.TB, script fakellm.Script, c gateway.Config, change ...func(*gateway.Trial)) *rig {
	t.Helper()
	script.Keys = append(script.Keys, providerKey)
	r := &rig{t: t, fake: fakellm.New(script), log: &lockedBuffer{}, slog: &lockedBuffer{}}
	r.upstream = httptest.NewServer(r.fake)
	t.Cleanup(r.upstream.Close)
	r.upstream.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	c.Log = slog.New(slog.NewTextHandler(r.slog, nil))
	r.gateway = gateway.New(c)
	r.front = httptest.NewServer(r.gateway.Handler())
	t.Cleanup(r.front.Close)
	r.session = r.open(change...)
	return r
}

func (r *rig) open(change ...func(*gateway.Trial)) *gateway.Session {
	r.t.Helper()
	trial := gateway.Trial{ID: "trial-1", Upstreams: map[llm.Dialect]gateway.Upstream{}, Log: r.log}
	for _, d := range llm.Dialects() {
		trial.Upstreams[d] = gateway.Upstream{BaseURL: r.upstream.URL, Key: providerKey}
	}
	for _, c := range change {
		c(&trial)
	}
	s, err := r.gateway.Open(trial)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// answer is what an agent got.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // in the middle of the body
}

func (r *rig) post(d llm.Dialect, stream bool, body string) answer {
	r.t.Helper()
	return r.send(http.MethodPost, r.session.Path()+path(d, stream, modelOf(d)), body, nil)
}

func (r *rig) send(method, path, body string, header http.Header) answer {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.front.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	got, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return answer{err: err}
	}
	defer got.Body.Close()
	data, err := io.ReadAll(got.Body)
	return answer{status: got.StatusCode, header: got.Header, body: string(data), err: err}
}

func path(d llm.Dialect, stream bool, model string) string {
	switch d {
	case llm.Anthropic:
		return "/v1/messages"
	case llm.Chat:
		return "/v1/chat/completions"
	case llm.Responses:
		return "/v1/responses"
	}
	if stream {
		return "/v1beta/models/" + model + ":streamGenerateContent?alt=sse"
	}
	return "/v1beta/models/" + model + ":generateContent"
}

// ask is a request at the given turn, with a shell tool.
func ask(d llm.Dialect, stream bool, turn int) string {
	return askModel(d, stream, turn, modelOf(d))
}

func askModel(d llm.Dialect, stream bool, turn int, model string) string {
	schema := object{"type": "object", "properties": object{"command": object{"type": "string"}}, "required": []string{"command"}}
	var body object
	switch d {
	case llm.Anthropic:
		messages := []object{{"role": "user", "content": "Write the file."}}
		for range turn {
			messages = append(messages, object{"role": "user", "content": []object{{"type": "tool_result", "tool_use_id": "x", "content": "ok"}}})
		}
		body = object{"model": model, "max_tokens": 1000, "stream": stream, "messages": messages, "tools": []object{{"name": "bash", "input_schema": schema}}}
	case llm.Chat:
		messages := []object{{"role": "user", "content": "Write the file."}}
		for range turn {
			messages = append(messages, object{"role": "tool", "tool_call_id": "x", "content": "ok"})
		}
		body = object{"model": model, "stream": stream, "messages": messages, "tools": []object{{"type": "function", "function": object{"name": "bash", "parameters": schema}}}}
	case llm.Responses:
		input := []object{{"type": "message", "role": "user", "content": "Write the file."}}
		for range turn {
			input = append(input, object{"type": "function_call_output", "call_id": "x", "output": "ok"})
		}
		body = object{"model": model, "stream": stream, "input": input, "tools": []object{{"type": "function", "name": "bash", "parameters": schema}}}
	case llm.Gemini:
		contents := []object{{"role": "user", "parts": []object{{"text": "Write the file."}}}}
		for range turn {
			contents = append(contents, object{"role": "user", "parts": []object{{"functionResponse": object{"name": "bash", "response": object{}}}}})
		}
		body = object{"contents": contents, "tools": []object{{"functionDeclarations": []object{{"name": "bash", "parametersJsonSchema": schema}}}}}
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(data)
}

type object = map[string]any

// bothTurns has the default script's conversation.
func (r *rig) bothTurns(d llm.Dialect, stream bool) {
	r.t.Helper()
	for turn := range 2 {
		if got := r.post(d, stream, ask(d, stream, turn)); got.status != 200 || got.err != nil {
			r.t.Fatalf("turn %d: status %d, error %v: %s", turn, got.status, got.err, got.body)
		}
	}
}

// entries reads the session's log after its requests ended.
func (r *rig) entries() []gateway.Entry {
	r.t.Helper()
	r.session.Close()
	var list []gateway.Entry
	for line := range strings.Lines(r.log.String()) {
		var e gateway.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			r.t.Fatalf("log line %q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

// eachDialect runs the test for all dialects, streaming and not.
func eachDialect(t *testing.T, test func(t *testing.T, d llm.Dialect, stream bool)) {
	t.Helper()
	for _, d := range llm.Dialects() {
		for _, stream := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s stream=%t", d, stream), func(t *testing.T) {
				t.Parallel()
				test(t, d, stream)
			})
		}
	}
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func copyBody(w io.Writer, r *http.Request) (int64, error) { return io.Copy(w, r.Body) }

func readCloser(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

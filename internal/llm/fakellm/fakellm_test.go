package fakellm_test

import (
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

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/sse"
	"oddish/internal/llm/usage"
)

type object = map[string]any

// serve starts a server with the script and gives a way to post to it.
func serve(t *testing.T, s fakellm.Script) (*fakellm.Server, func(path, body string) (*http.Response, string)) {
	t.Helper()
	fake := fakellm.New(s)
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return fake, func(path, body string) (*http.Response, string) {
		t.Helper()
		got, err := http.Post(server.URL+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		data, err := io.ReadAll(got.Body)
		if err != nil {
			return got, string(data) + " (cut: " + err.Error() + ")"
		}
		return got, string(data)
	}
}

// request is one in the dialect that declares the tool and carries results of it.
func request(t *testing.T, d llm.Dialect, stream bool, tool string, schema object, results int) (path, body string) {
	t.Helper()
	var b object
	switch d {
	case llm.Anthropic:
		path = "/v1/messages"
		content := []object{{"type": "text", "text": "go"}}
		for range results {
			content = append(content, object{"type": "tool_result"})
		}
		b = object{"tools": []object{{"name": tool, "input_schema": schema}}, "messages": []object{{"role": "user", "content": content}}}
	case llm.Chat:
		path = "/v1/chat/completions"
		messages := []object{{"role": "user", "content": "go"}}
		for range results {
			messages = append(messages, object{"role": "tool", "content": "ok"})
		}
		b = object{"tools": []object{{"type": "function", "function": object{"name": tool, "parameters": schema}}}, "messages": messages, "stream_options": object{"include_usage": true}}
	case llm.Responses:
		path = "/v1/responses"
		input := []object{{"role": "user", "content": "go"}}
		for range results {
			input = append(input, object{"type": "function_call_output"})
		}
		b = object{"tools": []object{{"type": "function", "name": tool, "parameters": schema}}, "input": input}
	case llm.Gemini:
		path = "/v1beta/models/m:generateContent"
		if stream {
			path = "/v1beta/models/m:streamGenerateContent?alt=sse"
		}
		parts := []object{{"text": "go"}}
		for range results {
			parts = append(parts, object{"functionResponse": object{}})
		}
		b = object{"tools": []object{{"functionDeclarations": []object{{"name": tool, "parameters": schema}}}}, "contents": []object{{"role": "user", "parts": parts}}}
	}
	b["model"], b["stream"] = "m", stream
	data, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return path, string(data)
}

func commandSchema() object {
	return object{"type": "object", "properties": object{"command": object{"type": "string"}}, "required": []any{"command"}}
}

// report reads an answer as anybody would.
func report(t *testing.T, d llm.Dialect, stream bool, body string) usage.Report {
	t.Helper()
	if !stream {
		r, err := usage.Body(d, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	events, reader := sse.NewReader(strings.NewReader(body), 1<<20), usage.NewReader(d)
	for {
		e, err := events.Next()
		if err != nil {
			return reader.Report()
		}
		reader.Event(e.Data)
	}
}

func TestTheDefaultScriptInAllDialects(t *testing.T) {
	t.Parallel()
	for _, d := range llm.Dialects() {
		for _, stream := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s stream=%t", d, stream), func(t *testing.T) {
				t.Parallel()
				fake, post := serve(t, fakellm.Default())
				var sum usage.Usage
				for turn := range 2 {
					_, body := post(request(t, d, stream, "bash", commandSchema(), turn))
					r := report(t, d, stream, body)
					if answer := fake.Calls()[turn].Answer; answer != body {
						t.Errorf("the server remembers another answer: %s", answer)
					}
					if !r.Finished || r.Malformed > 0 || r.Fault != nil || r.Model != "m" {
						t.Errorf("turn %d: %+v: %s", turn, r, body)
					}
					if calls := strings.Contains(body, `"name":"bash"`); calls != (turn == 0) {
						t.Errorf("turn %d calls the tool: %t: %s", turn, calls, body)
					}
					sum = sum.Add(r.Usage)
				}
				if *sum.InputTotal != 2850 || *sum.CacheRead != 1450 || *sum.OutputTotal != 54 {
					t.Errorf("in %d, cached %d, out %d", *sum.InputTotal, *sum.CacheRead, *sum.OutputTotal)
				}
				if told := fake.Told(false); told.Input != 2850 || told.Output != 54 {
					t.Errorf("the server says that it told %+v", told)
				}
			})
		}
	}
}

func TestTheShellToolIsChosenFromWhatTheRequestDeclares(t *testing.T) {
	t.Parallel()
	properties := func(p object, required ...any) object {
		return object{"type": "object", "properties": p, "required": required}
	}
	text, list := object{"type": "string"}, object{"type": "array"}
	tests := []struct {
		name, tool string
		dialect    llm.Dialect
		schema     object
		want       string
	}{
		{"claude", "Bash", llm.Anthropic, properties(object{"command": text, "description": text}, "command"), `{"command":"ls","description":"Write the file"}`},
		{"codex", "exec_command", llm.Responses, properties(object{"cmd": text}, "cmd"), `{"cmd":"ls"}`},
		{"codex with a list", "shell", llm.Responses, properties(object{"command": list}, "command"), `{"command":["bash","-lc","ls"]}`},
		{"gemini", "run_shell_command", llm.Gemini, properties(object{"command": object{"type": "STRING"}, "description": text}, "command"), `{"command":"ls","description":"Write the file"}`},
		{"cline", "run_commands", llm.Chat, properties(object{"commands": list}, "commands"), `{"commands":["ls"]}`},
		{"an unknown tool that takes a command", "go_do", llm.Chat, properties(object{"command": text}, "command"), `{"command":"ls"}`},
		{"further required parameters", "bash", llm.Chat, properties(object{"command": text, "risk": object{"type": "string", "enum": []any{"low", "high"}}, "wait": object{"type": "boolean"}, "n": object{"type": "integer"}}, "command", "risk", "wait", "n"), `{"command":"ls","n":1,"risk":"low","wait":false}`},
		{"without a schema", "bash", llm.Chat, nil, `{"command":"ls"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, post := serve(t, fakellm.Script{Turns: []fakellm.Turn{{Command: "ls"}}})
			_, body := post(request(t, tt.dialect, false, tt.tool, tt.schema, 0))
			name, args := toolCall(t, tt.dialect, body)
			if name != tt.tool || args != tt.want {
				t.Errorf("%s(%s), want %s(%s)", name, args, tt.tool, tt.want)
			}
		})
	}
}

func toolCall(t *testing.T, d llm.Dialect, body string) (name, args string) {
	t.Helper()
	var a struct {
		Content []struct {
			Name  string `json:"name"`
			Input object `json:"input"`
		} `json:"content"`
		Choices []struct {
			Message struct {
				ToolCalls []struct {
					Function struct{ Name, Arguments string } `json:"function"`
				} `json:"tool_calls"`
			} `json:"message"`
		} `json:"choices"`
		Output     []struct{ Name, Arguments string } `json:"output"`
		Candidates []struct {
			Content struct {
				Parts []struct {
					Call struct {
						Name string `json:"name"`
						Args object `json:"args"`
					} `json:"functionCall"`
				} `json:"parts"`
			} `json:"content"`
		} `json:"candidates"`
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	text := func(o object) string { data, _ := json.Marshal(o); return string(data) }
	switch d {
	case llm.Anthropic:
		return a.Content[0].Name, text(a.Content[0].Input)
	case llm.Chat:
		f := a.Choices[0].Message.ToolCalls[0].Function
		return f.Name, f.Arguments
	case llm.Responses:
		return a.Output[0].Name, a.Output[0].Arguments
	}
	call := a.Candidates[0].Content.Parts[0].Call
	return call.Name, text(call.Args)
}

func TestHelperCallsAreAnsweredAndCountedApart(t *testing.T) {
	t.Parallel()
	fake, post := serve(t, fakellm.Default())
	_, body := post("/v1/chat/completions", `{"model":"small","messages":[{"role":"user","content":"title"}]}`)
	if r := report(t, llm.Chat, false, body); *r.Usage.InputTotal != 11 || *r.Usage.OutputTotal != 3 {
		t.Errorf("body %s", body)
	}
	path, work := request(t, llm.Anthropic, false, "bash", commandSchema(), 0)
	post(path, strings.Replace(work, "{", `{"max_tokens":1,`, 1))
	if told, helpers := fake.Told(false), fake.Told(true); told.Input != 0 || helpers.Input != 22 {
		t.Errorf("told %+v, to helpers %+v", told, helpers)
	}
}

func TestTextAgentsAreAtTheTurnOfTheirAnswers(t *testing.T) {
	t.Parallel()
	_, post := serve(t, fakellm.Script{TextAgent: true, Turns: []fakellm.Turn{{Text: "one"}, {Text: "two"}}})
	for n, word := range []string{"one", "two", "two"} {
		history := strings.Repeat(`{"role":"assistant","content":"x"},`, n)
		_, body := post("/v1/chat/completions", `{"model":"m","messages":[`+history+`{"role":"user","content":"go"}]}`)
		if !strings.Contains(body, `"`+word+`"`) {
			t.Errorf("after %d answers: %s", n, body)
		}
	}
}

func TestResponsesContinueFromAnID(t *testing.T) {
	t.Parallel()
	_, post := serve(t, fakellm.Default())
	path, body := request(t, llm.Responses, false, "bash", commandSchema(), 1)
	_, first := post(path, body)
	var answer struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(first), &answer); err != nil {
		t.Fatal(err)
	}
	path, body = request(t, llm.Responses, false, "bash", commandSchema(), 0)
	_, second := post(path, strings.Replace(body, "{", `{"previous_response_id":"`+answer.ID+`",`, 1))
	if strings.Contains(second, "function_call\"") {
		t.Errorf("the conversation began anew: %s", second)
	}
}

func TestFaultsHappenAsOftenAsTheyShould(t *testing.T) {
	t.Parallel()
	one := 1
	tests := []struct {
		fault  fakellm.Fault
		status []int // of turns 0, 1, 0, 1
	}{
		{fakellm.Fault{Kind: fakellm.RateLimit, Times: 2, RetryAfter: "3"}, []int{429, 429, 200, 200}},
		{fakellm.Fault{Kind: fakellm.Overloaded, Turn: &one}, []int{200, 529, 200, 529}},
		{fakellm.Fault{Kind: fakellm.ServerError, Model: "other"}, []int{200, 200, 200, 200}},
		{fakellm.Fault{Kind: fakellm.Auth}, []int{401, 401, 401, 401}},
		{fakellm.Fault{Kind: fakellm.Quota}, []int{400, 400, 400, 400}},
		{fakellm.Fault{Kind: fakellm.Context, Helper: true}, []int{200, 200, 200, 200}},
	}
	for _, tt := range tests {
		_, post := serve(t, fakellm.Script{Turns: fakellm.Default().Turns, Faults: []fakellm.Fault{tt.fault}})
		for n, status := range tt.status {
			got, body := post(request(t, llm.Anthropic, true, "bash", commandSchema(), n%2))
			if got.StatusCode != status {
				t.Errorf("%s: call %d: status %d, want %d: %s", tt.fault.Kind, n, got.StatusCode, status, body)
			}
			if status == 429 && got.Header.Get("Retry-After") != "3" {
				t.Errorf("Retry-After %q", got.Header.Get("Retry-After"))
			}
		}
	}
}

func TestSpoiledStreams(t *testing.T) {
	t.Parallel()
	for _, d := range llm.Dialects() {
		for _, kind := range []fakellm.FaultKind{fakellm.Cut, fakellm.WrongJSON, fakellm.ErrorBody, fakellm.NoUsage, fakellm.Slow} {
			fake, post := serve(t, fakellm.Script{Turns: fakellm.Default().Turns, Faults: []fakellm.Fault{{Kind: kind, After: 2, Delay: time.Microsecond}}})
			got, body := post(request(t, d, true, "bash", commandSchema(), 0))
			r := report(t, d, true, body)
			wrong := got.StatusCode != 200
			switch kind {
			case fakellm.Cut:
				wrong = wrong || r.Finished || !strings.Contains(body, "(cut:") || fake.Calls()[0].Events != 2 || fake.Calls()[0].Usage != nil
			case fakellm.WrongJSON:
				wrong = wrong || r.Malformed != 1
			case fakellm.ErrorBody:
				wrong = wrong || r.Fault == nil || r.Finished
			case fakellm.NoUsage:
				wrong = wrong || r.Usage.OutputTotal != nil || fake.Calls()[0].Usage != nil
			case fakellm.Slow:
				wrong = wrong || !r.Finished
			}
			if wrong {
				t.Errorf("%s %s: status %d, %+v: %s", d, kind, got.StatusCode, r, body)
			}
		}
	}
}

func TestKeysAndModelsAreChecked(t *testing.T) {
	t.Parallel()
	fake, post := serve(t, fakellm.Script{Keys: []string{"good"}, Models: []string{"m"}})
	for path, status := range map[string]int{"/v1/messages": 401, "/v1/messages?key=good": 200, "/v1/messages?key=bad": 401} {
		if got, _ := post(path, `{"model":"m"}`); got.StatusCode != status {
			t.Errorf("%s: status %d", path, got.StatusCode)
		}
	}
	if got, _ := post("/v1/messages?key=good", `{"model":"other"}`); got.StatusCode != 404 {
		t.Errorf("status %d for another model", got.StatusCode)
	}
	if n := len(fake.Calls()); n != 4 {
		t.Errorf("%d calls", n)
	}
}

func TestPathsChooseTheScript(t *testing.T) {
	t.Parallel()
	fake, post := serve(t, fakellm.Default())
	fake.Add("sad", fakellm.Script{Faults: []fakellm.Fault{{Kind: fakellm.ServerError}}})
	_, body := request(t, llm.Anthropic, false, "bash", commandSchema(), 0)
	for path, status := range map[string]int{"/s/sad,run-1/v1/messages": 500, "/v1/messages": 200, "/s/none/v1/messages": 404} {
		if got, _ := post(path, body); got.StatusCode != status {
			t.Errorf("%s: status %d, want %d", path, got.StatusCode, status)
		}
	}
	labels := ""
	for _, c := range fake.Calls() {
		labels += c.Label
	}
	if labels != "run-1" {
		t.Errorf("labels %q", labels)
	}
}

func TestSecretsAreNotRemembered(t *testing.T) {
	t.Parallel()
	fake := fakellm.New(fakellm.Default())
	r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(`{"model":"m"}`))
	r.Header.Set("X-Api-Key", "very-secret")
	r.Header.Set("Authorization", "Bearer very-secret")
	r.Header.Set("Anthropic-Beta", "b")
	fake.ServeHTTP(httptest.NewRecorder(), r)
	data, err := json.Marshal(fake.Calls())
	if err != nil || strings.Contains(string(data), "very-secret") || !strings.Contains(string(data), "Anthropic-Beta") {
		t.Errorf("%s, %v", data, err)
	}
}

func TestSmallRoutes(t *testing.T) {
	t.Parallel()
	fake := fakellm.New(fakellm.Script{Models: []string{"a"}})
	tests := []struct {
		method, path, upgrade string
		status                int
	}{
		{http.MethodHead, "/", "", 200}, {http.MethodHead, "/api/hello", "", 200}, {http.MethodGet, "/v1/models", "", 200},
		{http.MethodGet, "/v1/responses", "websocket", 426}, {http.MethodPost, "/v1/files", "", 404}, {http.MethodGet, "/v1/files", "", 404},
	}
	for _, tt := range tests {
		w, r := httptest.NewRecorder(), httptest.NewRequest(tt.method, tt.path, nil)
		r.Header.Set("Upgrade", tt.upgrade)
		fake.ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.path, w.Code, tt.status)
		}
	}
}

func TestOldCallsAreForgottenButStayCounted(t *testing.T) {
	t.Parallel()
	fake := fakellm.New(fakellm.Default())
	const calls = 10_050
	for range calls {
		fake.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(`{"model":"m"}`)))
	}
	kept := fake.Calls()
	if len(kept) != 10_000 || kept[0].Number != 51 || fake.Told(true).Input != 11*calls {
		t.Errorf("%d kept, the first is number %d, told %+v", len(kept), kept[0].Number, fake.Told(true))
	}
}

func TestGeminiStreamsAnArrayToWhoDidNotAskForEvents(t *testing.T) {
	t.Parallel()
	_, post := serve(t, fakellm.Default())
	_, body := request(t, llm.Gemini, true, "bash", commandSchema(), 0)
	_, got := post("/v1beta/models/m:streamGenerateContent", body)
	var chunks []object
	if err := json.Unmarshal([]byte(got), &chunks); err != nil || len(chunks) < 3 {
		t.Errorf("%d chunks, %v: %s", len(chunks), err, got)
	}
}

func TestScriptsAreReadFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s, err := fakellm.Load(file("s.yaml", "turns:\n- command: ls\n  usage: {input: 5, output: 2}\nfaults:\n- {kind: rate_limit, times: 2, turn: 0, retry_after: \"1\", delay: 10ms}\ndelay: 5ms\n"))
	if err != nil || len(s.Turns) != 1 || s.Turns[0].Usage.Input != 5 || *s.Faults[0].Turn != 0 || s.Faults[0].Delay != 10*time.Millisecond || s.Delay != 5*time.Millisecond {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = fakellm.Load(file("s.json", `{"keys":["k"]}`))
	if err != nil || len(s.Turns) != 2 || s.Keys[0] != "k" {
		t.Errorf("%+v, %v", s, err)
	}
	for name, text := range map[string]string{"a": "turn: []", "b": "faults: [{kind: nonsense}]", "d": "faults: [{kind: error_body, as: cut}]", "c": ": :"} {
		if _, err := fakellm.Load(file(name, text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", text, err)
		}
	}
	if _, err := fakellm.Load(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing file was accepted")
	}
}

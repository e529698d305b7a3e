package transcript

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/llm"
)

func openRecorder(t testing.TB) (*Recorder, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "record.jsonl")
	r, err := NewPool().Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, path
}

// build validates what the file makes.
func build(t testing.TB, path, instruction string) (steps int, notes string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr, _, err := Build(f, instruction)
	if err != nil {
		t.Fatal(err)
	}
	if tr == nil {
		return 0, ""
	}
	tr.SetAgent("a", "1")
	if err := tr.Validate(); err != nil {
		t.Fatal(err)
	}
	return len(tr.Steps), tr.Notes
}

// exchange records a call with an answer that does not stream.
func exchange(r *Recorder, d llm.Dialect, body, answer string) {
	x := r.Ask(d, []byte(body))
	x.Begin()
	x.Body([]byte(answer))
	x.End(Facts{Model: "m"})
}

func TestAMessageIsWrittenOnceHoweverOftenItIsSent(t *testing.T) {
	t.Parallel()
	r, path := openRecorder(t)
	var messages []string
	big := strings.Repeat("word ", 20_000)
	for i := range 40 {
		messages = append(messages, fmt.Sprintf(`{"role":"user","content":"%d %s"}`, i, big))
		exchange(r, llm.Chat, `{"messages":[`+strings.Join(messages, ",")+`]}`, `{"choices":[{"message":{"role":"assistant","content":"yes"}}]}`)
		messages = append(messages, `{"role":"assistant","content":"yes"}`)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 40*110_000 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	if n, _ := build(t, path, ""); n != 80 {
		t.Errorf("there are %d steps", n)
	}
}

func TestARecordThatIsFullEndsWithAWordAboutIt(t *testing.T) {
	t.Parallel()
	r, path := openRecorder(t)
	r.limit = 10_000
	for i := range 100 {
		exchange(r, llm.Chat, fmt.Sprintf(`{"messages":[{"role":"user","content":"%d %s"}]}`, i, strings.Repeat("x", 500)), `{"choices":[{"message":{"content":"yes"}}]}`)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 10_100 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	if n, notes := build(t, path, ""); n == 0 || !strings.Contains(notes, "MiB") {
		t.Errorf("%d steps, notes are %q", n, notes)
	}
	again, err := NewPool().Open(path)
	if err != nil || !again.full {
		t.Errorf("a full record is not seen as one: %v", err)
	}
	again.Close()
}

func TestNobodyToRecordIsNoTrouble(t *testing.T) {
	t.Parallel()
	var r *Recorder
	x := r.Ask(llm.Chat, []byte(`{}`))
	x.Begin()
	x.Event([]byte(`{}`))
	x.Body([]byte(`{}`))
	x.End(Facts{})
	x.Wait()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestAFullDiskEndsTheRecordAndIsTold(t *testing.T) {
	t.Parallel()
	r, _ := openRecorder(t)
	r.out.Close()
	exchange(r, llm.Chat, `{"messages":[{"role":"user","content":"hi"}]}`, `{"choices":[{"message":{"content":"yes"}}]}`)
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "write the record") {
		t.Errorf("error is %v", err)
	}
}

func TestConversationsThatAProviderKeepsAreOne(t *testing.T) {
	t.Parallel()
	r, path := openRecorder(t)
	exchange(r, llm.Responses, `{"instructions":"Be brief.","input":"hi"}`,
		`{"id":"r1","output":[{"type":"function_call","call_id":"c","name":"ls","arguments":"{}"}]}`)
	exchange(r, llm.Responses, `{"previous_response_id":"r1","input":[{"type":"function_call_output","call_id":"c","output":"a.txt"}]}`,
		`{"id":"r2","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"There is a.txt."}]}]}`)
	if n, _ := build(t, path, ""); n != 4 {
		t.Errorf("there are %d steps", n)
	}
}

func FuzzBuild(f *testing.F) {
	f.Add(byte(0), []byte(`{"system":"s","messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"tool_result","tool_use_id":"a"}]}]}
{"content":[{"type":"tool_use","id":"a","name":"","input":[]}]}
{"messages":[{"role":"assistant","content":"x"},{"role":"user","content":"y"}]}`))
	f.Add(byte(1), []byte(`{"messages":[{"role":"tool","content":[{"image_url":"data:image/png;base64,aGk="}]},{"role":"assistant","tool_calls":[{},{}]}]}
{"choices":[{"delta":{"tool_calls":[{"index":1},{}]}}]}`))
	f.Add(byte(2), []byte(`{"input":[{"type":"function_call_output","output":{}},{"type":"x_call"}]}
{"type":"response.output_item.done","item":{"type":"reasoning","summary":[{"text":"s"}]}}`))
	f.Add(byte(3), []byte(`{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{"error":"e"}}}]}]}
{"candidates":[{"content":{"parts":[{"functionCall":{}},{"functionCall":{}}]}}]}`))
	f.Fuzz(func(t *testing.T, dialect byte, data []byte) {
		r, path := openRecorder(t)
		d := llm.Dialects()[int(dialect)%4]
		var x *Exchange
		for i, line := range bytes.Split(data, []byte("\n")) {
			if i%2 == 0 {
				x = r.Ask(d, line)
				x.Begin()
				continue
			}
			x.Event(line)
			if i%4 == 1 {
				x.Body(line)
			}
			x.End(Facts{Model: "m", Cut: i%3 == 0})
		}
		x.Wait()
		build(t, path, "x")
	})
}

// BenchmarkAsk is the work for a request of a long conversation that has grown by two messages.
func BenchmarkAsk(b *testing.B) {
	r, _ := openRecorder(b)
	var history []string
	for i := range 200 {
		history = append(history, fmt.Sprintf(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"%d","content":"%s"}]}`, i, strings.Repeat("output ", 150)))
	}
	body := []byte(`{"messages":[` + strings.Join(history, ",") + `]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r.Ask(llm.Anthropic, body).Wait()
	}
}

package atif

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// whole is a trajectory that uses everything.
func whole() string {
	return `{"schema_version":"ATIF-v1.7","trajectory_id":"t","agent":{"name":"a","version":"1","model_name":"m","tool_definitions":[{}],"extra":{"x":1}},
"steps":[
 {"step_id":1,"source":"system","message":"s","observation":{"results":[{"content":"o"}]},"extra":{"context_management":{"type":"compaction","boundary":"replace"}}},
 {"step_id":2,"source":"user","message":[{"type":"text","text":"t"},{"type":"image","source":{"media_type":"image/png","path":"images/1.png"}}],"timestamp":"2026-01-02T03:04:05.678Z"},
 {"step_id":3,"source":"agent","message":"","model_name":"m","reasoning_effort":"high","reasoning_content":"r","llm_call_count":1,"is_copied_context":false,
  "tool_calls":[{"tool_call_id":"c","function_name":"f","arguments":{},"extra":{"x":1}}],
  "observation":{"results":[{"source_call_id":"c","content":"x","subagent_trajectory_ref":[{"trajectory_id":"sub"}],"extra":{"x":1}}]},
  "metrics":{"prompt_tokens":1,"completion_tokens":2,"cached_tokens":0,"cost_usd":0.1,"prompt_token_ids":[1],"completion_token_ids":[2],"logprobs":[0.5],"extra":{"x":1}}}],
"final_metrics":{"total_prompt_tokens":1,"total_completion_tokens":2,"total_cached_tokens":0,"total_cost_usd":0.1,"total_steps":3},
"subagent_trajectories":[{"schema_version":"ATIF-v1.7","trajectory_id":"sub","agent":{"name":"b","version":"1"},"steps":[{"step_id":1,"source":"user","message":"u"}]}]}`
}

func TestAWholeTrajectoryIsReadAndWrittenAsItWas(t *testing.T) {
	t.Parallel()
	tr, err := Parse([]byte(whole()))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := Write(path, tr); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	a, errA := json.Marshal(tr)
	b, errB := json.Marshal(again)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("it was\n%s %v\nand is\n%s %v", a, errA, b, errB)
	}
}

func TestEveryVersionIsRead(t *testing.T) {
	t.Parallel()
	for _, v := range versions() {
		if _, err := Parse([]byte(`{"schema_version":"` + v + `","session_id":"s","agent":{"name":"a","version":"1"},"steps":[{"step_id":1,"source":"user","message":"hi"}]}`)); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}

func TestFaultsOfTrajectories(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, new, want string }{
		"an unknown version":             {`"schema_version":"ATIF-v1.7","trajectory_id":"t"`, `"schema_version":"ATIF-v2.0"`, "schema_version"},
		"an unknown key":                 {`"step_id":1,`, `"step_id":1,"mood":"good",`, "mood"},
		"an unknown key in a part":       {`{"type":"text","text":"t"}`, `{"type":"text","text":"t","x":1}`, "x"},
		"numbers with a gap":             {`"step_id":2`, `"step_id":4`, "step_id is 4 and should be 2"},
		"an unknown source":              {`"source":"system"`, `"source":"robot"`, "robot"},
		"a user that thinks":             {`"source":"user","message":[`, `"source":"user","reasoning_content":"r","message":[`, "steps of the agent only"},
		"a result of no call":            {`"source_call_id":"c"`, `"source_call_id":"d"`, `"d"`},
		"no steps":                       {`"final_metrics"`, `"notes":"","final_metrics"`, ""},
		"a call without arguments":       {`"arguments":{},`, ``, "arguments"},
		"metrics of a step without call": {`"llm_call_count":1`, `"llm_call_count":0`, "llm_call_count 0"},
		"a bad time":                     {`2026-01-02T03:04:05.678Z`, `yesterday`, "ISO 8601"},
		"an image of another kind":       {`image/png`, `image/bmp`, "part 1"},
		"an image with text":             {`{"type":"text","text":"t"}`, `{"type":"image","text":"t"}`, "part 0"},
		"a message that is a number":     {`"message":"s"`, `"message":7`, "text or a list"},
		"features of later versions":     {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.2","session_id":"s"`, "needs at least ATIF-v1.7"},
		"a sub-agent without id":         {`"trajectory_id":"sub","agent"`, `"agent"`, "missing or not unique"},
		"a reference to nothing":         {`[{"trajectory_id":"sub"}]`, `[{"session_id":"x"}]`, "trajectory_path"},
		"something after it":             {`"steps":[{"step_id":1,"source":"user","message":"u"}]}]}`, `"steps":[{"step_id":1,"source":"user","message":"u"}]}]} {}`, "follows"},
		"tokens below zero":              {`"prompt_tokens":1,`, `"prompt_tokens":-1,`, "-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(whole(), c.old, c.new, 1)
			if text == whole() {
				t.Fatalf("%s is not in the example", c.old)
			}
			_, err := Parse([]byte(text))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestWhatIsNotValidIsNotWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), FileName)
	if err := Write(path, &Trajectory{SchemaVersion: Version}); err == nil || !strings.Contains(err.Error(), "steps is empty") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("something was written")
	}
}

func TestResultsGoToTheLastStepThatMadeTheCall(t *testing.T) {
	t.Parallel()
	tr := &Trajectory{}
	for range 2 {
		tr.Add(Step{Source: SourceAgent, ToolCalls: []ToolCall{{ID: "c", Function: "f", Arguments: map[string]any{}}}})
	}
	if !tr.Observe("c", Text("x"), nil) || tr.Observe("d", Text("x"), nil) {
		t.Error("found the wrong calls")
	}
	if tr.Steps[0].Observation != nil || tr.Steps[1].Observation == nil || tr.Steps[1].StepID != 2 {
		t.Errorf("steps are %+v", tr.Steps)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole()))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := Parse(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(tr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(again); err != nil {
			t.Errorf("what was written is not read again: %v", err)
		}
	})
}

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

// Harbor test list #53
func TestEveryVersionOfATIFIsAccepted(t *testing.T) {
	t.Parallel()
	for _, v := range versions() {
		if _, err := Parse([]byte(`{"schema_version":"` + v + `","session_id":"s","agent":{"name":"a","version":"1"},"steps":[{"step_id":1,"source":"user","message":"hi"}]}`)); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}

func TestNullsOfOtherWritersAreAsIfTheyWereNotThere(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte(`{"schema_version":"ATIF-v1.5","session_id":"s","trajectory_id":null,"notes":null,"agent":{"name":"a","version":"1","extra":null},"steps":[
		{"step_id":1,"source":"user","message":"hi","reasoning_effort":null,"tool_calls":null,"metrics":null,"observation":null,"llm_call_count":null}]}`))
	if err != nil {
		t.Error(err)
	}
}

// change is a fault that is put into the whole trajectory: new in the place of old; what the error says of it.
type change struct{ old, new, want string }

// Harbor test list #53
func TestFaultsOfTrajectoriesAreToldWithTheirPlace(t *testing.T) {
	t.Parallel()
	for rule, changes := range map[string]map[string]change{
		"step ids are strictly sequential": {
			"a gap":              {`"step_id":2`, `"step_id":4`, "steps[1]: step_id is 4 and should be 2"},
			"the same twice":     {`"step_id":2`, `"step_id":1`, "steps[1]: step_id is 1 and should be 2"},
			"not from 1":         {`"step_id":1,"source":"system"`, `"step_id":0,"source":"system"`, "steps[0]: step_id is 0"},
			"none":               {`"step_id":2,`, ``, "steps[1].step_id: is missing"},
			"text":               {`"step_id":2`, `"step_id":"2"`, "steps[1].step_id: must be a whole number"},
			"those of sub-agent": {`[{"step_id":1,"source":"user","message":"u"}]`, `[{"step_id":2,"source":"user","message":"u"}]`, "subagent_trajectories[0].steps[0]: step_id is 2"},
		},
		"unknown keys are rejected at every level": {
			"of the root":        {`"trajectory_id":"t",`, `"trajectory_id":"t","mood":1,`, "mood: is no key"},
			"of the agent":       {`"name":"a",`, `"name":"a","mood":1,`, "agent.mood: is no key"},
			"of a step":          {`"step_id":1,`, `"step_id":1,"mood":"good",`, "steps[0].mood: is no key"},
			"in another case":    {`"step_id":1,`, `"step_id":1,"Message":"s",`, "steps[0].Message: is no key"},
			"of a part":          {`{"type":"text","text":"t"}`, `{"type":"text","text":"t","x":1}`, "steps[1].message[0].x: is no key"},
			"of an image":        {`"media_type"`, `"x":1,"media_type"`, "steps[1].message[1].source.x: is no key"},
			"of a call":          {`"tool_call_id":"c"`, `"tool_call_id":"c","x":1`, "steps[2].tool_calls[0].x: is no key"},
			"of an observation":  {`"observation":{"results":[{"content":"o"}]}`, `"observation":{"x":1,"results":[{"content":"o"}]}`, "steps[0].observation.x: is no key"},
			"of a result":        {`"source_call_id":"c"`, `"source_call_id":"c","x":1`, "steps[2].observation.results[0].x: is no key"},
			"of a reference":     {`{"trajectory_id":"sub"}`, `{"trajectory_id":"sub","x":1}`, "subagent_trajectory_ref[0].x: is no key"},
			"of metrics":         {`"cost_usd":0.1,`, `"cost_usd":0.1,"x":1,`, "steps[2].metrics.x: is no key"},
			"of the sums":        {`"total_steps":3`, `"total_steps":3,"x":1`, "final_metrics.x: is no key"},
			"of a sub-agent":     {`"trajectory_id":"sub",`, `"trajectory_id":"sub","x":1,`, "subagent_trajectories[0].x: is no key"},
			"of a sub-agent's":   {`{"name":"b",`, `{"name":"b","x":1,`, "subagent_trajectories[0].agent.x: is no key"},
			"but extra is yours": {`"total_steps":3`, `"total_steps":3,"extra":{"x":1}`, ""},
		},
		"what only agents do is forbidden in steps of others": {
			"reasoning":   {`"source":"user","message":[`, `"source":"user","reasoning_content":"r","message":[`, "steps[1]: model_name, reasoning"},
			"an effort":   {`"source":"user","message":[`, `"source":"user","reasoning_effort":1,"message":[`, "of the agent only"},
			"a model":     {`"source":"user","message":[`, `"source":"user","model_name":"m","message":[`, "of the agent only"},
			"tool calls":  {`"source":"user","message":[`, `"source":"user","tool_calls":[],"message":[`, "of the agent only"},
			"metrics":     {`"source":"system","message"`, `"source":"system","metrics":{},"message"`, "steps[0]: model_name"},
			"an observer": {`"source":"user","message":[`, `"source":"user","observation":{"results":[]},"message":[`, ""},
		},
		"a result answers a tool call of its own step": {
			"no call at all":       {`"source_call_id":"c"`, `"source_call_id":"d"`, `steps[2].observation.results[0]: source_call_id "d"`},
			"the step has no call": {`{"results":[{"content":"o"}]}`, `{"results":[{"source_call_id":"c","content":"o"}]}`, "steps[0].observation.results[0]"},
			"without id is fine":   {`"source_call_id":"c",`, ``, ""},
		},
		"llm_call_count 0 says that nobody was asked": {
			"metrics":   {`"reasoning_content":"r","llm_call_count":1`, `"llm_call_count":0`, "steps[2]: llm_call_count 0"},
			"reasoning": {`"llm_call_count":1`, `"llm_call_count":0`, "steps[2]: llm_call_count 0"},
			"negative":  {`"llm_call_count":1`, `"llm_call_count":-1`, "never negative"},
			"a user's":  {`"source":"user",`, `"source":"user","llm_call_count":0,`, ""},
		},
		"parts are texts or images": {
			"an image of another kind": {`image/png`, `image/bmp`, "steps[1].message[1]: a part is"},
			"an image with text":       {`{"type":"text","text":"t"}`, `{"type":"image","text":"t"}`, "steps[1].message[0]: a part is"},
			"a text with an image":     {`{"type":"text","text":"t"}`, `{"type":"text","text":"t","source":{"media_type":"image/png","path":"x"}}`, "steps[1].message[0]: a part is"},
			"an image without a path":  {`,"path":"images/1.png"`, ``, "steps[1].message[1].source.path: is missing"},
			"a sound":                  {`{"type":"text","text":"t"}`, `{"type":"audio"}`, "steps[1].message[0]: a part is"},
			"a number":                 {`"message":"s"`, `"message":7`, "steps[0].message: must be text or a list"},
			"in a result":              {`"content":"x"`, `"content":[{"type":"audio"}]`, "steps[2].observation.results[0].content[0]: a part is"},
		},
		"sub-agents are named by ids that are unique": {
			"no id":               {`"trajectory_id":"sub","agent"`, `"agent"`, "subagent_trajectories[0].trajectory_id"},
			"the same twice":      {`"subagent_trajectories":[`, `"subagent_trajectories":[{"schema_version":"ATIF-v1.7","trajectory_id":"sub","agent":{"name":"b","version":"1"},"steps":[{"step_id":1,"source":"user","message":"u"}]},`, `subagent_trajectories[1].trajectory_id: "sub" is missing or not unique`},
			"a reference to none": {`[{"trajectory_id":"sub"}]`, `[{"trajectory_id":"other"}]`, `subagent_trajectory_ref[0]: trajectory_id "other" is none`},
			"a reference by name": {`[{"trajectory_id":"sub"}]`, `[{"session_id":"x"}]`, "trajectory_id or trajectory_path is needed"},
			"one in a file":       {`[{"trajectory_id":"sub"}]`, `[{"trajectory_path":"sub.json","session_id":"x","extra":{}}]`, ""},
		},
		"keys need the version they came with": {
			"extra":                {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.0","session_id":"s","extra":{}`, "extra: needs at least ATIF-v1.1"},
			"a system observation": {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.1","session_id":"s"`, "steps[0].observation: of a system step needs at least ATIF-v1.2"},
			"completion ids":       {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.2","session_id":"s"`, "steps[2].metrics.completion_token_ids: needs at least ATIF-v1.3"},
			"prompt ids":           {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.3","session_id":"s"`, "steps[2].metrics.prompt_token_ids: needs at least ATIF-v1.4"},
			"tool definitions":     {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.4","session_id":"s"`, "agent.tool_definitions: needs at least ATIF-v1.5"},
			"copied context":       {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.4","session_id":"s"`, "steps[2].is_copied_context: needs at least ATIF-v1.5"},
			"parts":                {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.5","session_id":"s"`, "steps[1].message: a list of parts needs at least ATIF-v1.6"},
			"calls of the model":   {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.6","session_id":"s"`, "steps[2].llm_call_count: needs at least ATIF-v1.7"},
			"a call's extra":       {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.6","session_id":"s"`, "steps[2].tool_calls[0].extra: needs at least ATIF-v1.7"},
			"a result's extra":     {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.6","session_id":"s"`, "steps[2].observation.results[0].extra: needs at least ATIF-v1.7"},
			"embedded sub-agents":  {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.6","session_id":"s"`, "subagent_trajectories: needs at least ATIF-v1.7"},
			"a document's id":      {`"ATIF-v1.7","trajectory_id":"t"`, `"ATIF-v1.6","session_id":"s","trajectory_id":"t"`, "trajectory_id: needs at least ATIF-v1.7"},
			"a session until 1.6":  {`"ATIF-v1.7","trajectory_id":"sub"`, `"ATIF-v1.6"`, "subagent_trajectories[0]"},
		},
		"what must be there is there": {
			"an unknown version": {`"schema_version":"ATIF-v1.7","trajectory_id":"t"`, `"schema_version":"ATIF-v2.0"`, `schema_version: "ATIF-v2.0" is not one of`},
			"no version":         {`"schema_version":"ATIF-v1.7","trajectory_id":"t",`, ``, "schema_version"},
			"no agent":           {`"agent":{"name":"a","version":"1",`, `"notes":null,"extra":{"agent":"a",`, "agent: is missing"},
			"no agent's version": {`"version":"1","model_name"`, `"model_name"`, "agent.version: is missing"},
			"an empty name":      {`"name":"a"`, `"name":""`, "agent: name and version are needed"},
			"no arguments":       {`"arguments":{},`, ``, "steps[2].tool_calls[0].arguments: is missing"},
			"other arguments":    {`"arguments":{}`, `"arguments":"ls"`, "steps[2].tool_calls[0].arguments: must be an object"},
			"no message":         {`"message":"",`, ``, "steps[2].message: is missing"},
			"no results":         {`{"results":[{"content":"o"}]}`, `{}`, "steps[0].observation.results: is missing"},
			"no steps":           {`"steps":[{"step_id":1,"source":"user","message":"u"}]`, `"steps":[]`, "subagent_trajectories[0].steps: is empty"},
			"a step that is not": {`"steps":[{"step_id":1,"source":"user","message":"u"}]`, `"steps":[null]`, "subagent_trajectories[0].steps[0]: must be an object"},
		},
		"values are what they say": {
			"an unknown source":  {`"source":"system"`, `"source":"robot"`, `steps[0].source: "robot"`},
			"a bad time":         {`2026-01-02T03:04:05.678Z`, `yesterday`, `steps[1].timestamp: "yesterday" is not ISO 8601`},
			"tokens below zero":  {`"prompt_tokens":1,`, `"prompt_tokens":-1,`, "steps[2].metrics: count -1 tokens"},
			"half a token":       {`"prompt_tokens":1,`, `"prompt_tokens":1.5,`, "steps[2].metrics.prompt_tokens: must be a whole number"},
			"a cost in words":    {`"total_cost_usd":0.1`, `"total_cost_usd":"cheap"`, "final_metrics.total_cost_usd: must be a number"},
			"sums below zero":    {`"total_prompt_tokens":1`, `"total_prompt_tokens":-1`, "final_metrics: count -1 tokens"},
			"ids that are texts": {`"prompt_token_ids":[1]`, `"prompt_token_ids":["a"]`, "steps[2].metrics.prompt_token_ids[0]: must be a whole number"},
			"an extra that is not": {`"extra":{"x":1}},
"steps"`, `"extra":7},
"steps"`, "agent.extra: must be an object"},
			"a flag in words":     {`"is_copied_context":false`, `"is_copied_context":"no"`, "steps[2].is_copied_context: must be true or false"},
			"an effort as a list": {`"reasoning_effort":"high"`, `"reasoning_effort":[]`, "steps[2].reasoning_effort: must be text or a number"},
			"an effort as number": {`"reasoning_effort":"high"`, `"reasoning_effort":0.5`, ""},
			"a call's id twice":   {`"tool_calls":[`, `"tool_calls":[{"tool_call_id":"c","function_name":"f","arguments":{}},`, `steps[2].tool_calls[1]: tool_call_id "c" is not unique`},
			"something after it":  {`"message":"u"}]}]}`, `"message":"u"}]}]} {}`, "follows"},
			"a next segment":      {`"final_metrics"`, `"continued_trajectory_ref":"trajectory.cont-1.json","final_metrics"`, ""},
			"a list of segments":  {`"final_metrics"`, `"continued_trajectory_ref":[],"final_metrics"`, "continued_trajectory_ref: must be text"},
		},
	} {
		for name, c := range changes {
			t.Run(rule+"/"+name, func(t *testing.T) {
				t.Parallel()
				c.check(t)
			})
		}
	}
}

func (c change) check(t *testing.T) {
	t.Helper()
	text := strings.Replace(whole(), c.old, c.new, 1)
	if text == whole() {
		t.Fatalf("%s is not in the example", c.old)
	}
	_, err := Parse([]byte(text))
	if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
		t.Errorf("error is %v, want one with %q", err, c.want)
	}
}

func TestWhatIsNotValidIsNotWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), FileName)
	if err := Write(path, &Trajectory{SchemaVersion: Version}); err == nil || !strings.Contains(err.Error(), "steps: is empty") {
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

func TestWhatALogGetsWrongIsMended(t *testing.T) {
	t.Parallel()
	minus := int64(-1)
	tr := &Trajectory{SchemaVersion: Version, Agent: Agent{Name: "a", Version: "1"}, Steps: []Step{
		{Source: SourceUser, Timestamp: "yesterday", Message: Text("hi")},
		{
			Source: SourceAgent, ToolCalls: []ToolCall{{ID: "c"}, {ID: "c", Function: "f"}, {}}, Metrics: &Metrics{PromptTokens: &minus},
			Observation: &Observation{Results: []Result{{SourceCallID: "c", SubagentRefs: []SubagentRef{{TrajectoryID: "sub"}, {TrajectoryID: "gone"}}}, {SourceCallID: "d"}}},
		},
	}, SubTrajectories: []Trajectory{
		{SchemaVersion: Version, TrajectoryID: "sub", Agent: Agent{Name: "b", Version: "1"}, Steps: []Step{{Source: SourceAgent, ToolCalls: []ToolCall{{}}}}},
		{SchemaVersion: Version, TrajectoryID: "empty"},
	}}
	tr.Tidy()
	if err := tr.Validate(); err != nil {
		t.Fatal(err)
	}
	s := tr.Steps[1]
	if s.ToolCalls[0].ID != "c" || s.ToolCalls[1].ID != "call-2-2" || s.ToolCalls[2].Function != "unknown" || s.Metrics != nil {
		t.Errorf("the calls are %+v", s.ToolCalls)
	}
	if r := s.Observation.Results; r[0].SourceCallID != "c" || r[1].SourceCallID != "" || len(r[0].SubagentRefs) != 1 {
		t.Errorf("the results are %+v", r)
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

package agent

import (
	"os"
	"path/filepath"
	"testing"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// definition gives the agent of that name.
func definition(t *testing.T, name string) *Definition {
	t.Helper()
	for _, d := range definitions() {
		if d.Name == name {
			return d
		}
	}
	t.Fatalf("there is no agent %s", name)
	return nil
}

// The logs below testdata are those of the real programs in their tested versions, run against a scripted provider whose numbers are
// these.
func told() usage.Usage {
	return usage.Usage{InputTotal: usage.Of(2850), CacheRead: usage.Of(1450), OutputTotal: usage.Of(54)}
}

func TestLogsOfRealProgramsAreRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"claude-code", "codex", "pi", "gemini-cli", "qwen-coder", "copilot-cli", "cline-cli", "kimi-cli", "openhands"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, err := New(name, Options{Model: "provider/model"})
			if err != nil {
				t.Fatal(err)
			}
			log, err := made.(Reporter).Report(filepath.Join("testdata", name, "ok"), "1.2.3", "write hello to out.txt")
			if err != nil {
				t.Fatal(err)
			}
			checkUsage(t, log)
			if told := definition(t, name).Tells; !told.Tokens || told.Cost != (log.CostUSD != nil) {
				t.Errorf("it tells a cost of %v, and is said to tell %+v", log.CostUSD, told)
			}
			tr := log.Trajectory
			if err := tr.Validate(); err != nil {
				t.Fatal(err)
			}
			for len(tr.Steps) > 0 && tr.Steps[0].Source == atif.SourceSystem { // what the program tells its model first
				tr.Steps = tr.Steps[1:]
			}
			if len(tr.Steps) != 3 || tr.Steps[0].Message.Text != "write hello to out.txt" || tr.Steps[2].Message.Text != "The file out.txt now says hello." {
				t.Fatalf("steps are %+v", tr.Steps)
			}
			step := tr.Steps[1]
			if len(step.ToolCalls) != 1 || step.Observation == nil || step.Observation.Results[0].SourceCallID != step.ToolCalls[0].ID {
				t.Errorf("the tool call is %+v and gave %+v", step.ToolCalls, step.Observation)
			}
			if step.ReasoningContent != "The file does not exist yet." || step.Message.Text != "I will write the file." {
				t.Errorf("the step is %+v", step)
			}
			if m := step.Metrics; m == nil || *m.PromptTokens != 1253 || *m.CompletionTokens != 31 || *m.CachedTokens != 200 {
				t.Errorf("the step's metrics are %+v", m)
			}
			if tr.Agent.Name != name || tr.Agent.Version != "1.2.3" || *tr.FinalMetrics.TotalPromptTokens != 2850 || log.Failure != nil {
				t.Errorf("agent %+v, metrics %+v, failure %+v", tr.Agent, tr.FinalMetrics, log.Failure)
			}
		})
	}
}

func checkUsage(t *testing.T, log *Log) {
	t.Helper()
	got, want := log.Usage, told()
	if !got.Known() || *got.InputTotal != *want.InputTotal || *got.OutputTotal != *want.OutputTotal || *got.CacheRead != *want.CacheRead {
		t.Errorf("usage is %+v", got)
	}
}

func TestAgentsThatGiveACost(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]float64{"claude-code": 0.0055125, "pi": 0.00247125} {
		log, err := definition(t, name).Read(filepath.Join("testdata", name, "ok"))
		if err != nil {
			t.Fatal(err)
		}
		if log.CostUSD == nil || *log.CostUSD < want*0.999 || *log.CostUSD > want*1.001 {
			t.Errorf("cost of %s is %v, want %v", name, log.CostUSD, want)
		}
	}
}

func TestFailuresOfRealProgramsGetTheirNames(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"auth": result.AgentAuthenticationError, "rate_limit": result.APIRateLimitError, "quota": result.APIUsageLimitError,
		"context": result.ContextWindowExceededError, "server_error": result.APIInternalServerError, "unknown_model": result.ModelNotFoundError,
	} {
		for _, name := range []string{"claude-code", "codex", "pi", "gemini-cli", "qwen-coder", "mini-swe-agent", "opencode", "copilot-cli", "cline-cli", "kimi-cli", "openhands"} {
			if _, err := os.Stat(filepath.Join("testdata", name, kind)); err != nil {
				continue // not recorded: it tries again for minutes
			}
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				want := want
				if name == "codex" && kind == "server_error" { // it says "We're currently experiencing high demand"
					want = result.APIOverloadedError
				}
				d := definition(t, name)
				log, err := d.Read(filepath.Join("testdata", name, kind))
				if err != nil {
					t.Fatal(err)
				}
				exit := sandbox.Exit{Code: 1}
				if name == "pi" {
					exit.Code = 0 // whatever happened
				}
				if got := errorType(judge(d, log, exit, nil, "")); got != want {
					t.Errorf("error is %s, want %s: %+v", got, want, log.Failure)
				}
			})
		}
	}
}

func TestALogThatEndsInTheMiddleIsReadAsFarAsItGoes(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"claude-code": "claude-code.txt", "codex": "codex.txt", "pi": "pi.txt"} {
		whole, err := os.ReadFile(filepath.Join("testdata", name, "ok", file))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for n := 0; n < len(whole); n += 1 + len(whole)/40 {
			if err := os.WriteFile(filepath.Join(dir, file), whole[:n], 0o644); err != nil {
				t.Fatal(err)
			}
			log, err := definition(t, name).Read(dir)
			if err != nil {
				t.Fatalf("%s cut at %d: %v", name, n, err)
			}
			if log.Trajectory == nil {
				continue
			}
			log.Trajectory.SchemaVersion, log.Trajectory.Agent = atif.Version, atif.Agent{Name: name, Version: "1"}
			if err := log.Trajectory.Validate(); err != nil {
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
		}
	}
}

func TestAKilledAgentsTokensComeFromItsSession(t *testing.T) {
	t.Parallel()
	for name, files := range map[string][]string{
		"claude-code": {"sessions/projects/-app/session.jsonl"}, "codex": {"sessions/2026/11/25/rollout.jsonl"},
	} {
		dir := t.TempDir()
		for _, f := range files {
			data, err := os.ReadFile(filepath.Join("testdata", name, "ok", f))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, f), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		log, err := definition(t, name).Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		checkUsage(t, log)
	}
}

func TestNothingThatWasLeftIsNothingKnown(t *testing.T) {
	t.Parallel()
	for _, d := range definitions() {
		if d.Read == nil {
			continue
		}
		log, err := d.Read(t.TempDir())
		if err != nil || log.Usage.Known() || log.CostUSD != nil || log.Trajectory != nil || log.Answered {
			t.Errorf("%s reads %+v, %v from an empty folder", d.Name, log, err)
		}
	}
}

// FuzzReaders lays out files with the bytes under every name that a reader looks for. Whatever they are, what is read makes a valid trajectory or none.
func FuzzReaders(f *testing.F) {
	for _, seed := range []string{
		`{"type":"assistant","message":{"id":"m","content":[{"type":"tool_use","id":"t","name":"n","input":[1]}]}}`,
		`{"type":"item.completed","item":{"id":"i","type":"mcp_tool_call","arguments":"x"}}`,
		`{"type":"message_end","message":{"role":"assistant","content":[{"type":"toolCall"}],"usage":{"input":-1}}}`,
		claudeAnswer("s", "a", "m1", "one", "5", "-2") + `{"type":"user","sessionId":"s","agentId":"","isSidechain":true,"message":{"content":[{"type":"image"},{"type":"tool_result"}]}}`,
		codexLine("session_meta", codexMeta) + codexLine("response_item", codexSays) + codexLine("response_item", codexCalls) + codexLine("response_item", codexCalls) + codexLine("response_item", codexGives),
		geminiMeta + geminiAsks + "\n" + geminiAgain + "\n" + `{"$set":{"messages":[]}}`,
		`{"uuid":"2","sessionId":"s","agentId":"x-","timestamp":"now","type":"assistant","message":{"parts":[{"functionCall":{}},{"functionCall":{}}]}}`,
		`{"info":{"id":"x","parentID":"y"},"messages":[{"info":{"role":"assistant"},"parts":[{"type":"tool"},{"type":"tool","state":{"metadata":{"sessionId":"x"}}}]}]}`,
		`{"messages":[{"role":"assistant","tool_calls":[{},{}]}],"info":{"exit_status":"x"}}`,
	} {
		f.Add([]byte(seed))
	}
	for _, file := range []string{"goose/ok/goose.txt", "cursor-cli/ok/cursor-cli.txt", "swe-agent/ok/swe-agent-output/task/task.traj", "trae-agent/ok/trae-agent.trajectory.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(file)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		files := map[string]string{
			"sessions/projects/-app/s.jsonl": string(data), "sessions/projects/-app/s/subagents/agent-x.jsonl": string(data), "sessions/projects/-app/s/subagents/agent-x.meta.json": string(data),
			"sessions/1/rollout.jsonl": string(data), "sessions/session-1.json": string(data),
			"qwen-sessions/s.jsonl": string(data), "opencode/sessions/x.json": string(data), "swe-agent-output/task/task.traj": string(data),
		}
		for _, d := range definitions() {
			files[d.Output] = string(data)
			if d.Record != "" {
				files[d.Record] = string(data)
			}
		}
		dir := lay(t, files)
		for _, d := range definitions() {
			made, err := New(d.Name, Options{Model: "provider/model", Kwargs: needed(d.Name)})
			if err != nil {
				t.Fatal(err)
			}
			log, err := made.(Reporter).Report(dir, "1", "do it")
			if err != nil || log.Trajectory == nil {
				continue
			}
			if err := log.Trajectory.Validate(); err != nil {
				t.Errorf("%s: %v", d.Name, err)
			}
		}
	})
}

func TestMiniSWEAgentsTrajectoryIsRead(t *testing.T) {
	t.Parallel()
	made, err := New("mini-swe-agent", Options{Model: "openai/gpt-5"})
	if err != nil {
		t.Fatal(err)
	}
	log, err := made.(Reporter).Report(filepath.Join("testdata", "mini-swe-agent", "ok"), "2.4.6", "write hello to out.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Trajectory.Validate(); err != nil {
		t.Fatal(err)
	}
	// Four calls: one that wrote the file, and three answers without a tool call, which the program does not take.
	if !log.Usage.Known() || *log.Usage.InputTotal != 1253+3*1597 || *log.Usage.OutputTotal != 31+3*23 || *log.Usage.CacheRead != 200+3*1250 {
		t.Errorf("usage is %+v", log.Usage)
	}
	if log.CostUSD == nil || *log.CostUSD != 0.00411125 {
		t.Errorf("cost is %v", log.CostUSD)
	}
	step := log.Trajectory.Steps[2]
	if step.Source != atif.SourceAgent || len(step.ToolCalls) != 1 || step.ToolCalls[0].Arguments["command"] != "echo hello > out.txt" || step.Observation == nil {
		t.Errorf("the step is %+v", step)
	}
}

package agent

import (
	"os"
	"strings"
	"testing"

	"oddish/internal/atif"
)

// Harbor test list #58
func TestCodexsTokensAreParsedForEachStepAndInAll(t *testing.T) {
	t.Parallel()
	log := report(t, "codex", "testdata/codex/compaction")
	if u := log.Usage; *u.InputTotal != 12500 || *u.CacheRead != 400 || *u.OutputTotal != 40 {
		t.Errorf("usage is %+v", u)
	}
	var in []int64
	for _, s := range log.Trajectory.Steps {
		if s.Source == atif.SourceAgent {
			in = append(in, *s.Metrics.PromptTokens)
		}
	}
	if len(in) != 4 || in[0] != 1000 || in[1] != 5000 || in[2] != 6000 || in[3] != 500 {
		t.Errorf("the steps' tokens are %v", in)
	}
}

func TestCodexsCompactionAndPicturesAreSteps(t *testing.T) {
	t.Parallel()
	log := report(t, "codex", "testdata/codex/compaction")
	wantOutline(t, log.Trajectory, `
system: <skills_instructions>
system: <environment_context>
user: Write hello to out.txt.
agent: I will look at the picture. | view_image = <image/png>
agent: I will write the file. | exec_command = Chunk ID: 194c57
agent: The user wants hello in out.txt. It has been written.
system: Another language model started to solve this problem and pro (compaction)
agent: It is written.`)
	if s := log.Trajectory.Steps[3]; s.ReasoningContent != "The picture may tell." || s.ModelName != "gpt-5" || s.ToolCalls[0].Arguments["path"] != "/app/red.png" {
		t.Errorf("the step is %+v", s)
	}
}

func TestCodexsSubAgentsAreEmbedded(t *testing.T) {
	t.Parallel()
	log := report(t, "codex", "testdata/codex/subagents")
	tr := log.Trajectory
	if len(tr.SubTrajectories) != 1 || *log.Usage.InputTotal != 4000 {
		t.Fatalf("there are %d sub-agents, usage is %+v", len(tr.SubTrajectories), log.Usage)
	}
	sub := &tr.SubTrajectories[0]
	if got := outline(tr); !strings.Contains(got, "| multi_agent_v1.spawn_agent = ") || !strings.Contains(got, " -> "+sub.TrajectoryID) {
		t.Errorf("the steps are\n%s", got)
	}
	if got := outline(sub); !strings.HasSuffix(got, "user: Look for the file that says hello.\nagent: It is in out.txt.") {
		t.Errorf("the sub-agent's steps are\n%s", got)
	}
}

func TestCodexsOutputIsReadWhereThereIsNoRollout(t *testing.T) {
	t.Parallel()
	output, err := os.ReadFile("testdata/codex/ok/codex.txt")
	if err != nil {
		t.Fatal(err)
	}
	log := report(t, "codex", lay(t, map[string]string{"codex.txt": string(output)}))
	wantOutline(t, log.Trajectory, "user: do it\nagent: I will write the file. | command_execution = \nagent: The file out.txt now says hello.")
	checkUsage(t, log)
}

func codexLine(kind, payload string) string {
	return `{"timestamp":"2026-11-25T07:57:59.000Z","type":"` + kind + `","payload":` + payload + "}\n"
}

const (
	codexMeta  = `{"id":"t","cwd":"/app"}`
	codexSays  = `{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hello"}]}`
	codexCalls = `{"type":"function_call","name":"shell","call_id":"c1","arguments":"{\"command\":[\"ls\"]}"}`
	codexGives = `{"type":"function_call_output","call_id":"c1","output":"{\"output\":\"a.txt\",\"metadata\":{\"exit_code\":0}}"}`
	codexCount = `{"type":"token_count","info":{"total_token_usage":{"input_tokens":7,"output_tokens":2},"last_token_usage":{"input_tokens":7,"output_tokens":2}}}`
)

func TestCodexsRolloutsInOddStates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ rollout, outline string }{
		"an older one, that counts when the tools have run": {
			codexLine("session_meta", codexMeta) + codexLine("response_item", codexSays) + codexLine("response_item", codexCalls) + codexLine("response_item", codexGives) +
				codexLine("event_msg", codexCount) + codexLine("response_item", codexSays),
			"user: do it\nagent: hello | shell = a.txt\nagent: hello",
		},
		"one without any count": {
			codexLine("session_meta", codexMeta) + codexLine("response_item", codexSays) + codexLine("response_item", codexCalls) + codexLine("response_item", codexGives) + codexLine("response_item", codexSays),
			"user: do it\nagent: hello | shell = a.txt\nagent: hello",
		},
		"one that is cut, with lines that are malformed": {
			codexLine("session_meta", codexMeta) + "{not json}\n[]\n" + codexLine("response_item", codexSays) + `{"type":"response_item","payload":{"type":"mess`,
			"user: do it\nagent: hello",
		},
		"one without a beginning": {codexLine("response_item", codexSays), "user: do it\nagent: hello"},
		"results of no call":      {codexLine("session_meta", codexMeta) + codexLine("response_item", codexGives) + codexLine("response_item", codexSays), "user: do it\nagent: hello"},
		"the provider's own tool": {
			codexLine("session_meta", codexMeta) + codexLine("response_item", `{"type":"web_search_call","id":"ws","action":{"query":"hello"}}`), "user: do it\nagent:  | web_search",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := report(t, "codex", lay(t, map[string]string{
				"codex.txt": `{"type":"thread.started","thread_id":"t"}` + "\n", "sessions/2026/01/01/rollout-1.jsonl": c.rollout,
			}))
			wantOutline(t, log.Trajectory, c.outline)
		})
	}
}

func TestCountsOfNothingAreUnknown(t *testing.T) {
	t.Parallel()
	zero := `{"type":"token_count","info":{"total_token_usage":{"input_tokens":0,"output_tokens":0},"last_token_usage":{"input_tokens":0,"output_tokens":0}}}`
	log := report(t, "codex", lay(t, map[string]string{
		"sessions/rollout.jsonl": codexLine("session_meta", codexMeta) + codexLine("response_item", codexSays) + codexLine("event_msg", zero),
	}))
	if log.Usage.Known() || log.Trajectory.Steps[1].Metrics != nil {
		t.Errorf("usage is %+v, the step's metrics %+v", log.Usage, log.Trajectory.Steps[1].Metrics)
	}
}

package agent

import (
	"os"
	"strings"
	"testing"
)

func TestQwensSubAgentsAreEmbeddedHoweverDeep(t *testing.T) {
	t.Parallel()
	log := report(t, "qwen-coder", "testdata/qwen-coder/subagents")
	wantOutline(t, log.Trajectory, `
user: What colour is red.png?
agent: I will look at the picture. | read_file = [Unsupported image file: "red.png". This model does not supp
agent: Somebody else may look. | agent = Background agent launched successfully. -> general-purpose-call_000002
agent: It is red.
user: <task-notification>
agent: It is red.`)
	if len(log.Trajectory.SubTrajectories) != 5 || *log.Usage.InputTotal != 29000 {
		t.Fatalf("there are %d sub-agents, usage is %+v", len(log.Trajectory.SubTrajectories), log.Usage)
	}
	for i := range log.Trajectory.SubTrajectories {
		sub := &log.Trajectory.SubTrajectories[i]
		if got := outline(sub); !strings.HasPrefix(got, "user: Look for the file that says hello.\nagent: I will look at the picture. | read_file = [Unsupported") || !strings.HasSuffix(got, "agent: It is red.") {
			t.Errorf("sub-agent %s is\n%s", sub.TrajectoryID, got)
		}
		if m := sub.Steps[1].Metrics; m == nil || *m.PromptTokens != 1000 {
			t.Errorf("sub-agent %s has metrics %+v", sub.TrajectoryID, m)
		}
	}
}

func TestQwensOutputIsReadWhereThereIsNoSession(t *testing.T) {
	t.Parallel()
	output, err := os.ReadFile("testdata/qwen-coder/subagents/qwen-code.txt")
	if err != nil {
		t.Fatal(err)
	}
	log := report(t, "qwen-coder", lay(t, map[string]string{"qwen-code.txt": string(output)}))
	if got := outline(log.Trajectory); !strings.HasPrefix(got, "user: do it\nagent: I will look at the picture. | read_file = Skipped image file") || strings.Contains(got, "Look for the file") {
		t.Errorf("the steps are\n%s", got)
	}
}

func TestAKilledQwensTokensComeFromItsSession(t *testing.T) {
	t.Parallel()
	log := report(t, "qwen-coder", lay(t, map[string]string{"qwen-sessions/s.jsonl": `
{"uuid":"1","sessionId":"s","type":"user","message":{"parts":[{"text":"say hello"}]}}
{"uuid":"2","sessionId":"s","type":"assistant","message":{"parts":[{"text":"Hm.","thought":true},{"text":"hello"}]},"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4,"thoughtsTokenCount":1,"cachedContentTokenCount":2}}
{"uuid":"2","sessionId":"s","type":"assistant","message":{"parts":[{"text":"hello"}]},"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4}}
{"uuid":"3","sessionId":"s","type":"system","subtype":"chat_compression","systemPayload":{}}
{"uuid":"4","sessionId":"s","type":"assistant","message":{"par`}))
	wantOutline(t, log.Trajectory, "user: say hello\nagent: hello\nsystem: The agent has put a summary in the place of the conversation (compaction)")
	if u := log.Usage; *u.InputTotal != 9 || *u.OutputTotal != 4 || *u.CacheRead != 2 || log.Trajectory.Steps[1].ReasoningContent != "Hm." {
		t.Errorf("usage is %+v, the step %+v", u, log.Trajectory.Steps[1])
	}
}

func TestPisPicturesAndCompactionAreKept(t *testing.T) {
	t.Parallel()
	log := report(t, "pi", "testdata/pi/picture")
	wantOutline(t, log.Trajectory, "user: What colour is red.png?\nagent: I will look at the picture. | read = <image/png>\nagent: It is red.")
	log = report(t, "pi", lay(t, map[string]string{"pi.txt": `
{"type":"message_end","message":{"role":"assistant","content":[{"type":"text","text":"hello"}],"usage":{"input":1,"output":1}}}
{"type":"compaction_end","reason":"threshold","aborted":true}
{"type":"compaction_end","reason":"threshold","result":{"summary":"It said hello."},"aborted":false}
{"type":"message_end","message":{"role":"assistant","content":[{"type":"text","text":"hello again"}],"usage":{"input":0,"output":0}}}
`}))
	wantOutline(t, log.Trajectory, "user: do it\nagent: hello\nsystem: It said hello. (compaction)\nagent: hello again")
	if log.Trajectory.Steps[3].Metrics != nil {
		t.Error("counts of nothing are taken for the truth")
	}
}

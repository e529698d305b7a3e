package agent

import (
	"strings"
	"testing"
)

func TestGeminisSubAgentsAndPicturesAreKept(t *testing.T) {
	t.Parallel()
	log := report(t, "gemini-cli", "testdata/gemini-cli/subagents")
	wantOutline(t, log.Trajectory, `
system: <session_context>
user: What colour is red.png?
agent: I will look at the picture. | read_file = <image/png>
agent: Somebody else may look. | invoke_agent = Subagent 'generalist' finished. -> 551ae049-0b79-4a74-aef4-7a682c3847e2
agent: It is red.`)
	if len(log.Trajectory.SubTrajectories) != 1 {
		t.Fatalf("there are %d sub-agents", len(log.Trajectory.SubTrajectories))
	}
	sub := &log.Trajectory.SubTrajectories[0]
	if got := outline(sub); !strings.HasPrefix(got, "user: Look for the file that says hello.\nagent: I will look at the picture. | read_file") || sub.Agent.ModelName != "gemini-2.5-pro" {
		t.Errorf("the sub-agent's steps are\n%s", got)
	}
	if *log.Usage.InputTotal != 11000 {
		t.Errorf("usage is %+v, and the program itself says 11000", log.Usage)
	}
}

// Harbor test list #59
func TestGeminisTokensAreParsed(t *testing.T) {
	t.Parallel()
	log := report(t, "gemini-cli", "testdata/gemini-cli/ok")
	checkUsage(t, log)
	if *log.Usage.Reasoning != 12 {
		t.Errorf("reasoning is %d", *log.Usage.Reasoning)
	}
	if m := log.Trajectory.Steps[1].Metrics; *m.PromptTokens != 1253 || *m.CachedTokens != 200 || *m.CompletionTokens != 31 || m.Extra["reasoning_tokens"] != int64(7) {
		t.Errorf("the step's metrics are %+v", m)
	}
}

const (
	geminiMeta  = `{"sessionId":"s","projectHash":"h","kind":"main"}` + "\n"
	geminiAsks  = `{"id":"u1","type":"user","content":[{"text":"say hello"}]}`
	geminiSays  = `{"id":"g1","type":"gemini","content":"hello","tokens":{"input":5,"output":2}}`
	geminiAgain = `{"id":"g1","type":"gemini","content":"hello","tokens":{"input":5,"output":2},"toolCalls":[{"id":"t","name":"ls","args":{},"result":[{"functionResponse":{"response":{"output":"a.txt"}}}],"status":"success"}]}`
)

func TestGeminisSessionsInOddStates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files   map[string]string
		outline string
		in      int64
	}{
		"a message that is written again counts once": {
			map[string]string{"sessions/session-1.jsonl": geminiMeta + geminiAsks + "\n" + geminiSays + "\n" + geminiAgain + "\n"},
			"user: say hello\nagent: hello | ls = a.txt", 5,
		},
		"a history that is replaced by a summary is a compaction": {
			map[string]string{"sessions/session-1.jsonl": geminiMeta + geminiAsks + "\n" + geminiSays + "\n" +
				`{"$set":{"messages":[{"id":"u2","type":"user","content":[{"text":"<state_snapshot>"}]},{"id":"g2","type":"gemini","content":"Got it."}]}}` + "\n" +
				`{"id":"g3","type":"gemini","content":"hello again","tokens":{"input":3,"output":1}}` + "\n"},
			"user: say hello\nagent: hello\nsystem: The agent has put a summary in the place of the conversation (compaction)\nuser: <state_snapshot>\nagent: Got it.\nagent: hello again", 8,
		},
		"a history that is written anew is none": {
			map[string]string{"sessions/session-1.jsonl": geminiMeta + `{"$set":{"messages":[` + geminiAsks + `]}}` + "\n" + geminiSays + "\n" +
				`{"$set":{"messages":[` + geminiAsks + "," + geminiSays + `]}}` + "\n"},
			"user: say hello\nagent: hello", 5,
		},
		"a step back": {
			map[string]string{"sessions/session-1.jsonl": geminiMeta + geminiAsks + "\n" + geminiSays + "\n" + `{"$rewindTo":"g1"}` + "\n" + `{"id":"g2","type":"gemini","content":"better"}` + "\n"},
			"user: say hello\nagent: hello\nsystem: The agent has put a summary in the place of the conversation (compaction)\nagent: better", 5,
		},
		"a session of an older version": {
			map[string]string{"sessions/session-1.json": "{\n\"sessionId\": \"s\",\n\"messages\": [" + geminiAsks + ",\n" + geminiAgain + "]}"},
			"user: say hello\nagent: hello | ls = a.txt", 5,
		},
		"lines that are malformed, and a file that is cut": {
			map[string]string{
				"sessions/session-1.jsonl": geminiMeta + geminiAsks + "\nwhat\n{\"id\":5}\n" + geminiSays + "\n" + `{"id":"g2","type":"gem`,
				"sessions/session-2.json":  `{"sessionId": "x", "mess`,
			},
			"user: say hello\nagent: hello", 5,
		},
		"a tool that had not ended": {
			map[string]string{"sessions/session-1.jsonl": geminiMeta + `{"id":"g1","type":"gemini","content":[{"text":"hello"},"you"],"toolCalls":[{"name":"ls","args":"."}]}` + "\n"},
			"user: do it\nagent: hello | ls", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := report(t, "gemini-cli", lay(t, c.files))
			wantOutline(t, log.Trajectory, c.outline)
			if got := log.Usage.InputTotal; c.in == 0 && got != nil || c.in != 0 && (got == nil || *got != c.in) {
				t.Errorf("usage is %+v", log.Usage)
			}
		})
	}
}

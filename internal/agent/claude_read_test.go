package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/atif"
)

// report reads logs as a trial does, and validates the trajectory.
func report(t *testing.T, name, dir string) *Log {
	t.Helper()
	made, err := New(name, Options{Model: "provider/model", Kwargs: needed(name)})
	if err != nil {
		t.Fatal(err)
	}
	log, err := made.(Reporter).Report(dir, "1.2.3", "do it")
	if err != nil {
		t.Fatal(err)
	}
	if log.Trajectory != nil {
		if err := log.Trajectory.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

// needed are the options without which an agent cannot be made.
func needed(name string) map[string]any {
	if name == commandName {
		return map[string]any{"run": "true"}
	}
	return nil
}

// lay writes files into a new folder.
func lay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// outline writes down who did what.
func outline(tr *atif.Trajectory) string {
	var lines []string
	for _, s := range tr.Steps {
		line := s.Source + ": " + firstLine(s.Message.Text)
		for _, p := range s.Message.Parts {
			if p.Source != nil {
				line += "<" + p.Source.MediaType + ">"
			}
		}
		for _, c := range s.ToolCalls {
			line += " | " + c.Function
		}
		if s.Observation != nil {
			for _, r := range s.Observation.Results {
				line += " = " + firstLine(r.Content.Text)
				for _, p := range r.Content.Parts {
					if p.Source != nil {
						line += "<" + p.Source.MediaType + ">"
					}
				}
				for _, ref := range r.SubagentRefs {
					line += " -> " + ref.TrajectoryID
				}
			}
		}
		if s.Extra["context_management"] != nil {
			line += " (compaction)"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(line[:min(len(line), 60)])
}

func wantOutline(t *testing.T, tr *atif.Trajectory, want string) {
	t.Helper()
	if tr == nil {
		t.Fatal("there is no trajectory")
	}
	if got := outline(tr); got != strings.TrimSpace(want) {
		t.Errorf("the steps are\n%s\nwant\n%s", got, strings.TrimSpace(want))
	}
}

func TestClaudesSubAgentsAreEmbeddedHoweverDeep(t *testing.T) {
	t.Parallel()
	log := report(t, "claude-code", "testdata/claude-code/subagents")
	wantOutline(t, log.Trajectory, `
user: What colour is red.png?
agent: I will look at the picture. | Read = <image/png>
agent: Somebody else may look for the file. | Agent = Async agent launched successfully. (This tool result is inte -> a28f9d33d3592d79e
agent: It is red.
user: <task-notification>
agent: It is red.`)
	subs := log.Trajectory.SubTrajectories
	if len(subs) != 3 {
		t.Fatalf("there are %d sub-agents", len(subs))
	}
	for i := range subs {
		next := map[string]string{"a28f9d33d3592d79e": " -> a67bbd52bd0e83c36", "a67bbd52bd0e83c36": " -> aef9493a69dd5cc2e"}[subs[i].TrajectoryID]
		got := outline(&subs[i])
		if !strings.HasPrefix(got, "user: Look for the file that says hello.\nagent: I will look at the picture. | Read = <image/png>\n") ||
			!strings.Contains(got, next) || !strings.HasSuffix(got, "agent: It is red.") || subs[i].Agent.Name != "claude-code" || subs[i].Agent.ModelName != "claude-sonnet-4-5" {
			t.Errorf("sub-agent %s is %+v\n%s", subs[i].TrajectoryID, subs[i].Agent, got)
		}
	}
	if *log.Usage.InputTotal != 27000 || *log.Usage.OutputTotal != 270 || *log.CostUSD != 0.08505 {
		t.Errorf("usage is %+v, cost %v", log.Usage, *log.CostUSD)
	}
	dir := t.TempDir()
	if err := log.Images.Write(dir); err != nil {
		t.Fatal(err)
	}
	picture := log.Trajectory.Steps[1].Observation.Results[0].Content.Parts[0].Source.Path
	if data, err := os.ReadFile(filepath.Join(dir, picture)); err != nil || !strings.HasPrefix(string(data), "\x89PNG") {
		t.Errorf("the picture %s: %v", picture, err)
	}
}

func TestClaudesSubAgentsAreFoundInItsOutputToo(t *testing.T) {
	t.Parallel()
	output, err := os.ReadFile("testdata/claude-code/subagents/claude-code.txt")
	if err != nil {
		t.Fatal(err)
	}
	log := report(t, "claude-code", lay(t, map[string]string{"claude-code.txt": string(output)}))
	subs := log.Trajectory.SubTrajectories
	if len(subs) != 1 || !strings.Contains(outline(log.Trajectory), " -> toolu_000002") || !strings.Contains(outline(&subs[0]), "agent: It is red.") {
		t.Errorf("the steps are\n%s\nand %d sub-agents", outline(log.Trajectory), len(subs))
	}
	if log.Trajectory.Steps[1].Metrics != nil {
		t.Error("the output's numbers of single steps are taken for the truth")
	}
}

func TestClaudesCompactionIsAStepOfTheSystem(t *testing.T) {
	t.Parallel()
	log := report(t, "claude-code", "testdata/claude-code/compaction")
	got := outline(log.Trajectory)
	for _, want := range []string{
		"user: Write hello to out.txt.\nagent: I will write the file. | Bash = (Bash completed with no output)",
		"\nsystem: Conversation compacted (compaction)\nuser: This session is being continued from a previous conversation",
		"\nuser: Is it there?\nagent: I will write the file. | Bash = (Bash completed with no output)\n", // the session was resumed
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the steps are\n%s\nwithout\n%s", got, want)
		}
	}
	output, err := os.ReadFile("testdata/claude-code/compaction/claude-code.txt")
	if err != nil {
		t.Fatal(err)
	}
	log = report(t, "claude-code", lay(t, map[string]string{"claude-code.txt": string(output)}))
	if got := outline(log.Trajectory); !strings.Contains(got, "\nsystem: The agent has put a summary in the place of the conversation (compaction)\nuser: This session") {
		t.Errorf("of the output alone the steps are\n%s", got)
	}
}

const claudeStart = `{"type":"system","subtype":"init","session_id":"s"}
{"type":"assistant","session_id":"s","uuid":"a","message":{"id":"m1","role":"assistant","model":"m","content":[{"type":"text","text":"one"}],"usage":{"input_tokens":5,"output_tokens":1}}}
`

func claudeAnswer(session, uuid, id, text string, in, out string) string {
	return `{"type":"assistant","sessionId":"` + session + `","uuid":"` + uuid + `","message":{"id":"` + id + `","role":"assistant","model":"m","content":[{"type":"text","text":"` + text +
		`"}],"usage":{"input_tokens":` + in + `,"output_tokens":` + out + `}}}` + "\n"
}

func TestClaudesSessionFilesInOddStates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files   map[string]string
		outline string
		in      int64 // 0: unknown
	}{
		"lines that are malformed, or written twice": {map[string]string{
			"claude-code.txt": claudeStart,
			"sessions/projects/-app/s.jsonl": claudeAnswer("s", "a", "m1", "one", "5", "2") + "{\"type\":\"assistant\"\nnot json\n\x00\n" +
				claudeAnswer("s", "a", "m1", "one", "5", "2") + claudeAnswer("s", "b", "m1", "two", "5", "3") + `{"type":"assistant","sess`,
		}, "user: do it\nagent: one", 5},
		"another session in another project": {map[string]string{
			"claude-code.txt":                claudeStart,
			"sessions/projects/-app/s.jsonl": claudeAnswer("s", "a", "m1", "one", "5", "2"),
			"sessions/projects/-other/o.jsonl": claudeAnswer("o", "x", "m9", "elsewhere", "100", "9") +
				`{"type":"user","sessionId":"o","message":{"role":"user","content":"another task"}}`,
		}, "user: do it\nagent: one", 105},
		"an error in an answer's clothes": {map[string]string{
			"sessions/projects/-app/s.jsonl": claudeAnswer("s", "a", "m1", "one", "5", "2") +
				`{"type":"assistant","sessionId":"s","uuid":"e","isApiErrorMessage":true,"message":{"id":"m2","model":"<synthetic>","content":[{"type":"text","text":"API Error"}],"usage":{"input_tokens":0,"output_tokens":0}}}`,
		}, "user: do it\nagent: one", 5},
		"nothing counted": {map[string]string{
			"sessions/projects/-app/s.jsonl": claudeAnswer("s", "a", "m1", "one", "0", "0"),
		}, "user: do it\nagent: one", 0},
		"an old version's side chain": {map[string]string{
			"sessions/projects/-app/s.jsonl": claudeAnswer("s", "a", "m1", "one", "5", "2") +
				strings.Replace(claudeAnswer("s", "b", "m2", "aside", "7", "2"), `"uuid"`, `"isSidechain":true,"uuid"`, 1),
		}, "user: do it\nagent: one", 12},
		"the program's own words": {map[string]string{
			"sessions/projects/-app/s.jsonl": `{"type":"user","isMeta":true,"sessionId":"s","message":{"role":"user","content":"caveat"}}` + "\n" + claudeAnswer("s", "a", "m1", "one", "5", "2"),
		}, "user: do it\nagent: one", 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := report(t, "claude-code", lay(t, c.files))
			if name == "lines that are malformed, or written twice" {
				if m := log.Trajectory.Steps[1].Message.Text; m != "one\n\ntwo" {
					t.Errorf("the message is %q", m)
				}
			}
			wantOutline(t, log.Trajectory, c.outline)
			if got := log.Usage.InputTotal; c.in == 0 && got != nil || c.in != 0 && (got == nil || *got != c.in) {
				t.Errorf("usage is %+v", log.Usage)
			}
		})
	}
}

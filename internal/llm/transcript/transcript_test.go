package transcript_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
)

const prompt = "Write hello to out.txt, please."

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

// shape writes the steps down, one a line.
func shape(steps []atif.Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%s: %s", s.Source, s.Message.Text)
		for _, p := range s.Message.Parts {
			if p.Text != nil {
				fmt.Fprintf(&b, "(%s)", *p.Text)
			} else {
				fmt.Fprintf(&b, "<%s>", p.Source.MediaType)
			}
		}
		for _, c := range s.ToolCalls {
			fmt.Fprintf(&b, " | %s", c.Function)
		}
		if s.Observation != nil {
			for _, r := range s.Observation.Results {
				fmt.Fprintf(&b, " = %s", r.Content.Text)
			}
		}
		if s.IsCopiedContext != nil {
			b.WriteString(" (copied)")
		}
		if _, marked := s.Extra["context_management"]; marked {
			b.WriteString(" (compaction)")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func wantShape(t *testing.T, steps []atif.Step, want string) {
	t.Helper()
	if got, want := strings.TrimSpace(shape(steps)), strings.TrimSpace(want); got != want {
		t.Errorf("the steps are\n%s\nwant\n%s", got, want)
	}
}

func TestTheConversationIsRebuiltFromTheRequests(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		r := newRig(t, fakellm.Default())
		r.agent(d, stream, prompt).run()
		tr, _ := r.trajectory(prompt)
		wantShape(t, tr.Steps, `
system: You are a small agent that works in tests.
user: Write hello to out.txt, please.
agent: I will write the file. | bash = done
agent: The file out.txt now says hello.`)
		step := tr.Steps[2]
		if step.ReasoningContent != "The file does not exist yet." || step.ToolCalls[0].Arguments["command"] != "echo hello > out.txt" {
			t.Errorf("the step is %+v", step)
		}
		if step.Observation.Results[0].SourceCallID != step.ToolCalls[0].ID {
			t.Errorf("the result is of %q, the call %q", step.Observation.Results[0].SourceCallID, step.ToolCalls[0].ID)
		}
		if m := step.Metrics; m == nil || *m.PromptTokens != 1253 || *m.CompletionTokens != 31 || *m.CachedTokens != 200 || m.CostUSD == nil || *step.LLMCallCount != 1 {
			t.Errorf("the step's metrics are %+v", m)
		}
		if m := tr.FinalMetrics; *m.TotalPromptTokens != 2850 || *m.TotalCompletionTokens != 54 || *m.TotalCachedTokens != 1450 || m.TotalCostUSD == nil || *m.TotalSteps != 4 {
			t.Errorf("the sums are %+v", m)
		}
		if tr.Agent.ModelName == "" || tr.Notes == "" || tr.Agent.Extra["made_from"] != "model_requests" || len(tr.SubTrajectories) != 0 {
			t.Errorf("the agent is %+v, notes are %q", tr.Agent, tr.Notes)
		}
	})
}

func TestACallThatIsMadeAgainIsOneStep(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		r := newRig(t, fakellm.Default())
		a := r.agent(d, stream, prompt)
		a.ask() // the answer is thrown away
		a.run()
		tr, _ := r.trajectory(prompt)
		wantShape(t, tr.Steps, `
system: You are a small agent that works in tests.
user: Write hello to out.txt, please.
agent: I will write the file. | bash = done
agent: The file out.txt now says hello.`)
		if s := tr.Steps[2]; *s.LLMCallCount != 2 || *s.Metrics.PromptTokens != 2*1253 || *tr.FinalMetrics.TotalPromptTokens != 2850+1253 {
			t.Errorf("%d calls used %+v, all %+v", *s.LLMCallCount, s.Metrics, tr.FinalMetrics)
		}
	})
}

func TestFailedCallsLeaveNoStep(t *testing.T) {
	t.Parallel()
	script := fakellm.Default()
	script.Faults = []fakellm.Fault{{Kind: fakellm.RateLimit, Times: 1, RetryAfter: "0"}, {Kind: fakellm.BadRequest, Times: 1}}
	r := newRig(t, script)
	a := r.agent(llm.Chat, true, prompt)
	if a.ask() != nil {
		t.Fatal("the call was answered")
	}
	a.run()
	tr, _ := r.trajectory(prompt)
	if len(tr.Steps) != 4 || *tr.Steps[2].LLMCallCount != 1 {
		t.Errorf("the steps are\n%s", shape(tr.Steps))
	}
}

func TestAnAnswerThatWasCutIsAStepAsFarAsItCame(t *testing.T) {
	t.Parallel()
	for _, d := range llm.Dialects() {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			script := fakellm.Default()
			script.Faults = []fakellm.Fault{{Kind: fakellm.Cut, After: map[llm.Dialect]int{llm.Anthropic: 9, llm.Chat: 5, llm.Responses: 11, llm.Gemini: 3}[d]}}
			r := newRig(t, script)
			r.agent(d, true, prompt).ask()
			tr, _ := r.trajectory(prompt)
			if tr == nil {
				t.Fatal("there is none")
			}
			last := tr.Steps[len(tr.Steps)-1]
			if last.Source != atif.SourceAgent || last.Extra["cut"] != true || last.ReasoningContent+last.Message.Text == "" || last.Metrics.Extra["estimated"] != true {
				t.Errorf("the last step is %+v with metrics %+v", last, last.Metrics)
			}
		})
	}
}

func TestNothingThatWasAnsweredIsNoTrajectory(t *testing.T) {
	t.Parallel()
	script := fakellm.Default()
	script.Faults = []fakellm.Fault{{Kind: fakellm.Auth}}
	r := newRig(t, script)
	r.agent(llm.Chat, true, prompt).ask()
	if tr, _ := r.trajectory(prompt); tr != nil {
		t.Errorf("the steps are\n%s", shape(tr.Steps))
	}
}

func TestHelpersAndSubAgentsHaveTheirOwnConversations(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		const task = "Look for the file that says hello."
		r := newRig(t, fakellm.Script{Turns: []fakellm.Turn{
			{Text: "I will write the file.", Tool: "task", Args: map[string]any{"prompt": task}, Usage: fakellm.Usage{Input: 100, Output: 10}},
			{Text: "Done.", Usage: fakellm.Usage{Input: 200, Output: 20}},
		}})
		title := r.agent(d, stream, prompt)
		title.system, title.tools = "Give the conversation a title.", false
		title.run()
		a := r.agent(d, stream, prompt)
		a.call = func(name, _ string) string {
			if name != "task" && d != llm.Chat {
				return "done"
			}
			for range 2 {
				sub := r.agent(d, stream, task)
				sub.system = "You look for files."
				sub.run()
			}
			return "it is there"
		}
		a.run()
		tr, _ := r.trajectory(prompt)
		wantShape(t, tr.Steps, `
system: You are a small agent that works in tests.
user: Write hello to out.txt, please.
agent: I will write the file. | task = it is there
agent: Done.`)
		if len(tr.SubTrajectories) < 2 {
			t.Fatalf("there are %d other conversations", len(tr.SubTrajectories))
		}
		wantShape(t, tr.SubTrajectories[0].Steps, "system: Give the conversation a title.\nuser: Write hello to out.txt, please.\nagent: ok")
		if !strings.Contains(shape(tr.SubTrajectories[1].Steps), "user: "+task) {
			t.Errorf("the second is\n%s", shape(tr.SubTrajectories[1].Steps))
		}
		refs := tr.Steps[2].Observation.Results[0].SubagentRefs
		if len(refs) == 0 || refs[0].TrajectoryID != tr.SubTrajectories[1].TrajectoryID {
			t.Errorf("the call refers to %+v", refs)
		}
		if *tr.FinalMetrics.TotalPromptTokens != 11+300*3 {
			t.Errorf("all used %d", *tr.FinalMetrics.TotalPromptTokens)
		}
	})
}

func TestASummaryInThePlaceOfTheHistoryIsACompaction(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		const summary = "The user wants hello in out.txt, and it has been written there."
		r := newRig(t, fakellm.Script{Turns: []fakellm.Turn{
			{Text: "I will write the file.", Command: "echo hello > out.txt"},
			{Text: summary},
		}})
		a := r.agent(d, stream, prompt)
		a.step()
		a.say("Sum up what was done.")
		a.step()
		a.history = nil
		a.say("This goes on from an earlier conversation.\n" + summary)
		a.step()
		tr, _ := r.trajectory(prompt)
		wantShape(t, tr.Steps, `
system: You are a small agent that works in tests.
user: Write hello to out.txt, please.
agent: I will write the file. | bash = done
user: Sum up what was done.
agent: The user wants hello in out.txt, and it has been written there.
system: The agent has shortened the conversation: not all of what came before is in its next requests. (compaction)
user: This goes on from an earlier conversation.
The user wants hello in out.txt, and it has been written there.
agent: I will write the file. | bash`)
	})
}

func TestAHistoryWithoutItsMiddleIsACompaction(t *testing.T) {
	t.Parallel()
	turns := make([]fakellm.Turn, 6)
	for i := range turns {
		turns[i] = fakellm.Turn{Text: fmt.Sprintf("This is turn %d.", i+1), Command: fmt.Sprintf("echo %d", i)}
	}
	r := newRig(t, fakellm.Script{Turns: turns})
	a := r.agent(llm.Anthropic, true, prompt)
	for range 5 {
		a.step()
	}
	a.history = append(a.history[:1:1], a.history[3:]...) // without the first answer and its result
	a.step()
	tr, _ := r.trajectory(prompt)
	marked := 0
	for _, s := range tr.Steps {
		if s.Extra["context_management"] != nil {
			marked++
		}
	}
	if marked != 1 || len(tr.Steps) != 2+6+1 || len(tr.SubTrajectories) != 0 {
		t.Errorf("the steps are\n%s", shape(tr.Steps))
	}
}

func TestExamplesAndEarlierSessionsAreCopiedContext(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		r := newRig(t, fakellm.Default())
		a := r.agent(d, stream, "Say hello.")
		switch d {
		case llm.Anthropic:
			a.takeAnthropic([]any{object{"type": "text", "text": "Hello."}})
		case llm.Gemini:
			a.takeGemini([]any{object{"text": "Hello."}})
		default:
			a.takeChat(object{"role": "assistant", "content": "Hello."})
		}
		a.say(prompt)
		a.run()
		tr, _ := r.trajectory(prompt)
		wantShape(t, tr.Steps, `
system: You are a small agent that works in tests.
user: Say hello.
agent: Hello. (copied)
user: Write hello to out.txt, please.
agent: I will write the file. | bash = done
agent: The file out.txt now says hello.`)
	})
}

func TestPicturesAreKeptBesideTheTrajectory(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		r := newRig(t, fakellm.Default())
		a := r.agent(d, stream, prompt)
		a.picture("image/png", base64.StdEncoding.EncodeToString([]byte("a picture")))
		a.run()
		tr, images := r.trajectory(prompt)
		if !strings.Contains(shape(tr.Steps), "user: <image/png>") {
			t.Fatalf("the steps are\n%s", shape(tr.Steps))
		}
		dir := t.TempDir()
		if err := images.Write(dir); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, tr.Steps[2].Message.Parts[0].Source.Path))
		if err != nil || string(data) != "a picture" {
			t.Errorf("the file has %q, %v", data, err)
		}
	})
}

func TestAnotherProcessGoesOnWithTheRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default())
	a := r.agent(llm.Chat, true, prompt)
	a.step()
	r.session.Close()
	if err := r.record.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"answer":{"n":0,"te`); err != nil { // it was killed
		t.Fatal(err)
	}
	f.Close()

	next := newRig(t, fakellm.Default())
	next.record.Close()
	data, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	before := strings.Count(string(data), `"item"`)
	if err := os.WriteFile(next.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	next.reopen()
	a.url = next.front.URL + next.session.Path()
	a.run()
	tr, _ := next.trajectory(prompt)
	wantShape(t, tr.Steps, `
system: You are a small agent that works in tests.
user: Write hello to out.txt, please.
agent: I will write the file. | bash = done
agent: The file out.txt now says hello.`)
	if data, err = os.ReadFile(next.path); err != nil || strings.Count(string(data), `"item"`) != before+2 { // the answer and its result
		t.Errorf("what was known is written again: %s, %v", data, err)
	}
}

package terminus

import (
	"fmt"
	"time"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// told enters what the user, or what stands for it, has told the model.
func (l *loop) told(text string) {
	l.add(atif.Step{Source: atif.SourceUser, Message: atif.Text(text)})
}

func (l *loop) add(s atif.Step) *atif.Step {
	r := &l.state.Record
	s.StepID = len(r.Steps) + 1
	s.Timestamp = l.Now().UTC().Format(time.RFC3339Nano)
	r.Steps = append(r.Steps, s)
	return &r.Steps[len(r.Steps)-1]
}

// note enters an answer; reply is nil if it could not be understood.
func (l *loop) note(a Answer, reply *Reply) {
	one := 1
	s := atif.Step{
		Source: atif.SourceAgent, Message: atif.Text(a.Text), ModelName: l.ModelName, ReasoningContent: a.Reasoning,
		Metrics: metrics(a.Usage), LLMCallCount: &one,
	}
	if reply != nil && !l.Options.Raw {
		s.Message = atif.Text("Analysis: " + reply.Analysis + "\nPlan: " + reply.Plan)
		s.ToolCalls = l.toolCalls(reply)
	}
	l.add(s)
}

// toolCalls are the commands as calls of a tool, named as Harbor names them.
func (l *loop) toolCalls(r *Reply) []atif.ToolCall {
	var calls []atif.ToolCall
	for i, c := range r.Commands {
		calls = append(calls, atif.ToolCall{
			ID: fmt.Sprintf("call_%d_%d", l.state.Episode-1, i+1), Function: "bash_command",
			Arguments: map[string]any{"keystrokes": c.Keys, "duration": c.Duration.Seconds()},
		})
	}
	if r.Complete {
		calls = append(calls, atif.ToolCall{
			ID: fmt.Sprintf("call_%d_task_complete", l.state.Episode-1), Function: "mark_task_complete", Arguments: map[string]any{},
		})
	}
	return calls
}

// observed enters what the terminal showed after the last answer. It belongs to a command only if there was one.
func (l *loop) observed(text string) {
	steps := l.state.Record.Steps
	last := &steps[len(steps)-1]
	content := atif.Text(text)
	r := atif.Result{Content: &content}
	if len(last.ToolCalls) == 1 {
		r.SourceCallID = last.ToolCalls[0].ID
	}
	last.Observation = &atif.Observation{Results: []atif.Result{r}}
}

// aside is one of the calls that make a summary, as the trajectory of a sub-agent.
func (l *loop) aside(what string, asked Message, a Answer) atif.Trajectory {
	one, steps := 1, 2
	t := atif.Trajectory{
		SchemaVersion: atif.Version, TrajectoryID: fmt.Sprintf("summarization-%d-%s", l.state.Record.Compactions+1, what),
		Agent: atif.Agent{Name: "terminus-2-summarization-" + what, Version: Version, ModelName: l.ModelName},
		FinalMetrics: &atif.FinalMetrics{
			TotalPromptTokens: a.Usage.InputTotal, TotalCompletionTokens: a.Usage.OutputTotal, TotalCachedTokens: a.Usage.CacheRead, TotalSteps: &steps,
		},
	}
	t.Add(atif.Step{Source: atif.SourceUser, Message: atif.Text(asked.Text)})
	t.Add(atif.Step{
		Source: atif.SourceAgent, Message: atif.Text(a.Text), ReasoningContent: a.Reasoning, ModelName: l.ModelName, Metrics: metrics(a.Usage), LLMCallCount: &one,
	})
	return t
}

// compacted enters that the conversation was cut, and what the model was told after it.
func (l *loop) compacted(trail []atif.Trajectory) {
	r := &l.state.Record
	s := atif.Step{
		Source: atif.SourceSystem, Message: atif.Text("The conversation was cut, and a summary put in its place."),
		Extra: map[string]any{"context_management": map[string]any{"type": "compaction", "boundary": "replace"}},
	}
	if len(trail) > 0 {
		var refs []atif.SubagentRef
		for _, t := range trail {
			refs = append(refs, atif.SubagentRef{TrajectoryID: t.TrajectoryID})
		}
		s.Observation = &atif.Observation{Results: []atif.Result{{SubagentRefs: refs}}}
	}
	l.add(s)
	r.Summaries = append(r.Summaries, trail...)
	l.told(l.state.Next)
}

func metrics(u usage.Usage) *atif.Metrics {
	if u.InputTotal == nil && u.OutputTotal == nil {
		return nil
	}
	return &atif.Metrics{PromptTokens: u.InputTotal, CompletionTokens: u.OutputTotal, CachedTokens: u.CacheRead}
}

// wrote tells that an episode is over.
func (l *loop) wrote() {
	if l.Wrote != nil {
		l.state.Record.Episodes = l.state.Episode
		l.Wrote(&l.state.Record)
	}
}

// Trajectory makes a trajectory of a record, without the sums of what it cost; nil: nothing was answered.
func (r *Record) Trajectory(model, session string, extra map[string]any) *atif.Trajectory {
	if len(r.Calls) == 0 {
		return nil
	}
	steps := len(r.Steps)
	return &atif.Trajectory{
		SchemaVersion: atif.Version, SessionID: session,
		Agent:           atif.Agent{Name: "terminus-2", Version: Version, ModelName: model, Extra: extra},
		Steps:           r.Steps,
		SubTrajectories: r.Summaries,
		FinalMetrics: &atif.FinalMetrics{
			TotalPromptTokens: r.Usage.InputTotal, TotalCompletionTokens: r.Usage.OutputTotal, TotalCachedTokens: r.Usage.CacheRead, TotalSteps: &steps,
		},
	}
}

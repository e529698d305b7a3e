package atif

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// versions are the known ones, in order; minor versions are their indexes.
func versions() []string {
	return []string{"ATIF-v1.0", "ATIF-v1.1", "ATIF-v1.2", "ATIF-v1.3", "ATIF-v1.4", "ATIF-v1.5", "ATIF-v1.6", "ATIF-v1.7"}
}

// Parse reads a trajectory of any version and validates it. A key that ATIF does not know is an error.
func Parse(data []byte) (*Trajectory, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var t Trajectory
	if err := dec.Decode(&t); err != nil {
		return nil, fmt.Errorf("read trajectory: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read trajectory: something follows it")
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return &t, nil
}

// Validate says everything that is wrong with the trajectory; nil: nothing.
func (t *Trajectory) Validate() error {
	v := validator{minor: slices.Index(versions(), t.SchemaVersion)}
	if v.minor < 0 {
		return fmt.Errorf("schema_version %q is not one of %q", t.SchemaVersion, versions())
	}
	v.trajectory("", t)
	return errors.Join(v.errs...)
}

// validator collects what is wrong.
type validator struct {
	minor int
	errs  []error
}

func (v *validator) fail(at, format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("%s"+format, append([]any{at}, args...)...))
}

// since fails if something is there that came only with a later version.
func (v *validator) since(at, what string, minor int, there bool) {
	if there && v.minor < minor {
		v.fail(at, "%s needs at least ATIF-v1.%d", what, minor)
	}
}

func (v *validator) trajectory(at string, t *Trajectory) {
	if t.SessionID == "" && v.minor < 7 {
		v.fail(at, "session_id is missing")
	}
	if t.Agent.Name == "" || t.Agent.Version == "" {
		v.fail(at, "agent.name and agent.version are needed")
	}
	if len(t.Steps) == 0 {
		v.fail(at, "steps is empty")
	}
	v.since(at, "extra", 1, t.Extra != nil)
	v.since(at, "trajectory_id", 7, t.TrajectoryID != "")
	v.since(at, "subagent_trajectories", 7, t.SubTrajectories != nil)
	v.since(at, "agent.tool_definitions", 5, t.Agent.ToolDefinitions != nil)
	for i := range t.Steps {
		v.step(fmt.Sprintf("%ssteps[%d]: ", at, i), i+1, &t.Steps[i])
	}
	seen := map[string]bool{}
	for i := range t.SubTrajectories {
		sub, at := &t.SubTrajectories[i], fmt.Sprintf("%ssubagent_trajectories[%d]: ", at, i)
		if sub.TrajectoryID == "" || seen[sub.TrajectoryID] {
			v.fail(at, "trajectory_id is missing or not unique")
		}
		seen[sub.TrajectoryID] = true
		v.trajectory(at, sub)
	}
}

func (v *validator) step(at string, id int, s *Step) {
	if s.StepID != id {
		v.fail(at, "step_id is %d and should be %d", s.StepID, id)
	}
	if !slices.Contains([]string{SourceSystem, SourceUser, SourceAgent}, s.Source) {
		v.fail(at, "source %q is not system, user or agent", s.Source)
	}
	if s.Timestamp != "" && !isTime(s.Timestamp) {
		v.fail(at, "timestamp %q is not ISO 8601", s.Timestamp)
	}
	agents := s.ModelName != "" || s.ReasoningEffort != nil || s.ReasoningContent != "" || s.ToolCalls != nil || s.Metrics != nil
	if s.Source != SourceAgent && agents {
		v.fail(at, "model_name, reasoning, tool_calls and metrics belong to steps of the agent only")
	}
	v.since(at, "observation on a system step", 2, s.Source == SourceSystem && s.Observation != nil)
	v.since(at, "is_copied_context", 5, s.IsCopiedContext != nil)
	v.since(at, "llm_call_count", 7, s.LLMCallCount != nil)
	if s.LLMCallCount != nil && (*s.LLMCallCount < 0 || *s.LLMCallCount == 0 && (s.Metrics != nil || s.ReasoningContent != "")) {
		v.fail(at, "llm_call_count 0 excludes metrics and reasoning_content, and it is never negative")
	}
	v.content(at+"message: ", &s.Message)
	v.calls(at, s)
	if s.Metrics != nil {
		v.metrics(at, s.Metrics)
	}
}

func (v *validator) metrics(at string, m *Metrics) {
	v.since(at, "completion_token_ids", 3, m.CompletionTokenIDs != nil)
	v.since(at, "prompt_token_ids", 4, m.PromptTokenIDs != nil)
	for _, n := range []*int64{m.PromptTokens, m.CompletionTokens, m.CachedTokens} {
		if n != nil && *n < 0 {
			v.fail(at, "metrics count %d tokens", *n)
		}
	}
}

func (v *validator) calls(at string, s *Step) {
	ids := map[string]bool{}
	for i, c := range s.ToolCalls {
		if c.ID == "" || c.Function == "" || c.Arguments == nil {
			v.fail(at, "tool_calls[%d] needs tool_call_id, function_name and arguments", i)
		}
		if ids[c.ID] {
			v.fail(at, "tool_call_id %q is not unique in its step", c.ID)
		}
		ids[c.ID] = true
		v.since(at, "extra of a tool call", 7, c.Extra != nil)
	}
	if s.Observation == nil {
		return
	}
	for i, r := range s.Observation.Results {
		if r.SourceCallID != "" && !ids[r.SourceCallID] {
			v.fail(at, "observation.results[%d] answers %q, which is no tool call of this step", i, r.SourceCallID)
		}
		v.since(at, "extra of a result", 7, r.Extra != nil)
		if r.Content != nil {
			v.content(fmt.Sprintf("%sobservation.results[%d]: ", at, i), r.Content)
		}
		for _, ref := range r.SubagentRefs {
			if v.minor >= 7 && ref.TrajectoryID == "" && ref.TrajectoryPath == "" {
				v.fail(at, "a subagent_trajectory_ref needs trajectory_id or trajectory_path")
			}
		}
	}
}

func (v *validator) content(at string, c *Content) {
	v.since(at, "a list of parts", 6, c.Parts != nil)
	images := []string{"image/jpeg", "image/png", "image/gif", "image/webp"}
	for i, p := range c.Parts {
		switch {
		case p.Type == "text" && p.Text != nil && p.Source == nil:
		case p.Type == "image" && p.Text == nil && p.Source != nil && p.Source.Path != "" && slices.Contains(images, p.Source.MediaType):
		default:
			v.fail(at, "part %d is neither {type text, text} nor {type image, source {media_type, path}}", i)
		}
	}
}

func isTime(text string) bool {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00"} {
		if _, err := time.Parse(layout, text); err == nil {
			return true
		}
	}
	return false
}

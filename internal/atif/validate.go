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

// Parse reads a trajectory of any version and validates it. The error names every fault with its place. A key that ATIF does not know, or that came
// only after the version which the trajectory names, is one.
func Parse(data []byte) (*Trajectory, error) {
	faults, err := checkShape(data)
	if err != nil {
		return nil, fmt.Errorf("read trajectory: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	var t Trajectory
	if err := dec.Decode(&t); err != nil {
		if len(faults) == 0 { // else they say better what it is
			faults = append(faults, err)
		}
	} else if err := t.Validate(); err != nil {
		faults = append(faults, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) && len(faults) == 0 {
		faults = append(faults, errors.New("something follows it"))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("read trajectory: it is not valid: %w", errors.Join(faults...))
	}
	return &t, nil
}

// Validate says everything that is wrong with the trajectory, each fault with its place; nil: nothing.
func (t *Trajectory) Validate() error {
	v := validator{embedded: map[string]bool{}}
	v.collect(t)
	v.trajectory("", t)
	return errors.Join(v.errs...)
}

// validator collects what is wrong with what a trajectory says.
type validator struct {
	minor    int             // version of the trajectory that is looked at
	embedded map[string]bool // ids of all trajectories within the document
	errs     []error
}

func (v *validator) fail(at, format string, args ...any) {
	v.errs = append(v.errs, fault(at, format, args...))
}

// collect notes which trajectories references can name.
func (v *validator) collect(t *Trajectory) {
	for i := range t.SubTrajectories {
		v.embedded[t.SubTrajectories[i].TrajectoryID] = true
		v.collect(&t.SubTrajectories[i])
	}
}

func (v *validator) trajectory(at string, t *Trajectory) {
	if v.minor = slices.Index(versions(), t.SchemaVersion); v.minor < 0 {
		v.fail(member(at, "schema_version"), "%q is not one of %q", t.SchemaVersion, versions())
		return
	}
	if t.SessionID == "" && v.minor < 7 {
		v.fail(member(at, "session_id"), "is missing")
	}
	if t.Agent.Name == "" || t.Agent.Version == "" {
		v.fail(member(at, "agent"), "name and version are needed")
	}
	if len(t.Steps) == 0 {
		v.fail(member(at, "steps"), "is empty")
	}
	for i := range t.Steps {
		v.step(element(member(at, "steps"), i), i+1, &t.Steps[i])
	}
	if m := t.FinalMetrics; m != nil {
		v.counts(member(at, "final_metrics"), m.TotalPromptTokens, m.TotalCompletionTokens, m.TotalCachedTokens)
	}
	seen := map[string]bool{}
	for i := range t.SubTrajectories {
		sub, at := &t.SubTrajectories[i], element(member(at, "subagent_trajectories"), i)
		if sub.TrajectoryID == "" || seen[sub.TrajectoryID] {
			v.fail(member(at, "trajectory_id"), "%q is missing or not unique", sub.TrajectoryID)
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
		v.fail(member(at, "source"), "%q is not system, user or agent", s.Source)
	}
	if s.Timestamp != "" && !isTime(s.Timestamp) {
		v.fail(member(at, "timestamp"), "%q is not ISO 8601", s.Timestamp)
	}
	effort := s.ReasoningEffort != nil && string(s.ReasoningEffort) != "null"
	agents := s.ModelName != "" || effort || s.ReasoningContent != "" || s.ToolCalls != nil || s.Metrics != nil
	if s.Source != SourceAgent && agents {
		v.fail(at, "model_name, reasoning, tool_calls and metrics belong to steps of the agent only")
	}
	if s.LLMCallCount != nil && (*s.LLMCallCount < 0 || *s.LLMCallCount == 0 && (s.Metrics != nil || s.ReasoningContent != "")) {
		v.fail(at, "llm_call_count 0 excludes metrics and reasoning_content, and it is never negative")
	}
	v.content(member(at, "message"), &s.Message)
	v.calls(at, s)
	if m := s.Metrics; m != nil {
		v.counts(member(at, "metrics"), m.PromptTokens, m.CompletionTokens, m.CachedTokens)
	}
}

func (v *validator) counts(at string, counts ...*int64) {
	for _, n := range counts {
		if n != nil && *n < 0 {
			v.fail(at, "count %d tokens", *n)
		}
	}
}

func (v *validator) calls(at string, s *Step) {
	ids := map[string]bool{}
	for i, c := range s.ToolCalls {
		at := element(member(at, "tool_calls"), i)
		if c.ID == "" || c.Function == "" || c.Arguments == nil {
			v.fail(at, "tool_call_id, function_name and arguments are needed")
		}
		if ids[c.ID] {
			v.fail(at, "tool_call_id %q is not unique in its step", c.ID)
		}
		ids[c.ID] = true
	}
	if s.Observation == nil {
		return
	}
	for i, r := range s.Observation.Results {
		at := element(member(at, "observation.results"), i)
		if r.SourceCallID != "" && !ids[r.SourceCallID] {
			v.fail(at, "source_call_id %q is no tool call of this step", r.SourceCallID)
		}
		if r.Content != nil {
			v.content(member(at, "content"), r.Content)
		}
		for j, ref := range r.SubagentRefs {
			v.reference(element(member(at, "subagent_trajectory_ref"), j), ref)
		}
	}
}

// reference looks at what names a sub-agent's trajectory.
func (v *validator) reference(at string, ref SubagentRef) {
	switch {
	case v.minor < 7 || ref.TrajectoryPath != "":
	case ref.TrajectoryID == "":
		v.fail(at, "trajectory_id or trajectory_path is needed")
	case !v.embedded[ref.TrajectoryID]:
		v.fail(at, "trajectory_id %q is none of subagent_trajectories, and there is no trajectory_path", ref.TrajectoryID)
	}
}

func (v *validator) content(at string, c *Content) {
	images := []string{"image/jpeg", "image/png", "image/gif", "image/webp"}
	for i, p := range c.Parts {
		switch {
		case p.Type == "text" && p.Text != nil && p.Source == nil:
		case p.Type == "image" && p.Text == nil && p.Source != nil && p.Source.Path != "" && slices.Contains(images, p.Source.MediaType):
		default:
			v.fail(element(at, i), "a part is {type text, text} or {type image, source {media_type %q, path}}", images)
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

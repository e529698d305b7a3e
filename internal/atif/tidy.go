package atif

import (
	"fmt"
	"slices"
)

// Tidy mends, here and in embedded trajectories, what the log of a program may get wrong, so that the rest of it is not lost: steps without
// numbers, times that are none, calls without a name or with the id of another, results of no call, counts below zero, and references to what is not
// there.
func (t *Trajectory) Tidy() {
	t.SubTrajectories = slices.DeleteFunc(t.SubTrajectories, func(sub Trajectory) bool { return len(sub.Steps) == 0 || sub.TrajectoryID == "" })
	v := validator{embedded: map[string]bool{}}
	v.collect(t)
	t.tidy(v.embedded)
}

func (t *Trajectory) tidy(embedded map[string]bool) {
	for i := range t.Steps {
		s := &t.Steps[i]
		s.StepID = i + 1
		if s.Timestamp != "" && !isTime(s.Timestamp) {
			s.Timestamp = ""
		}
		if m := s.Metrics; m != nil && (below(m.PromptTokens) || below(m.CompletionTokens) || below(m.CachedTokens)) {
			s.Metrics = nil
		}
		s.tidyCalls(embedded)
	}
	for i := range t.SubTrajectories {
		t.SubTrajectories[i].tidy(embedded)
	}
}

func below(n *int64) bool { return n != nil && *n < 0 }

func (s *Step) tidyCalls(embedded map[string]bool) {
	ids := map[string]bool{}
	for i := range s.ToolCalls {
		c := &s.ToolCalls[i]
		if c.ID == "" || ids[c.ID] {
			c.ID = fmt.Sprintf("call-%d-%d", s.StepID, i+1)
		}
		ids[c.ID] = true
		if c.Function == "" {
			c.Function = "unknown"
		}
		if c.Arguments == nil {
			c.Arguments = map[string]any{}
		}
	}
	if s.Observation == nil {
		return
	}
	for i := range s.Observation.Results {
		r := &s.Observation.Results[i]
		if !ids[r.SourceCallID] {
			r.SourceCallID = ""
		}
		r.SubagentRefs = slices.DeleteFunc(r.SubagentRefs, func(ref SubagentRef) bool {
			return ref.TrajectoryPath == "" && !embedded[ref.TrajectoryID]
		})
	}
}

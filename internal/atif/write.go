package atif

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// FileName is where the trajectory of a trial is kept, in its agent folder.
const FileName = "trajectory.json"

// Add appends a step, with the number that follows, and gives it for what is yet to be filled in. The pointer holds until the next Add.
func (t *Trajectory) Add(s Step) *Step {
	s.StepID = len(t.Steps) + 1
	t.Steps = append(t.Steps, s)
	return &t.Steps[len(t.Steps)-1]
}

// SetAgent names the agent of the trajectory, and of those embedded in it that have none.
func (t *Trajectory) SetAgent(name, version string) {
	t.Agent.Name, t.Agent.Version = name, version
	for i := range t.SubTrajectories {
		if sub := &t.SubTrajectories[i]; sub.Agent.Name == "" {
			sub.SetAgent(name, version)
		}
	}
}

// Observe attaches what a tool call gave to the last step that made the call. It reports whether there is one.
func (t *Trajectory) Observe(callID string, content Content, extra map[string]any) bool {
	for i := len(t.Steps) - 1; i >= 0; i-- {
		s := &t.Steps[i]
		for _, c := range s.ToolCalls {
			if c.ID != callID {
				continue
			}
			if s.Observation == nil {
				s.Observation = &Observation{}
			}
			s.Observation.Results = append(s.Observation.Results, Result{SourceCallID: callID, Content: &content, Extra: extra})
			return true
		}
	}
	return false
}

// Write validates the trajectory and writes it to the file, whole or not at all.
func Write(path string, t *Trajectory) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("write trajectory: it is not valid: %w", err)
	}
	data, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("write trajectory: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".trajectory-*")
	if err != nil {
		return fmt.Errorf("write trajectory: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	if e := f.Chmod(0o644); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write trajectory: %w", err)
	}
	return nil
}

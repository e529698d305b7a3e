package result

import (
	"encoding/json"
	"fmt"
	"time"

	"oddish/api"
)

// writtenStep is a Step as others write it: times may be in forms that are none of JSON's.
type writtenStep struct {
	Name           string          `json:"step_name"`
	VerifierResult *VerifierResult `json:"verifier_result"`
	ExceptionInfo  *struct {
		Type    string `json:"exception_type"`
		Message string `json:"exception_message"`
	} `json:"exception_info"`
	AgentExecution *writtenTiming `json:"agent_execution"`
	Verifier       *writtenTiming `json:"verifier"`
}

type writtenTiming struct {
	StartedAt  *string `json:"started_at"`
	FinishedAt *string `json:"finished_at"`
}

// Steps gives what the text of a result.json says of the steps, for the wire; nil where the task has none. Times that cannot be read are unknown.
func Steps(data []byte) ([]api.TrialStep, error) {
	var trial struct {
		Steps []writtenStep `json:"step_results"`
	}
	if err := json.Unmarshal(data, &trial); err != nil {
		return nil, fmt.Errorf("read the steps of a result: %w", err)
	}
	var steps []api.TrialStep
	for _, s := range trial.Steps {
		step := api.TrialStep{Name: s.Name, PhaseTiming: map[string]api.Phase{}}
		if s.VerifierResult != nil {
			step.Rewards, step.Reward = s.VerifierResult.Rewards, Primary(s.VerifierResult.Rewards)
		}
		if e := s.ExceptionInfo; e != nil {
			step.ErrorType, step.ErrorMessage = &e.Type, &e.Message
		}
		addPhase(step.PhaseTiming, "agent_execution", s.AgentExecution.read())
		addPhase(step.PhaseTiming, "verifier", s.Verifier.read())
		steps = append(steps, step)
	}
	return steps, nil
}

func (t *writtenTiming) read() *Timing {
	if t == nil {
		return nil
	}
	return &Timing{StartedAt: readTime(t.StartedAt), FinishedAt: readTime(t.FinishedAt)}
}

func readTime(text *string) *time.Time {
	if text == nil {
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, *text)
	if err != nil {
		return nil
	}
	at = at.UTC()
	return &at
}

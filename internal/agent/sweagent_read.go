package agent

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
)

// sweTrajectory is the file that SWE-agent writes after every step, in the shape of its source (sweagent/types.py).
type sweTrajectory struct {
	Steps   []sweStep    `json:"trajectory"`
	History []sweMessage `json:"history"`
	Info    struct {
		ExitStatus string `json:"exit_status"`
		Model      *struct {
			Cost     float64 `json:"instance_cost"`
			Sent     int64   `json:"tokens_sent"`
			Received int64   `json:"tokens_received"`
			Calls    int64   `json:"api_calls"`
		} `json:"model_stats"`
	} `json:"info"`
}

// sweStep is one answer of the model and what came of it.
type sweStep struct {
	Action      string  `json:"action"`
	Observation string  `json:"observation"`
	Response    string  `json:"response"`
	Thought     string  `json:"thought"`
	Seconds     float64 `json:"execution_time"`
	Thinking    []struct {
		Thinking string `json:"thinking"`
	} `json:"thinking_blocks"`
}

// sweMessage is a message of the conversation; of those only the first ones are not in the steps.
type sweMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	IsDemo  bool            `json:"is_demo"`
}

// readSWEAgent reads the agent's own trajectory. Its tokens are counts of its own and not the provider's, and count no cache.
func readSWEAgent(dir string) (*Log, error) {
	log := &Log{}
	f, err := readRecord[sweTrajectory](filepath.Join(dir, filepath.FromSlash(sweRecord)))
	if err != nil || f == nil {
		return log, err
	}
	if m := f.Info.Model; m != nil && m.Calls > 0 {
		log.Answered = true
		if m.Sent+m.Received > 0 {
			log.Usage = usage.Usage{InputTotal: usage.Of(m.Sent), OutputTotal: usage.Of(m.Received)}
		}
		if m.Cost > 0 { // 0: it knows no price
			log.CostUSD = &m.Cost
		}
	}
	log.Failure = sweFailure(f)
	if log.Answered = log.Answered || len(f.Steps) > 0; log.Answered {
		log.Trajectory = f.trajectory()
	}
	return log, nil
}

// sweFailure says what the exit status means. Limits that the user set, and a model that gives up, are a result like any other.
func sweFailure(f *sweTrajectory) *Failure {
	words := "exit status " + f.Info.ExitStatus
	if n := len(f.Steps); n > 0 {
		words = join(words, f.Steps[n-1].Response)
	}
	switch {
	case strings.Contains(f.Info.ExitStatus, "exit_context"):
		return &Failure{Type: result.ContextWindowExceededError, Message: words}
	case strings.Contains(f.Info.ExitStatus, "exit_api"), strings.Contains(f.Info.ExitStatus, "exit_environment_error"), strings.Contains(f.Info.ExitStatus, "exit_error"):
		return &Failure{Message: words}
	}
	return nil
}

func (f *sweTrajectory) trajectory() *atif.Trajectory {
	t := &atif.Trajectory{}
	for _, m := range f.History {
		if m.Role == "assistant" && !m.IsDemo {
			break
		}
		source := map[string]string{"system": atif.SourceSystem, "user": atif.SourceUser}[m.Role]
		if source != "" && !m.IsDemo {
			t.Add(atif.Step{Source: source, Message: atif.Text(geminiText(m.Content))})
		}
	}
	for i := range f.Steps {
		s := &f.Steps[i]
		step := atif.Step{Source: atif.SourceAgent, Message: atif.Text(orName(s.Thought, s.Response))}
		for _, b := range s.Thinking {
			step.ReasoningContent = join(step.ReasoningContent, b.Thinking)
		}
		if action := strings.TrimSpace(s.Action); action != "" {
			id, said := fmt.Sprintf("call_%d", i+1), atif.Text(s.Observation)
			step.ToolCalls = []atif.ToolCall{{ID: id, Function: "bash_command", Arguments: map[string]any{"command": action}}}
			step.Observation = &atif.Observation{Results: []atif.Result{{SourceCallID: id, Content: &said}}}
			step.Extra = map[string]any{"execution_seconds": s.Seconds}
		}
		t.Add(step)
	}
	return t
}

package agent

import (
	"encoding/json"
	"path/filepath"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// traeFile is the file that Trae Agent writes after every step, in the shape of its source (trae_agent/utils/trajectory_recorder.py).
type traeFile struct {
	Provider string            `json:"provider"`
	Calls    []traeInteraction `json:"llm_interactions"`
	Steps    []struct {
		Results []traeResult `json:"tool_results"`
		Error   string       `json:"error"`
	} `json:"agent_steps"`
	Success bool `json:"success"`
}

type traeInteraction struct {
	Timestamp string `json:"timestamp"`
	Input     []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"input_messages"`
	Response struct {
		Content string     `json:"content"`
		Model   string     `json:"model"`
		Usage   *traeUsage `json:"usage"`
		Calls   []struct {
			ID        string          `json:"call_id"`
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"tool_calls"`
	} `json:"response"`
}

type traeResult struct {
	ID      string `json:"call_id"`
	Success bool   `json:"success"`
	Result  string `json:"result"`
	Error   string `json:"error"`
}

// traeUsage has what the provider told: only Anthropic leaves the cache out of the input.
type traeUsage struct {
	Input      int64  `json:"input_tokens"`
	Output     int64  `json:"output_tokens"`
	CacheWrite *int64 `json:"cache_creation_input_tokens"`
	CacheRead  *int64 `json:"cache_read_input_tokens"`
	Reasoning  *int64 `json:"reasoning_tokens"`
}

func (u *traeUsage) normal(provider string) usage.Usage {
	if u == nil || u.Input+u.Output == 0 {
		return usage.Usage{}
	}
	input := u.Input
	if provider == "anthropic" {
		input += deref(u.CacheRead) + deref(u.CacheWrite)
	}
	return usage.Usage{InputTotal: usage.Of(input), OutputTotal: usage.Of(u.Output), CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, Reasoning: u.Reasoning}
}

// readTrae reads the agent's own trajectory.
func readTrae(dir string) (*Log, error) {
	log, t := &Log{}, &atif.Trajectory{}
	f, err := readRecord[traeFile](filepath.Join(dir, traeTrajectory))
	if err != nil || f == nil {
		return log, err
	}
	for i := range f.Calls {
		f.answer(log, t, i)
	}
	for _, s := range f.Steps {
		for _, r := range s.Results {
			t.Observe(r.ID, atif.Text(join(r.Result, r.Error)), map[string]any{"success": r.Success})
		}
	}
	if n := len(f.Steps); n > 0 && !f.Success && f.Steps[n-1].Error != "" {
		log.Failure = &Failure{Message: f.Steps[n-1].Error}
	}
	if log.Answered = len(f.Calls) > 0; log.Answered {
		log.Trajectory = t
	}
	return log, nil
}

// answer adds an answer of the model, and before the first one what it was told.
func (f *traeFile) answer(log *Log, t *atif.Trajectory, i int) {
	c := &f.Calls[i]
	if i == 0 {
		for _, m := range c.Input {
			if source := map[string]string{"system": atif.SourceSystem, "user": atif.SourceUser}[m.Role]; source != "" {
				t.Add(atif.Step{Source: source, Message: atif.Text(m.Content)})
			}
		}
	}
	u := c.Response.Usage.normal(f.Provider)
	log.Usage = log.Usage.Add(u)
	step := atif.Step{
		Source: atif.SourceAgent, Timestamp: c.Timestamp, Message: atif.Text(c.Response.Content), ModelName: c.Response.Model, Metrics: metricsOf(u, nil),
	}
	for _, call := range c.Response.Calls {
		step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: call.ID, Function: call.Name, Arguments: object(call.Arguments)})
	}
	t.Add(step)
}

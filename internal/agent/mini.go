package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/usage"
	"oddish/internal/sandbox"
)

func miniSWEAgent() *Definition {
	return &Definition{
		Name: "mini-swe-agent", Description: "mini-SWE-agent, a loop of shell commands",
		Package: Package{Command: "mini-swe-agent", PyPI: "mini-swe-agent", Version: "2.4.6"},
		Output:  "mini-swe-agent.txt",
		Options: []Option{
			{Name: "cost_limit", Flag: "--cost-limit", Default: "0"},
			{Name: "max_retries", Env: "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT"},
		},
		Dialects: liteLLMDialects,
		Launch:   launchMini,
		Read:     readMini,
	}
}

// liteLLMDialects are those of programs that speak through the library LiteLLM.
func liteLLMDialects(provider string) []llm.Dialect {
	if provider == "anthropic" {
		return []llm.Dialect{llm.Anthropic, llm.Chat}
	}
	return []llm.Dialect{llm.Chat, llm.Anthropic}
}

// liteLLM gives a model's name for LiteLLM, and the environment that leads it to the gateway.
func liteLLM(r Request) (model string, env map[string]string) {
	env = map[string]string{
		"LITELLM_LOCAL_MODEL_COST_MAP": "True",
		"OPENAI_API_BASE":              r.BaseURL + "/v1", "OPENAI_BASE_URL": r.BaseURL + "/v1", "OPENAI_API_KEY": r.Token,
		"ANTHROPIC_API_BASE": r.BaseURL, "ANTHROPIC_BASE_URL": r.BaseURL, "ANTHROPIC_API_KEY": r.Token,
	}
	if r.Dialect == llm.Anthropic {
		return "anthropic/" + r.Model, env
	}
	return "openai/" + r.Model, env
}

func launchMini(r Request) (Launch, error) {
	model, env := liteLLM(r)
	env["MSWEA_CONFIGURED"], env["MSWEA_COST_TRACKING"] = "true", "ignore_errors"
	return Launch{
		Script: r.Program + " --yolo --model=" + sandbox.Quote(model) + ` --task="$(cat ` + r.Prompt + `)" --output=` + LogsDir + "/" + miniFile +
			" " + r.Flags + " --exit-immediately </dev/null 2>&1",
		Env: env,
	}, nil
}

const miniFile = "mini-swe-agent.trajectory.json"

// miniTrajectory is the file that the agent writes after every step.
type miniTrajectory struct {
	Info struct {
		ExitStatus string `json:"exit_status"`
		Submission string `json:"submission"`
		ModelStats struct {
			Cost  *float64 `json:"instance_cost"`
			Calls int64    `json:"api_calls"`
		} `json:"model_stats"`
	} `json:"info"`
	Messages []miniMessage `json:"messages"`
}

type miniMessage struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	Reasoning  string          `json:"reasoning_content"`
	ToolCallID string          `json:"tool_call_id"`
	ToolCalls  []struct {
		ID       string `json:"id"`
		Function struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
	Extra struct {
		Cost     *float64 `json:"cost"`
		Response struct {
			Model string     `json:"model"`
			Usage *miniUsage `json:"usage"`
		} `json:"response"`
	} `json:"extra"`
}

type miniUsage struct {
	Input   int64 `json:"prompt_tokens"` // with the cache, whatever the provider
	Output  int64 `json:"completion_tokens"`
	Details *struct {
		Cached *int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CacheWrite *int64 `json:"cache_creation_input_tokens"`
}

func (u *miniUsage) normal() usage.Usage {
	if u == nil || u.Input+u.Output == 0 {
		return usage.Usage{}
	}
	n := usage.Usage{InputTotal: usage.Of(u.Input), OutputTotal: usage.Of(u.Output), CacheWrite: u.CacheWrite}
	if u.Details != nil {
		n.CacheRead = u.Details.Cached
	}
	return n
}

// readMini reads the agent's own trajectory.
func readMini(dir string) (*Log, error) {
	log, t := &Log{}, &atif.Trajectory{}
	data, err := os.ReadFile(filepath.Join(dir, miniFile))
	if errors.Is(err, fs.ErrNotExist) {
		return log, nil
	}
	if err != nil {
		return nil, err
	}
	var m miniTrajectory
	if json.Unmarshal(data, &m) != nil { // cut off while it was written
		return log, nil
	}
	for i := range m.Messages {
		miniStep(log, t, &m.Messages[i])
	}
	if cost := m.Info.ModelStats.Cost; cost != nil && *cost > 0 {
		log.CostUSD = cost
	}
	if s := m.Info.ExitStatus; s != "" && errorOfText(s) != "" {
		log.Failure = &Failure{Message: join(s, m.Info.Submission)}
	}
	if log.Answered {
		log.Trajectory = t
	}
	return log, nil
}

func miniStep(log *Log, t *atif.Trajectory, m *miniMessage) {
	said := atif.Text(geminiText(m.Content))
	u := m.Extra.Response.Usage.normal() // also of answers that were not understood, in the message that says so
	log.Usage = log.Usage.Add(u)
	switch m.Role {
	case "system":
		t.Add(atif.Step{Source: atif.SourceSystem, Message: said})
	case "tool":
		t.Observe(m.ToolCallID, said, nil)
	case "user":
		t.Add(atif.Step{Source: atif.SourceUser, Message: said})
	case "assistant":
		log.Answered = true
		step := atif.Step{
			Source: atif.SourceAgent, Message: said, ReasoningContent: m.Reasoning, ModelName: m.Extra.Response.Model, Metrics: metricsOf(u, m.Extra.Cost),
		}
		for i, c := range m.ToolCalls {
			if c.ID == "" {
				c.ID = fmt.Sprintf("call_%d_%d", len(t.Steps)+1, i)
			}
			step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: c.ID, Function: c.Function.Name, Arguments: object(c.Function.Arguments)})
		}
		t.Add(step)
	}
}

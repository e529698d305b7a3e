package agent

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/usage"
	"oddish/internal/sandbox"
)

func miniSWEAgent() *Definition {
	return &Definition{
		Name: "mini-swe-agent", Description: "mini-SWE-agent, a loop of shell commands",
		Package: Package{Command: "mini-swe-agent", PyPI: "mini-swe-agent", Version: "2.4.6", Python: [2]int{10, 0}, VersionFlag: "--help"},
		Output:  "mini-swe-agent.txt", Record: miniFile,
		Options: []Option{
			{Name: "cost_limit", Flag: "--cost-limit", Default: "0", Help: "US dollars after which it stops, 0 for none"},
			{Name: "config_file", Form: formYAML, Help: "configuration on top of its default (mini.yaml)"},
			{Name: "reasoning_effort", Help: "how much the model thinks"},
			{Name: "max_tokens", Help: "longest answer of the model"},
			{Name: "max_retries", Env: "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT", Help: "how often it makes a call that fails"},
		},
		Tells:    Tells{Tokens: true, Cost: true},
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
	flags, files := miniConfig(r)
	return Launch{
		Script: r.Program + " --yolo --model=" + sandbox.Quote(model) + ` --task="$(cat ` + r.Prompt + `)" --output=` + LogsDir + "/" + miniFile +
			" " + flags + " --exit-immediately </dev/null 2>&1",
		Env: env, Files: files,
	}, nil
}

// miniConfig gives the flags, and the file that they name. Any configuration replaces the default, which therefore stands first.
func miniConfig(r Request) (flags string, files []File) {
	const file = "/tmp/oddish-agent/mini.yaml"
	var configs []string
	if own := r.Options["config_file"]; own != "" {
		files = []File{{file, own}}
		configs = append(configs, file)
	}
	for _, name := range []string{"reasoning_effort", "max_tokens"} {
		if value := r.Options[name]; value != "" {
			configs = append(configs, "model.model_kwargs."+name+"="+value)
		}
	}
	flags = r.Flags
	if len(configs) > 0 {
		flags += " -c mini.yaml"
	}
	for _, c := range configs {
		flags += " -c " + sandbox.Quote(c)
	}
	return flags, files
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
	m, err := readRecord[miniTrajectory](filepath.Join(dir, miniFile))
	if err != nil || m == nil {
		return log, err
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

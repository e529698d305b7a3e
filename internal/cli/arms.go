package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"oddish/api"
	"oddish/internal/agent"
)

// arm is one agent with one model (or none), run n times on each task.
type arm struct {
	Agent   string
	Model   string
	NTrials int
	Env     map[string]string
	Kwargs  map[string]any
	Base    string // of an agent file
	MCP     []api.MCPServer
	Skills  []api.Skill

	BaseURL string
	Budget  *api.Budget // of each trial
	Record  bool
	Replay  string // experiment
	Helper  string
	Hosts   []string // extra allowed ones
}

// config is the arm's own configuration; nil: it has none.
func (r *arm) config() *api.AgentConfig {
	if len(r.Env)+len(r.Kwargs)+len(r.MCP)+len(r.Skills)+len(r.Hosts) == 0 && r.Base == "" && r.BaseURL == "" && r.Budget == nil && !r.Record && r.Replay == "" && r.Helper == "" {
		return nil
	}
	return &api.AgentConfig{
		Env: r.Env, Kwargs: r.Kwargs, Base: r.Base, MCPServers: r.MCP, Skills: r.Skills, BaseURL: r.BaseURL, Budget: r.Budget, RecordModel: r.Record,
		Replay: r.Replay, HelperModel: r.Helper, ExtraAllowedHosts: r.Hosts,
	}
}

// armList gathers -a and -m in the order in which they stand on the command line: an -m belongs to the -a before it,
// several -m make one arm each, and those before any -a belong to every agent that has none of its own.
type armList struct {
	agents []armAgent
	models []string // before any -a
}

type armAgent struct {
	name   string
	models []string
}

const defaultAgent = "claude-code"

func (l *armList) arms() []arm {
	agents := l.agents
	if len(agents) == 0 {
		agents = []armAgent{{name: defaultAgent}}
	}
	var arms []arm
	for _, a := range agents {
		models := a.models
		if len(models) == 0 {
			models = l.models
		}
		if len(models) == 0 {
			models = []string{""}
		}
		for _, m := range models {
			arms = append(arms, arm{Agent: a.name, Model: m})
		}
	}
	return arms
}

// agentValue and modelValue are the two flags that write to an armList.
type (
	agentValue struct{ l *armList }
	modelValue struct{ l *armList }
)

func (v agentValue) String() string { return "" }
func (v agentValue) Type() string   { return "AGENT" }
func (v agentValue) Set(s string) error {
	if s = strings.TrimSpace(s); s == "" {
		return fmt.Errorf("want the name of an agent")
	}
	v.l.agents = append(v.l.agents, armAgent{name: s})
	return nil
}

func (v modelValue) String() string { return "" }
func (v modelValue) Type() string   { return "MODEL" }
func (v modelValue) Set(s string) error {
	if s = strings.TrimSpace(s); s == "" {
		return fmt.Errorf("want a model id, such as anthropic/claude-sonnet-4-5")
	}
	if n := len(v.l.agents); n > 0 {
		v.l.agents[n-1].models = append(v.l.agents[n-1].models, s)
		return nil
	}
	v.l.models = append(v.l.models, s)
	return nil
}

// pairs are the values of a repeatable KEY=VALUE flag.
type pairs map[string]string

func (p pairs) String() string { return "" }
func (p pairs) Type() string   { return "KEY=VALUE" }
func (p pairs) Set(s string) error {
	k, v, ok := strings.Cut(s, "=")
	if !ok || strings.TrimSpace(k) == "" {
		return fmt.Errorf("want KEY=VALUE")
	}
	p[strings.TrimSpace(k)] = v
	return nil
}

// jsonInts is a flag that takes a JSON object of numbers.
type jsonInts struct{ m map[string]int }

func (j *jsonInts) String() string { return "" }
func (j *jsonInts) Type() string   { return "JSON" }
func (j *jsonInts) Set(s string) error {
	var m map[string]int
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		return fmt.Errorf(`want a JSON object such as {"openai/gpt-5.2": 4}: %w`, err)
	}
	for k, n := range m {
		if n < 0 {
			return fmt.Errorf("the limit of %q is %d: want 0 or more", k, n)
		}
	}
	j.m = m
	return nil
}

// checkArms refuses agents that this program does not have, those that lack a model, and options that they do not take, before anything is
// uploaded. Budget is the experiment's.
func checkArms(arms []arm, budget *api.Budget) error {
	for _, r := range arms {
		info, known := agent.Find(r.Agent)
		if !known && r.Base == "" {
			return usagef("%v", agent.UnknownError(r.Agent))
		}
		if info.NeedsModel && r.Model == "" {
			return usagef("agent %s needs a model: put -m MODEL after -a %s", r.Agent, r.Agent)
		}
		if _, err := agent.New(r.Agent, agent.Options{Base: r.Base, Kwargs: r.Kwargs}); err != nil {
			return usagef("%v", err)
		}
		if err := info.CheckModelConfig(r.config(), budget); err != nil {
			return usagef("%v", err)
		}
		if err := info.CheckTools(r.Agent, &api.AgentConfig{MCPServers: r.MCP, Skills: r.Skills}); err != nil {
			return usagef("%v", err)
		}
		if err := info.CheckOwnKey(r.Env); err != nil {
			return usagef("%v", err)
		}
	}
	return nil
}

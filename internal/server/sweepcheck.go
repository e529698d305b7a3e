package server

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/model"
)

// maxSweepTrials limits the trials of one submission: it is one transaction.
const maxSweepTrials = 100_000

// maxExperimentName is the length of an experiment's name in characters.
const maxExperimentName = 255

// sandboxKinds are the kinds that workers of this program can offer.
func sandboxKinds() []string { return []string{"builtin", "docker", "fake"} }

// checkSweep refuses what cannot run and fills in what was left out.
func (s *Server) checkSweep(sw *api.Sweep) error {
	if len(sw.Configs) == 0 {
		return huma.Error400BadRequest("configs is empty: name at least one agent")
	}
	if err := checkEnvironment(sw.Environment); err != nil {
		return err
	}
	if sw.ExperimentID != nil && len([]rune(*sw.ExperimentID)) > maxExperimentName {
		return refused("body.experiment_id", "longer than %d characters", maxExperimentName)
	}
	if sw.Priority == "" {
		sw.Priority = api.PriorityLow
	}
	total := 0
	for i := range sw.Configs {
		if err := checkConfig(fmt.Sprintf("body.configs[%d]", i), &sw.Configs[i]); err != nil {
			return err
		}
		if total += sw.Configs[i].NTrials; total > maxSweepTrials {
			return refused("body.configs", "more than %d trials in one submission: split it", maxSweepTrials)
		}
	}
	return checkTimes("body.harbor", sw.Harbor)
}

func checkConfig(at string, c *api.SweepConfig) error {
	if c.NTrials == 0 {
		c.NTrials = 1
	}
	if c.TimeoutMinutes != nil {
		return refused(at+".timeout_minutes", "not supported: set [agent] timeout_sec and [verifier] timeout_sec in the task's task.toml")
	}
	if err := checkEnvironment(c.Environment); err != nil {
		return err
	}
	if !knownAgent(c.Agent) {
		return refused(at+".agent", "unknown agent %q: known are %s", c.Agent, strings.Join(agentNames(), ", "))
	}
	if needsModel(c.Agent) && (c.Model == nil || model.Normalize(c.Agent, *c.Model) == model.Default) {
		return refused(at+".model", "agent %s needs a model", c.Agent)
	}
	if c.AgentConfig != nil {
		if err := checkBaseURL(at+".agent_config.base_url", c.AgentConfig.BaseURL); err != nil {
			return err
		}
	}
	return checkTimes(at+".agent_config", c.AgentConfig)
}

// checkBaseURL refuses what is no address of a model's API. It is stored and shown, so it must hold no credentials.
func checkBaseURL(at, address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return refused(at, "is not an address such as http://127.0.0.1:8080/v1")
	case u.User != nil || u.RawQuery != "":
		return refused(at, "carries credentials or a query: give the key in the agent's environment")
	}
	return nil
}

// checkTimes refuses times and factors that are not above 0, anywhere in v. They are found by
// their names on the wire, so that one added to the API is not forgotten here.
func checkTimes(at string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return refused(at, "cannot be read: %v", err)
	}
	var fields any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return refused(at, "cannot be read: %v", err)
	}
	table, _ := fields.(map[string]any) // null: nothing to check
	return checkPositive(at, table)
}

func checkPositive(at string, fields map[string]any) error {
	for name, v := range fields {
		switch v := v.(type) {
		case map[string]any:
			if name == "env" || name == "kwargs" {
				continue // the agent's and the sandbox's own words
			}
			if err := checkPositive(at+"."+name, v); err != nil {
				return err
			}
		case float64:
			if (strings.HasSuffix(name, "_sec") || strings.HasSuffix(name, "_multiplier")) && v <= 0 {
				return refused(at+"."+name, "must be above 0")
			}
		}
	}
	return nil
}

func checkEnvironment(kind *string) error {
	if kind == nil || *kind == "" {
		return nil
	}
	for _, known := range sandboxKinds() {
		if *kind == known {
			return nil
		}
	}
	return huma.Error400BadRequest(fmt.Sprintf("unknown environment %q: known are %s", *kind, strings.Join(sandboxKinds(), ", ")))
}

func knownAgent(name string) bool {
	for _, a := range agent.Known() {
		if a.Name == name {
			return true
		}
	}
	return false
}

func needsModel(name string) bool {
	for _, a := range agent.Known() {
		if a.Name == name {
			return a.NeedsModel
		}
	}
	return false
}

func agentNames() []string {
	var names []string
	for _, a := range agent.Known() {
		names = append(names, a.Name)
	}
	return names
}

package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
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
func sandboxKinds() []string { return slices.Sorted(maps.Keys(Isolation())) }

// Isolation gives the level of isolation (docs/security.md) of each kind of sandbox that workers of this program can offer. Workers refuse by what their
// sandboxes say themselves: this is for refusing earlier.
func Isolation() map[string]int { return map[string]int{"builtin": 2, "docker": 1, "fake": 0} }

// isolate demands the level of isolation that the server demands, and refuses kinds of sandbox that have less than what is demanded. environment is that of
// configs that name none.
func (s *Server) isolate(sw *api.Sweep, environment string) error {
	least := s.cfg.MinIsolation
	if sw.Harbor != nil && sw.Harbor.Environment != nil && sw.Harbor.Environment.MinIsolation != nil {
		least = max(least, *sw.Harbor.Environment.MinIsolation)
	}
	if least == 0 {
		return nil
	}
	for i, c := range sw.Configs {
		kind := environment
		if c.Environment != nil && *c.Environment != "" {
			kind = *c.Environment
		}
		if level, known := Isolation()[kind]; known && level < least {
			return refused(fmt.Sprintf("body.configs[%d].environment", i), "the %s sandbox isolates at level %d, and %d or more is demanded (docs/security.md tells the levels)", kind, level, least)
		}
	}
	harbor, env := api.HarborConfig{}, api.EnvironmentConfig{}
	if sw.Harbor != nil {
		harbor = *sw.Harbor
	}
	if harbor.Environment != nil {
		env = *harbor.Environment
	}
	env.MinIsolation = &least
	harbor.Environment, sw.Harbor = &env, &harbor
	return nil
}

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
		if err := s.checkConfig(fmt.Sprintf("body.configs[%d]", i), &sw.Configs[i], api.Lesser(sw.Budget, s.queue.DailyBudget())); err != nil {
			return err
		}
		if total += sw.Configs[i].NTrials; total > maxSweepTrials {
			return refused("body.configs", "more than %d trials in one submission: split it", maxSweepTrials)
		}
	}
	return checkTimes("body.harbor", sw.Harbor)
}

func (s *Server) checkConfig(at string, c *api.SweepConfig, budget *api.Budget) error {
	if c.NTrials == 0 {
		c.NTrials = 1
	}
	if c.TimeoutMinutes != nil {
		return refused(at+".timeout_minutes", "not supported: set [agent] timeout_sec and [verifier] timeout_sec in the task's task.toml")
	}
	if err := checkEnvironment(c.Environment); err != nil {
		return err
	}
	if regrades(c) {
		return nil // its agent and model are those of a trial that has run
	}
	s.resolveAliases(c)
	if err := checkAgent(at, c, budget); err != nil {
		return err
	}
	return checkTimes(at+".agent_config", c.AgentConfig)
}

// resolveAliases puts models in the places of what stands for them, before anything is told from their names.
func (s *Server) resolveAliases(c *api.SweepConfig) {
	if c.Model != nil {
		resolved := s.cfg.Prices.Resolve(*c.Model)
		c.Model = &resolved
	}
	if c.AgentConfig != nil && c.AgentConfig.HelperModel != "" {
		config := *c.AgentConfig
		config.HelperModel = s.cfg.Prices.Resolve(config.HelperModel)
		c.AgentConfig = &config
	}
}

// checkAgent refuses an agent that is not known, lacks a model, or has options that it does not take.
func checkAgent(at string, c *api.SweepConfig, budget *api.Budget) error {
	config := api.AgentConfig{}
	if c.AgentConfig != nil {
		config = *c.AgentConfig
	}
	info, known := agent.Find(c.Agent)
	if !known && config.Base == "" {
		return refused(at+".agent", "%v", agent.UnknownError(c.Agent))
	}
	if info.NeedsModel && (c.Model == nil || model.Normalize(c.Agent, *c.Model) == model.Default) {
		return refused(at+".model", "agent %s needs a model", c.Agent)
	}
	if _, err := agent.New(c.Agent, agent.Options{Base: config.Base, Kwargs: config.Kwargs}); err != nil {
		return refused(at+".agent_config.kwargs", "%v", err)
	}
	if err := info.CheckModelConfig(&config, budget); err != nil {
		return refused(at+".agent_config", "%v", err)
	}
	id := ""
	if c.Model != nil {
		id = *c.Model
	}
	if err := agent.CheckModels(&config, id); err != nil {
		return refused(at+".agent_config", "%v", err)
	}
	if err := info.CheckTools(c.Agent, &config); err != nil {
		return refused(at+".agent_config", "%v", err)
	}
	return checkBaseURL(at+".agent_config.base_url", config.BaseURL)
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

package queue

import (
	"errors"
	"fmt"
	"strings"

	"oddish/api"
	"oddish/internal/model"
	"oddish/internal/store"
)

// plan is a trial that a submission wants.
type plan struct {
	agent, model, provider, key string
	environment                 string
	agentConfig, harbor         string // JSON, without secrets
	secrets                     secrets
	maxAttempts                 int
	priority                    int
	rank                        int64

	existing string // id of a trial that stands for it; then nothing is done
	again    string // id of an ended trial that is tried again for it
	job      *job   // of again, locked
}

// plan lists the trials of a sweep in order.
func (q *Queue) plan(s Submission) ([]plan, error) {
	var harbor api.HarborConfig
	if s.Sweep.Harbor != nil {
		harbor = *s.Sweep.Harbor
	}
	var plans []plan
	for _, config := range s.Sweep.Configs {
		p := plan{
			agent:       config.Agent,
			environment: firstOf(config.Environment, s.Sweep.Environment, &s.Environment),
			maxAttempts: q.maxAttempts,
			priority:    store.Priority(s.Sweep.Priority),
		}
		if s.Sweep.MaxAttempts != nil {
			p.maxAttempts = *s.Sweep.MaxAttempts
		}
		if p.environment == "" {
			return nil, fmt.Errorf("agent %s has no sandbox kind", config.Agent)
		}
		id := firstOf(config.Model)
		p.model, p.provider, p.key = model.Normalize(p.agent, id), model.Provider(p.agent, id), model.QueueKey(p.agent, id)
		if c := config.AgentConfig; c != nil && (c.Replay != "" || c.Regrade != "") {
			p.key = model.LocalKey // no provider is asked, whose limits would count
		}
		if strings.Contains(p.key, "*") { // it would be taken for a pattern
			return nil, fmt.Errorf("%w: a model cannot be named %q", ErrKey, id)
		}
		if err := p.configure(config.AgentConfig, harbor); err != nil {
			return nil, err
		}
		for range max(config.NTrials, 1) {
			plans = append(plans, p)
		}
	}
	if len(plans) == 0 {
		return nil, errors.New("no agents are given")
	}
	return plans, nil
}

func (p *plan) configure(agent *api.AgentConfig, harbor api.HarborConfig) error {
	var config api.AgentConfig
	if agent != nil {
		config = *agent
	}
	var err error
	config, harbor, p.secrets = hide(config, harbor)
	if p.agentConfig, err = store.JSON(config); err != nil {
		return err
	}
	p.harbor, err = store.JSON(harbor)
	return err
}

// firstOf is the first text that is given and not empty.
func firstOf(texts ...*string) string {
	for _, text := range texts {
		if text != nil && *text != "" {
			return *text
		}
	}
	return ""
}

package worker

import (
	"oddish/api"
	"oddish/internal/llm/gateway"
	"oddish/internal/llm/upstream"
)

// chooseModels says which models the trial may call besides its own, and what becomes of calls of others.
func chooseModels(t *gateway.Trial, found upstream.Found, c *api.AgentConfig) {
	t.Model = found.Model
	if t.Budget.USD != nil {
		t.NoProviderTools, t.OnlyPriced = true, true
	}
	policy := helperPolicy(c)
	if policy == api.HelperAllow || found.Model == "" { // the agent chooses
		return
	}
	t.AllowedModels = []string{found.Model}
	switch policy {
	case api.HelperRefuse:
	case api.HelperSame:
		t.HelperModel = found.Model
	default:
		t.HelperModel = upstream.Name(policy)
		t.AllowedModels = append(t.AllowedModels, t.HelperModel)
	}
}

// helperPolicy is what the user said, or else the default: a server of the user's own has the model that it was asked for, and rarely another.
func helperPolicy(c *api.AgentConfig) string {
	switch {
	case c.HelperModel != "":
		return c.HelperModel
	case c.BaseURL != "":
		return api.HelperSame
	}
	return api.HelperAllow
}

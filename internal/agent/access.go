package agent

import (
	"slices"
	"strings"

	"oddish/internal/llm"
	"oddish/internal/result"
)

// choose gives the first of the dialects, which an agent can speak, that the model's provider speaks.
func (e *Endpoint) choose(agent, model string, can []llm.Dialect) (llm.Dialect, error) {
	if e == nil {
		return "", result.Errorf(result.AgentAuthenticationError,
			"agent %s has no way to model %q: name a model with -m, and set its provider's key where the worker runs", agent, model)
	}
	for _, d := range can {
		if slices.Contains(e.Dialects, d) {
			return d, nil
		}
	}
	return "", result.Errorf(result.ValueError, "agent %s speaks to models as %s, and the provider of %s is spoken to as %s: choose another agent or model",
		agent, dialectNames(can), model, dialectNames(e.Dialects))
}

func dialectNames(list []llm.Dialect) string {
	var names []string
	for _, d := range list {
		names = append(names, string(d))
	}
	return strings.Join(names, ", ")
}

// splitModel cuts an id at the first slash into provider and name; without one the provider is empty.
func splitModel(model string) (provider, name string) {
	if provider, name, ok := strings.Cut(model, "/"); ok {
		return provider, name
	}
	return "", model
}

// Package model derives from an agent's name and a model id as a user wrote it the three
// values by which trials are grouped: the canonical model id, the provider shown in reports, and the
// queue key under which running trials are counted.
//
// It does no I/O, knows no prices and calls no model. Package queue, above it, stores what it says.
package model

import "strings"

// Default is the model id of a trial without a model, and the queue key of a trial that runs one
// which only its agent knows.
const Default = "default"

// LocalKey is the queue key of agents that call no model: they are limited by the machine, not by an account.
const LocalKey = "local"

// Local reports whether the agent calls no model (nop, oracle), whatever model was asked for.
func Local(agent string) bool {
	switch strings.ToLower(strings.TrimSpace(agent)) {
	case "nop", "oracle":
		return true
	}
	return false
}

// Normalize gives the canonical form of a model id: lower case, white space inside a part turned
// into one dash, dashes at the edges of a part and empty parts removed. It gives Default when the id stands
// for no model ("", "-", "none", "null", "nil", "n/a", "na", "default") and for local agents.
func Normalize(agent, id string) string {
	if Local(agent) {
		return Default
	}
	id = strings.ToLower(strings.TrimSpace(id))
	if absent(id) {
		return Default
	}
	parts := strings.Split(id, "/")
	kept := parts[:0]
	for _, part := range parts {
		if part = normalizePart(part); part != "" {
			kept = append(kept, part)
		}
	}
	if id = strings.Join(kept, "/"); absent(id) {
		return Default
	}
	return id
}

func normalizePart(part string) string {
	dashed := strings.Join(strings.Fields(part), "-")
	for strings.Contains(dashed, "--") {
		dashed = strings.ReplaceAll(dashed, "--", "-")
	}
	return strings.Trim(dashed, "-")
}

func absent(id string) bool {
	switch id {
	case "", "-", "none", "null", "nil", "n/a", "na", Default:
		return true
	}
	return false
}

// QueueKey gives the key under which trials of the agent and model share a limit: LocalKey for local agents,
// Default without a model or with a provider's name instead of one, otherwise provider/model where the
// provider is given or can be told from the name, and the bare name where not.
//
// Every route to Google's Gemini (google/, gemini/, vertex_ai/) has one key, google/<model>: their
// quotas are shared, and spellings must not multiply a limit.
func QueueKey(agent, model string) string {
	if Local(agent) {
		return LocalKey
	}
	model = Normalize(agent, model)
	if model == Default || providerName(model) {
		return Default
	}
	prefix, rest, qualified := strings.Cut(model, "/")
	if !qualified {
		prefix, rest = family(model), model
	}
	switch {
	case prefix == "":
		return model
	case providerName(prefix) && providerName(rest):
		return Default
	case googleRoute(prefix, rest):
		prefix = "google"
	}
	return prefix + "/" + rest
}

// googleRoute reports whether prefix/rest is one of the spellings of a model of Google's own.
// Vertex AI also sells other makers' models, whose quotas are separate.
func googleRoute(prefix, rest string) bool {
	switch prefix {
	case "google", "gemini":
		return true
	case "vertex_ai", "vertex_ai_beta":
		return strings.HasPrefix(rest, "gemini")
	}
	return false
}

func providerName(s string) bool {
	switch s {
	case "openai", "anthropic", "claude", "google", "gemini", Default:
		return true
	}
	return false
}

// family tells the provider from the name of a model given without one; empty if it can't.
func family(model string) string {
	families := []struct{ prefix, provider string }{
		{"gpt-", "openai"}, {"o1", "openai"}, {"o3", "openai"}, {"o4", "openai"},
		{"chatgpt-", "openai"}, {"text-embedding-", "openai"},
		{"claude", "anthropic"},
		{"gemini", "google"},
	}
	for _, f := range families {
		if strings.HasPrefix(model, f.prefix) {
			return f.provider
		}
	}
	return ""
}

// Provider gives the name under which reports sum up the trial: "claude", "gemini" or "openai" for those
// and the names that they go by, another provider's own name, or Default when neither
// the model nor the agent tells.
func Provider(agent, model string) string {
	model = Normalize(agent, model)
	prefix, _, qualified := strings.Cut(model, "/")
	if !qualified && !providerName(model) {
		prefix = family(model)
	}
	if prefix == "" || prefix == Default {
		return agentProvider(agent)
	}
	return bucket(prefix)
}

func bucket(provider string) string {
	switch provider {
	case "anthropic", "claude", "bedrock":
		return "claude"
	case "gemini", "google", "vertex_ai", "vertex_ai_beta", "palm":
		return "gemini"
	}
	return provider
}

// agentProvider tells the provider from the agent; variants such as "claude-code-2" count as "claude-code".
func agentProvider(agent string) string {
	agent = strings.ToLower(strings.TrimSpace(agent))
	agents := []struct{ prefix, provider string }{
		{"claude-code", "claude"}, {"gemini-cli", "gemini"}, {"codex", "openai"},
	}
	for _, a := range agents {
		if strings.HasPrefix(agent, a.prefix) {
			return a.provider
		}
	}
	return Default
}

// Package upstream finds out where a trial's model is sold and with whose key it is asked: from the model's id, the environment
// that the user gave to the agent, and the environment of the worker.
//
// It reads no files and asks nobody. Package gateway, beside it, uses what it finds; the agent never sees it.
package upstream

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"oddish/internal/llm"
	"oddish/internal/llm/gateway"
	"oddish/internal/model"
)

// Request says what is looked for.
type Request struct {
	Model string // as the user wrote it; empty: the agent chooses, so every provider with a key will do
	// BaseURL is the address of the model's API, in whatever dialect the agent speaks; empty: the provider's.
	BaseURL string
	// Env is the agent's environment. A key in it comes before the worker's.
	Env map[string]string
	// Getenv reads the worker's environment. Nil: it is empty.
	Getenv func(string) (string, bool)
}

// Found is where the model is.
type Found struct {
	Provider  string // as in a price's id; empty where the agent chooses the model
	Model     string // as the provider calls it
	Upstreams map[llm.Dialect]gateway.Upstream
}

// MissingKeyError says that no key was found.
type MissingKeyError struct {
	Model     string
	Variables []string // any of which would do
}

func (e *MissingKeyError) Error() string {
	what := "the model"
	if e.Model != "" {
		what = e.Model
	}
	return fmt.Sprintf("no key for %s: set %s where the worker runs (its environment, or .env in its folder), or for this agent with --ae",
		what, strings.Join(e.Variables, " or "))
}

// Find gives the upstreams of a model. An address that the user gave gets the user's key or none, and never the worker's: else whoever
// may submit trials could have the worker's keys sent to a machine of his own. *MissingKeyError.
func Find(r Request) (Found, error) {
	if r.Getenv == nil {
		r.Getenv = func(string) (string, bool) { return "", false }
	}
	if err := r.unusable(); err != nil {
		return Found{}, err
	}
	prefix, name := split(r.Model)
	if prefix == "" && r.BaseURL == "" {
		return r.any()
	}
	p := find(prefix)
	switch {
	case r.BaseURL != "":
		return r.given(p, prefix, name), nil
	case prefix == "":
		return Found{}, fmt.Errorf("the provider of model %q cannot be told from its name: write provider/%s, or give the address of its API with --base-url", r.Model, r.Model)
	case p == nil:
		p = unknown(prefix)
	case p.refused != "":
		return Found{}, fmt.Errorf("model %s cannot be called: %s", r.Model, p.refused)
	}
	found := Found{Provider: p.name, Model: name, Upstreams: map[llm.Dialect]gateway.Upstream{}}
	return found, r.addOr(p, found.Upstreams)
}

// addOr is add, with an error that says what is missing.
func (r *Request) addOr(p *provider, into map[llm.Dialect]gateway.Upstream) error {
	at, key, own := r.look(p)
	switch {
	case at.base == "" && p.place != nil:
		return fmt.Errorf("the address of %s is not known: set %s where the worker runs (its environment, or .env in its folder), or for this agent with --ae",
			p.name, strings.Join(p.placeVars(), " or "))
	case at.base == "":
		return fmt.Errorf("the provider %q of model %q is not known: give the address of its API with --base-url, or set %s_BASE_URL where the worker runs",
			p.name, r.Model, varName(p.name))
	case key == "" && !own && !p.keyless:
		return &MissingKeyError{Model: r.Model, Variables: p.keyVars()}
	}
	p.put(at, key, own, into)
	return nil
}

// unusable refuses credentials of the agent that would have no effect.
func (r *Request) unusable() error {
	for _, name := range otherKeys() {
		if r.Env[name] != "" {
			return fmt.Errorf("%s in the agent's environment cannot be used: models are reached through the worker's gateway, which takes API keys such as ANTHROPIC_API_KEY or OPENAI_API_KEY", name)
		}
	}
	return nil
}

// split gives the provider's part of a model's id, told from the name where it is not written, and the rest.
func split(id string) (prefix, name string) {
	key := model.QueueKey("", id)
	if key == model.Default {
		return "", ""
	}
	prefix, _, qualified := strings.Cut(key, "/")
	if !qualified {
		return "", id
	}
	if first, rest, written := strings.Cut(id, "/"); written && (strings.EqualFold(first, prefix) || find(strings.ToLower(first)) != nil || prefix == "google") {
		return prefix, rest
	}
	return prefix, id
}

// Name gives the model of an id as its provider calls it.
func Name(id string) string {
	_, name := split(id)
	return name
}

// given is what the user's own address is.
func (r *Request) given(p *provider, prefix, name string) Found {
	key := ""
	if p == nil && prefix != "" {
		p = unknown(prefix)
	}
	if p != nil {
		prefix, key = p.name, first(lookup(r.Env), p.keyVars())
	}
	found := Found{Provider: prefix, Model: name, Upstreams: map[llm.Dialect]gateway.Upstream{}}
	for _, d := range llm.Dialects() {
		found.Upstreams[d] = gateway.Upstream{Provider: prefix, BaseURL: r.BaseURL, Key: key}
	}
	return found
}

// any gives what there is for an agent that chooses its model itself.
func (r *Request) any() (Found, error) {
	if r.Model != "" && model.QueueKey("", r.Model) != model.Default {
		return Found{}, fmt.Errorf("the provider of model %q cannot be told from its name: write provider/%s, or give the address of its API with --base-url", r.Model, r.Model)
	}
	found := Found{Upstreams: map[llm.Dialect]gateway.Upstream{}}
	var variables []string
	for _, name := range []string{"anthropic", "openai", "google"} {
		p := find(name)
		variables = append(variables, p.keyVars()[0])
		if at, key, own := r.look(p); key != "" || own {
			p.put(at, key, own, found.Upstreams)
		}
	}
	if len(found.Upstreams) == 0 {
		return Found{}, &MissingKeyError{Variables: variables}
	}
	return found, nil
}

// look finds the provider's address and key. Own is an address of somebody's own, which may need no key. One in the agent's environment gets no key of the
// worker's.
func (r *Request) look(p *provider) (at place, key string, own bool) {
	key, at = first(lookup(r.Env), p.keyVars()), p.find(lookup(r.Env))
	if own = at.base != ""; own {
		return at, key, own
	}
	if key == "" {
		key = first(r.Getenv, p.keyVars())
	}
	if at = p.find(r.Getenv); at.base != "" {
		return at, key, p.place == nil // what has no address that is everybody's is no proxy
	}
	return place{base: p.base}, key, false
}

// find gives the address that variables hold; its base is empty if they do not.
func (p *provider) find(getenv func(string) (string, bool)) place {
	if p.place != nil {
		return p.place(getenv)
	}
	return place{base: first(getenv, p.baseVars())}
}

// put adds the provider's upstreams. At an address of somebody's own there is no other one for Anthropic's dialect.
func (p *provider) put(at place, key string, own bool, into map[llm.Dialect]gateway.Upstream) {
	for _, d := range p.dialects {
		into[d] = p.upstreamAt(d, at, key)
	}
	if p.anthropic != "" && !own {
		// These take the key as either header, and some only as the one that Anthropic itself does not document.
		into[llm.Anthropic] = gateway.Upstream{
			Provider: p.name, BaseURL: p.anthropic, Key: key, Header: http.Header{"Authorization": {"Bearer " + key}},
		}
	}
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

// first gives the value of the first variable that is set and not empty.
func first(getenv func(string) (string, bool), names []string) string {
	for _, name := range names {
		if v, _ := getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// Strip gives the environment without the variables that hold keys or addresses of providers, those of the model's too if nothing else is known of it.
func Strip(env map[string]string, model string) map[string]string {
	held := slices.Concat(otherKeys(), placeVars())
	list := providers()
	if prefix, _ := split(model); prefix != "" {
		list = append(list, *unknown(prefix))
	}
	for _, p := range list {
		held = slices.Concat(held, p.keyVars(), p.baseVars())
	}
	rest := maps.Clone(env)
	maps.DeleteFunc(rest, func(name, _ string) bool { return slices.Contains(held, name) })
	return rest
}

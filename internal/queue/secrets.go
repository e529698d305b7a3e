package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"

	"oddish/api"
	"oddish/internal/store"
)

// Redacted stands in answers for a value that only the worker is given.
const Redacted = "****"

// secrets are the environment values that a submission gives.
type secrets struct {
	Agent       map[string]string `json:"agent,omitempty"`
	Environment map[string]string `json:"environment,omitempty"`
	Verifier    map[string]string `json:"verifier,omitempty"`
	Host        map[string]string `json:"host,omitempty"`
}

func (s secrets) empty() bool {
	return len(s.Agent)+len(s.Environment)+len(s.Verifier)+len(s.Host) == 0
}

// hide returns the configuration with Redacted in place of environment values, and the values. The arguments stay as they are.
func hide(a api.AgentConfig, h api.HarborConfig) (api.AgentConfig, api.HarborConfig, secrets) {
	var s secrets
	a.Env, s.Agent = hideValues(a.Env)
	h.HostEnv, s.Host = hideValues(h.HostEnv)
	if h.Environment != nil {
		environment := *h.Environment
		environment.Env, s.Environment = hideValues(environment.Env)
		h.Environment = &environment
	}
	if h.Verifier != nil {
		verifier := *h.Verifier
		verifier.Env, s.Verifier = hideValues(verifier.Env)
		h.Verifier = &verifier
	}
	return a, h, s
}

// reference matches a value that only names a variable of the worker's machine, and so is no secret itself.
var reference = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)

func hideValues(env map[string]string) (shown, hidden map[string]string) {
	if env == nil {
		return nil, nil
	}
	shown, hidden = maps.Clone(env), map[string]string{}
	for name, value := range env {
		if value != "" && !reference.MatchString(value) {
			shown[name], hidden[name] = Redacted, value
		}
	}
	return shown, hidden
}

// show puts the values back.
func (s secrets) show(t *store.Trial) {
	maps.Copy(t.AgentConfig.Env, s.Agent)
	maps.Copy(t.Harbor.HostEnv, s.Host)
	if t.Harbor.Environment != nil {
		maps.Copy(t.Harbor.Environment.Env, s.Environment)
	}
	if t.Harbor.Verifier != nil {
		maps.Copy(t.Harbor.Verifier.Env, s.Verifier)
	}
}

// seal encrypts the secrets for a trial; nil if there are none.
func (q *Queue) seal(trialID string, s secrets) (*string, error) {
	if s.empty() {
		return nil, nil
	}
	if q.sealer == nil {
		return nil, errors.New("environment values cannot be stored: the server has no secret key")
	}
	text, err := store.JSON(s)
	if err != nil {
		return nil, err
	}
	sealed := q.sealer.Seal(trialID, text)
	return &sealed, nil
}

// unseal puts what was sealed for the trial into its configuration. Trying again after an error is useless.
func (q *Queue) unseal(t *store.Trial, sealed string) error {
	if q.sealer == nil {
		return errors.New("the server has no secret key")
	}
	text, err := q.sealer.Unseal(t.ID, sealed)
	if err != nil {
		return err
	}
	var s secrets
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("secrets of trial %s are damaged", t.ID)
	}
	s.show(t)
	return nil
}

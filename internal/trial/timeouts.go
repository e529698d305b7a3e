package trial

import (
	"time"

	"oddish/api"
	"oddish/internal/result"
	"oddish/internal/task"
)

// defaultSetup is the time that the setup of an agent has.
const defaultSetup = 360 * time.Second

// What is added to the time of a process that is killed inside the sandbox at its
// deadline, before the trial stops waiting for word of that.
const grace = 30 * time.Second

// Bounds on what surrounds the four timeouts of a task.
const (
	stopTimeout    = 60 * time.Second // stop of the sandbox, shielded from ctx
	prepareTimeout = 5 * time.Minute  // upload of the tests, emptying folders
	fetchTimeout   = 5 * time.Minute  // of one folder out of the sandbox
	salvageTimeout = 60 * time.Second // of everything, after an error
	cancelTimeout  = 5 * time.Second  // of everything, after a cancellation
)

// timeouts are those of Harbor for one step; 0 means no limit.
type timeouts struct {
	build, setup, agent, verifier time.Duration
}

// newTimeouts computes min(base, max) x multiplier for each, a specific multiplier going before the general one.
func newTimeouts(t *task.Task, p *task.Part, s api.TrialSpec) (timeouts, error) {
	h, a := s.Harbor, s.AgentConfig
	v := h.Verifier
	if v == nil {
		v = &api.VerifierConfig{}
	}
	for name, value := range map[string]*float64{
		"timeout_multiplier":                   h.TimeoutMultiplier,
		"agent_timeout_multiplier":             h.AgentTimeoutMultiplier,
		"verifier_timeout_multiplier":          h.VerifierTimeoutMultiplier,
		"agent_setup_timeout_multiplier":       h.AgentSetupTimeoutMultiplier,
		"environment_build_timeout_multiplier": h.EnvironmentBuildTimeoutMultiplier,
		"agent override_timeout_sec":           a.OverrideTimeoutSec,
		"agent override_setup_timeout_sec":     a.OverrideSetupTimeoutSec,
		"agent max_timeout_sec":                a.MaxTimeoutSec,
		"verifier override_timeout_sec":        v.OverrideTimeoutSec,
		"verifier max_timeout_sec":             v.MaxTimeoutSec,
	} {
		if value != nil && !(*value > 0) {
			return timeouts{}, result.Errorf(result.ValueError, "%s is %v: it must be greater than 0", name, *value)
		}
	}
	general := h.TimeoutMultiplier
	return timeouts{
		build:    buildTimeout(&t.Config.Environment, h),
		setup:    limit(defaultSetup, a.OverrideSetupTimeoutSec, nil, h.AgentSetupTimeoutMultiplier, general),
		agent:    limit(p.AgentTimeout(), a.OverrideTimeoutSec, a.MaxTimeoutSec, h.AgentTimeoutMultiplier, general),
		verifier: limit(p.VerifierTimeout(), v.OverrideTimeoutSec, v.MaxTimeoutSec, h.VerifierTimeoutMultiplier, general),
	}, nil
}

// buildTimeout is the time until a sandbox of that environment must have started.
func buildTimeout(e *task.Environment, h api.HarborConfig) time.Duration {
	return limit(e.BuildTimeout(), nil, nil, h.EnvironmentBuildTimeoutMultiplier, h.TimeoutMultiplier)
}

func limit(base time.Duration, override, most, specific, general *float64) time.Duration {
	sec := base.Seconds()
	if override != nil {
		sec = *override
	}
	if most != nil && (sec <= 0 || *most < sec) {
		sec = *most
	}
	if specific == nil {
		specific = general
	}
	if specific != nil {
		sec *= *specific
	}
	const century = 100 * 365 * 24 * 3600 // so that the product fits a Duration
	return time.Duration(min(max(sec, 0), century) * float64(time.Second))
}

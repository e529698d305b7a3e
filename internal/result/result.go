// Package result is what a trial leaves behind: Harbor's trial and job directories as Go
// types, the files in them, the rewards a verifier wrote, and the names of the errors.
//
// Package trial fills a trial directory, the server sums trials up into a job
// directory, and Harbor's own viewer reads both. It does no network I/O and knows nothing
// of sandboxes, agents or the queue.
package result

import (
	"time"

	"oddish/api"
)

// Trial is result.json of a trial directory. A nil pointer, map or slice is written as null, which means unknown.
type Trial struct {
	ID           string      `json:"id"` // UUID of this attempt
	TaskName     string      `json:"task_name"`
	TrialName    string      `json:"trial_name"`
	TrialURI     string      `json:"trial_uri"`
	TaskID       TaskID      `json:"task_id"`
	Source       *string     `json:"source"`
	TaskChecksum string      `json:"task_checksum"`
	Config       TrialConfig `json:"config"`
	AgentInfo    AgentInfo   `json:"agent_info"`

	AgentResult             *AgentResult    `json:"agent_result"`
	VerifierResult          *VerifierResult `json:"verifier_result"`
	VerifierEnvironmentMode *string         `json:"verifier_environment_mode"`
	ExceptionInfo           *ExceptionInfo  `json:"exception_info"`

	StartedAt        *time.Time `json:"started_at"`
	FinishedAt       *time.Time `json:"finished_at"`
	EnvironmentSetup *Timing    `json:"environment_setup"`
	AgentSetup       *Timing    `json:"agent_setup"`
	AgentExecution   *Timing    `json:"agent_execution"`
	Verifier         *Timing    `json:"verifier"`

	StepResults []Step `json:"step_results"` // null: the task has no steps

	// Isolation is the level of docs/security.md at which it ran; Harbor's readers pass over it.
	Isolation *int `json:"isolation_level"`
}

// Step is what came of one step. A task with steps has agent_result and the timings of agent and verifier here alone.
type Step struct {
	Name           string          `json:"step_name"`
	AgentResult    *AgentResult    `json:"agent_result"`
	VerifierResult *VerifierResult `json:"verifier_result"`
	ExceptionInfo  *ExceptionInfo  `json:"exception_info"`
	AgentExecution *Timing         `json:"agent_execution"`
	Verifier       *Timing         `json:"verifier"`
}

// TaskID names a task: one of the local kind by its path, one of a repository by that, commit and path.
type TaskID struct {
	Path        string  `json:"path"`
	GitURL      *string `json:"git_url,omitempty"`
	GitCommitID *string `json:"git_commit_id,omitempty"`
}

// AgentInfo says which agent ran.
type AgentInfo struct {
	Name      string     `json:"name"`
	Version   string     `json:"version"`
	ModelInfo *ModelInfo `json:"model_info"`
}

// ModelInfo is a model id cut at its first slash; Provider is null for an id without one.
type ModelInfo struct {
	Name     string  `json:"name"`
	Provider *string `json:"provider"`
}

// AgentResult is what is known of an agent's work.
type AgentResult struct {
	InputTokens    *int64         `json:"n_input_tokens"` // cached ones included
	CacheTokens    *int64         `json:"n_cache_tokens"`
	OutputTokens   *int64         `json:"n_output_tokens"`
	CostUSD        *float64       `json:"cost_usd"`
	RolloutDetails []any          `json:"rollout_details"`
	Metadata       map[string]any `json:"metadata"`
}

// VerifierResult holds the rewards.
type VerifierResult struct {
	Rewards map[string]float64 `json:"rewards"`
}

// ExceptionInfo is the first error of a trial.
type ExceptionInfo struct {
	Type       string    `json:"exception_type"`
	Message    string    `json:"exception_message"`
	Traceback  string    `json:"exception_traceback"`
	OccurredAt time.Time `json:"occurred_at"`
}

// Timing is when a phase began and ended.
type Timing struct {
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

// Phase gives a timing in the form of the wire; false unless the phase has begun and ended.
func (t *Timing) Phase() (api.Phase, bool) {
	if t == nil || t.StartedAt == nil || t.FinishedAt == nil {
		return api.Phase{}, false
	}
	return api.Phase{
		StartedAt:   *t.StartedAt,
		FinishedAt:  *t.FinishedAt,
		DurationSec: t.FinishedAt.Sub(*t.StartedAt).Seconds(),
	}, true
}

// Phases gives the phases that began and ended, under Harbor's names. Those of steps are summed up, from the beginning of the first to the end of the last.
func (t *Trial) Phases() map[string]api.Phase {
	phases := map[string]api.Phase{}
	for _, s := range t.StepResults {
		addPhase(phases, "agent_execution", s.AgentExecution)
		addPhase(phases, "verifier", s.Verifier)
	}
	for name, timing := range map[string]*Timing{
		"environment_setup": t.EnvironmentSetup,
		"agent_setup":       t.AgentSetup,
		"agent_execution":   t.AgentExecution,
		"verifier":          t.Verifier,
	} {
		addPhase(phases, name, timing)
	}
	return phases
}

// addPhase adds a timing to the phase of that name.
func addPhase(phases map[string]api.Phase, name string, timing *Timing) {
	p, ok := timing.Phase()
	if !ok {
		return
	}
	if before, has := phases[name]; has {
		p.StartedAt, p.DurationSec = before.StartedAt, before.DurationSec+p.DurationSec
	}
	phases[name] = p
}

// Time gives t as results write it: UTC, to the microsecond, which is as fine as Harbor's readers take it.
func Time(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

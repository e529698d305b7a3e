package result

import (
	"crypto/sha256"
	"fmt"

	"oddish/api"
)

// TrialLock is lock.json of a trial directory: the inputs by content. Environment, Agent and Verifier are those of the TrialConfig.
type TrialLock struct {
	SchemaVersion                     int               `json:"schema_version"`
	Task                              TaskLock          `json:"task"`
	InstallOnly                       bool              `json:"install_only"`
	TimeoutMultiplier                 float64           `json:"timeout_multiplier"`
	AgentTimeoutMultiplier            *float64          `json:"agent_timeout_multiplier"`
	VerifierTimeoutMultiplier         *float64          `json:"verifier_timeout_multiplier"`
	AgentSetupTimeoutMultiplier       *float64          `json:"agent_setup_timeout_multiplier"`
	EnvironmentBuildTimeoutMultiplier *float64          `json:"environment_build_timeout_multiplier"`
	Agent                             AgentConfig       `json:"agent"`
	Environment                       EnvironmentConfig `json:"environment"`
	Verifier                          VerifierLock      `json:"verifier"`
	Artifacts                         []Artifact        `json:"artifacts,omitempty"`
	ExtraDockerCompose                []ComposeLock     `json:"extra_docker_compose,omitempty"`
}

// TaskLock names the task and its content.
type TaskLock struct {
	Name    string  `json:"name"`
	Version *string `json:"version"`
	Type    string  `json:"type"` // local or git
	Digest  string  `json:"digest"`
	Source  *string `json:"source"`
	Path    string  `json:"path"`

	GitURL      *string `json:"git_url,omitempty"`
	GitCommitID *string `json:"git_commit_id,omitempty"`
}

// VerifierLock is the verifier's configuration with its resolved mode.
type VerifierLock struct {
	VerifierConfig
	EnvironmentMode *string `json:"environment_mode"` // null: the task has steps, each with its own
}

// ComposeLock names a compose file of the run and its content.
type ComposeLock struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
}

// NewComposeLocks gives the locks of the compose files of a run.
func NewComposeLocks(files []api.ComposeFile) []ComposeLock {
	var locks []ComposeLock
	for _, f := range files {
		locks = append(locks, ComposeLock{f.Name, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(f.Text)))})
	}
	return locks
}

// NewTrialLock gives the lock of a trial, without the mode of its verifier and compose files of the run. digest is the task's, in hex.
func NewTrialLock(c TrialConfig, taskName, taskVersion, digest string) TrialLock {
	kind := "local"
	if c.Task.GitURL != nil {
		kind = "git"
	}
	return TrialLock{
		SchemaVersion: 2,
		Task: TaskLock{
			Name: taskName, Version: textOrNull(taskVersion), Type: kind,
			Digest: "sha256:" + digest, Source: c.Task.Source, Path: c.Task.Path, GitURL: c.Task.GitURL, GitCommitID: c.Task.GitCommitID,
		},
		InstallOnly:                       c.InstallOnly,
		TimeoutMultiplier:                 c.TimeoutMultiplier,
		AgentTimeoutMultiplier:            c.AgentTimeoutMultiplier,
		VerifierTimeoutMultiplier:         c.VerifierTimeoutMultiplier,
		AgentSetupTimeoutMultiplier:       c.AgentSetupTimeoutMultiplier,
		EnvironmentBuildTimeoutMultiplier: c.EnvironmentBuildTimeoutMultiplier,
		Agent:                             c.Agent,
		Environment:                       c.Environment,
		Verifier:                          VerifierLock{VerifierConfig: c.Verifier},
		Artifacts:                         c.Artifacts,
	}
}

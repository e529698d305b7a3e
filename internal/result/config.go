package result

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"oddish/api"
)

// TrialConfig is what a trial was asked to do, in Harbor's form: config.json of a trial
// directory (see Compact), and in full inside result.json. NewTrialConfig makes it; secrets in it are masked.
type TrialConfig struct {
	Task      TaskConfig `json:"task"`
	TrialName string     `json:"trial_name"`
	TrialsDir string     `json:"trials_dir"`

	InstallOnly                       bool     `json:"install_only"`
	TimeoutMultiplier                 float64  `json:"timeout_multiplier"`
	AgentTimeoutMultiplier            *float64 `json:"agent_timeout_multiplier"`
	VerifierTimeoutMultiplier         *float64 `json:"verifier_timeout_multiplier"`
	AgentSetupTimeoutMultiplier       *float64 `json:"agent_setup_timeout_multiplier"`
	EnvironmentBuildTimeoutMultiplier *float64 `json:"environment_build_timeout_multiplier"`

	Agent       AgentConfig       `json:"agent"`
	Environment EnvironmentConfig `json:"environment"`
	Verifier    VerifierConfig    `json:"verifier"`
	Artifacts   []Artifact        `json:"artifacts,omitempty"`
	JobID       *string           `json:"job_id"` // UUID of the experiment

	ExtraInstructions []string     `json:"extra_instructions,omitempty"`
	SourceTrial       *SourceTrial `json:"source_trial,omitempty"`
}

// SourceTrial names the trial whose agent's work was verified again.
type SourceTrial struct {
	Action string `json:"action"` // regrade
	Type   string `json:"type"`   // local
	Path   string `json:"path"`   // id of the trial: where its folder is, only the server knows
}

// TaskConfig says where the task came from: a folder, or with GitURL a path in a repository.
type TaskConfig struct {
	Path        string  `json:"path"`
	GitURL      *string `json:"git_url"`
	GitCommitID *string `json:"git_commit_id"`
	Source      *string `json:"source"` // data set
}

func newTaskConfig(s api.TrialSpec, path string) TaskConfig {
	c := TaskConfig{Path: path, Source: textOrNull(s.Source)}
	if o := s.Harbor.Origin; o != nil {
		c.Path, c.GitURL, c.GitCommitID = o.Path, &o.GitURL, &o.GitCommitID
	}
	return c
}

// ID names the task in results.
func (c TaskConfig) ID() TaskID { return TaskID{c.Path, c.GitURL, c.GitCommitID} }

// AgentConfig says which agent ran, and how.
type AgentConfig struct {
	Name                    string            `json:"name"`
	ModelName               *string           `json:"model_name"`
	OverrideTimeoutSec      *float64          `json:"override_timeout_sec"`
	OverrideSetupTimeoutSec *float64          `json:"override_setup_timeout_sec"`
	MaxTimeoutSec           *float64          `json:"max_timeout_sec"`
	ExtraAllowedHosts       []string          `json:"extra_allowed_hosts,omitempty"`
	Kwargs                  map[string]any    `json:"kwargs,omitempty"`
	Env                     map[string]string `json:"env,omitempty"`
}

// EnvironmentConfig says in which sandbox it ran. A kind that Harbor does not know
// is given as ImportPath "oddish:KIND", since its readers refuse an unknown Type.
type EnvironmentConfig struct {
	Type                    *string           `json:"type"`
	ImportPath              *string           `json:"import_path"`
	ForceBuild              bool              `json:"force_build"`
	Delete                  bool              `json:"delete"`
	CPUEnforcementPolicy    string            `json:"cpu_enforcement_policy"`
	MemoryEnforcementPolicy string            `json:"memory_enforcement_policy"`
	OverrideCPUs            *int              `json:"override_cpus"`
	OverrideMemoryMB        *int              `json:"override_memory_mb"`
	OverrideStorageMB       *int              `json:"override_storage_mb"`
	OverrideGPUs            *int              `json:"override_gpus"`
	ExtraDockerCompose      []string          `json:"extra_docker_compose,omitempty"` // names
	ExtraAllowedHosts       []string          `json:"extra_allowed_hosts,omitempty"`
	Env                     map[string]string `json:"env,omitempty"`
	Kwargs                  map[string]string `json:"kwargs,omitempty"`
}

// policyAuto leaves it to the sandbox how a resource is enforced.
const policyAuto = "auto"

// VerifierConfig says how it was verified.
type VerifierConfig struct {
	OverrideTimeoutSec *float64          `json:"override_timeout_sec"`
	MaxTimeoutSec      *float64          `json:"max_timeout_sec"`
	Env                map[string]string `json:"env,omitempty"`
	Disable            bool              `json:"disable"`
}

// Artifact is something that was to be fetched from the sandbox.
type Artifact struct {
	Source      string   `json:"source"`
	Destination *string  `json:"destination"`
	Exclude     []string `json:"exclude,omitempty"`
	Service     *string  `json:"service"`
}

// harborKind reports whether Harbor's readers take kind for environment.type.
func harborKind(kind string) bool {
	return slices.Contains([]string{
		"docker", "daytona", "e2b", "modal", "runloop", "langsmith", "ec2", "gke", "ack", "openshift", "novita",
		"apple-container", "singularity", "islo", "tensorlake", "cwsandbox", "wandb", "use-computer", "cua-cloud",
		"blaxel", "opensandbox", "beam", "skypilot", "hf-sandbox", "hyperbrowser", "vercel",
	}, kind)
}

// NewTrialConfig gives the masked configuration of a trial. taskPath and trialsDir are as they
// shall appear; getenv, which may be nil, is asked whether a secret is the host's own (see MaskEnv).
func NewTrialConfig(s api.TrialSpec, taskPath, trialsDir string, getenv func(string) (string, bool)) TrialConfig {
	h := s.Harbor
	jobID := UUIDFor("experiment", s.ExperimentID)
	c := TrialConfig{
		Task:                              newTaskConfig(s, taskPath),
		TrialName:                         s.TrialName,
		TrialsDir:                         trialsDir,
		TimeoutMultiplier:                 orElse(h.TimeoutMultiplier, 1),
		AgentTimeoutMultiplier:            h.AgentTimeoutMultiplier,
		VerifierTimeoutMultiplier:         h.VerifierTimeoutMultiplier,
		AgentSetupTimeoutMultiplier:       h.AgentSetupTimeoutMultiplier,
		EnvironmentBuildTimeoutMultiplier: h.EnvironmentBuildTimeoutMultiplier,
		Agent: AgentConfig{
			Name:                    s.Agent,
			ModelName:               textOrNull(s.Model),
			OverrideTimeoutSec:      s.AgentConfig.OverrideTimeoutSec,
			OverrideSetupTimeoutSec: s.AgentConfig.OverrideSetupTimeoutSec,
			MaxTimeoutSec:           s.AgentConfig.MaxTimeoutSec,
			ExtraAllowedHosts:       s.AgentConfig.ExtraAllowedHosts,
			Kwargs:                  maskValues(s.AgentConfig.Kwargs),
			Env:                     MaskEnv(s.AgentConfig.Env, getenv),
		},
		Environment: newEnvironmentConfig(s.Environment, h.Environment, getenv),
		Artifacts:   newArtifacts(h.Artifacts),
		JobID:       &jobID,

		ExtraInstructions: h.ExtraInstructions,
	}
	if id := s.AgentConfig.Regrade; id != "" {
		c.SourceTrial = &SourceTrial{Action: "regrade", Type: "local", Path: id}
	}
	if v := h.Verifier; v != nil {
		c.Verifier = VerifierConfig{
			OverrideTimeoutSec: v.OverrideTimeoutSec,
			MaxTimeoutSec:      v.MaxTimeoutSec,
			Env:                MaskEnv(v.Env, getenv),
			Disable:            orElse(v.Disable, false),
		}
	}
	return c
}

func newEnvironmentConfig(kind string, e *api.EnvironmentConfig, getenv func(string) (string, bool)) EnvironmentConfig {
	c := EnvironmentConfig{Delete: true, CPUEnforcementPolicy: policyAuto, MemoryEnforcementPolicy: policyAuto}
	if harborKind(kind) {
		c.Type = &kind
	} else {
		path := "oddish:" + kind
		c.ImportPath = &path
	}
	if e == nil {
		return c
	}
	c.ForceBuild = orElse(e.ForceBuild, false)
	c.OverrideCPUs, c.OverrideMemoryMB = e.OverrideCPUs, e.OverrideMemoryMB
	c.OverrideStorageMB, c.OverrideGPUs, c.ExtraAllowedHosts = e.OverrideStorageMB, e.OverrideGPUs, e.ExtraAllowedHosts
	for _, f := range e.ExtraCompose {
		c.ExtraDockerCompose = append(c.ExtraDockerCompose, f.Name)
	}
	c.Env, c.Kwargs = MaskEnv(e.Env, getenv), MaskEnv(e.Kwargs, getenv)
	c.CPUEnforcementPolicy, c.MemoryEnforcementPolicy = orElse(e.CPUPolicy, policyAuto), orElse(e.MemoryPolicy, policyAuto)
	return c
}

func newArtifacts(list []api.Artifact) []Artifact {
	var out []Artifact
	for _, a := range list {
		out = append(out, Artifact{a.Source, textOrNull(a.Destination), a.Exclude, textOrNull(a.Service)})
	}
	return out
}

// Compact gives the configuration as config.json has it: without what is at its default.
func (c TrialConfig) Compact() (map[string]any, error) {
	return compact(c, TrialConfig{
		TimeoutMultiplier: 1,
		Environment:       EnvironmentConfig{Delete: true, CPUEnforcementPolicy: policyAuto, MemoryEnforcementPolicy: policyAuto},
	})
}

// compact gives v as a JSON object less what is as in standard.
func compact(v, standard any) (map[string]any, error) {
	full, err := object(v)
	if err != nil {
		return nil, err
	}
	plain, err := object(standard)
	if err != nil {
		return nil, err
	}
	prune(full, plain)
	return full, nil
}

func object(v any) (map[string]any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return m, nil
}

func prune(full, standard map[string]any) {
	for key, value := range full {
		was, known := standard[key]
		if sub, ok := value.(map[string]any); ok {
			below, _ := was.(map[string]any)
			prune(sub, below)
			if len(sub) == 0 {
				delete(full, key)
			}
			continue
		}
		if known && reflect.DeepEqual(value, was) {
			delete(full, key)
		}
	}
}

func orElse[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/goccy/go-yaml"

	"oddish/api"
)

// sweepFile is the file of --config: which agents run on which tasks, and how. What a flag says wins over it.
type sweepFile struct {
	Agents              []sweepAgent `yaml:"agents"`
	Path                string       `yaml:"path"`
	Dataset             string       `yaml:"dataset"`
	TaskNames           []string     `yaml:"task_names"`
	ExcludeTaskNames    []string     `yaml:"exclude_task_names"`
	NTasks              *int         `yaml:"n_tasks"`
	Environment         string       `yaml:"environment"`
	Priority            string       `yaml:"priority"`
	ExperimentID        string       `yaml:"experiment_id"`
	RunAnalysis         bool         `yaml:"run_analysis"`
	DisableVerification *bool        `yaml:"disable_verification"`
	OverrideCPUs        *int         `yaml:"override_cpus"`
	OverrideMemoryMB    *int         `yaml:"override_memory_mb"`
	OverrideStorageMB   *int         `yaml:"override_storage_mb"`
	OverrideGPUs        *int         `yaml:"override_gpus"`
	MaxTrialAttempts    *int         `yaml:"max_trial_attempts"`

	// Former names.
	EnvCPUs     *int `yaml:"env_cpus"`
	EnvMemoryMB *int `yaml:"env_memory_mb"`
	EnvGPUs     *int `yaml:"env_gpus"`

	// Keys that are refused with an explanation.
	TimeoutMinutes any `yaml:"timeout_minutes"`
	NConcurrent    any `yaml:"n_concurrent"`
	Concurrency    any `yaml:"concurrency"`

	// Only of Harbor's job configurations.
	multipliers             [5]*float64 // as runFlags.multipliers; nil: not set
	artifacts               []api.Artifact
	extraPaths              []string // extra instructions, as runFlags has them
	extraTexts              []string
	extraCompose            []string
	envHosts                []string
	cpuPolicy, memoryPolicy *string
	notes                   []string // what was left out
}

type sweepAgent struct {
	Name      string            `yaml:"name"`
	ModelName string            `yaml:"model_name"`
	NTrials   *int              `yaml:"n_trials"`
	Env       map[string]string `yaml:"env"`
	Kwargs    map[string]any    `yaml:"kwargs"`

	TimeoutMinutes any `yaml:"timeout_minutes"`
	NConcurrent    any `yaml:"n_concurrent"`
	Concurrency    any `yaml:"concurrency"`

	hosts []string // that it may reach as well, of Harbor's job configurations
}

// readSweepFile reads a sweep file, or a job configuration of Harbor's, in YAML, of which JSON is a part. Unknown keys are errors with their place.
func readSweepFile(path string) (*sweepFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("sweep file: %v", err)
	}
	f := &sweepFile{}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, usagef("%s: is empty: want a list `agents`", path)
	}
	if isHarborJob(data) {
		return readHarborJob(path, data)
	}
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(f); err != nil {
		return nil, usagef("%s", placedYAMLError(path, err))
	}
	if err := f.check(); err != nil {
		return nil, usagef("%s: %v", path, err)
	}
	f.OverrideCPUs = firstSet(f.OverrideCPUs, f.EnvCPUs)
	f.OverrideMemoryMB = firstSet(f.OverrideMemoryMB, f.EnvMemoryMB)
	f.OverrideGPUs = firstSet(f.OverrideGPUs, f.EnvGPUs)
	return f, nil
}

func placedYAMLError(path string, err error) string {
	var e yaml.Error
	if errors.As(err, &e) {
		if t := e.GetToken(); t != nil && t.Position != nil {
			return fmt.Sprintf("%s:%d:%d: %s", path, t.Position.Line, t.Position.Column, e.GetMessage())
		}
		return path + ": " + e.GetMessage()
	}
	return fmt.Sprintf("%s: %v", path, err)
}

func firstSet(a, b *int) *int {
	if a != nil {
		return a
	}
	return b
}

const (
	adviceTimeout     = "timeout_minutes is not taken: set timeout_sec under [agent] in the task's task.toml, or use --agent-timeout-multiplier"
	adviceConcurrency = "%s is not taken: limits belong to the server, see ODDISH_MODEL_CONCURRENCY_OVERRIDES"
)

func (f *sweepFile) check() error {
	switch {
	case f.TimeoutMinutes != nil:
		return errors.New(adviceTimeout)
	case f.NConcurrent != nil:
		return fmt.Errorf(adviceConcurrency, "n_concurrent")
	case f.Concurrency != nil:
		return fmt.Errorf(adviceConcurrency, "concurrency")
	case f.Dataset != "" && f.Path != "":
		return errors.New("both path and dataset say which tasks to run: give one")
	case f.RunAnalysis:
		return errors.New(adviceAnalysis)
	case len(f.Agents) == 0:
		return errors.New("no agents: want a list `agents`, such as [{name: oracle}]")
	case f.NTasks != nil && *f.NTasks < 1:
		return errors.New("n_tasks: want 1 or more")
	}
	for i, a := range f.Agents {
		if err := a.check(); err != nil {
			return fmt.Errorf("agents[%d]: %w", i, err)
		}
	}
	return nil
}

func (a sweepAgent) check() error {
	switch {
	case a.TimeoutMinutes != nil:
		return errors.New(adviceTimeout)
	case a.NConcurrent != nil:
		return fmt.Errorf(adviceConcurrency, "n_concurrent")
	case a.Concurrency != nil:
		return fmt.Errorf(adviceConcurrency, "concurrency")
	case a.Name == "":
		return errors.New("name is missing")
	case a.NTrials != nil && *a.NTrials < 1:
		return errors.New("n_trials: want 1 or more")
	}
	return nil
}

// arms are the agents of the file. The model "default" stands for none.
func (f *sweepFile) arms() []arm {
	var arms []arm
	for _, a := range f.Agents {
		r := arm{Agent: a.Name, Model: a.ModelName, Env: a.Env, Kwargs: a.Kwargs, Hosts: a.hosts}
		if r.Model == "default" {
			r.Model = ""
		}
		if a.NTrials != nil {
			r.NTrials = *a.NTrials
		}
		arms = append(arms, r)
	}
	return arms
}

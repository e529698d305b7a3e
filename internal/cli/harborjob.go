package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"oddish/api"
)

// harborJob is a job configuration of Harbor's, as far as it means something here. Keys that it lacks are refused by name, and those
// of type any are told of and left out, or refused with advice.
type harborJob struct {
	JobName   string          `yaml:"job_name"`
	Attempts  *int            `yaml:"n_attempts"`
	Agents    []harborAgent   `yaml:"agents"`
	Tasks     []harborTask    `yaml:"tasks"`
	Datasets  []harborDataset `yaml:"datasets"`
	Env       harborEnv       `yaml:"environment"`
	Verifier  harborVerifier  `yaml:"verifier"`
	Retry     *harborRetry    `yaml:"retry"`
	Artifacts []string        `yaml:"artifacts"`

	ExtraInstructionPaths []string `yaml:"extra_instruction_paths"`
	ExtraInstructions     []string `yaml:"extra_instructions"`

	Multiplier      *float64 `yaml:"timeout_multiplier"`
	AgentMultiplier *float64 `yaml:"agent_timeout_multiplier"`
	VerifMultiplier *float64 `yaml:"verifier_timeout_multiplier"`
	SetupMultiplier *float64 `yaml:"agent_setup_timeout_multiplier"`
	BuildMultiplier *float64 `yaml:"environment_build_timeout_multiplier"`

	// What the server or a flag decides here.
	JobsDir      any `yaml:"jobs_dir"`
	Concurrent   any `yaml:"n_concurrent_trials"`
	Orchestrator any `yaml:"orchestrator"`
	Quiet        any `yaml:"quiet"`
	Debug        any `yaml:"debug"`
	Metrics      any `yaml:"metrics"`
	Plugins      any `yaml:"plugins"`
}

type harborAgent struct {
	Name       string            `yaml:"name"`
	ImportPath *string           `yaml:"import_path"`
	ModelName  *string           `yaml:"model_name"`
	Env        map[string]string `yaml:"env"`
	Kwargs     map[string]any    `yaml:"kwargs"`
	// Null, as Harbor writes what is not set; any other value is refused.
	OverrideTimeout *float64 `yaml:"override_timeout_sec"`
	OverrideSetup   *float64 `yaml:"override_setup_timeout_sec"`
	MaxTimeout      *float64 `yaml:"max_timeout_sec"`
	ExtraHosts      []string `yaml:"extra_allowed_hosts"`
}

type harborTask struct {
	Path   string  `yaml:"path"`
	GitURL *string `yaml:"git_url"`
	Commit *string `yaml:"git_commit_id"`
	Source *string `yaml:"source"`
}

type harborDataset struct {
	Path             string   `yaml:"path"`
	Name             string   `yaml:"name"`
	Version          *string  `yaml:"version"`
	TaskNames        []string `yaml:"task_names"`
	ExcludeTaskNames []string `yaml:"exclude_task_names"`
	NTasks           *int     `yaml:"n_tasks"`
}

type harborEnv struct {
	Type              *string  `yaml:"type"`
	ImportPath        *string  `yaml:"import_path"`
	Delete            any      `yaml:"delete"`
	ForceBuild        *bool    `yaml:"force_build"`
	OverrideCPUs      *int     `yaml:"override_cpus"`
	OverrideMemoryMB  *int     `yaml:"override_memory_mb"`
	OverrideStorageMB *int     `yaml:"override_storage_mb"`
	OverrideGPUs      *int     `yaml:"override_gpus"`
	ExtraHosts        []string `yaml:"extra_allowed_hosts"`
	ExtraCompose      []string `yaml:"extra_docker_compose"`
	CPUPolicy         *string  `yaml:"cpu_enforcement_policy"`
	MemoryPolicy      *string  `yaml:"memory_enforcement_policy"`
}

type harborVerifier struct {
	Disable *bool `yaml:"disable"`
}

type harborRetry struct {
	MaxRetries *int `yaml:"max_retries"`
}

// isHarborJob tells a job configuration of Harbor's from a sweep file, by keys that only it has.
func isHarborJob(data []byte) bool {
	var doc map[string]any
	if yaml.Unmarshal(data, &doc) != nil {
		return false // the reader of sweep files says what is wrong
	}
	if _, object := doc["environment"].(map[string]any); object {
		return true
	}
	return slices.ContainsFunc([]string{
		"job_name", "jobs_dir", "n_attempts", "tasks", "datasets", "orchestrator", "n_concurrent_trials", "retry", "verifier", "metrics", "timeout_multiplier",
	}, func(key string) bool { _, has := doc[key]; return has })
}

// readHarborJob gives what a job configuration says as a sweep file. Errors name what cannot be done here.
func readHarborJob(path string, data []byte) (*sweepFile, error) {
	j := &harborJob{}
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(j); err != nil {
		return nil, usagef("%s (a Harbor job configuration; what is unknown has no meaning here)", placedYAMLError(path, err))
	}
	f, err := j.sweep()
	if err != nil {
		return nil, usagef("%s: %v", path, err)
	}
	return f, nil
}

func (j *harborJob) sweep() (*sweepFile, error) {
	f := &sweepFile{
		ExperimentID: j.JobName, DisableVerification: j.Verifier.Disable, OverrideCPUs: j.Env.OverrideCPUs, OverrideMemoryMB: j.Env.OverrideMemoryMB,
		OverrideStorageMB: j.Env.OverrideStorageMB, OverrideGPUs: j.Env.OverrideGPUs,
		envHosts:  j.Env.ExtraHosts,
		cpuPolicy: j.Env.CPUPolicy, memoryPolicy: j.Env.MemoryPolicy,
		extraPaths: j.ExtraInstructionPaths, extraTexts: j.ExtraInstructions, extraCompose: j.Env.ExtraCompose,
		multipliers: [5]*float64{j.Multiplier, j.AgentMultiplier, j.VerifMultiplier, j.SetupMultiplier, j.BuildMultiplier},
	}
	if err := checkHosts("environment.extra_allowed_hosts", j.Env.ExtraHosts); err != nil {
		return nil, err
	}
	for key, policy := range map[string]*string{"cpu_enforcement_policy": j.Env.CPUPolicy, "memory_enforcement_policy": j.Env.MemoryPolicy} {
		if policy != nil && !slices.Contains(enforcements, *policy) {
			return nil, fmt.Errorf("environment.%s is %q: want one of %s", key, *policy, strings.Join(enforcements, ", "))
		}
	}
	for _, m := range f.multipliers {
		if m != nil && *m <= 0 {
			return nil, fmt.Errorf("timeout multiplier %v: want more than 0", *m)
		}
	}
	if j.Env.ForceBuild != nil && *j.Env.ForceBuild {
		return nil, fmt.Errorf("environment.force_build is not taken from a file: give --force-build")
	}
	if j.Retry != nil && j.Retry.MaxRetries != nil {
		attempts := *j.Retry.MaxRetries + 1
		f.MaxTrialAttempts = &attempts
	}
	for _, a := range j.Artifacts {
		f.artifacts = append(f.artifacts, api.Artifact{Source: a})
	}
	for _, take := range []func(*sweepFile) error{j.takeAgents, j.takeTasks, j.takeKind} {
		if err := take(f); err != nil {
			return nil, err
		}
	}
	f.notes = j.leftOut()
	return f, nil
}

func (j *harborJob) takeAgents(f *sweepFile) error {
	attempts := 1
	if j.Attempts != nil {
		attempts = *j.Attempts
	}
	if attempts < 1 {
		return fmt.Errorf("n_attempts %d: want 1 or more", attempts)
	}
	agents := j.Agents
	if len(agents) == 0 {
		agents = []harborAgent{{Name: "oracle"}} // Harbor's default
	}
	for i, a := range agents {
		switch {
		case a.ImportPath != nil || strings.Contains(a.Name, ":"):
			return fmt.Errorf("agents[%d]: an agent that is Python code cannot be run here: describe its program in an agent file", i)
		case a.OverrideTimeout != nil || a.OverrideSetup != nil || a.MaxTimeout != nil:
			return fmt.Errorf("agents[%d]: timeouts of an agent are not taken: use timeout multipliers", i)
		case a.Name == "":
			a.Name = "oracle"
		}
		if err := checkHosts(fmt.Sprintf("agents[%d].extra_allowed_hosts", i), a.ExtraHosts); err != nil {
			return err
		}
		s := sweepAgent{Name: a.Name, Env: a.Env, Kwargs: a.Kwargs, NTrials: &attempts, hosts: a.ExtraHosts}
		if a.ModelName != nil {
			s.ModelName = *a.ModelName
		}
		f.Agents = append(f.Agents, s)
	}
	return nil
}

func (j *harborJob) takeTasks(f *sweepFile) error {
	switch {
	case len(j.Tasks)+len(j.Datasets) == 0:
		return nil // a flag says which
	case len(j.Tasks)+len(j.Datasets) > 1:
		return fmt.Errorf("%d tasks and data sets: a run takes one, so name a folder of tasks: datasets: [{path: FOLDER, task_names: [...]}]", len(j.Tasks)+len(j.Datasets))
	case len(j.Tasks) == 1 && j.Tasks[0].GitURL != nil:
		return fmt.Errorf("tasks[0] is of a git repository: give --repo %s --task-name", *j.Tasks[0].GitURL)
	case len(j.Tasks) == 1:
		f.Path = j.Tasks[0].Path
		return nil
	}
	d := j.Datasets[0]
	if (d.Path == "") == (d.Name == "") {
		return fmt.Errorf("datasets[0]: want either path or name")
	}
	f.Path, f.Dataset, f.TaskNames, f.ExcludeTaskNames, f.NTasks = d.Path, d.Name, d.TaskNames, d.ExcludeTaskNames, d.NTasks
	if d.Version != nil && d.Name != "" {
		f.Dataset += "@" + *d.Version
	}
	return nil
}

func (j *harborJob) takeKind(f *sweepFile) error {
	switch path := j.Env.ImportPath; {
	case path != nil && strings.HasPrefix(*path, "oddish:"):
		f.Environment = strings.TrimPrefix(*path, "oddish:")
	case path != nil:
		return fmt.Errorf("environment.import_path %s: a sandbox that is Python code cannot be used here", *path)
	case j.Env.Type != nil:
		f.Environment = *j.Env.Type
	}
	return nil
}

// leftOut names what is set and means nothing here.
func (j *harborJob) leftOut() []string {
	var notes []string
	for _, o := range []struct {
		name  string
		value any
		why   string
	}{
		{"jobs_dir", j.JobsDir, "`oddish pull --out` says where"},
		{"n_concurrent_trials", j.Concurrent, "limits belong to the server, see `oddish queue limit`"},
		{"orchestrator", j.Orchestrator, "limits and retries belong to the server"},
		{"metrics", j.Metrics, "results have the mean"},
		{"environment.delete", j.Env.Delete, "sandboxes are removed; give --keep-on-failure to keep those of trials that go wrong"},
		{"quiet", j.Quiet, "give --quiet"},
		{"debug", j.Debug, "the server's log has its own level"},
		{"plugins", j.Plugins, "there are none"},
	} {
		if o.value != nil {
			notes = append(notes, o.name+" is left out: "+o.why)
		}
	}
	return notes
}

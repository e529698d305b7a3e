package trial

import (
	"errors"
	"maps"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/task"
)

// plan is everything that is decided about a trial before its sandbox starts.
type plan struct {
	task     *task.Task
	agent    agent.Agent // that of the first step, which sets it up for all
	spec     sandbox.Spec
	timeouts timeouts // of the first step
	upload   bool     // environment/ goes into the working directory
	disabled bool     // no verification
	steps    []*stepPlan

	agentVars, solutionVars map[string]string
}

// agentState is the folder beside the journal for agents that work in this process.
const agentState = "agent"

// newPlan loads the task and refuses, before anything starts, what cannot be run.
func (r *run) newPlan() (*plan, error) {
	s := r.Spec
	p := &plan{disabled: s.Harbor.Verifier != nil && isTrue(s.Harbor.Verifier.Disable)}
	load := task.Load
	if p.disabled {
		load = task.LoadUnverified
	}
	var err error
	if p.task, err = load(r.TaskDir); err != nil {
		return nil, result.Errorf(result.ValueError, "task %s: %w", s.TaskName, err)
	}
	if list := p.task.Unsupported(); len(list) > 0 {
		return nil, result.Errorf(result.UnsupportedTaskError, "task %s uses what this version cannot run: %s", s.TaskName, strings.Join(list, ", "))
	}
	if err := r.planSteps(p); err != nil {
		return nil, err
	}
	if err := r.resolveVars(p); err != nil {
		return nil, err
	}
	if dir := p.task.Config.Environment.SkillsDir; len(s.AgentConfig.Skills) > 0 && dir != "" && !path.IsAbs(dir) {
		return nil, result.Errorf(result.ValueError, "environment.skills_dir of task %s is %q: skills can be added only to a whole path", s.TaskName, dir)
	}
	planBox := r.planSandbox
	if r.Source != "" {
		planBox = r.planRegrade
	}
	if err := planBox(p); err != nil {
		return nil, err
	}
	for _, step := range p.steps {
		if err := r.planVerifier(p, step); err != nil {
			return nil, err
		}
		if err := r.planNetwork(p, step); err != nil {
			return nil, err
		}
	}
	if r.Source != "" {
		return p, nil // no agent runs that could ask a model
	}
	return p, r.openModels(p)
}

// planSteps decides what does not depend on the sandbox.
func (r *run) planSteps(p *plan) (err error) {
	s := r.Spec
	for i, part := range p.task.Parts() {
		step := &stepPlan{Part: part}
		state := filepath.Join(r.Dir, agentState)
		if part.Name != "" {
			step.number = i + 1
			state = filepath.Join(state, strconv.Itoa(step.number))
		}
		step.Instruction = withExtra(part.Instruction, s.Harbor.ExtraInstructions)
		name, options := s.Agent, agent.Options{Model: s.Model, Base: s.AgentConfig.Base, Kwargs: s.AgentConfig.Kwargs, Packages: r.Packages, State: state, Log: r.log}
		if r.Source != "" {
			name, options = agent.Nop, agent.Options{} // it has worked already, perhaps elsewhere
		}
		if step.agent, err = r.newAgent(name, options); err != nil {
			return result.Errorf(result.ValueError, "%w", err)
		}
		if step.timeouts, err = newTimeouts(p.task, &part, s); err != nil {
			return err
		}
		if step.artifacts, err = newArtifacts(p.task, r.composed(p.task), s.Harbor.Artifacts, part.Artifacts); err != nil {
			return err
		}
		p.steps = append(p.steps, step)
	}
	p.agent, p.timeouts = p.steps[0].agent, p.steps[0].timeouts
	return nil
}

// withExtra appends what the run adds to an instruction, each part after an empty line.
func withExtra(instruction string, extra []string) string {
	return strings.Join(append([]string{instruction}, extra...), "\n\n")
}

// resolveVars replaces the templates of all environments that this trial is going to use.
func (r *run) resolveVars(p *plan) error {
	c := &p.task.Config
	var verifier map[string]string
	if v := r.Spec.Harbor.Verifier; v != nil {
		verifier = v.Env
	}
	var err error
	if r.Source == "" {
		if p.spec.Env, err = r.resolveEnv("environment.env", c.Environment.Env, r.environmentEnv()); err != nil {
			return err
		}
		if p.agentVars, err = r.resolveEnv("agent env", r.Spec.AgentConfig.Env); err != nil {
			return err
		}
	}
	if r.Spec.Agent == "oracle" && r.Source == "" {
		if p.solutionVars, err = r.resolveEnv("solution.env", c.Solution.Env); err != nil {
			return err
		}
	}
	if p.disabled {
		return nil
	}
	for _, s := range p.steps {
		if s.verifierVars, err = r.resolveEnv(s.of("verifier.env"), s.Verifier.Env, verifier); err != nil {
			return err
		}
	}
	return nil
}

// environmentEnv is what the run adds to the environment of sandboxes.
func (r *run) environmentEnv() map[string]string {
	if e := r.Spec.Harbor.Environment; e != nil {
		return e.Env
	}
	return nil
}

// of names something of the step for an error.
func (p *stepPlan) of(what string) string {
	if p.number == 0 {
		return what
	}
	return what + " of step " + p.Name
}

// resolveEnv lays environments over one another, later ones on top, and replaces their templates.
func (r *run) resolveEnv(of string, parts ...map[string]string) (map[string]string, error) {
	merged := map[string]string{}
	for _, part := range parts {
		maps.Copy(merged, part)
	}
	resolved, err := task.ResolveEnv(merged, r.Getenv)
	if errors.Is(err, task.ErrMissingVariable) {
		return nil, result.Errorf(result.ValueError, "%s: %w, or not one that may be read; set it where the worker runs and allow it there in ODDISH_TASK_ENV, or give a default as in ${NAME:-default}", of, err)
	}
	if err != nil {
		return nil, result.Errorf(result.ValueError, "%s: %w", of, err)
	}
	r.tellSecrets(merged, resolved)
	return resolved, nil
}

// tellSecrets names the values of variables that are sensitive, or were taken from one of the host that is.
func (r *run) tellSecrets(given, resolved map[string]string) {
	if r.Secret == nil {
		return
	}
	for name, value := range resolved {
		if result.Sensitive(name) || value != given[name] && result.Sensitive(given[name]) {
			r.Secret(value)
		}
	}
}

// planSandbox says what sandbox is wanted, and refuses what the provider cannot do.
func (r *run) planSandbox(p *plan) error {
	s := &p.spec
	r.describeSandbox(s, &p.task.Config.Environment)
	if err := r.openEnvironment(s); err != nil {
		return err
	}
	s.Name = r.Spec.TrialName
	if info, _ := agent.Find(r.Spec.Agent); info.Packaged && r.Provider.Capabilities().Programs {
		var err error
		if s.Programs, err = r.Packages.Shown(); err != nil {
			return result.Errorf(result.OSError, "%w", err)
		}
	}
	run := r.Spec.Harbor.Environment
	if r.composed(p.task) {
		if err := r.planCompose(p, run != nil && isTrue(run.ForceBuild)); err != nil {
			return err
		}
	} else if err := p.planImage(r.Provider, run != nil && isTrue(run.ForceBuild)); err != nil {
		return err
	}
	return r.checkLimits(s)
}

// describeSandbox fills in what an environment, and the run, say of a sandbox, other than its name, image and variables.
func (r *run) describeSandbox(s *sandbox.Spec, c *task.Environment) {
	run := r.Spec.Harbor.Environment
	if run == nil {
		run = &api.EnvironmentConfig{}
	}
	s.Owner = r.Owner
	s.Labels = map[string]string{
		"oddish.trial":      r.Spec.TrialID,
		"oddish.experiment": r.Spec.ExperimentID,
		"oddish.task":       r.Spec.TaskID,
	}
	s.Workdir = c.Workdir
	s.Resources = sandbox.Resources{
		CPUs:         float64(number(run.OverrideCPUs, c.CPUs)),
		MemoryBytes:  int64(number(run.OverrideMemoryMB, c.MemoryMB)) << 20,
		StorageBytes: int64(number(run.OverrideStorageMB, c.StorageMB)) << 20,
		GPUs:         number(run.OverrideGPUs, c.GPUs),
	}
	if s.Resources.GPUs > 0 && len(c.GPUTypes) > 0 {
		r.log.Warn("GPUs are those that the machine has, whatever type the task asks for", "gpu_types", c.GPUTypes)
	}
	s.Network = network(c.Network)
	s.Options = maps.Clone(run.Kwargs)
	if r.Provider.Kind() == "fake" {
		s.Options = maps.Clone(c.Oddish.Fake)
		if s.Options == nil {
			s.Options = map[string]string{}
		}
		maps.Copy(s.Options, run.Kwargs)
	}
}

// planImage chooses what the root file system is made of: the machine's own tools where both the task and
// the provider allow that, else the prebuilt image, else the Dockerfile.
func (p *plan) planImage(provider sandbox.Provider, force bool) error {
	can, t := provider.Capabilities(), p.task
	prebuilt := t.Config.Environment.DockerImage
	image := &p.spec.Image
	switch {
	case t.HostImage() && can.HostImage:
		image.Host = true
		p.upload = true
	case prebuilt != "" && can.Images && !(force && t.HasDockerfile()):
		image.Reference = prebuilt
		p.upload = !t.HasDockerfile()
	case t.HasDockerfile() && can.Build:
		digest, err := t.EnvironmentDigest()
		if err != nil {
			return result.Errorf(result.OSError, "%w", err)
		}
		image.Context, image.Digest, image.ForceBuild = t.ContextDir(), digest, force
		if force {
			image.Reference = prebuilt
		}
	case can.HostImage && t.HasDockerfile():
		return result.Errorf(result.UnsupportedTaskError,
			`the %s sandbox builds no Dockerfiles, and this task has one and no docker_image: use --env docker, or, if the machine's own tools will do for it, `+
				`image = "host" under [environment.oddish]`, provider.Kind())
	default:
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox cannot run this task's image: use --env docker", provider.Kind())
	}
	return nil
}

// checkLimits refuses what must be enforced and notes what will not be.
func (r *run) checkLimits(s *sandbox.Spec) error {
	can, kind := r.Provider.Capabilities(), r.Provider.Kind()
	if err := r.checkPolicy(s.Network); err != nil {
		return err
	}
	if err := r.enforce(&s.Resources); err != nil {
		return err
	}
	if e := r.Spec.Harbor.Environment; e != nil && e.MinIsolation != nil && can.Isolation < *e.MinIsolation {
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox isolates at level %d, and the run wants %d or more (docs/security.md tells the levels)", kind, can.Isolation, *e.MinIsolation)
	}
	if s.Resources.GPUs > 0 && !can.GPUs {
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox has no GPUs", kind)
	}
	for _, l := range []struct {
		what     string
		asked    bool
		enforced bool
	}{
		{"cpus", s.Resources.CPUs > 0, can.CPULimit},
		{"memory", s.Resources.MemoryBytes > 0, can.MemoryLimit},
		{"storage", s.Resources.StorageBytes > 0, can.StorageLimit},
	} {
		if l.asked && !l.enforced {
			r.log.Warn("limit is not enforced by this sandbox", "limit", l.what, "sandbox", kind)
		}
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// number gives the override, or else the task's value, or else 0.
func number(override, value *int) int {
	if override != nil {
		return *override
	}
	if value != nil {
		return *value
	}
	return 0
}

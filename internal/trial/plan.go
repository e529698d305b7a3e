package trial

import (
	"errors"
	"maps"
	"path"
	"path/filepath"
	"strings"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/task"
)

// plan is everything that is decided about a trial before its sandbox starts.
type plan struct {
	task      *task.Task
	agent     agent.Agent
	spec      sandbox.Spec
	timeouts  timeouts
	upload    bool // environment/ goes into the working directory
	artifacts []artifact
	disabled  bool // no verification

	agentVars, solutionVars, verifierVars map[string]string
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
	p.agent, err = r.newAgent(s.Agent, agent.Options{Model: s.Model, Base: s.AgentConfig.Base, Kwargs: s.AgentConfig.Kwargs, Packages: r.Packages, State: filepath.Join(r.Dir, agentState), Log: r.log})
	if err != nil {
		return nil, result.Errorf(result.ValueError, "%w", err)
	}
	if p.timeouts, err = newTimeouts(p.task, s); err != nil {
		return nil, err
	}
	if p.artifacts, err = newArtifacts(p.task, s.Harbor.Artifacts); err != nil {
		return nil, err
	}
	if err := r.resolveVars(p); err != nil {
		return nil, err
	}
	if dir := p.task.Config.Environment.SkillsDir; len(s.AgentConfig.Skills) > 0 && dir != "" && !path.IsAbs(dir) {
		return nil, result.Errorf(result.ValueError, "environment.skills_dir of task %s is %q: skills can be added only to a whole path", s.TaskName, dir)
	}
	if err := r.planSandbox(p); err != nil {
		return nil, err
	}
	return p, r.openModels(p)
}

// resolveVars replaces the templates of all environments that this trial is going to use.
func (r *run) resolveVars(p *plan) error {
	h, c := r.Spec.Harbor, &p.task.Config
	var environment, verifier map[string]string
	if h.Environment != nil {
		environment = h.Environment.Env
	}
	if h.Verifier != nil {
		verifier = h.Verifier.Env
	}
	for _, v := range []struct {
		of    string
		into  *map[string]string
		parts []map[string]string // later ones win
		used  bool
	}{
		{"environment.env", &p.spec.Env, []map[string]string{c.Environment.Env, environment}, true},
		{"agent env", &p.agentVars, []map[string]string{r.Spec.AgentConfig.Env}, true},
		{"solution.env", &p.solutionVars, []map[string]string{c.Solution.Env}, r.Spec.Agent == "oracle"},
		{"verifier.env", &p.verifierVars, []map[string]string{c.Verifier.Env, verifier}, !p.disabled},
	} {
		if !v.used {
			continue
		}
		merged := map[string]string{}
		for _, part := range v.parts {
			maps.Copy(merged, part)
		}
		resolved, err := task.ResolveEnv(merged, r.Getenv)
		if errors.Is(err, task.ErrMissingVariable) {
			return result.Errorf(result.ValueError, "%s: %w, or not one that may be read; set it where the worker runs and allow it there in ODDISH_TASK_ENV, or give a default as in ${NAME:-default}", v.of, err)
		}
		if err != nil {
			return result.Errorf(result.ValueError, "%s: %w", v.of, err)
		}
		r.tellSecrets(merged, resolved)
		*v.into = resolved
	}
	return nil
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
	c, run := &p.task.Config.Environment, r.Spec.Harbor.Environment
	if run == nil {
		run = &api.EnvironmentConfig{}
	}
	s := &p.spec
	s.Name, s.Owner = r.Spec.TrialName, r.Owner
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
	s.Network = sandbox.Network{Mode: sandbox.NetworkMode(c.Network.Mode), Hosts: c.Network.AllowedHosts}
	s.Options = maps.Clone(run.Kwargs)
	if r.Provider.Kind() == "fake" {
		s.Options = maps.Clone(c.Oddish.Fake)
		if s.Options == nil {
			s.Options = map[string]string{}
		}
		maps.Copy(s.Options, run.Kwargs)
	}
	if info, _ := agent.Find(r.Spec.Agent); info.Packaged && r.Provider.Capabilities().Programs {
		var err error
		if s.Programs, err = r.Packages.Shown(); err != nil {
			return result.Errorf(result.OSError, "%w", err)
		}
	}
	if err := p.planImage(r.Provider, isTrue(run.ForceBuild)); err != nil {
		return err
	}
	return r.checkLimits(s)
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
	switch {
	case s.Network.Mode == sandbox.NetworkNone && !can.NoNetwork:
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox cannot cut the network off, as the task demands", kind)
	case s.Network.Mode == sandbox.NetworkAllowlist && !can.Allowlist:
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox cannot limit the network to some hosts, as the task demands", kind)
	case s.Resources.GPUs > 0 && !can.GPUs:
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

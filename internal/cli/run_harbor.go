package cli

import (
	"oddish/api"
)

// harbor is the part of Harbor's job configuration that flags and file set; nil if they set none.
func (p *runPlan) harbor(f *runFlags, file *sweepFile) *api.HarborConfig {
	h := &api.HarborConfig{}
	e := &api.EnvironmentConfig{
		OverrideCPUs:      f.number("override-cpus", f.cpus, file.OverrideCPUs),
		OverrideMemoryMB:  f.number("override-memory-mb", f.memoryMB, file.OverrideMemoryMB),
		OverrideStorageMB: f.number("override-storage-mb", f.storageMB, file.OverrideStorageMB),
		OverrideGPUs:      f.number("override-gpus", f.gpus, file.OverrideGPUs),
	}
	if f.forceBuild || f.noForce {
		force := f.forceBuild
		e.ForceBuild = &force
	}
	if f.keep > 0 {
		seconds := int(f.keep.Seconds())
		e.KeepOnFailureSec = &seconds
	}
	if f.given("min-isolation") {
		e.MinIsolation = &f.isolation
	}
	e.CPUPolicy, e.MemoryPolicy = textOr(f.cpuPolicy, file.cpuPolicy), textOr(f.memoryPolicy, file.memoryPolicy)
	e.ExtraAllowedHosts = f.envHosts
	if len(f.envHosts) == 0 {
		e.ExtraAllowedHosts = file.envHosts
	}
	e.ExtraCompose = p.compose
	if len(f.envKwargs) > 0 {
		e.Kwargs = f.envKwargs
	}
	set := e.OverrideCPUs != nil || e.OverrideMemoryMB != nil || e.OverrideStorageMB != nil || e.OverrideGPUs != nil ||
		e.ForceBuild != nil || e.Kwargs != nil || len(e.ExtraAllowedHosts) > 0 || e.MinIsolation != nil ||
		e.CPUPolicy != nil || e.MemoryPolicy != nil || e.KeepOnFailureSec != nil || len(e.ExtraCompose) > 0
	if set {
		h.Environment = e
	}
	if p.noVerify {
		yes := true
		h.Verifier = &api.VerifierConfig{Disable: &yes}
		set = true
	}
	for _, source := range f.artifacts {
		h.Artifacts = append(h.Artifacts, api.Artifact{Source: source})
		set = true
	}
	if len(f.artifacts) == 0 && len(file.artifacts) > 0 {
		h.Artifacts = file.artifacts
		set = true
	}
	if len(p.extra) > 0 {
		h.ExtraInstructions = p.extra
		set = true
	}
	for i, target := range []**float64{
		&h.TimeoutMultiplier, &h.AgentTimeoutMultiplier, &h.VerifierTimeoutMultiplier,
		&h.AgentSetupTimeoutMultiplier, &h.EnvironmentBuildTimeoutMultiplier,
	} {
		if m := f.multipliers[i]; m > 0 {
			*target = &m
			set = true
		} else if file.multipliers[i] != nil {
			*target = file.multipliers[i]
			set = true
		}
	}
	if !set {
		return nil
	}
	return h
}

// number is the flag's value if it was given, else the file's.
func (f *runFlags) number(name string, value int, fromFile *int) *int {
	if f.given(name) {
		return &value
	}
	return fromFile
}

// textOr is the flag's value if it was given, else the file's.
func textOr(flag string, fromFile *string) *string {
	if flag != "" {
		return &flag
	}
	return fromFile
}

// enforcements are Harbor's ways to enforce a resource.
var enforcements = []string{"auto", "limit", "request", "guarantee", "ignore"}

// configs are the arms in the form of the API.
func (p *runPlan) configs() []api.SweepConfig {
	var out []api.SweepConfig
	for _, r := range p.arms {
		c := api.SweepConfig{Agent: r.Agent, NTrials: r.NTrials}
		if r.Model != "" {
			c.Model = &r.Model
		}
		c.AgentConfig = r.config()
		out = append(out, c)
	}
	return out
}

// setMetrics says how the results of a data set are summed up.
func (p *runPlan) setMetrics(names []string) {
	if len(names) == 0 {
		return
	}
	if p.sweep.Harbor == nil {
		p.sweep.Harbor = &api.HarborConfig{}
	}
	p.sweep.Harbor.Metrics = names
}

package result

import (
	"os"
	"path/filepath"
	"slices"

	"oddish/api"
)

// Submitted is the inverse of NewTrialConfig: what a submission says that gives the configuration, as far as it can say it. What is at its default is not said.
func Submitted(c TrialConfig) (api.AgentConfig, api.HarborConfig) {
	agent := api.AgentConfig{
		Env: c.Agent.Env, Kwargs: c.Agent.Kwargs, ExtraAllowedHosts: c.Agent.ExtraAllowedHosts,
		OverrideTimeoutSec: c.Agent.OverrideTimeoutSec, OverrideSetupTimeoutSec: c.Agent.OverrideSetupTimeoutSec, MaxTimeoutSec: c.Agent.MaxTimeoutSec,
	}
	harbor := api.HarborConfig{
		Environment: submittedEnvironment(c.Environment), Verifier: submittedVerifier(c.Verifier), ExtraInstructions: c.ExtraInstructions,
		AgentTimeoutMultiplier: c.AgentTimeoutMultiplier, VerifierTimeoutMultiplier: c.VerifierTimeoutMultiplier,
		AgentSetupTimeoutMultiplier: c.AgentSetupTimeoutMultiplier, EnvironmentBuildTimeoutMultiplier: c.EnvironmentBuildTimeoutMultiplier,
	}
	if m := c.TimeoutMultiplier; m != 0 && m != 1 {
		harbor.TimeoutMultiplier = &m
	}
	if t := c.Task; t.GitURL != nil && t.GitCommitID != nil {
		harbor.Origin = &api.TaskOrigin{GitURL: *t.GitURL, GitCommitID: *t.GitCommitID, Path: t.Path}
	}
	for _, a := range c.Artifacts {
		harbor.Artifacts = append(harbor.Artifacts, api.Artifact{
			Source: a.Source, Destination: orElse(a.Destination, ""), Exclude: a.Exclude, Service: orElse(a.Service, ""),
		})
	}
	return agent, harbor
}

func submittedEnvironment(c EnvironmentConfig) *api.EnvironmentConfig {
	e := api.EnvironmentConfig{
		OverrideCPUs: c.OverrideCPUs, OverrideMemoryMB: c.OverrideMemoryMB, OverrideStorageMB: c.OverrideStorageMB, OverrideGPUs: c.OverrideGPUs,
		ExtraAllowedHosts: c.ExtraAllowedHosts, Env: c.Env, Kwargs: c.Kwargs,
	}
	if c.ForceBuild {
		e.ForceBuild = &c.ForceBuild
	}
	if p := c.CPUEnforcementPolicy; p != "" && p != policyAuto {
		e.CPUPolicy = &p
	}
	if p := c.MemoryEnforcementPolicy; p != "" && p != policyAuto {
		e.MemoryPolicy = &p
	}
	unset := e.CPUPolicy == nil && e.MemoryPolicy == nil && e.OverrideCPUs == nil && e.OverrideMemoryMB == nil && e.OverrideStorageMB == nil && e.OverrideGPUs == nil && e.ForceBuild == nil
	if unset && len(e.ExtraAllowedHosts)+len(e.Env)+len(e.Kwargs) == 0 {
		return nil
	}
	return &e
}

func submittedVerifier(c VerifierConfig) *api.VerifierConfig {
	v := api.VerifierConfig{OverrideTimeoutSec: c.OverrideTimeoutSec, MaxTimeoutSec: c.MaxTimeoutSec, Env: c.Env}
	if c.Disable {
		v.Disable = &c.Disable
	}
	if v.OverrideTimeoutSec == nil && v.MaxTimeoutSec == nil && len(v.Env) == 0 && v.Disable == nil {
		return nil
	}
	return &v
}

// AgentUsage gives what agent_result says; where there is none, the sum of the steps'. What nothing tells is unknown.
func (t *Trial) AgentUsage() api.Usage {
	var u api.Usage
	results := []*AgentResult{t.AgentResult}
	if t.AgentResult == nil {
		results = nil
		for _, s := range t.StepResults {
			results = append(results, s.AgentResult)
		}
	}
	for _, a := range results {
		if a == nil {
			continue
		}
		addTo(&u.InputTokens, a.InputTokens)
		addTo(&u.CacheTokens, a.CacheTokens)
		addTo(&u.OutputTokens, a.OutputTokens)
		addTo(&u.CostUSD, a.CostUSD)
	}
	return u
}

// FirstException gives the trial's error, or the first of its steps'; nil: there is none.
func (t *Trial) FirstException() *ExceptionInfo {
	if t.ExceptionInfo != nil {
		return t.ExceptionInfo
	}
	for _, s := range t.StepResults {
		if s.ExceptionInfo != nil {
			return s.ExceptionInfo
		}
	}
	return nil
}

// HasTrajectory reports whether the agent of the trial in dir has left a trajectory, in any step.
func HasTrajectory(dir string) bool {
	places, _ := filepath.Glob(filepath.Join(dir, StepsDir, "*", AgentDir, TrajectoryFile)) // the pattern is a good one
	return slices.ContainsFunc(append(places, filepath.Join(dir, AgentDir, TrajectoryFile)), func(name string) bool {
		info, err := os.Lstat(name)
		return err == nil && info.Mode().IsRegular() && info.Size() > 0
	})
}

package cli

import (
	"encoding/json"
	"os"
	"os/user"
	"path/filepath"
	"slices"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/dataset"
	"oddish/internal/model"
)

// runPlan is what `oddish run` will do, after flags and sweep file were put together.
type runPlan struct {
	path       string
	dataset    *dataset.Ref // instead of path; nil: none
	taskID     string       // instead of path
	include    []string
	exclude    []string
	limit      int // 0: all
	noVerify   bool
	extra      []string // instructions
	compose    []api.ComposeFile
	arms       []arm
	sweep      api.Sweep // without task, configs and experiment
	experiment string
	conditions []condition
	quiet      bool
	json       bool
	wait       bool
}

// planRun checks everything that can be checked without a server.
func (a *App) planRun(f *runFlags) (*runPlan, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	file := &sweepFile{}
	if f.config != "" {
		var err error
		if file, err = readSweepFile(a.path(f.config)); err != nil {
			return nil, err
		}
	}
	for _, note := range file.notes {
		a.warn("%s: %s", f.config, note)
	}
	conditions, err := parseConditions(f.failOn)
	if err != nil {
		return nil, err
	}
	p := &runPlan{
		path: f.path, taskID: f.task, include: f.include, exclude: f.exclude, limit: f.nTasks,
		conditions: conditions, quiet: f.quiet, json: f.json, wait: f.waits(),
	}
	p.takeTasks(file)
	if p.dataset, err = f.datasetRef(file); err != nil {
		return nil, err
	}
	if p.path == "" && p.taskID == "" && p.dataset == nil {
		return nil, usagef("no tasks given: want the path of a task or of a folder of tasks, or a data set (-d)")
	}
	if err := checkGlobs(append(slices.Clone(p.include), p.exclude...)); err != nil {
		return nil, err
	}
	if p.arms, err = a.planArms(f, file); err != nil {
		return nil, err
	}
	p.noVerify = f.noVerify || (!f.verify && file.DisableVerification != nil && *file.DisableVerification)
	if p.extra, err = a.readExtra(f, file); err != nil {
		return nil, err
	}
	if p.compose, err = a.readExtraCompose(f, file); err != nil {
		return nil, err
	}
	return p, p.planSweep(f, file)
}

// takeTasks fills in from the file what no flag says about the choice of tasks.
func (p *runPlan) takeTasks(file *sweepFile) {
	if p.taskID != "" {
		return
	}
	if p.path == "" {
		p.path = file.Path
	}
	if len(p.include) == 0 {
		p.include = file.TaskNames
	}
	if len(p.exclude) == 0 {
		p.exclude = file.ExcludeTaskNames
	}
	if p.limit == 0 && file.NTasks != nil {
		p.limit = *file.NTasks
	}
}

// planArms takes the agents from the flags, or from the file when no flag names one, and adds what flags say about all of them.
func (a *App) planArms(f *runFlags, file *sweepFile) ([]arm, error) {
	arms := f.arms.arms()
	if f.config != "" && !f.given("agent") {
		if f.given("model") {
			return nil, usagef("--model beside a sweep file replaces its agents: name them with --agent as well")
		}
		arms = file.arms()
	}
	servers, err := a.readMCPConfigs(f.mcpConfig)
	if err != nil {
		return nil, err
	}
	skills, err := a.readSkills(f.skills)
	if err != nil {
		return nil, err
	}
	for i := range arms {
		r := &arms[i]
		r.MCP, r.Skills = servers, skills
		if err := a.readAgentFile(r); err != nil {
			return nil, err
		}
		if r.NTrials == 0 || f.given("n-trials") {
			r.NTrials = f.nTrials
		}
		if len(f.agentHosts) > 0 {
			r.Hosts = f.agentHosts
		}
		r.Env = merged(r.Env, f.agentEnv)
		kwargs := map[string]any{}
		for k, v := range r.Kwargs {
			kwargs[k] = v
		}
		for k, v := range f.agentKwargs {
			kwargs[k] = v
		}
		info, _ := agent.Find(r.Agent)
		if r.Kwargs, err = info.ReadFiles(kwargs, func(path string) ([]byte, error) { return os.ReadFile(a.path(path)) }); err != nil {
			return nil, usagef("%v", err)
		}
		if !model.Local(r.Agent) {
			r.BaseURL, r.Budget, r.Record, r.Replay, r.Helper = f.baseURL, f.trialBudget.b, f.record, f.replay, f.helperModel
		}
	}
	return arms, checkArms(arms, f.budget.b)
}

func merged(a, b map[string]string) map[string]string {
	out := make(map[string]string, len(a)+len(b))
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

// planSweep fills in the submission.
func (p *runPlan) planSweep(f *runFlags, file *sweepFile) error {
	s := &p.sweep
	s.User = firstNonEmpty(f.user, loginName())
	s.Again = f.again
	s.Budget = f.budget.b
	s.Priority = api.Priority(f.priority)
	if !f.given("priority") && file.Priority != "" {
		if file.Priority != "low" && file.Priority != "high" {
			return usagef("%s: priority %q: want low or high", f.config, file.Priority)
		}
		s.Priority = api.Priority(file.Priority)
	}
	p.experiment = firstNonEmpty(f.experiment, file.ExperimentID)
	env := firstNonEmpty(f.env, file.Environment)
	if env != "" {
		if !slices.Contains(sandboxKinds(), env) {
			return usagef("sandbox kind %q is unknown: want docker, builtin or fake", env)
		}
		s.Environment = &env
	}
	if f.githubUser != "" {
		s.GithubUsername = &f.githubUser
	}
	if f.githubMeta != "" {
		var object map[string]any
		if err := json.Unmarshal([]byte(f.githubMeta), &object); err != nil {
			return usagef("--github-meta: want a JSON object: %v", err)
		}
		s.Tags = map[string]string{"github_meta": f.githubMeta}
	}
	if n := f.maxAttempts; n > 0 {
		s.MaxAttempts = &n
	} else {
		s.MaxAttempts = file.MaxTrialAttempts
	}
	s.Harbor = p.harbor(f, file)
	return nil
}

func loginName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}

func firstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// shown is a path as the user would write it: relative when it is below the working directory.
func (a *App) shown(p string) string {
	if rel, err := filepath.Rel(a.Dir, p); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return p
}

// path makes a path that the user gave relative to the working directory.
func (a *App) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(a.Dir, p)
}

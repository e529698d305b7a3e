package task

import (
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// Part is one run of the agent with its verification: the whole of a task without steps, or one of its steps
// with what it takes over from the task.
type Part struct {
	// Name is the step's; empty: the task has no steps.
	Name string
	// Instruction is what the agent is told, without canary lines.
	Instruction string
	// Agent has the step's values and, where it sets none, the task's. Its Network is empty where neither sets one.
	Agent Agent
	// Verifier is the same. The step's variables are laid over the task's, its collect commands follow the task's, EnvironmentMode is never
	// empty, and Environment is set exactly for ModeSeparate, with a copy of [environment] where nothing else is said.
	Verifier Verifier
	// OwnEnvironment: Verifier.Environment is one that the task gives to the verifier, and no copy of [environment].
	OwnEnvironment bool
	// MinReward, Healthcheck and Artifacts are the step's alone.
	MinReward   map[string]float64
	Healthcheck *Healthcheck
	Artifacts   []Artifact
	// Solution is the folder with the reference solution, which need not exist: the step's, or the task's where the step has none.
	Solution string
	// Tests are the existing folders with tests, in the order in which they are laid over one another.
	Tests []string
	// VerifierContext is the folder of which a separate verifier's image is built: the step's tests where it has some, else the task's.
	VerifierContext string
	// Workdir is the folder whose files come into the working directory before the step; empty: there is none.
	Workdir string
}

// AgentTimeout is the time that the agent has; 0 means no limit.
func (p *Part) AgentTimeout() time.Duration { return seconds(p.Agent.TimeoutSec, 0) }

// VerifierTimeout is the time that the verifier has; 600 s unless the task or the step sets it.
func (p *Part) VerifierTimeout() time.Duration {
	return seconds(p.Verifier.TimeoutSec, DefaultVerifierTimeout)
}

// Parts are the steps of the task in their order, or the one part of a task without steps.
func (t *Task) Parts() []Part {
	if len(t.Config.Steps) == 0 {
		return []Part{t.whole()}
	}
	var parts []Part
	for _, s := range t.Config.Steps {
		parts = append(parts, t.part(s))
	}
	return parts
}

func (t *Task) whole() Part {
	p := Part{
		Instruction: t.Instruction, Agent: t.Config.Agent, Verifier: t.Config.Verifier,
		Solution: t.SolutionDir(), Tests: existing(t.TestsDir()), VerifierContext: t.TestsDir(),
	}
	t.settle(&p, t.VerifierMode(), t.Config.Verifier.Environment)
	return p
}

func (t *Task) part(s Step) Part {
	dir := t.StepDir(s.Name)
	own := filepath.Join(dir, TestsDir)
	p := Part{
		Name: s.Name, Instruction: s.Instruction,
		Agent: s.Agent.over(t.Config.Agent), Verifier: s.Verifier.over(t.Config.Verifier),
		MinReward: s.MinReward, Healthcheck: s.Healthcheck, Artifacts: s.Artifacts,
		Solution: filepath.Join(dir, SolutionDir), Tests: existing(t.TestsDir(), own), VerifierContext: t.TestsDir(),
	}
	if !isDir(p.Solution) {
		p.Solution = t.SolutionDir()
	}
	if isDir(own) {
		p.VerifierContext = own
	}
	if workdir := filepath.Join(dir, WorkdirDir); isDir(workdir) {
		p.Workdir = workdir
	}
	environment := s.Verifier.Environment
	if environment == nil {
		environment = t.Config.Verifier.Environment
	}
	t.settle(&p, t.StepVerifierMode(s), environment)
	return p
}

// settle says where the verifier runs.
func (t *Task) settle(p *Part, mode string, environment *Environment) {
	p.Verifier.EnvironmentMode, p.Verifier.Environment = mode, nil
	if mode != ModeSeparate {
		return
	}
	p.OwnEnvironment = environment != nil
	if environment == nil {
		environment = &t.Config.Environment
	}
	p.Verifier.Environment = environment
}

// StepDir is the absolute path of a step's folder.
func (t *Task) StepDir(name string) string { return filepath.Join(t.Dir, StepsDir, name) }

// over gives the values of a, and those of the task where a has none.
func (a Agent) over(task Agent) Agent {
	if a.TimeoutSec == nil {
		a.TimeoutSec = task.TimeoutSec
	}
	if a.User == "" {
		a.User = task.User
	}
	if a.Network.Mode == "" {
		a.Network = task.Network
	}
	return a
}

// over is the same for verifiers, but for where they run.
func (v Verifier) over(task Verifier) Verifier {
	if v.TimeoutSec == nil {
		v.TimeoutSec = task.TimeoutSec
	}
	if v.User == "" {
		v.User = task.User
	}
	if v.Network.Mode == "" {
		v.Network = task.Network
	}
	env := maps.Clone(task.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, v.Env)
	v.Env = env
	v.Collect = slices.Concat(task.Collect, v.Collect)
	return v
}

// existing gives the folders that are there.
func existing(dirs ...string) []string {
	return slices.DeleteFunc(dirs, func(dir string) bool { return !isDir(dir) })
}

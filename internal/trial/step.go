package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/task"
)

// stepPlan is what is decided about one step before the trial's sandbox starts. A task without steps has one without a name.
type stepPlan struct {
	task.Part
	number    int // from 1; 0: the task has no steps
	agent     agent.Agent
	timeouts  timeouts
	artifacts []artifact
	// The policies in force while the agent, and while the verifier, works.
	agentNetwork, verifierNetwork sandbox.Network
	verifierVars                  map[string]string
	separate                      *separatePlan // nil: the verifier runs in the agent's sandbox
}

// process gives the name under which a process of the step is known in its sandbox.
func (p *stepPlan) process(name string) string {
	if p.number == 0 {
		return name
	}
	return name + "-" + strconv.Itoa(p.number)
}

// phase names a phase of the step.
func (p *stepPlan) phase(name string) phaseID { return phaseID{p.number, name} }

// step is one step under way.
type step struct {
	*stepPlan
	dir    string // on this machine, with agent/, verifier/ and artifacts/
	result result.Step

	collected bool            // artifacts were fetched
	verifying bool            // the verifier has started
	box       sandbox.Sandbox // of a separate verifier; nil: there is none, or none any more
}

// agentDir, verifierDir and artifactsDir take what comes out of the sandbox.
func (s *step) agentDir() string     { return filepath.Join(s.dir, result.AgentDir) }
func (s *step) verifierDir() string  { return filepath.Join(s.dir, result.VerifierDir) }
func (s *step) artifactsDir() string { return filepath.Join(s.dir, result.ArtifactsDir) }

// numbered is a sandbox as the agent of a step sees it: what the agent calls its process is a process of that step.
type numbered struct {
	sandbox.Sandbox
	plan *stepPlan
}

func (n numbered) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	p.Name = n.plan.process(p.Name)
	return n.Sandbox.Run(ctx, p)
}

// forAgent gives the sandbox as the step's agent sees it.
func (p *stepPlan) forAgent(box sandbox.Sandbox) sandbox.Sandbox {
	if p.number == 0 {
		return box
	}
	return numbered{box, p}
}

// enter makes a step the one under way.
func (r *run) enter(p *stepPlan) error {
	s := &step{stepPlan: p, dir: r.dir, result: result.Step{Name: p.Name}}
	if p.number > 0 {
		s.dir = filepath.Join(r.dir, result.StepsDir, p.Name)
	}
	s.verifying = r.former.processes[p.process(verifierProcess)]
	r.step = s
	for _, dir := range []string{s.agentDir(), s.verifierDir(), s.artifactsDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return result.Errorf(result.OSError, "make the folders of the trial: %w", err)
		}
	}
	return nil
}

// steps goes through the steps that no former process has gone through, up to the first that ends the trial.
func (r *run) steps(ctx context.Context) error {
	for i, p := range r.plan.steps {
		if i < len(r.former.steps) {
			continue // begin has taken their results over
		}
		if i > 0 && !r.goesOn(r.plan.steps[i-1], &r.done[i-1]) {
			break
		}
		if r.step.stepPlan != p {
			if err := r.enter(p); err != nil {
				return err
			}
		}
		err := r.runStep(ctx)
		r.endStep(err)
		if err != nil {
			return err
		}
	}
	return nil
}

// goesOn reports whether the step after p is to be run, which left that result.
func (r *run) goesOn(p *stepPlan, left *result.Step) bool {
	if r.plan.disabled {
		return true
	}
	why := belowGate(p.MinReward, left.VerifierResult)
	if why != "" && !r.replay {
		r.log.Info("the steps end here", "step", p.Name, "min_reward", why)
	}
	return why == ""
}

// recordStep keeps an error in the result of the step under way; the first one wins.
func (r *run) recordStep(e *result.Error) {
	if s := r.step; s != nil && s.number > 0 && s.result.ExceptionInfo == nil {
		s.result.ExceptionInfo = exception(e)
	}
}

// takeOver takes the results of steps that former processes have seen the end of.
func (r *run) takeOver() {
	for _, s := range r.former.steps {
		if e := s.ExceptionInfo; e != nil {
			r.record(&result.Error{Type: e.Type, Message: e.Message, Class: result.ClassOf(e.Type)})
		}
	}
	r.done = r.former.steps
}

// endStep keeps what came of the step. One that a former process saw the end of is not run again.
func (r *run) endStep(err error) {
	s := r.step
	if s.number == 0 {
		return
	}
	if err != nil {
		r.recordStep(classify(err))
	}
	r.done = append(r.done, s.result)
	if err == nil {
		r.journal.add(Entry{Event: eventStep, Step: s.number, Result: &s.result})
	}
}

// runStep prepares the step, lets the agent work, collects what it left and verifies it. An error ends the trial, except one of
// the agent's own, which is in the step's result.
func (r *run) runStep(ctx context.Context) error {
	if err := r.prepareStep(ctx); err != nil {
		return err
	}
	if err := r.reopenModels(); err != nil {
		return err
	}
	if err := r.runAgent(ctx); err != nil {
		return err
	}
	if err := r.phase(ctx, r.step.phase(phaseCollect), nil, 0, "", r.collect); err != nil {
		return err
	}
	r.step.collected = true
	if r.plan.disabled {
		return nil
	}
	r.stage(api.StageVerification)
	return r.verify(ctx)
}

// prepareStep makes the sandbox ready for a step: without what is left of the one before, with the files of the step, its
// setup script run and its healthcheck passed.
func (r *run) prepareStep(ctx context.Context) error {
	s := r.step
	if s.number == 0 {
		return nil
	}
	err := r.phase(ctx, s.phase("step_setup"), nil, s.timeouts.build+grace+prepareTimeout, result.StepSetupError, r.setUpStep)
	if err == nil && s.Healthcheck != nil {
		err = r.phase(ctx, s.phase("step_healthcheck"), nil, 0, "", func(ctx context.Context) error { return r.healthcheck(ctx, r.box, s.Healthcheck) })
	}
	var named *result.Error
	if s.number > 1 && errors.As(err, &named) && (named.Type == result.StepSetupError || named.Type == result.HealthcheckError) {
		// What it failed at is what the agent made of the sandbox. Before it has worked, another attempt may help.
		return &result.Error{Type: named.Type, Message: named.Message, Class: api.ClassResult, Err: named.Err}
	}
	return err
}

// belowGate says why rewards do not pass a gate; "" if they do.
func belowGate(least map[string]float64, v *result.VerifierResult) string {
	for name, most := range least {
		if v == nil {
			return fmt.Sprintf("%s is missing, want %v", name, most)
		}
		if got, has := v.Rewards[name]; !has {
			return fmt.Sprintf("%s is missing, want %v", name, most)
		} else if got < most {
			return fmt.Sprintf("%s is %v, want %v", name, got, most)
		}
	}
	return ""
}

// rewardOf gives the rewards of a trial by those of its steps; nil: there are none.
func rewardOf(strategy string, steps []result.Step) *result.VerifierResult {
	if len(steps) == 0 {
		return nil
	}
	if strategy == task.StrategyFinal {
		return steps[len(steps)-1].VerifierResult
	}
	sum, n := map[string]float64{}, 0.0
	for _, s := range steps {
		if s.VerifierResult == nil {
			continue
		}
		n++
		for name, value := range s.VerifierResult.Rewards {
			sum[name] += value
		}
	}
	if n == 0 {
		return nil
	}
	for name := range sum {
		sum[name] /= n
	}
	return &result.VerifierResult{Rewards: sum}
}

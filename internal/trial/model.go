package trial

import (
	"errors"
	"slices"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/model"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// Models is the worker's way to models. An agent reaches its model through it and never holds the provider's key.
type Models interface {
	// Open opens the way for this trial, before its sandbox starts. It does not block. Errors that are *result.Error keep their names.
	Open(ModelRequest) (ModelSession, error)
}

// ModelRequest says what a trial needs.
type ModelRequest struct {
	// Env is the agent's environment. Keys and addresses of providers in it are for the session.
	Env map[string]string
	// Online: the task lets the agent use the internet, and so tools that run at the provider.
	Online bool
	// Step is the number of the step that it is for, from 1; 0: the task has none. Sessions of a trial follow one another.
	Step int
}

// ModelSession is one trial's way to its model, which ends with Close.
type ModelSession interface {
	Endpoint() agent.Endpoint
	// Socket is what the sandbox offers as its service.
	Socket() string
	// Env is the request's without what the sandbox must not see.
	Env() map[string]string
	Facts() agent.Facts
	// Close ends the session and tells what the attempt used, also in sessions that former processes had for it. It may be called again.
	Close() api.Usage
	// Conversation gives, once the session is closed, the trajectory that what was asked and answered makes, without the agent's name; nil: nothing was
	// answered. Instruction is what the agent was told.
	Conversation(instruction string) (*agent.Log, error)
}

// openModels opens the way to the agent's model, if it has one.
func (r *run) openModels(p *plan) error {
	if info, _ := agent.Find(r.Spec.Agent); info.OwnKey != "" {
		return r.checkOwnService(p, info)
	}
	if !r.usesModel(p.agent.Name()) || r.Models == nil {
		return nil
	}
	first := p.steps[min(len(r.former.steps), len(p.steps)-1)]
	r.modelEnvGiven = p.agentVars
	if err := r.openSession(first); err != nil {
		return err
	}
	p.agentVars, p.spec.ServiceSocket = r.models.Env(), r.models.Socket()
	return nil
}

// openSession opens the way to the model for a step.
func (r *run) openSession(s *stepPlan) error {
	session, err := r.Models.Open(ModelRequest{Env: r.modelEnvGiven, Online: s.agentNetwork.Mode == sandbox.NetworkPublic, Step: s.number})
	if err != nil {
		var named *result.Error
		if errors.As(err, &named) {
			return named
		}
		return result.Errorf(result.ValueError, "%w", err)
	}
	r.models, r.modelsOpen = session, true
	return nil
}

// reopenModels opens it again for a further step.
func (r *run) reopenModels() error {
	if r.models == nil || r.modelsOpen {
		return nil
	}
	return r.openSession(r.step.stepPlan)
}

// checkOwnService refuses a trial whose agent speaks to a service of its own and cannot do so.
func (r *run) checkOwnService(p *plan, info agent.Info) error {
	if err := info.CheckModelConfig(&r.Spec.AgentConfig, r.Spec.Budget); err != nil {
		return result.Errorf(result.ValueError, "%w", err)
	}
	if err := info.CheckOwnKey(p.agentVars); err != nil {
		return result.Errorf(result.MissingAPIKeyError, "%w", err)
	}
	if slices.ContainsFunc(p.steps, func(s *stepPlan) bool { return s.agentNetwork.Mode == sandbox.NetworkNone }) {
		return result.Errorf(result.UnsupportedTaskError, "agent %s needs the internet to reach its service, and the task has none", info.Name)
	}
	return nil
}

// usesModel reports whether the agent is to be given a model: it cannot do without, or was given one.
func (r *run) usesModel(name string) bool {
	if info, _ := agent.Find(name); info.NeedsModel {
		return true
	}
	return r.Spec.Model != "" && !model.Local(name)
}

// modelEnv adds the way to the model to what the agent gets.
func (r *run) modelEnv(env *agent.Env) {
	if r.models == nil {
		return
	}
	endpoint := r.models.Endpoint()
	env.Model, env.Facts = &endpoint, r.models.Facts
}

// closeModels ends the way to the model: what the agent left running, and the tests, have none. The usage goes into the result.
func (r *run) closeModels() {
	if !r.modelsOpen {
		return
	}
	u := r.models.Close()
	r.usage, r.modelsOpen = &u, false
	if r.step == nil || r.step.result.AgentResult == nil {
		return
	}
	a := r.step.result.AgentResult
	a.InputTokens, a.CacheTokens, a.OutputTokens, a.CostUSD = u.InputTokens, u.CacheTokens, u.OutputTokens, u.CostUSD
	for _, s := range r.done { // what a session tells is of the whole trial so far
		if b := s.AgentResult; b != nil {
			less(a.InputTokens, b.InputTokens, &a.InputTokens)
			less(a.CacheTokens, b.CacheTokens, &a.CacheTokens)
			less(a.OutputTokens, b.OutputTokens, &a.OutputTokens)
			less(a.CostUSD, b.CostUSD, &a.CostUSD)
		}
	}
}

// less sets into to a less b, if both are known.
func less[N int64 | float64](a, b *N, into **N) {
	if a != nil && b != nil {
		rest := max(*a-*b, 0)
		*into = &rest
	}
}

// stopped is the error of a trial whose agent was refused its model: because a budget was used up, or because a replay left its recording. It is neither a
// score nor a reason to try again, and so comes before what became of the agent by that, but not before what befell the trial.
func (r *run) stopped(err error) error {
	if r.models == nil || errors.Is(err, sandbox.ErrLost) {
		return nil
	}
	if err != nil {
		if t := classify(err).Type; !result.AgentFailed(t) && t != result.BudgetExceeded {
			return nil
		}
	}
	switch facts := r.models.Facts(); {
	case facts.Divergence != "":
		return result.Errorf(result.ReplayDivergenceError, "the replay of experiment %s has left its recording: %s (both requests: %s)",
			r.Spec.AgentConfig.Replay, facts.Divergence, result.DivergenceFile)
	case facts.BudgetExceeded != "":
		return result.Errorf(result.BudgetExceeded, "the agent was stopped: %s", budgetWords(facts.BudgetExceeded))
	}
	return nil
}

func budgetWords(name string) string {
	switch name {
	case api.BudgetExperiment, api.BudgetDay:
		return "the budget of the " + name + " is used up"
	case "cost", "tokens", "calls":
		return "the trial has used up its budget of " + name
	}
	return "the budget " + name + " is used up"
}

// agentResults are those of the steps that have one.
func (r *run) agentResults() []*result.AgentResult {
	var list []*result.AgentResult
	for _, s := range r.done {
		list = append(list, s.AgentResult)
	}
	if r.step != nil && r.step.number == 0 {
		list = append(list, r.step.result.AgentResult)
	}
	return slices.DeleteFunc(list, func(a *result.AgentResult) bool { return a == nil })
}

// more adds n to a sum of what is known.
func more[N int64 | float64](sum **N, n *N) {
	if n == nil {
		return
	}
	all := *n
	if *sum != nil {
		all += **sum
	}
	*sum = &all
}

// addUsage adds what was used of models to the report.
func (r *run) addUsage(f *api.Finish) {
	if r.usage == nil {
		for _, a := range r.agentResults() {
			more(&f.InputTokens, a.InputTokens)
			more(&f.CacheTokens, a.CacheTokens)
			more(&f.OutputTokens, a.OutputTokens)
			more(&f.CostUSD, a.CostUSD)
		}
		if r.Source != "" && (f.InputTokens != nil || f.OutputTokens != nil || f.CostUSD != nil) {
			f.CostSource = api.CostFromRegrade
		}
		return
	}
	u := r.usage
	f.InputTokens, f.CacheTokens, f.OutputTokens, f.CostUSD, f.UsageDetails = u.InputTokens, u.CacheTokens, u.OutputTokens, u.CostUSD, u.UsageDetails
}

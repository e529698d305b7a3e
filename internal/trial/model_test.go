package trial

import (
	"context"
	"errors"
	"strings"
	"testing"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/fake"
)

// fakeModels is a way to models that leads nowhere.
type fakeModels struct {
	err     error
	facts   agent.Facts
	said    *agent.Log // nil: what was said was not kept
	usage   api.Usage
	request ModelRequest
	opened  int
	closed  int
}

func (m *fakeModels) Open(r ModelRequest) (ModelSession, error) {
	m.opened++
	m.request = r
	return m, m.err
}

func (m *fakeModels) Endpoint() agent.Endpoint {
	return agent.Endpoint{BaseURL: "http://gate/t/token", Token: "token"}
}
func (m *fakeModels) Socket() string         { return "/run/gate.sock" }
func (m *fakeModels) Env() map[string]string { return map[string]string{"A": "1"} }
func (m *fakeModels) Facts() agent.Facts     { return m.facts }
func (m *fakeModels) Close() api.Usage       { m.closed++; return m.usage }
func (m *fakeModels) Conversation(string) (*agent.Log, error) {
	if m.said == nil {
		return nil, errors.New("the disk is full")
	}
	return m.said, nil
}

// caller is an agent with a model.
type caller struct {
	run func(agent.Env) error
}

func (caller) Name() string                           { return "caller" }
func (caller) Version() string                        { return "1" }
func (caller) Setup(context.Context, agent.Env) error { return nil }
func (c caller) Run(_ context.Context, env agent.Env, _ string) error {
	return c.run(env)
}

// socketed notes what service the sandbox was to offer.
type socketed struct {
	*fake.Provider
	socket string
}

func (p *socketed) Start(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	p.socket = s.ServiceSocket
	return p.Provider.Start(ctx, s)
}

// runCaller runs a trial whose agent has a model.
func runCaller(t *testing.T, m *fakeModels, work func(agent.Env) error) (Outcome, *socketed) {
	t.Helper()
	c, p := faked(t, nil)
	provider := &socketed{Provider: p}
	c.Provider, c.Models = provider, m
	c.Spec.Agent, c.Spec.Model = "caller", "openai/gpt-5"
	c.Spec.AgentConfig.Env = map[string]string{"A": "1", "OPENAI_API_KEY": "secret"}
	r := newRun(c)
	r.newAgent = func(string, agent.Options) (agent.Agent, error) { return caller{run: work}, nil }
	return r.run(t.Context()), provider
}

func TestAnAgentIsGivenTheWayToItsModel(t *testing.T) {
	t.Parallel()
	m := &fakeModels{usage: api.Usage{InputTokens: ptr(int64(7)), CostUSD: ptr(0.5), UsageDetails: api.UsageDetails{ModelCalls: ptr(int64(2))}}}
	o, p := runCaller(t, m, func(env agent.Env) error {
		if env.Model == nil || env.Model.Token != "token" || env.Facts == nil || len(env.Vars) != 1 || m.closed != 0 {
			t.Errorf("the agent's environment is %+v", env)
		}
		return nil
	})
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	if *o.Finish.InputTokens != 7 || *o.Finish.CostUSD != 0.5 || *o.Finish.ModelCalls != 2 || o.Finish.OutputTokens != nil {
		t.Errorf("finish is %+v", o.Finish)
	}
	if m.request.Env["OPENAI_API_KEY"] != "secret" || !m.request.Online || p.socket != "/run/gate.sock" {
		t.Errorf("request is %+v, socket %q", m.request, p.socket)
	}
	if m.closed == 0 {
		t.Error("the way to the model is still open")
	}
	if a := readTrial(t, o).AgentResult; *a.InputTokens != 7 || *a.CostUSD != 0.5 {
		t.Errorf("result is %+v", a)
	}
}

func TestATrialWithoutAWayToItsModelStartsNoSandbox(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"named":   {result.Errorf(result.MissingAPIKeyError, "no key"), result.MissingAPIKeyError},
		"unnamed": {errors.New("odd"), result.ValueError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &fakeModels{err: c.err}
			o, p := runCaller(t, m, func(agent.Env) error { return nil })
			wantFinish(t, o.Finish, api.StatusFailed, c.want, api.ClassPermanent)
			if p.socket != "" || o.Finish.InputTokens != nil {
				t.Errorf("socket is %q, finish %+v", p.socket, o.Finish)
			}
		})
	}
}

func TestAUsedUpBudgetIsNoScore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"the agent ends as if nothing had been":    {nil, result.BudgetExceeded},
		"the agent fails":                          {result.Errorf(result.NonZeroAgentExitCodeError, "1"), result.BudgetExceeded},
		"the agent goes on until its time is over": {result.Errorf(result.AgentTimeoutError, "late"), result.BudgetExceeded},
		"the agent itself says so":                 {result.Errorf(result.BudgetExceeded, "broke"), result.BudgetExceeded},
		"the sandbox is lost at the same time":     {sandbox.ErrLost, result.SandboxLostError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &fakeModels{facts: agent.Facts{BudgetExceeded: "cost"}}
			o, _ := runCaller(t, m, func(agent.Env) error { return c.err })
			if o.Finish.Outcome != api.StatusFailed || o.Finish.ErrorType != c.want || o.Finish.Rewards != nil {
				t.Errorf("finish is %+v", o.Finish)
			}
		})
	}
}

func TestAReplayThatLeavesItsRecordingIsNoScore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"the agent ends as if nothing had been": {nil, result.ReplayDivergenceError},
		"the agent gives up":                    {result.Errorf(result.UnknownAPIError, "400"), result.ReplayDivergenceError},
		"the sandbox is lost at the same time":  {sandbox.ErrLost, result.SandboxLostError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &fakeModels{facts: agent.Facts{Divergence: "request 2 was not recorded", BudgetExceeded: "calls"}}
			o, _ := runCaller(t, m, func(agent.Env) error { return c.err })
			f := o.Finish
			if f.Outcome != api.StatusFailed || f.ErrorType != c.want || f.Rewards != nil || (f.ErrorClass == api.ClassResult) != (c.want == result.ReplayDivergenceError) {
				t.Errorf("finish is %+v", f)
			}
			if c.want == result.ReplayDivergenceError && !strings.Contains(f.ErrorMessage, "request 2 was not recorded") {
				t.Errorf("the message is %q", f.ErrorMessage)
			}
		})
	}
}

func TestOnlyAgentsWithAModelGetAWayToOne(t *testing.T) {
	t.Parallel()
	m := &fakeModels{}
	c, _ := faked(t, nil)
	c.Models, c.Spec.Model = m, "openai/gpt-5" // of the oracle, which calls none
	wantFinish(t, Run(t.Context(), c).Finish, api.StatusSuccess, "", "")
	if m.opened != 0 {
		t.Error("the oracle was given a model")
	}
}

func TestAnAgentWithAServiceOfItsOwnHasNoGateway(t *testing.T) {
	t.Parallel()
	one := 1.0
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"it has its key": {func(*Config) {}, ""},
		"no key":         {func(c *Config) { c.Spec.AgentConfig.Env = nil }, result.MissingAPIKeyError},
		"a budget":       {func(c *Config) { c.Spec.Budget = &api.Budget{USD: &one} }, result.ValueError},
		"an address":     {func(c *Config) { c.Spec.AgentConfig.BaseURL = "http://x" }, result.ValueError},
		"a task with no network": {func(c *Config) {
			c.TaskDir = writeTask(t, map[string]string{"task.toml": "[environment]\nallow_internet = false\n[environment.oddish]\nimage = \"host\"\n"})
		}, result.UnsupportedTaskError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &fakeModels{}
			conf, _ := faked(t, nil)
			conf.Models, conf.Spec.Agent, conf.Spec.Model = m, "cursor-cli", "cursor/gpt-5"
			conf.Spec.AgentConfig.Env = map[string]string{"CURSOR_API_KEY": "key"}
			c.change(&conf)
			r := newRun(conf)
			r.newAgent = func(string, agent.Options) (agent.Agent, error) {
				return caller{run: func(env agent.Env) error {
					if env.Model != nil || env.Facts != nil || env.Vars["CURSOR_API_KEY"] != "key" {
						t.Errorf("the agent's environment is %+v", env)
					}
					return nil
				}}, nil
			}
			o := r.run(t.Context())
			if o.Finish.ErrorType != c.want || m.opened != 0 {
				t.Errorf("finish is %+v; the gateway was opened %d times", o.Finish, m.opened)
			}
		})
	}
}

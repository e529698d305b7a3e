package agenttest

import (
	"testing"
	"time"

	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/result"
)

func success(t *testing.T, c Config) {
	r := newRig(t, c, c.script())
	if err := r.run(t); err != nil {
		t.Fatalf("%v\ncalls: %v", err, statuses(r))
	}
	r.wantHello(t)
	r.noProgramLeft(t)
	log := r.report(t)
	checkSteps(t, log.Trajectory)
	if !c.Usage {
		return
	}
	told, u := r.fake.Told(false), log.Usage
	if !u.Known() {
		t.Fatal("the agent's report has no usage")
	}
	if *u.InputTotal != told.Input || *u.OutputTotal != told.Output || u.CacheRead == nil || *u.CacheRead != told.CacheRead {
		t.Errorf("the agent reports %d in, %d cached, %d out; the provider told %+v", *u.InputTotal, *u.CacheRead, *u.OutputTotal, told)
	}
	if c.Dialect == llm.Anthropic && (u.CacheWrite == nil || *u.CacheWrite != told.CacheWrite) {
		t.Errorf("the agent reports %v written to the cache; the provider told %+v", u.CacheWrite, told)
	}
}

// checkSteps looks for the two turns of the default script.
func checkSteps(t *testing.T, tr *atif.Trajectory) {
	t.Helper()
	steps := tr.Steps
	for len(steps) > 0 && steps[0].Source == atif.SourceSystem { // what the program tells its model first
		steps = steps[1:]
	}
	if len(steps) != 3 {
		t.Fatalf("there are %d steps, want one of the user and two of the agent: %+v", len(steps), steps)
	}
	user, first, last := steps[0], steps[1], steps[2]
	if user.Source != atif.SourceUser || first.Source != atif.SourceAgent || last.Source != atif.SourceAgent {
		t.Errorf("sources are %s, %s, %s", user.Source, first.Source, last.Source)
	}
	if len(first.ToolCalls) != 1 || first.Observation == nil || len(first.Observation.Results) != 1 {
		t.Errorf("the first step is %+v", first)
	}
	if last.Message.Text != "The file out.txt now says hello." {
		t.Errorf("the last message is %q", last.Message.Text)
	}
	if tr.Agent.Version == "" || tr.FinalMetrics == nil {
		t.Errorf("agent is %+v, metrics are %+v", tr.Agent, tr.FinalMetrics)
	}
}

// failing gives a run whose every call is answered by the fault.
func failing(t *testing.T, c Config, kind fakellm.FaultKind) (*rig, error) {
	t.Helper()
	script := c.script()
	script.Faults = []fakellm.Fault{{Kind: kind}}
	r := newRig(t, c, script)
	return r, r.run(t)
}

func wrongKey(t *testing.T, c Config) {
	r, err := failing(t, c, fakellm.Auth)
	wantError(t, r, err, result.AgentAuthenticationError)
}

func unknownModel(t *testing.T, c Config) {
	r, err := failing(t, c, fakellm.UnknownModel)
	wantError(t, r, err, result.ModelNotFoundError)
}

func noMoney(t *testing.T, c Config) {
	r, err := failing(t, c, fakellm.Quota)
	wantError(t, r, err, result.APIUsageLimitError)
}

func tooLong(t *testing.T, c Config) {
	r, err := failing(t, c, fakellm.Context)
	wantError(t, r, err, result.ContextWindowExceededError)
}

func rateLimit(t *testing.T, c Config) {
	script := c.script()
	script.Faults = []fakellm.Fault{{Kind: fakellm.RateLimit, Times: 1, RetryAfter: "1"}}
	r := newRig(t, c, script)
	if err := r.run(t); err != nil {
		t.Fatalf("%v\ncalls: %v", err, statuses(r))
	}
	checkSteps(t, r.report(t).Trajectory)
}

// timeout lets the second answer hang.
func timeout(t *testing.T, c Config) {
	script, second := c.script(), 1
	script.Faults = []fakellm.Fault{{Kind: fakellm.Hang, Turn: &second}}
	r := newRig(t, c, script)
	r.env.Timeout = 20 * time.Second
	wantError(t, r, r.run(t), result.AgentTimeoutError)
	r.wantHello(t)
	r.noProgramLeft(t)
	log := r.report(t)
	if n := len(log.Trajectory.Steps); n < 2 {
		t.Errorf("the trajectory has %d steps", n)
	}
	if c.Usage && (!log.Usage.Known() || *log.Usage.InputTotal == 0) {
		t.Errorf("the agent reports %+v of the first call", log.Usage)
	}
}

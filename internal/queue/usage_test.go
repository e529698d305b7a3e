package queue

import (
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// usedSoFar is a report of what a run has used so far.
func usedSoFar(input, output, calls int64, usd float64) *api.Usage {
	return &api.Usage{
		InputTokens: &input, OutputTokens: &output, CostUSD: &usd,
		UsageDetails: api.UsageDetails{ModelCalls: &calls, CostSource: "gateway", PriceVersion: "v1", CostEstimated: ptr(false)},
	}
}

func (f *fixture) spending(experimentID string) store.Spending {
	f.t.Helper()
	found, err := f.db.Spending(f.t.Context(), experimentID)
	if err != nil {
		f.t.Fatal(err)
	}
	return found[experimentID]
}

func (f *fixture) budget(experimentID string) api.ExperimentBudget {
	f.t.Helper()
	b := f.spending(experimentID).Budget
	if b == nil {
		f.t.Fatalf("experiment %s has no budget", experimentID)
	}
	return *b
}

func TestUsageIsKnownWhileATrialRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	c := f.claimOne()
	f.progress(c, api.ProgressEvent{Seq: 1, At: f.clock.now(), Usage: usedSoFar(100, 10, 1, 0.5)})
	f.progress(c, api.ProgressEvent{Seq: 2, At: f.clock.now(), Usage: usedSoFar(200, 20, 2, 1)}, api.ProgressEvent{Seq: 3, At: f.clock.now(), Usage: usedSoFar(300, 30, 3, 1.5)})
	f.progress(c, api.ProgressEvent{Seq: 2, At: f.clock.now(), Usage: usedSoFar(200, 20, 2, 1)}) // repeated
	tr := f.trial(id)
	if *tr.InputTokens != 300 || *tr.OutputTokens != 30 || *tr.CostUSD != 1.5 || *tr.ModelCalls != 3 || tr.CostSource != "gateway" || tr.PriceVersion != "v1" || *tr.CostEstimated {
		t.Errorf("trial is %+v", tr)
	}
	if tr.CacheTokens != nil || tr.ReasoningTokens != nil {
		t.Error("what nobody told is known")
	}
	u := f.spending(c.Trial.ExperimentID).Usage
	if u == nil || *u.InputTokens != 300 || *u.OutputTokens != 30 || *u.ModelCalls != 3 || *u.CostUSD != 1.5 || *u.CostEstimated {
		t.Errorf("the experiment has used %+v", u)
	}
}

func TestUsageOfALostRunStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("e", "codex", "gpt-5", 1)
	s.Sweep.Budget = &api.Budget{Tokens: ptr(int64(1000))}
	experiment := f.submit(s).Experiment.ID
	c := f.claimOne()
	f.progress(c, api.ProgressEvent{Seq: 1, At: f.clock.now(), Usage: usedSoFar(100, 10, 1, 0.5)})
	f.finish(c, api.Finish{Outcome: api.StatusFailed, ErrorType: "SandboxLostError", ErrorClass: api.ClassInfrastructure})
	if b := f.budget(experiment); b.SpentTokens != 110 || b.SpentUSD != 0.5 || b.SpentCalls != 1 {
		t.Errorf("budget is %+v", b)
	}
	f.clock.advance(time.Hour)
	if tr := f.trial(c.Trial.ID); *tr.InputTokens != 100 {
		t.Errorf("input tokens are %v", tr.InputTokens)
	}
	again := f.claimOne()
	if tr := f.trial(c.Trial.ID); tr.InputTokens != nil {
		t.Error("a new run begins with the usage of the former")
	}
	done := api.Finish{Outcome: api.StatusSuccess, InputTokens: ptr(int64(400)), OutputTokens: ptr(int64(40)), CostUSD: ptr(2.0)}
	f.finish(again, done)
	f.finish(again, done) // repeated
	if b := f.budget(experiment); b.SpentTokens != 550 || b.SpentUSD != 2.5 || b.SpentCalls != 1 {
		t.Errorf("budget is %+v", b)
	}
}

func TestAnExperimentsBudgetEndsForAllItsTrials(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("e", "codex", "gpt-5", 3)
	s.Sweep.Budget = &api.Budget{USD: ptr(2.0), Calls: ptr(int64(100))}
	experiment := f.submit(s).Experiment.ID
	f.add("other", "gpt-5", 1)
	claimed := f.claim(4)
	var one, two, three, other Claimed
	mine := []*Claimed{&one, &two, &three}
	for _, c := range claimed {
		if c.Trial.ExperimentID != experiment {
			other = c
			continue
		}
		*mine[0] = c
		mine = mine[1:]
	}
	at := f.clock.now()
	if ack := f.progress(one, api.ProgressEvent{Seq: 1, At: at, Usage: usedSoFar(1, 1, 1, 1.25)}); ack.BudgetExceeded != "" {
		t.Errorf("answer is %+v", ack)
	}
	if ack := f.progress(two, api.ProgressEvent{Seq: 1, At: at, Usage: usedSoFar(1, 1, 1, 0.75)}); ack.BudgetExceeded != "experiment" {
		t.Errorf("answer is %+v", ack)
	}
	if ack := f.progress(three); ack.BudgetExceeded != "experiment" { // before it starts
		t.Errorf("answer is %+v", ack)
	}
	if ack := f.progress(other); ack.BudgetExceeded != "" {
		t.Errorf("answer for another experiment is %+v", ack)
	}
	var refs []api.JobRef
	for _, c := range claimed {
		refs = append(refs, api.JobRef{ID: c.Trial.ID, Lease: c.Lease})
	}
	ack, err := f.Heartbeat(t.Context(), api.Heartbeat{WorkerID: "w", Jobs: refs})
	if err != nil || len(ack.BudgetExceeded) != 3 {
		t.Errorf("heartbeat says %v, %v", ack.BudgetExceeded, err)
	}
	if b := f.budget(experiment); !b.Exceeded || b.SpentUSD != 2 || b.SpentCalls != 2 || *b.USD != 2 {
		t.Errorf("budget is %+v", b)
	}
}

func TestABudgetThatIsSetLaterCountsWhatWasUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 1)
	c := f.claimOne()
	f.progress(c, api.ProgressEvent{Seq: 1, At: f.clock.now(), Usage: usedSoFar(100, 10, 1, 0.5)})
	s := f.sweep("e", "codex", "gpt-5", 1)
	s.Sweep.Budget = &api.Budget{USD: ptr(1.0)}
	experiment := f.submit(s).Experiment.ID
	if b := f.budget(experiment); b.SpentTokens != 110 || b.SpentUSD != 0.5 || b.SpentCalls != 1 || b.Exceeded {
		t.Errorf("budget is %+v", b)
	}
	f.progress(c, api.ProgressEvent{Seq: 2, At: f.clock.now(), Usage: usedSoFar(200, 20, 2, 1.5)})
	s.Sweep.Budget = &api.Budget{USD: ptr(5.0)}
	f.submit(s)
	if b := f.budget(experiment); b.SpentUSD != 1.5 || *b.USD != 5 || b.Exceeded {
		t.Errorf("the raised budget is %+v", b)
	}
	s.Sweep.Budget = nil
	f.submit(s)
	if b := f.budget(experiment); b.USD == nil || *b.USD != 5 {
		t.Errorf("a submission that names no budget has changed it to %+v", b)
	}
}

func TestARunningTrialTellsOfRateLimits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 10})
	f.add("e", "openai/gpt-5", 5)
	claimed := f.claim(2)
	limited := api.ProgressEvent{Seq: 1, At: f.clock.now(), RateLimited: &api.RateLimited{RetryAfterSec: ptr(40.0)}}
	f.progress(claimed[0], limited)
	f.progress(claimed[0], limited) // repeated
	f.progress(claimed[1], limited) // the same burst
	k, changes := f.key("openai/gpt-5")
	if k.Effective == nil || *k.Effective != 8 || k.HeldUntil == nil || !k.HeldUntil.Equal(f.clock.now().Add(40*time.Second)) || len(changes) != 1 {
		t.Errorf("queue key is %+v, changes %+v", k, changes)
	}
	f.claimNone()
	for _, c := range claimed {
		if f.trial(c.Trial.ID).Status != api.StatusRunning {
			t.Error("a rate limit that the gateway waits for has ended the trial")
		}
	}
	f.clock.advance(41 * time.Second)
	f.reap()
	if len(f.claim(10)) != 3 {
		t.Error("nothing is started after the hold")
	}
}

func TestTheCostOfAnExperimentIsUnknownWherePartOfItIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 2)
	claimed := f.claim(2)
	id := claimed[0].Trial.ExperimentID
	if f.spending(id).Usage != nil {
		t.Error("usage is known before anything ran")
	}
	f.progress(claimed[0], api.ProgressEvent{Seq: 1, At: f.clock.now(), Usage: usedSoFar(100, 10, 1, 0.5)})
	f.finish(claimed[1], api.Finish{Outcome: api.StatusSuccess, InputTokens: ptr(int64(5)), OutputTokens: ptr(int64(5)), UsageDetails: api.UsageDetails{CostEstimated: ptr(true)}})
	if u := f.spending(id).Usage; u.CostUSD != nil || *u.InputTokens != 105 || !*u.CostEstimated {
		t.Errorf("the experiment has used %+v", u)
	}
}

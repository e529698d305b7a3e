package queue

import (
	"slices"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// used reports in the name of a run what it has used so far.
func (f *fixture) used(c Claimed, seq int64, usd float64, source string) api.ProgressAck {
	f.t.Helper()
	u := usedSoFar(100, 10, 1, usd)
	if u.CostSource = source; source == api.CostFromReplay {
		u.CostUSD = nil
	}
	return f.progress(c, api.ProgressEvent{Seq: seq, At: f.clock.now(), Usage: u})
}

func (f *fixture) day() api.DailyBudget {
	f.t.Helper()
	d, err := f.Day(f.t.Context())
	if err != nil || d == nil {
		f.t.Fatalf("the budget of the day is %v, %v", d, err)
	}
	return *d
}

// Everything that a budget of the day does, from one morning to the next.
func TestTheBudgetOfTheDayHoldsForAllExperiments(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DailyBudget: &api.Budget{USD: ptr(2.0)}})
	f.add("one", "openai/gpt-5", 2)
	f.add("two", "anthropic/claude-sonnet-4-5", 1)
	first, second := f.claimOne(), f.claimOne()
	if ack := f.used(first, 1, 1.5, "gateway"); ack.BudgetExceeded != "" {
		t.Errorf("answer with something left is %+v", ack)
	}
	if ack := f.used(second, 1, 0.5, "gateway"); ack.BudgetExceeded != api.BudgetDay {
		t.Errorf("answer with nothing left is %+v", ack)
	}
	if ack := f.progress(first); ack.BudgetExceeded != api.BudgetDay {
		t.Errorf("answer to another trial is %+v", ack)
	}
	ack, err := f.Heartbeat(t.Context(), api.Heartbeat{WorkerID: "w", Jobs: []api.JobRef{
		{ID: first.Trial.ID, Lease: first.Lease}, {ID: second.Trial.ID, Lease: second.Lease},
	}})
	if err != nil || len(ack.DayExceeded) != 2 || len(ack.BudgetExceeded) != 0 {
		t.Errorf("heartbeat says %+v, %v", ack, err)
	}
	want := api.DailyBudget{
		Budget: api.Budget{USD: ptr(2.0)}, Spent: api.Spent{SpentUSD: 2, SpentTokens: 220, SpentCalls: 2}, Exceeded: true,
		Until: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC),
	}
	if got := f.day(); got.Spent != want.Spent || !got.Exceeded || !got.Until.Equal(want.Until) {
		t.Errorf("the budget of the day is %+v, want %+v", got, want)
	}
	f.claimNone()
	f.clock.advance(21 * time.Hour) // it is the next day
	f.claimOne()
	if got := f.day(); got.Exceeded || got.Spent != (api.Spent{}) {
		t.Errorf("the next day begins with %+v", got)
	}
}

func TestTrialsThatCostNothingPayNoHeedToTheBudgetOfTheDay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DailyBudget: &api.Budget{Calls: ptr(int64(1))}})
	f.add("e", "openai/gpt-5", 2)
	paying := f.claimOne()
	f.used(paying, 1, 0.5, "gateway")
	replayed := f.sweep("again", "codex", "openai/gpt-5", 1)
	replayed.Sweep.Configs[0].AgentConfig = &api.AgentConfig{Replay: "e"}
	f.submit(replayed)
	f.submit(f.sweep("local", "oracle", "", 1))
	claimed := f.claim(10)
	if len(claimed) != 2 {
		t.Fatalf("claimed %q", ids(claimed))
	}
	for _, c := range claimed {
		if ack := f.used(c, 1, 0, api.CostFromReplay); ack.BudgetExceeded != "" {
			t.Errorf("answer to %s is %+v", c.Trial.Agent, ack)
		}
		if tr := f.trial(c.Trial.ID); tr.QueueKey != "local" || tr.CostSource != api.CostFromReplay || tr.CostUSD != nil || *tr.InputTokens != 100 {
			t.Errorf("trial is %+v", tr)
		}
	}
	ack, err := f.Heartbeat(t.Context(), api.Heartbeat{WorkerID: "w", Jobs: []api.JobRef{
		{ID: claimed[0].Trial.ID, Lease: claimed[0].Lease}, {ID: paying.Trial.ID, Lease: paying.Lease},
	}})
	if err != nil || !slices.Equal(ack.DayExceeded, []string{paying.Trial.ID}) {
		t.Errorf("heartbeat says %+v, %v", ack, err)
	}
	if got := f.day().Spent.SpentCalls; got != 1 {
		t.Errorf("%d calls are counted", got)
	}
}

func TestWhatADeletedExperimentUsedTodayIsUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DailyBudget: &api.Budget{Tokens: ptr(int64(110))}})
	f.add("e", "gpt-5", 1)
	c := f.claimOne()
	f.used(c, 1, 0.5, "gateway")
	f.finish(c, api.Finish{Outcome: api.StatusFailed, ErrorType: "BudgetExceeded", ErrorClass: api.ClassPermanent})
	if _, _, err := f.db.DeleteExperiment(t.Context(), c.Trial.ExperimentID); err != nil {
		t.Fatal(err)
	}
	if d := f.day(); !d.Exceeded || d.SpentTokens != 110 {
		t.Errorf("the budget of the day is %+v", d)
	}
}

func TestServersOfADatabaseAgreeAboutTheDay(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	open := func() *store.DB {
		db, err := store.Open(t.Context(), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	db := open()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := Options{DailyBudget: &api.Budget{USD: ptr(1.0)}, Sealer: newSealer(t)}
	one := newFixtureOn(t, db, o)
	o.Now = one.clock.now
	other := New(open(), o)
	one.add("e", "gpt-5", 2)
	one.used(one.claimOne(), 1, 1, "gateway")
	claimed, err := other.Claim(t.Context(), claimOf("w2", 5))
	if err != nil || len(claimed) != 0 {
		t.Errorf("the other server gives %q, %v", ids(claimed), err)
	}
}

func TestWaitingClaimsGoOnAtMidnight(t *testing.T) {
	bubble(t, Options{DailyBudget: &api.Budget{Calls: ptr(int64(1))}}, func(t *testing.T, f *fixture) {
		time.Sleep(time.Until(dayEnd(time.Now())) - 20*time.Second)
		f.add("e", "gpt-5", 2)
		first := f.claimOne()
		if _, err := f.Progress(t.Context(), first.Trial.ID, first.Lease, api.Progress{Events: []api.ProgressEvent{{Seq: 1, At: time.Now(), Usage: usedSoFar(1, 1, 1, 1)}}}); err != nil {
			t.Fatal(err)
		}
		a := <-f.claimLater(t.Context(), "w2", 1, 60)
		if a.err != nil || len(a.claimed) != 1 || a.after != 20*time.Second {
			t.Errorf("claimed %q after %s, %v", ids(a.claimed), a.after, a.err)
		}
	})
}

func TestModelsOfAnAttemptAreKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 1)
	c := f.claimOne()
	models := []api.ModelUsage{{Provider: "openai", Model: "gpt-5", ModelCalls: 2, InputTokens: ptr(int64(7)), Price: &api.ModelPrice{Model: "openai/gpt-5", Input: 1.25, Output: 10}}}
	f.finish(c, api.Finish{Outcome: api.StatusSuccess, UsageDetails: api.UsageDetails{ModelCalls: ptr(int64(2)), Models: models}})
	got := f.trial(c.Trial.ID).Models
	if len(got) != 1 || got[0].Model != "gpt-5" || *got[0].InputTokens != 7 || got[0].OutputTokens != nil || got[0].Price.Output != 10 {
		t.Errorf("models are %+v", got)
	}
}

package queue

import (
	"slices"
	"strings"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/predicate"
)

// timedOut is a result with an error.
func timedOut(reward float64) api.Finish {
	report := success(reward)
	report.ErrorType, report.ErrorClass = "AgentTimeoutError", api.ClassResult
	return report
}

func parsed(t *testing.T, text string) predicate.Query {
	t.Helper()
	q, err := predicate.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func (f *fixture) retry(filter RetryFilter) RetryResult {
	f.t.Helper()
	result, err := f.RetryMany(f.t.Context(), filter)
	if err != nil {
		f.t.Fatal(err)
	}
	return result
}

// endings adds one trial for each way to end, and one that is queued, to an experiment, and returns their ids by that.
func (f *fixture) endings(experiment string) map[string]string {
	f.t.Helper()
	byEnd := map[string]string{}
	for _, e := range []struct {
		name   string
		report api.Finish
	}{
		{"good", success(1)},
		{"poor", success(0)},
		{"timeout", timedOut(0.5)},
		{"broken", failure(api.ClassPermanent)},
		{"sandbox", api.Finish{Outcome: api.StatusFailed, ErrorType: "SandboxStartError", ErrorClass: api.ClassPermanent}},
	} {
		byEnd[e.name] = f.add(experiment, "gpt-5", 1)[0]
		f.finish(f.claimOne(), e.report)
	}
	byEnd["cancelled"] = f.add(experiment, "gpt-5", 1)[0]
	f.cancel(CancelFilter{TrialIDs: []string{byEnd["cancelled"]}})
	byEnd["queued"] = f.add(experiment, "gpt-5", 1)[0]
	return byEnd
}

func TestARetryByQueryNeverTouchesAGoodResult(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		query string
		want  []string
	}{
		{"experiment:x", []string{"broken", "cancelled", "sandbox"}},
		{"experiment:x status:failed error:SandboxStart*", []string{"sandbox"}},
		{"experiment:x status:failed", []string{"broken", "sandbox"}},
		{"experiment:x status:cancelled", []string{"cancelled"}},
		{"experiment:x status:success", nil},
		{"experiment:x error:AgentTimeoutError", []string{"timeout"}},
		{"experiment:x reward:<1", []string{"timeout"}},
		{"experiment:x class:result", []string{"timeout"}},
		{"experiment:x error:any", []string{"broken", "sandbox", "timeout"}},
		{"experiment:x error:none", []string{"cancelled"}},
		{"experiment:y", nil},
	} {
		t.Run(tc.query, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			byEnd := f.endings("x")
			var want []string
			for _, end := range tc.want {
				want = append(want, byEnd[end])
			}
			slices.Sort(want)
			q := parsed(t, tc.query)
			plan := f.retry(RetryFilter{Query: q, DryRun: true})
			if plan.Retried != len(want) || f.trial(byEnd["broken"]).Status != api.StatusFailed {
				t.Errorf("a dry run gives %+v and must change nothing", plan)
			}
			got := f.retry(RetryFilter{Query: q})
			if !slices.Equal(got.TrialIDs, want) && len(want)+len(got.TrialIDs) > 0 {
				t.Errorf("retried %v, want %v", got.TrialIDs, tc.want)
			}
			if got.Retried != plan.Retried || got.Matched != plan.Matched || len(got.Skipped) != len(plan.Skipped) || got.Matched != got.Retried+len(got.Skipped) {
				t.Errorf("planned %+v, did %+v", plan, got)
			}
			for end, id := range byEnd {
				if wanted := slices.Contains(tc.want, end); wanted != (f.trial(id).Status == api.StatusQueued) && end != "queued" {
					t.Errorf("the one that ended by %s is %s", end, f.trial(id).Status)
				}
			}
			if again := f.retry(RetryFilter{Query: q}); again.Retried != 0 {
				t.Errorf("retrying again queues %d more", again.Retried)
			}
			checkTallies(t, f.db)
		})
	}
}

func TestARetrySaysWhyATrialIsLeftOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	byEnd := f.endings("x")
	ids := []string{"nothing-0"}
	for _, id := range byEnd {
		ids = append(ids, id, id) // naming one twice is harmless
	}
	got := f.retry(RetryFilter{TrialIDs: ids})
	if got.Retried != 4 || got.Matched != 7 {
		t.Errorf("retried %d of %d, want the 4 that did not end well or are named, of 7", got.Retried, got.Matched)
	}
	if want := map[string]int{"SomeError": 1, "SandboxStartError": 1, "AgentTimeoutError": 1, "": 1}; len(got.Errors) != len(want) || got.Errors["SomeError"] != 1 || got.Errors[""] != 1 {
		t.Errorf("by error: %v, want %v", got.Errors, want)
	}
	reasons := map[string]string{}
	for _, s := range got.Skipped {
		reasons[s.TrialID] = s.Reason
	}
	for id, want := range map[string]string{
		"nothing-0": "no such trial", byEnd["good"]: "good result", byEnd["poor"]: "good result", byEnd["queued"]: "it is queued",
	} {
		if !strings.Contains(reasons[id], want) {
			t.Errorf("%s is skipped for %q, want %q", id, reasons[id], want)
		}
	}
	if e, err := f.db.Experiment(t.Context(), "x"); err != nil || !slices.Equal(got.Experiments, []string{e.ID}) {
		t.Errorf("experiments are %v, %v", got.Experiments, err)
	}
}

func TestATrialWithWipedSecretsIsLeftOutOfARetry(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("x", "codex", "gpt-5", 1)
	s.Sweep.Configs[0].AgentConfig = &api.AgentConfig{Env: map[string]string{"TOKEN": "hush"}}
	f.submit(s)
	f.finish(f.claimOne(), failure(api.ClassPermanent))
	got := f.retry(RetryFilter{Query: parsed(t, "experiment:x status:failed")})
	if got.Retried != 0 || len(got.Skipped) != 1 || !strings.Contains(got.Skipped[0].Reason, "wiped") {
		t.Errorf("result is %+v", got)
	}
}

func TestAnEmptyRetryIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.endings("x")
	if got, err := f.RetryMany(t.Context(), RetryFilter{}); err == nil || got.Retried != 0 {
		t.Errorf("it retried %+v", got)
	}
	if got := f.retry(RetryFilter{TrialIDs: []string{}}); got.Retried != 0 || got.Matched != 0 {
		t.Errorf("no trials: %+v", got)
	}
}

func TestAGreatRetryGoesInChunksAndKeepsToTheFairOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 5000})
	const n = retryChunk + 7
	f.add("great", "gpt-5", n)
	for range n {
		f.finish(f.claimOne(), failure(api.ClassPermanent))
	}
	got := f.retry(RetryFilter{Query: parsed(t, "experiment:great error:SomeError")})
	if got.Retried != n || got.Errors["SomeError"] != n || len(got.TrialIDs) != n {
		t.Errorf("retried %d, listed %d, by error %v; want %d", got.Retried, len(got.TrialIDs), got.Errors, n)
	}
	checkTallies(t, f.db)
	late := f.add("late", "gpt-5", 1)[0]
	if first := ids(f.claim(3)); !slices.Contains(first, late) {
		t.Errorf("an experiment that comes later waits behind the whole retry: %v are claimed", first)
	}
}

func TestOldRunsAreKeptByARetryOfMany(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("x", "gpt-5", 1)[0]
	f.finish(f.claimOne(), failure(api.ClassPermanent))
	before, err := f.db.Attempts(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Minute)
	f.retry(RetryFilter{Query: parsed(t, "trial:"+id)})
	f.succeed(f.claimOne(), 1)
	after, err := f.db.Attempts(t.Context(), id)
	if err != nil || len(after) != 2 || after[0].TrialDir != before[0].TrialDir || after[0].ErrorType != "SomeError" || after[1].TrialDir == after[0].TrialDir {
		t.Errorf("attempts are %+v, %v", after, err)
	}
	events, err := f.db.Events(t.Context(), f.trial(id).ExperimentID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	if want := []string{"queued", "running", "finished", "queued", "running", "finished"}; !slices.Equal(kinds, want) {
		t.Errorf("events are %v, want %v", kinds, want)
	}
}

func TestCancelByQueryStopsWhatMatchesAndNothingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 1})
	byEnd := f.endings("x")
	running := f.claimOne().Trial.ID
	waiting := f.add("x", "gpt-5", 2)
	other := f.add("y", "gpt-5", 1)[0]
	if got, err := f.Cancellable(t.Context(), parsed(t, "experiment:x")); err != nil || got.Trials != 3 || got.Running != 1 {
		t.Errorf("to cancel: %+v, %v; want 3, 1 of them running", got, err)
	}
	if got := f.cancel(CancelFilter{Query: parsed(t, "experiment:x status:queued")}); got.Trials != 2 || got.Running != 0 {
		t.Errorf("cancelled %+v, want the 2 that were queued", got)
	}
	f.wantStatus(running, api.StatusRunning)
	f.wantStatus(waiting[0], api.StatusCancelled)
	f.wantStatus(other, api.StatusQueued)
	f.wantStatus(byEnd["good"], api.StatusSuccess)
	if got := f.cancel(CancelFilter{Query: parsed(t, "experiment:x")}); got.Trials != 1 || got.Running != 1 {
		t.Errorf("cancelled %+v, want the running one", got)
	}
	if got := f.cancel(CancelFilter{Query: parsed(t, "experiment:x")}); got.Trials != 0 {
		t.Errorf("cancelling again gives %+v", got)
	}
	if _, err := f.Cancel(t.Context(), CancelFilter{Query: parsed(t, "experiment:x"), TrialIDs: []string{other}}); err == nil {
		t.Error("a query together with ids was accepted")
	}
	checkTallies(t, f.db)
}

package queue

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"oddish/api"
)

// topUp submits n trials of codex with a model to the experiment e, counting those that are there.
func (f *fixture) topUp(model string, n int, change ...func(*Submission)) SubmitResult {
	f.t.Helper()
	s := f.sweep("e", "codex", model, n)
	s.TopUp = true
	for _, c := range change {
		c(&s)
	}
	return f.submit(s)
}

// ids gives the ids of trials of the task by index.
func (f *fixture) ids(indexes ...int) []string {
	var list []string
	for _, i := range indexes {
		list = append(list, fmt.Sprintf("%s-%d", f.task.ID, i))
	}
	return list
}

func (f *fixture) wantResult(r SubmitResult, existing, retried, made []string) {
	f.t.Helper()
	if !slices.Equal(r.Existing, existing) || !slices.Equal(r.Retried, retried) || !slices.Equal(r.TrialIDs, made) {
		f.t.Errorf("existing %q, retried %q, made %q; want %q, %q, %q", r.Existing, r.Retried, r.TrialIDs, existing, retried, made)
	}
	checkTallies(f.t, f.db)
}

func TestASweepThatIsSubmittedAgainMakesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	first := f.topUp("gpt-5", 3)
	f.wantResult(first, nil, nil, f.ids(0, 1, 2))
	again := f.topUp("gpt-5", 3)
	f.wantResult(again, f.ids(0, 1, 2), nil, nil)
	if again.Experiment.ID != first.Experiment.ID {
		t.Error("it went to another experiment")
	}
	f.wantResult(f.topUp("gpt-5", 2), f.ids(0, 1), nil, nil)
	f.wantResult(f.topUp("gpt-5", 5), f.ids(0, 1, 2), nil, f.ids(3, 4))
}

// Harbor test list #46
func TestOnlyTrialsThatWaitRunOrSucceededCount(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 20})
	f.topUp("gpt-5", 7)
	c := f.claim(5) // 5 and 6 stay queued
	f.succeed(c[0], 0)
	f.finish(c[1], failure(api.ClassPermanent))
	f.finish(c[2], failure(api.ClassInfrastructure)) // waits for its retry
	f.cancel(CancelFilter{TrialIDs: f.ids(5)})
	f.finish(c[3], failure(api.ClassPermanent))
	// 0 succeeded, 1 and 3 failed, 2 is retrying, 4 runs, 5 was cancelled, 6 is queued.
	f.wantResult(f.topUp("gpt-5", 5), f.ids(0, 2, 4, 6), f.ids(1), nil)
	f.wantStatus(f.ids(1)[0], api.StatusQueued)
	f.wantStatus(f.ids(3)[0], api.StatusFailed)
	f.wantResult(f.topUp("gpt-5", 9), f.ids(0, 1, 2, 4, 6), f.ids(3, 5), f.ids(7, 8))
}

func TestATrialThatWasToldToStopIsReplaced(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.topUp("gpt-5", 1)
	c := f.claimOne()
	f.cancel(CancelFilter{TrialIDs: f.ids(0)})
	f.wantResult(f.topUp("gpt-5", 1), nil, nil, f.ids(1))
	f.finish(c, api.Finish{Outcome: api.StatusCancelled})
	f.wantResult(f.topUp("gpt-5", 2), f.ids(1), f.ids(0), nil)
}

// Harbor test list #46
func TestTrialsThatDifferAreNotCounted(t *testing.T) {
	t.Parallel()
	config := func(s *Submission) *api.SweepConfig { return &s.Sweep.Configs[0] }
	for name, change := range map[string]func(f *fixture, s *Submission){
		"another model":   func(_ *fixture, s *Submission) { config(s).Model = ptr("gpt-5-mini") },
		"another agent":   func(_ *fixture, s *Submission) { config(s).Agent = "claude-code" },
		"another sandbox": func(_ *fixture, s *Submission) { s.Environment = "docker" },
		"another option": func(_ *fixture, s *Submission) {
			config(s).AgentConfig = &api.AgentConfig{Kwargs: map[string]any{"effort": "high"}}
		},
		"another environment variable": func(_ *fixture, s *Submission) {
			config(s).AgentConfig = &api.AgentConfig{Env: map[string]string{"KEY": "x"}}
		},
		"other resources": func(_ *fixture, s *Submission) {
			s.Sweep.Harbor = &api.HarborConfig{Environment: &api.EnvironmentConfig{OverrideCPUs: ptr(2)}}
		},
		"another experiment": func(_ *fixture, s *Submission) { s.Sweep.ExperimentID = ptr("other") },
		"no experiment":      func(_ *fixture, s *Submission) { s.Sweep.ExperimentID = nil },
		"another version": func(f *fixture, s *Submission) {
			var err error
			s.Task, s.Version, err = f.db.AddVersion(f.t.Context(), s.Task.ID, s.Task.Name, "newer", "", func(int) string { return "tasks/newer" })
			if err != nil {
				f.t.Fatal(err)
			}
		},
		"again": func(_ *fixture, s *Submission) { s.TopUp = false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			f.topUp("gpt-5", 2)
			got := f.topUp("gpt-5", 2, func(s *Submission) { change(f, s) })
			f.wantResult(got, nil, nil, f.ids(2, 3))
		})
	}
}

func TestTheSameModelInAnotherSpellingCounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.topUp("gpt-5", 2)
	f.wantResult(f.topUp(" GPT-5 ", 2), f.ids(0, 1), nil, nil)
}

func TestEqualConfigsOfOneSweepAddUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	twice := func(s *Submission) {
		other := s.Sweep.Configs[0]
		other.Agent = "claude-code"
		s.Sweep.Configs = append(s.Sweep.Configs, other, s.Sweep.Configs[0])
	}
	f.wantResult(f.topUp("gpt-5", 2, twice), nil, nil, f.ids(0, 1, 2, 3, 4, 5))
	f.wantResult(f.topUp("gpt-5", 2, twice), f.ids(0, 1, 2, 3, 4, 5), nil, nil)
	f.wantResult(f.topUp("gpt-5", 5), f.ids(0, 1, 4, 5), nil, f.ids(6))
}

func TestATrialIsTriedAgainAsTheNewSubmissionSays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	submit := func(secret string, change func(*api.Sweep)) SubmitResult {
		t.Helper()
		return f.topUp("gpt-5", 1, func(s *Submission) {
			s.Sweep.Configs[0].AgentConfig = &api.AgentConfig{Env: map[string]string{"KEY": secret}}
			change(&s.Sweep)
		})
	}
	submit("old secret", func(*api.Sweep) {})
	f.finish(f.claimOne(), failure(api.ClassPermanent))
	if sealed := sealedOf(t, f.db, f.ids(0)[0]); sealed != nil {
		t.Fatal("the secrets of the failed trial are still there")
	}
	f.add("e", "gpt-5", 1) // before it in the queue, but for its new priority
	f.wantResult(submit("new secret", func(s *api.Sweep) { s.Priority, s.MaxAttempts = api.PriorityHigh, ptr(1) }), nil, f.ids(0), nil)
	c := f.claimOne()
	if c.Trial.ID != f.ids(0)[0] || c.Attempt != 2 || c.Trial.AgentConfig.Env["KEY"] != "new secret" {
		t.Fatalf("claimed attempt %d of %s with %v", c.Attempt, c.Trial.ID, c.Trial.AgentConfig.Env)
	}
	f.finish(c, failure(api.ClassInfrastructure))
	f.wantStatus(c.Trial.ID, api.StatusFailed) // its only attempt
	if n := len(f.attempts(c.Trial.ID)); n != 2 {
		t.Errorf("%d attempts are kept, want 2", n)
	}
}

func TestSecretsOfConfigsThatAreOtherwiseEqualStayApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	two := func(s *Submission) {
		s.Sweep.Configs = append(s.Sweep.Configs, s.Sweep.Configs[0])
		for i := range s.Sweep.Configs {
			s.Sweep.Configs[i].AgentConfig = &api.AgentConfig{Env: map[string]string{"KEY": fmt.Sprint("secret ", i)}}
		}
	}
	f.topUp("gpt-5", 1, two)
	f.cancel(CancelFilter{TaskIDs: []string{f.task.ID}})
	f.wantResult(f.topUp("gpt-5", 1, two), nil, f.ids(0, 1), nil)
	for i, c := range f.claim(2) {
		if got := c.Trial.AgentConfig.Env["KEY"]; got != fmt.Sprint("secret ", i) {
			t.Errorf("trial %s has %q", c.Trial.ID, got)
		}
	}
}

func TestConcurrentToppingUpMakesTheTotalOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.topUp("gpt-5", 6)
	f.cancel(CancelFilter{TrialIDs: f.ids(1, 3)})
	var mu sync.Mutex
	var retried, made []string
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			s := f.sweep("e", "codex", "gpt-5", 10)
			s.TopUp = true
			r, err := f.Submit(t.Context(), s)
			if err != nil {
				t.Error(err)
				return
			}
			if n := len(r.Existing) + len(r.Retried) + len(r.TrialIDs); n != 10 {
				t.Errorf("it tells of %d trials, want 10", n)
			}
			mu.Lock()
			defer mu.Unlock()
			retried, made = append(retried, r.Retried...), append(made, r.TrialIDs...)
		})
	}
	group.Wait()
	slices.Sort(made)
	if !slices.Equal(retried, f.ids(1, 3)) || !slices.Equal(made, f.ids(6, 7, 8, 9)) {
		t.Errorf("tried again %q, made %q", retried, made)
	}
	checkTallies(t, f.db)
}

func TestMoreTrialsThanAStatementLocksAreTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	const n = lockChunk + 7
	f.topUp("gpt-5", n)
	f.cancel(CancelFilter{TaskIDs: []string{f.task.ID}})
	if r := f.topUp("gpt-5", n); len(r.Retried) != n || r.Existing != nil || r.TrialIDs != nil {
		t.Errorf("%d are tried again, %d exist, %d are made", len(r.Retried), len(r.Existing), len(r.TrialIDs))
	}
	f.wantClaimed(3, f.ids(0, 1, 2)...) // in order of their indexes
	checkTallies(t, f.db)
}

func TestATrialIsTriedAgainOnceHoweverItIsAskedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.topUp("gpt-5", 1)
	f.cancel(CancelFilter{TaskIDs: []string{f.task.ID}})
	var retry error
	var group sync.WaitGroup
	group.Go(func() { retry = f.Retry(t.Context(), f.ids(0)[0]) })
	s := f.sweep("e", "codex", "gpt-5", 1)
	s.TopUp = true
	r, err := f.Submit(t.Context(), s)
	group.Wait()
	if err != nil || r.TrialIDs != nil {
		t.Fatalf("made %q, %v", r.TrialIDs, err)
	}
	if (retry == nil) == (len(r.Retried) == 1) {
		t.Errorf("retry: %v; topping up tried %q again", retry, r.Retried)
	}
	if n := f.count("SELECT COUNT(*) FROM events WHERE kind = 'queued'"); n != 2 {
		t.Errorf("it was queued %d times, want 2", n)
	}
	checkTallies(t, f.db)
}

func TestWhatIsAddedToAPausedExperimentWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	e := f.topUp("gpt-5", 2).Experiment
	f.cancel(CancelFilter{TrialIDs: f.ids(1)})
	if err := f.PauseExperiment(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	f.wantResult(f.topUp("gpt-5", 3), f.ids(0), f.ids(1), f.ids(2))
	f.claimNone()
	if err := f.ResumeExperiment(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	if claimed := f.claim(5); len(claimed) != 3 {
		t.Errorf("claimed %q", ids(claimed))
	}
}

// attempts gives the numbers of a trial's runs.
func (f *fixture) attempts(trialID string) []int {
	f.t.Helper()
	rows, err := f.db.Read().QueryContext(f.t.Context(), "SELECT attempt FROM attempts WHERE trial_id = $1 ORDER BY attempt", trialID)
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close()
	var list []int
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			f.t.Fatal(err)
		}
		list = append(list, n)
	}
	return list
}

package queue

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"oddish/api"
)

func TestSuccessMeansRanToTheEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	c := f.claimOne()
	started := f.clock.now()
	f.clock.advance(90 * time.Second)
	phase := api.Phase{StartedAt: started, FinishedAt: f.clock.now(), DurationSec: 90}
	ack := f.finish(c, api.Finish{
		Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": 0.25, "style": 1}, ErrorType: "AgentTimeoutError",
		ErrorClass: api.ClassResult, Phases: map[string]api.Phase{"agent_execution": phase},
		InputTokens: ptr(int64(10)), OutputTokens: ptr(int64(0)), CostUSD: ptr(0.5), HasTrajectory: true,
	})
	if ack.Status != api.StatusSuccess || ack.RetryAt != nil {
		t.Errorf("answer is %+v", ack)
	}
	tr := f.trial(id)
	if tr.Status != api.StatusSuccess || *tr.Reward != 0.25 || tr.Rewards["style"] != 1 || tr.ErrorType != "AgentTimeoutError" || tr.Stage != api.StageCompleted {
		t.Errorf("trial is %+v", tr)
	}
	if *tr.InputTokens != 10 || *tr.OutputTokens != 0 || tr.CacheTokens != nil || *tr.CostUSD != 0.5 || !tr.HasTrajectory {
		t.Errorf("usage is %+v: unknown and 0 must differ", tr)
	}
	if !tr.StartedAt.Equal(started) || !tr.FinishedAt.Equal(f.clock.now()) || !reflect.DeepEqual(tr.Phases["agent_execution"], phase) || tr.WorkerID != "" {
		t.Errorf("times are %v, %v, %+v", tr.StartedAt, tr.FinishedAt, tr.Phases)
	}
	checkTallies(t, f.db)
}

func TestMainReward(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		rewards map[string]float64
		want    *float64
	}{
		{"none is unknown", nil, nil},
		{"zero is known", map[string]float64{"reward": 0}, ptr(0.0)},
		{"the only one counts", map[string]float64{"score": 0.5}, ptr(0.5)},
		{"of several the one called reward counts", map[string]float64{"a": 1, "reward": 0.5}, ptr(0.5)},
		{"several without a reward are unknown", map[string]float64{"a": 1, "b": 0.5}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := mainReward(tt.rewards); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("reward of %v is %v, want %v", tt.rewards, got, tt.want)
			}
		})
	}
}

// Harbor test list #44
func TestFailuresAreRetriedByTheirClass(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		class    api.ErrorClass
		after    *float64
		status   api.Status
		min, max time.Duration
	}{
		{"a result is never retried", api.ClassResult, nil, api.StatusFailed, 0, 0},
		{"a permanent error is never retried", api.ClassPermanent, nil, api.StatusFailed, 0, 0},
		{"infrastructure is retried after about 10 s", api.ClassInfrastructure, nil, api.StatusRetrying, 7500 * time.Millisecond, 12500 * time.Millisecond},
		{"an error without a class counts as infrastructure", "", nil, api.StatusRetrying, 7500 * time.Millisecond, 12500 * time.Millisecond},
		{"a rate limit waits a minute", api.ClassRateLimit, nil, api.StatusRetrying, 60 * time.Second, 75 * time.Second},
		{"a rate limit waits as long as the provider asks", api.ClassRateLimit, ptr(300.0), api.StatusRetrying, 300 * time.Second, 375 * time.Second},
		{"a nonsensical wish is not heeded", api.ClassRateLimit, ptr(-5.0), api.StatusRetrying, 60 * time.Second, 75 * time.Second},
		{"nobody waits for ever", api.ClassRateLimit, ptr(1e12), api.StatusRetrying, 24 * time.Hour, 30 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			id := f.add("e", "gpt-5", 1)[0]
			report := failure(tt.class)
			report.RetryAfterSec = tt.after
			ack := f.finish(f.claimOne(), report)
			f.wantStatus(id, tt.status)
			if ack.Status != tt.status {
				t.Errorf("answer is %+v", ack)
			}
			if tt.status == api.StatusFailed {
				f.clock.advance(48 * time.Hour)
				f.claimNone()
				return
			}
			delay := ack.RetryAt.Sub(f.clock.now())
			if delay < tt.min-time.Millisecond || delay > tt.max || !f.trial(id).AvailableAt.Equal(*ack.RetryAt) {
				t.Errorf("retried after %v, want %v to %v", delay, tt.min, tt.max)
			}
			f.clock.advance(delay - time.Millisecond)
			f.claimNone()
			f.clock.advance(time.Millisecond)
			if c := f.claimOne(); c.Attempt != 2 || c.Trial.ErrorType != "" || c.Trial.AvailableAt != nil {
				t.Errorf("claimed %+v", c)
			}
			checkTallies(t, f.db)
		})
	}
}

func TestBackoffDoublesUpToItsCap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		class    api.ErrorClass
		failures int
		want     time.Duration // without jitter
	}{
		{api.ClassInfrastructure, 0, 10 * time.Second},
		{api.ClassInfrastructure, 1, 20 * time.Second},
		{api.ClassInfrastructure, 5, 320 * time.Second},
		{api.ClassInfrastructure, 7, 15 * time.Minute},
		{api.ClassInfrastructure, 1000, 15 * time.Minute},
		{api.ClassRateLimit, 0, time.Minute},
		{api.ClassRateLimit, 2, 4 * time.Minute},
		{api.ClassRateLimit, 9, 15 * time.Minute},
	}
	for _, tt := range tests {
		neutral := 0.5 // infrastructure spreads both ways, rate limits only upwards
		if tt.class == api.ClassRateLimit {
			neutral = 0
		}
		if got := retryDelay(tt.failures, &api.Finish{ErrorClass: tt.class}, neutral); got != tt.want {
			t.Errorf("%s after %d failures waits %v, want %v", tt.class, tt.failures, got, tt.want)
		}
	}
}

func TestTheBudgetEndsRetries(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("e", "codex", "gpt-5", 1)
	s.Sweep.MaxAttempts = ptr(2)
	id := f.submit(s).TrialIDs[0]
	f.finish(f.claimOne(), failure(api.ClassInfrastructure))
	f.clock.advance(time.Hour)
	if ack := f.finish(f.claimOne(), failure(api.ClassInfrastructure)); ack.Status != api.StatusFailed {
		t.Errorf("after 2 of 2 attempts: %+v", ack)
	}
	if tr := f.trial(id); tr.Attempt != 2 || tr.ErrorMessage != "it broke" || tr.FinishedAt == nil {
		t.Errorf("trial is %+v", tr)
	}
}

func TestEveryAttemptIsKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	first := f.claimOne()
	f.finish(first, failure(api.ClassInfrastructure))
	if tr := f.trial(id); tr.Status != api.StatusRetrying || tr.ErrorType != "SomeError" || tr.TrialDir != first.Trial.TrialDir {
		t.Errorf("while it waits the trial is %+v", tr)
	}
	f.clock.advance(time.Minute)
	second := f.claimOne()
	if tr := f.trial(id); tr.ErrorType != "" || tr.TrialDir != second.Trial.TrialDir {
		t.Errorf("while it runs again the trial is %+v", tr)
	}
	f.succeed(second, 1)
	attempts, err := f.db.Attempts(t.Context(), id)
	if err != nil || len(attempts) != 2 {
		t.Fatalf("attempts are %+v, %v", attempts, err)
	}
	a, b := attempts[0], attempts[1]
	if a.Outcome != api.StatusRetrying || a.ErrorType != "SomeError" || a.ErrorClass != api.ClassInfrastructure || a.TrialDir != first.Trial.TrialDir || a.FinishedAt == nil {
		t.Errorf("first attempt is %+v", a)
	}
	if b.Outcome != api.StatusSuccess || b.ErrorType != "" || b.TrialDir == a.TrialDir || b.Rewards["reward"] != 1 {
		t.Errorf("second attempt is %+v", b)
	}
}

func TestFinishIsIdempotent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 1)
	c := f.claimOne()
	report := failure(api.ClassInfrastructure)
	ack := f.finish(c, report)
	events := len(f.events("e"))
	if again := f.finish(c, report); !reflect.DeepEqual(again, ack) {
		t.Errorf("the second answer is %+v, the first was %+v", again, ack)
	}
	other := failure(api.ClassPermanent)
	if _, err := f.Finish(t.Context(), c.Trial.ID, c.Lease, other); !errors.Is(err, ErrStale) {
		t.Errorf("another report under the same lease: %v, want ErrStale", err)
	}
	f.wantStatus(c.Trial.ID, api.StatusRetrying)
	// Also while the next attempt runs, and after it.
	f.clock.advance(time.Minute)
	next := f.claimOne()
	if again := f.finish(c, report); !reflect.DeepEqual(again, ack) {
		t.Errorf("during the next attempt the answer is %+v", again)
	}
	f.succeed(next, 1)
	if again := f.finish(c, report); !reflect.DeepEqual(again, ack) {
		t.Errorf("after the next attempt the answer is %+v", again)
	}
	f.wantStatus(c.Trial.ID, api.StatusSuccess)
	if n := len(f.events("e")); n != events+2 {
		t.Errorf("%d events were added, want 2 (running, finished)", n-events)
	}
	checkTallies(t, f.db)
}

func TestFinishRefusesAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 1)
	c := f.claimOne()
	if _, err := f.Finish(t.Context(), c.Trial.ID, c.Lease, api.Finish{Outcome: api.StatusRunning}); err == nil || errors.Is(err, ErrStale) {
		t.Errorf("the error is %v", err)
	}
	f.wantStatus(c.Trial.ID, api.StatusRunning)
}

func TestARunThatIsGivenBackUsesUpNoAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("e", "codex", "gpt-5", 1)
	s.Sweep.MaxAttempts = ptr(1)
	id := f.submit(s).TrialIDs[0]
	if ack := f.finish(f.claimOne(), api.Finish{Outcome: api.StatusCancelled}); ack.Status != api.StatusRetrying {
		t.Errorf("answer is %+v", ack)
	}
	c := f.claimOne()
	if c.Attempt != 2 {
		t.Errorf("attempt is %d, want 2", c.Attempt)
	}
	f.succeed(c, 1)
	f.wantStatus(id, api.StatusSuccess)
}

// events are those of the experiment with that name.
func (f *fixture) events(experiment string) []api.Event {
	f.t.Helper()
	e, err := f.db.Experiment(f.t.Context(), experiment)
	if err != nil {
		f.t.Fatal(err)
	}
	events, err := f.db.Events(f.t.Context(), e.ID, 0, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return events
}

func TestASuccessNeedsNoReward(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	if ack := f.finish(f.claimOne(), api.Finish{Outcome: api.StatusSuccess}); ack.Status != api.StatusSuccess {
		t.Errorf("answer is %+v", ack)
	}
	if tr := f.trial(id); tr.Reward != nil || tr.Rewards != nil {
		t.Errorf("a trial that was not verified has reward %v", tr.Reward)
	}
	checkTallies(t, f.db)
}

func TestAClaimWhoseWorkerWentAwayIsGivenBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	if err := f.giveBack(t.Context(), f.claim(1)); err != nil {
		t.Fatal(err)
	}
	f.wantStatus(id, api.StatusRetrying)
	if c := f.claimOne(); c.Attempt != 2 {
		t.Errorf("attempt is %d, want 2", c.Attempt)
	}
}

func TestAnErrorMessageMayHoldAnyBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	report := failure(api.ClassPermanent)
	report.ErrorMessage = "exit status 1: \x00\xff end"
	f.finish(f.claimOne(), report)
	if got := f.trial(id).ErrorMessage; got != "exit status 1: \uFFFD\uFFFD end" {
		t.Errorf("stored as %q", got)
	}
}

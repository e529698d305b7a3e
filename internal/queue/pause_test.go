package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

func (f *fixture) experimentID(name string) string {
	f.t.Helper()
	e, err := f.db.Experiment(f.t.Context(), name)
	if err != nil {
		f.t.Fatal(err)
	}
	return e.ID
}

func (f *fixture) pauseExperiment(name string) {
	f.t.Helper()
	if err := f.PauseExperiment(f.t.Context(), f.experimentID(name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) resumeExperiment(name string) {
	f.t.Helper()
	if err := f.ResumeExperiment(f.t.Context(), f.experimentID(name)); err != nil {
		f.t.Fatal(err)
	}
}

func TestAPausedExperimentStartsNothingAndOthersDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 20})
	f.add("a", "gpt-5", 6)
	running := f.claim(2)
	other := f.add("b", "gpt-5", 1)
	f.pauseExperiment("a")
	f.pauseExperiment("a") // harmless
	f.wantClaimed(20, other...)
	f.add("a", "gpt-5", 1) // held from the beginning
	f.succeed(running[0], 1)
	f.claimNone()
	k, _ := f.key("gpt-5")
	if k.Queued != 5 || k.Held != 5 || k.Running != 2 || k.Oldest != nil {
		t.Errorf("key is %+v", k)
	}
	e, err := f.db.ExperimentSummary(t.Context(), f.experimentID("a"))
	if err != nil || !e.Paused || e.Counts.Queued != 5 || e.Counts.Running != 1 {
		t.Errorf("experiment is %+v, %v", e, err)
	}
	checkInvariants(t, f.db)
	wake := f.hub.claimable()
	f.resumeExperiment("a")
	select {
	case <-wake:
	default:
		t.Error("nobody was woken")
	}
	if n := len(f.claim(20)); n != 5 {
		t.Errorf("%d were started after the pause, want 5", n)
	}
	checkInvariants(t, f.db)
}

func TestWhatComesBackToAPausedExperimentIsHeld(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end   func(f *fixture, c Claimed)
		state api.Status
	}{
		"a failure":         {func(f *fixture, c Claimed) { f.finish(c, failure(api.ClassInfrastructure)) }, api.StatusRetrying},
		"a run handed back": {func(f *fixture, c Claimed) { f.finish(c, api.Finish{Outcome: api.StatusCancelled}) }, api.StatusRetrying},
		"a lost worker":     {func(f *fixture, _ Claimed) { f.clock.advance(time.Hour); f.reap() }, api.StatusRetrying},
		"a retry by hand": {func(f *fixture, c Claimed) {
			f.finish(c, failure(api.ClassPermanent))
			if err := f.Retry(f.t.Context(), c.Trial.ID); err != nil {
				f.t.Fatal(err)
			}
		}, api.StatusQueued},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			f.add("e", "gpt-5", 1)
			c := f.claimOne()
			f.pauseExperiment("e")
			tc.end(f, c)
			f.wantStatus(c.Trial.ID, tc.state)
			checkInvariants(t, f.db)
			f.clock.advance(time.Hour)
			f.reap()
			f.claimNone()
			if due, err := f.nextDue(t.Context()); due != nil || err != nil {
				t.Errorf("the queue is due at %v, %v", due, err)
			}
			f.resumeExperiment("e")
			f.claimOne()
		})
	}
}

func TestARetryThatIsNotDueStillWaitsAfterAPause(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 1)
	f.finish(f.claimOne(), failure(api.ClassInfrastructure))
	f.pauseExperiment("e")
	checkInvariants(t, f.db)
	f.resumeExperiment("e")
	f.claimNone()
	f.clock.advance(time.Minute)
	f.claimOne()
}

func TestHeldTrialsCanBeCancelled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	ids := f.add("e", "gpt-5", 3)
	f.pauseExperiment("e")
	got, err := f.Cancel(t.Context(), CancelFilter{ExperimentID: f.experimentID("e")})
	if err != nil || got.Trials != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, id := range ids {
		f.wantStatus(id, api.StatusCancelled)
	}
	checkInvariants(t, f.db)
	checkTallies(t, f.db)
}

func TestAnExperimentThatIsNotThereCannotBePaused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	for _, act := range []func(context.Context, string) error{f.PauseExperiment, f.ResumeExperiment} {
		if err := act(t.Context(), "00000000"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
}

func TestAPauseThatWasLeftHalfDoneIsFinished(t *testing.T) {
	t.Parallel()
	for _, paused := range []bool{true, false} {
		t.Run(fmt.Sprint("paused ", paused), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			f.add("e", "gpt-5", 3)
			if !paused {
				f.pauseExperiment("e")
			}
			// What a server leaves that dies after its first step.
			err := f.record(t.Context(), func(l *ledger) error {
				_, err := l.tx.ExecContext(t.Context(), "UPDATE experiments SET paused = $1", store.Flag(paused))
				return err
			})
			if err == nil {
				err = f.finishPauses(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			checkInvariants(t, f.db)
			if n := len(f.claim(5)); n != 3*store.Flag(!paused) {
				t.Errorf("%d were started", n)
			}
		})
	}
}

// Pauses, resumes, claims, ends and submissions at once: the last word counts, and nothing is started after a pause has answered.
func TestPausesHoldAgainstEverythingAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 1000})
	f.add("e", "gpt-5", 20)
	id := f.experimentID("e")
	rounds := 15
	if raceDetector {
		rounds = 5
	}
	for round := range rounds {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for _, act := range []func(context.Context, string) error{f.PauseExperiment, f.ResumeExperiment, f.PauseExperiment} {
					if err := act(t.Context(), id); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Go(func() { churn(t, f) })
		}
		wg.Wait()
		f.pauseExperiment("e")
		checkInvariants(t, f.db)
		f.claimNone()
		f.resumeExperiment("e")
		checkInvariants(t, f.db)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	checkTallies(t, f.db)
}

// churn claims, ends and submits.
func churn(t *testing.T, f *fixture) {
	claimed, err := f.Claim(t.Context(), claimOf("w", 5))
	if err != nil {
		t.Error(err)
	}
	for i, c := range claimed {
		report := api.Finish{Outcome: api.StatusCancelled}
		if i%2 == 0 {
			report = success(1)
		}
		if _, err := f.Finish(t.Context(), c.Trial.ID, c.Lease, report); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.Submit(t.Context(), f.sweep("e", "codex", "gpt-5", 3)); err != nil {
		t.Error(err)
	}
}

func TestTheWholeServerIsPaused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 3})
	f.pause("*")
	f.add("e", "gpt-5", 4)
	f.add("e", "llama", 4)
	f.pause("gpt-5")
	f.claimNone()
	keys, err := f.Keys(t.Context())
	if err != nil || len(keys) != 3 || keys[0].Key != "*" || keys[0].Queued != 8 || keys[0].Limit != nil || keys[0].PausedBy != "*" {
		t.Fatalf("keys are %+v, %v", keys, err)
	}
	if keys[1].PausedBy != "*" || keys[2].PausedBy != "openai/gpt-5" {
		t.Errorf("keys are paused by %q and %q", keys[1].PausedBy, keys[2].PausedBy)
	}
	wake := f.hub.claimable()
	f.resume("*")
	select {
	case <-wake:
	default:
		t.Error("nobody was woken")
	}
	if got := f.claimedByKey(); got["llama"] != 3 || len(got) != 1 {
		t.Errorf("claimed %v", got)
	}
	if keys, _ := f.Keys(t.Context()); len(keys) != 2 {
		t.Errorf("keys are %+v: the row of all keys has nothing to say", keys)
	}
	if _, changes := f.key("*"); len(changes) != 2 || changes[0].Kind != ChangeResume {
		t.Errorf("changes are %+v", changes)
	}
	if err := f.SetLimit(t.Context(), "*", 4, Reason{}); !errors.Is(err, ErrKey) {
		t.Errorf("a limit of all keys: %v", err)
	}
}

func TestNothingIsStartedAfterThePauseOfTheServerHasAnswered(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 1000})
	rounds := 20
	if raceDetector {
		rounds = 5
	}
	for range rounds {
		f.add("e", "gpt-5", 5)
		f.add("e", "llama", 5)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := f.Claim(t.Context(), claimOf("w", 1)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		f.pause("*")
		before := f.runningNow()
		f.clock.advance(time.Millisecond)
		for range 3 {
			f.claimNone()
		}
		if after := f.runningNow(); after != before {
			t.Errorf("%d ran when the pause answered, and %d do now", before, after)
		}
		close(stop)
		wg.Wait()
		f.resume("*")
	}
}

func (f *fixture) runningNow() int {
	f.t.Helper()
	var n int
	if err := f.db.Read().QueryRowContext(f.t.Context(), "SELECT COUNT(*) FROM jobs WHERE state = 'running'").Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

package queue

import (
	"errors"
	"slices"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

func (f *fixture) cancel(filter CancelFilter) CancelResult {
	f.t.Helper()
	result, err := f.Cancel(f.t.Context(), filter)
	if err != nil {
		f.t.Fatal(err)
	}
	return result
}

func TestCancelEndsWhatWaitsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	ids := f.add("e", "gpt-5", 2)
	f.finish(f.claimOne(), failure(api.ClassRateLimit))
	result := f.cancel(CancelFilter{TrialIDs: ids})
	if result.Trials != 2 || result.Running != 0 || !slices.Equal(result.TaskIDs, []string{f.task.ID}) {
		t.Errorf("result is %+v", result)
	}
	for _, id := range ids {
		if tr := f.trial(id); tr.Status != api.StatusCancelled || tr.FinishedAt == nil || tr.AvailableAt != nil {
			t.Errorf("trial is %+v", tr)
		}
	}
	f.clock.advance(time.Hour)
	f.claimNone()
	if again := f.cancel(CancelFilter{TrialIDs: ids}); again.Trials != 0 {
		t.Errorf("cancelling again gives %+v", again)
	}
	checkTallies(t, f.db)
}

func TestCancelTellsTheWorkerOfARunningTrial(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	c := f.claimOne()
	if ack := f.progress(c, api.ProgressEvent{Seq: 1, Stage: api.StageAgentRunning}); ack.Cancel {
		t.Error("told to stop before the cancel")
	}
	if result := f.cancel(CancelFilter{TaskIDs: []string{f.task.ID}}); result.Trials != 1 || result.Running != 1 {
		t.Errorf("result is %+v", result)
	}
	if again := f.cancel(CancelFilter{TaskIDs: []string{f.task.ID}}); again.Trials != 0 {
		t.Errorf("cancelling again gives %+v", again)
	}
	if tr := f.trial(id); tr.Status != api.StatusRunning || !tr.CancelRequested {
		t.Errorf("trial is %+v", tr)
	}
	if ack := f.heartbeat(c); !slices.Equal(ack.Cancel, []string{id}) || len(ack.Lost) != 0 {
		t.Errorf("heartbeat answers %+v", ack)
	}
	if ack := f.progress(c, api.ProgressEvent{Seq: 2}); !ack.Cancel {
		t.Error("progress was not answered with the cancel")
	}
	if ack := f.finish(c, api.Finish{Outcome: api.StatusCancelled}); ack.Status != api.StatusCancelled {
		t.Errorf("answer is %+v", ack)
	}
	if tr := f.trial(id); tr.Status != api.StatusCancelled || tr.Stage != api.StageCancelled {
		t.Errorf("trial is %+v", tr)
	}
	f.claimNone()
	checkTallies(t, f.db)
}

func TestACancelledTrialIsNotRetried(t *testing.T) {
	t.Parallel()
	for _, class := range []api.ErrorClass{api.ClassInfrastructure, api.ClassRateLimit, api.ClassPermanent, api.ClassResult} {
		t.Run("after a failure of class "+string(class), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			id := f.add("e", "gpt-5", 1)[0]
			c := f.claimOne()
			f.cancel(CancelFilter{ExperimentID: c.Trial.ExperimentID})
			if ack := f.finish(c, failure(class)); ack.Status != api.StatusCancelled {
				t.Errorf("answer is %+v", ack)
			}
			if tr := f.trial(id); tr.ErrorType != "SomeError" {
				t.Errorf("the error is lost: %+v", tr)
			}
		})
	}
}

func TestACancelThatComesTooLateKeepsTheResult(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	c := f.claimOne()
	f.cancel(CancelFilter{TrialIDs: []string{id}})
	f.succeed(c, 1)
	f.wantStatus(id, api.StatusSuccess)
}

func TestTheTrialOfADeadWorkerIsCancelledWhenItsLeaseEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	f.claimOne()
	f.cancel(CancelFilter{TrialIDs: []string{id}})
	f.clock.advance(DefaultLease)
	f.reap()
	f.wantStatus(id, api.StatusCancelled)
	checkTallies(t, f.db)
}

func TestCancelMatchesEveryFieldOfItsFilter(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	one, two := f.add("one", "gpt-5", 2), f.add("two", "gpt-5", 2)
	e, err := f.db.Experiment(t.Context(), "two")
	if err != nil {
		t.Fatal(err)
	}
	f.cancel(CancelFilter{TaskIDs: []string{f.task.ID}, ExperimentID: e.ID})
	f.wantStatus(one[0], api.StatusQueued)
	f.wantStatus(two[1], api.StatusCancelled)
	if _, err := f.Cancel(t.Context(), CancelFilter{}); err == nil {
		t.Error("an empty filter was accepted")
	}
	if result := f.cancel(CancelFilter{TrialIDs: []string{}}); result.Trials != 0 {
		t.Errorf("no trials: %+v", result)
	}
}

func TestAGreatCancelGoesInChunks(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	const n = 2*cancelChunk + 7
	f.add("e", "gpt-5", n)
	f.claim(3)
	e, err := f.db.Experiment(t.Context(), "e")
	if err != nil {
		t.Fatal(err)
	}
	if result := f.cancel(CancelFilter{ExperimentID: e.ID}); result.Trials != n || result.Running != 3 {
		t.Errorf("result is %+v", result)
	}
	checkTallies(t, f.db)
}

func TestRetryQueuesAnEndedTrialAgain(t *testing.T) {
	t.Parallel()
	endings := map[string]func(f *fixture, c Claimed){
		"a timeout of the agent": func(f *fixture, c Claimed) { f.finish(c, timedOut(0.5)) },
		"failure":                func(f *fixture, c Claimed) { f.finish(c, failure(api.ClassPermanent)) },
		"cancelled": func(f *fixture, c Claimed) {
			f.cancel(CancelFilter{TrialIDs: []string{c.Trial.ID}})
			f.finish(c, failure(api.ClassResult))
		},
	}
	for name, end := range endings {
		t.Run("after "+name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			s := f.sweep("e", "codex", "gpt-5", 1)
			s.Sweep.MaxAttempts = ptr(2)
			id := f.submit(s).TrialIDs[0]
			end(f, f.claimOne())
			if err := f.Retry(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			tr := f.trial(id)
			if tr.Status != api.StatusQueued || tr.Reward != nil || tr.ErrorType != "" || tr.TrialDir != "" || tr.StartedAt != nil || tr.FinishedAt != nil {
				t.Errorf("trial is %+v", tr)
			}
			checkTallies(t, f.db)
			// The whole budget is there again.
			f.finish(f.claimOne(), failure(api.ClassInfrastructure))
			f.wantStatus(id, api.StatusRetrying)
			f.clock.advance(time.Minute)
			c := f.claimOne()
			if c.Attempt != 3 {
				t.Errorf("attempt is %d, want 3", c.Attempt)
			}
			f.succeed(c, 0)
			checkTallies(t, f.db)
			if attempts, err := f.db.Attempts(t.Context(), id); err != nil || len(attempts) != 3 {
				t.Errorf("%d attempts are kept, %v", len(attempts), err)
			}
		})
	}
}

func TestRetryRefusesWhatHasNotEndedOrEndedWell(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	want := func(err error) {
		t.Helper()
		if got := f.Retry(t.Context(), id); !errors.Is(got, err) {
			t.Errorf("retry: %v, want %v", got, err)
		}
	}
	want(store.ErrConflict)
	c := f.claimOne()
	want(store.ErrConflict)
	f.finish(c, failure(api.ClassInfrastructure))
	want(store.ErrConflict)
	f.clock.advance(time.Hour)
	f.succeed(f.claimOne(), 0)
	want(store.ErrConflict) // a good result, though the reward is 0
	id = "unknown"
	want(store.ErrNotFound)
}

func TestACancelledQueuedTrialThatRanBeforeShowsNoOldResult(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	f.finish(f.claimOne(), timedOut(1))
	if err := f.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	f.cancel(CancelFilter{TrialIDs: []string{id}})
	if tr := f.trial(id); tr.Status != api.StatusCancelled || tr.Reward != nil {
		t.Errorf("trial is %+v", tr)
	}
	checkTallies(t, f.db)
}

func TestCancelsAnswersAtOnceAndLeavesOutWhatIsKnown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	f.claimOne()
	ask := func(known []string, waitSec int) []string {
		got, err := f.Cancels(t.Context(), api.Cancels{WorkerID: "w", Known: known, WaitSec: waitSec})
		if err != nil {
			t.Error(err)
		}
		return got
	}
	if got := ask(nil, 0); len(got) != 0 {
		t.Errorf("before the cancel: %v", got)
	}
	told := make(chan []string)
	go func() { told <- ask(nil, 60) }()
	f.cancel(CancelFilter{TrialIDs: []string{id}})
	if got := <-told; !slices.Equal(got, []string{id}) {
		t.Errorf("told of %v", got)
	}
	if got := ask([]string{id}, 0); len(got) != 0 {
		t.Errorf("told again of %v", got)
	}
}

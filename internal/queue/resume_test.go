package queue

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"oddish/api"
)

// resumeJobs asks for runs on behalf of another process of the worker.
func (f *fixture) resumeJobs(worker string, refs ...api.JobRef) ([]Resumed, []string) {
	f.t.Helper()
	resumed, lost, err := f.ResumeJobs(f.t.Context(), api.ResumeJobs{WorkerID: worker, Hostname: "host", Version: "v2", Jobs: refs})
	if err != nil {
		f.t.Fatal(err)
	}
	return resumed, lost
}

func refOf(c Claimed) api.JobRef { return api.JobRef{ID: c.Trial.ID, Lease: c.Lease} }

func TestAResumedRunIsTheSameUnderAnotherWorker(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.submit(f.secretSweep()).TrialIDs[0]
	c := f.claimOne()
	f.progress(c, api.ProgressEvent{Seq: 1, Stage: api.StageEnvironment}, api.ProgressEvent{Seq: 2, Stage: api.StageAgentRunning, SandboxID: "sb"})
	f.clock.advance(40 * time.Second)
	for range 2 { // asking again is harmless
		resumed, lost := f.resumeJobs("w-next", refOf(c))
		if len(resumed) != 1 || len(lost) != 0 {
			t.Fatalf("resumed %+v, lost %q", resumed, lost)
		}
		got := resumed[0]
		if got.Seq != 2 || got.Attempt != 1 || got.Lease != c.Lease || got.TrialName != c.TrialName || got.ExperimentName != c.ExperimentName ||
			!got.LeaseUntil.Equal(f.clock.now().Add(DefaultLease)) {
			t.Errorf("resumed %+v, claimed %+v", got, c)
		}
		if !reflect.DeepEqual(got.Trial.AgentConfig, c.Trial.AgentConfig) || !reflect.DeepEqual(got.Trial.Harbor, c.Trial.Harbor) {
			t.Errorf("what is to run is %+v and %+v, it was %+v and %+v", got.Trial.AgentConfig, got.Trial.Harbor, c.Trial.AgentConfig, c.Trial.Harbor)
		}
	}
	f.clock.advance(40 * time.Second) // the lease of the claim is over
	f.reap()
	if tr := f.trial(id); tr.Status != api.StatusRunning || tr.WorkerID != "w-next" || tr.Attempt != 1 {
		t.Errorf("trial is %+v", tr)
	}
	f.progress(c, api.ProgressEvent{Seq: 3, Stage: api.StageVerification})
	f.succeed(c, 1)
	f.wantStatus(id, api.StatusSuccess)
	checkTallies(t, f.db)
}

func TestARunWhoseLeaseIsOverButNotReapedCanBeResumed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	c := f.claimOne()
	f.clock.advance(time.Hour) // the server was away, too
	if resumed, _ := f.resumeJobs("w2", refOf(c)); len(resumed) != 1 {
		t.Fatalf("resumed %+v", resumed)
	}
	f.reap()
	f.wantStatus(id, api.StatusRunning)
}

func TestRunsThatAreNoLongerHeldAreLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	all := f.add("e", "gpt-5", 4)
	reaped, finished := f.claimOne(), f.claimOne()
	f.succeed(finished, 1)
	f.clock.advance(2 * DefaultLease)
	f.reap()
	again := f.claim(3)
	if !slices.ContainsFunc(again, func(c Claimed) bool { return c.Trial.ID == reaped.Trial.ID }) {
		t.Fatalf("claimed %q again, want %s among them", ids(again), reaped.Trial.ID)
	}
	resumed, lost := f.resumeJobs("w2", refOf(reaped), refOf(finished), api.JobRef{ID: all[3], Lease: "forged"}, api.JobRef{ID: "none", Lease: "x"})
	want := []string{reaped.Trial.ID, finished.Trial.ID, all[3], "none"}
	slices.Sort(want)
	if !slices.Equal(lost, want) || len(resumed) != 0 {
		t.Errorf("lost %q, want %q; resumed %+v", lost, want, resumed)
	}
	if tr := f.trial(reaped.Trial.ID); tr.WorkerID != "w" {
		t.Errorf("the run of %s was taken over: %+v", tr.WorkerID, tr)
	}
	checkTallies(t, f.db)
}

func TestTheCancelOfAResumedRunIsToldToItsNewWorker(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	c := f.claimOne()
	if _, err := f.Cancel(t.Context(), CancelFilter{TrialIDs: []string{id}}); err != nil {
		t.Fatal(err)
	}
	f.resumeJobs("w2", refOf(c))
	told, err := f.Cancels(t.Context(), api.Cancels{WorkerID: "w2"})
	if err != nil || !slices.Equal(told, []string{id}) {
		t.Errorf("told %q, want %q (%v)", told, id, err)
	}
	f.finish(c, api.Finish{Outcome: api.StatusCancelled})
	f.wantStatus(id, api.StatusCancelled)
}

func TestResumingNeedsAWorker(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	if _, _, err := f.ResumeJobs(t.Context(), api.ResumeJobs{}); err == nil || errors.Is(err, ErrStale) {
		t.Errorf("error is %v", err)
	}
}

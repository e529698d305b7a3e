package queue

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"oddish/api"
)

func (f *fixture) heartbeat(claimed ...Claimed) api.HeartbeatAck {
	f.t.Helper()
	h := api.Heartbeat{WorkerID: "w"}
	for _, c := range claimed {
		h.Jobs = append(h.Jobs, api.JobRef{ID: c.Trial.ID, Lease: c.Lease})
	}
	ack, err := f.Heartbeat(f.t.Context(), h)
	if err != nil {
		f.t.Fatal(err)
	}
	return ack
}

func (f *fixture) progress(c Claimed, events ...api.ProgressEvent) api.ProgressAck {
	f.t.Helper()
	ack, err := f.Progress(f.t.Context(), c.Trial.ID, c.Lease, api.Progress{Events: events})
	if err != nil {
		f.t.Fatal(err)
	}
	return ack
}

func TestHeartbeatKeepsLeasesAlive(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	ids := f.add("e", "gpt-5", 2)
	claimed := f.claim(2)
	for range 10 {
		f.clock.advance(50 * time.Second)
		ack := f.heartbeat(claimed[0])
		if !ack.LeaseUntil.Equal(f.clock.now().Add(DefaultLease)) || len(ack.Lost)+len(ack.Cancel) != 0 {
			t.Errorf("answer is %+v", ack)
		}
		f.reap()
	}
	f.wantStatus(ids[0], api.StatusRunning)
	f.wantStatus(ids[1], api.StatusRetrying)
	if ack := f.heartbeat(claimed...); !slices.Equal(ack.Lost, ids[1:]) {
		t.Errorf("lost are %q, want %q", ack.Lost, ids[1:])
	}
}

func TestALeaseEndsAtItsMomentAndNotBefore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{Lease: 10 * time.Second})
	id := f.add("e", "gpt-5", 1)[0]
	f.claimOne()
	f.clock.advance(10*time.Second - time.Millisecond)
	f.reap()
	f.wantStatus(id, api.StatusRunning)
	f.clock.advance(time.Millisecond)
	f.reap()
	f.wantStatus(id, api.StatusRetrying)
	if tr := f.trial(id); tr.ErrorType != "WorkerLost" || tr.WorkerID != "" {
		t.Errorf("trial is %+v", tr)
	}
	checkTallies(t, f.db)
}

func TestALostWorkerUsesUpNoAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("e", "codex", "gpt-5", 1)
	s.Sweep.MaxAttempts = ptr(2)
	id := f.submit(s).TrialIDs[0]
	for range 5 {
		f.claimOne()
		f.clock.advance(2 * time.Minute)
		f.reap()
		f.wantStatus(id, api.StatusRetrying)
	}
	if ack := f.finish(f.claimOne(), failure(api.ClassInfrastructure)); ack.Status != api.StatusRetrying {
		t.Errorf("the first failure that counts gives %+v", ack)
	}
	f.clock.advance(time.Minute)
	f.succeed(f.claimOne(), 1)
	if tr := f.trial(id); tr.Status != api.StatusSuccess || tr.Attempt != 7 || tr.MaxAttempts != 2 {
		t.Errorf("trial is %+v", tr)
	}
}

func TestATrialThatKillsItsWorkersEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	for range 6 {
		f.wantStatus(id, f.trial(id).Status)
		f.claimOne()
		f.clock.advance(2 * time.Minute)
		f.reap()
	}
	if tr := f.trial(id); tr.Status != api.StatusFailed || tr.ErrorType != "WorkerLost" || tr.Attempt != 6 {
		t.Errorf("trial is %+v", tr)
	}
	f.claimNone()
	checkTallies(t, f.db)
}

func TestAStaleWorkerChangesNothing(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, time.Millisecond, time.Second, time.Hour} {
		t.Run(fmt.Sprintf("that comes %v late", late), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			id := f.add("e", "gpt-5", 1)[0]
			old := f.claimOne()
			f.clock.advance(DefaultLease)
			f.reap()
			current := f.claimOne() // of the same worker id: the name is no fence
			f.clock.advance(late)
			f.heartbeat(current)
			f.progress(current, api.ProgressEvent{Seq: 1, Stage: api.StageAgentRunning, SandboxID: "new"})
			before, events := f.trial(id), len(f.events("e"))

			if _, err := f.Finish(t.Context(), id, old.Lease, success(1)); !errors.Is(err, ErrStale) {
				t.Errorf("finish: %v, want ErrStale", err)
			}
			if _, err := f.Progress(t.Context(), id, old.Lease, api.Progress{Events: []api.ProgressEvent{{Seq: 9, SandboxID: "old"}}}); !errors.Is(err, ErrStale) {
				t.Errorf("progress: %v, want ErrStale", err)
			}
			if _, err := f.Check(t.Context(), id, old.Lease); !errors.Is(err, ErrStale) {
				t.Errorf("check: %v, want ErrStale", err)
			}
			if ack := f.heartbeat(old); !slices.Equal(ack.Lost, []string{id}) {
				t.Errorf("heartbeat: %+v, want it lost", ack)
			}
			after := f.trial(id)
			if after.Status != before.Status || after.SandboxID != "new" || after.Stage != before.Stage || len(f.events("e")) != events {
				t.Errorf("the trial was %+v and is %+v", before, after)
			}
			f.succeed(current, 0.5)
			if tr := f.trial(id); *tr.Reward != 0.5 {
				t.Errorf("reward is %v, want that of the holder", *tr.Reward)
			}
		})
	}
}

func TestUnknownJobsAndEmptyLeasesAreStale(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	for _, ref := range []api.JobRef{{ID: "unknown", Lease: "x"}, {ID: id, Lease: ""}, {ID: id, Lease: "x"}} {
		if _, err := f.Check(t.Context(), ref.ID, ref.Lease); !errors.Is(err, ErrStale) {
			t.Errorf("check %+v: %v", ref, err)
		}
		if _, err := f.Finish(t.Context(), ref.ID, ref.Lease, success(1)); !errors.Is(err, ErrStale) {
			t.Errorf("finish %+v: %v", ref, err)
		}
		if _, err := f.Progress(t.Context(), ref.ID, ref.Lease, api.Progress{}); !errors.Is(err, ErrStale) {
			t.Errorf("progress %+v: %v", ref, err)
		}
	}
	f.wantStatus(id, api.StatusQueued)
}

func TestCheckTellsWhereFilesGo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 1)
	c := f.claimOne()
	tr, err := f.Check(t.Context(), c.Trial.ID, c.Lease)
	if err != nil || tr.TrialDir != c.Trial.TrialDir {
		t.Errorf("check gives %q, %v, want %q", tr.TrialDir, err, c.Trial.TrialDir)
	}
	f.succeed(c, 1)
	if _, err := f.Check(t.Context(), c.Trial.ID, c.Lease); !errors.Is(err, ErrStale) {
		t.Errorf("after the end: %v, want ErrStale", err)
	}
}

func TestProgressIsIdempotentBySequence(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	c := f.claimOne()
	f.progress(c, api.ProgressEvent{Seq: 2, Stage: api.StageEnvironment, SandboxID: "s1"}, api.ProgressEvent{Seq: 1, Stage: api.StageTrialStarted})
	f.progress(c, api.ProgressEvent{Seq: 1, Stage: api.StageTrialStarted}, api.ProgressEvent{Seq: 2, Stage: api.StageEnvironment})
	f.progress(c, api.ProgressEvent{Seq: 3, Stage: api.StageAgentRunning})
	f.progress(c, api.ProgressEvent{Seq: 3, Stage: api.StageVerification})
	if tr := f.trial(id); tr.Stage != api.StageAgentRunning || tr.SandboxID != "s1" {
		t.Errorf("trial is %+v", tr)
	}
	var kinds []string
	for _, e := range f.events("e") {
		kinds = append(kinds, e.Kind+" "+string(e.Stage))
	}
	want := []string{"queued ", "running ", "stage trial_started", "stage environment_setup", "stage agent_running"}
	if !slices.Equal(kinds, want) {
		t.Errorf("events are %q, want %q", kinds, want)
	}
}

func TestEventsOfATrialAreCapped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 2)
	c := f.claimOne()
	var events []api.ProgressEvent
	for i := range 1000 {
		events = append(events, api.ProgressEvent{Seq: int64(i + 1), Stage: api.Stage(fmt.Sprint(i % 2))})
	}
	f.progress(c, events...)
	f.succeed(c, 1)
	kept := f.events("e")
	if len(kept) > maxTrialEvents+2 || len(kept) < maxTrialEvents {
		t.Errorf("%d events are kept", len(kept))
	}
	if last := kept[len(kept)-1]; last.Kind != "finished" || last.ID != 2+1+1000+1 || *last.Reward != 1 {
		t.Errorf("the last event is %+v", last)
	}
}

func TestEventsTellTheWholeStory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 1)
	f.finish(f.claimOne(), failure(api.ClassInfrastructure))
	f.clock.advance(time.Minute)
	f.succeed(f.claimOne(), 1)
	events := f.events("e")
	type brief struct {
		kind    string
		attempt int
		status  api.Status
	}
	want := []brief{
		{"queued", 0, api.StatusQueued}, {"running", 1, api.StatusRunning}, {"retrying", 1, api.StatusRetrying},
		{"running", 2, api.StatusRunning}, {"finished", 2, api.StatusSuccess},
	}
	var got []brief
	for i, e := range events {
		got = append(got, brief{e.Kind, e.Attempt, e.Status})
		if e.ID != int64(i+1) {
			t.Errorf("event %d has id %d", i, e.ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("events are %+v, want %+v", got, want)
	}
	rest, err := f.db.Events(t.Context(), events[0].ExperimentID, 3, 1)
	if err != nil || len(rest) != 1 || rest[0].ID != 4 {
		t.Errorf("the one event after the third is %+v, %v", rest, err)
	}
}

func TestWorkersAreNoted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 1)
	seen := f.clock.now()
	c := f.claimOne()
	f.clock.advance(time.Minute)
	f.heartbeat(c)
	workers, err := f.db.Workers(t.Context(), time.Time{})
	if err != nil || len(workers) != 1 {
		t.Fatalf("workers are %+v, %v", workers, err)
	}
	w := workers[0]
	if w.ID != "w" || w.Running != 1 || !w.FirstSeen.Equal(seen) || !w.LastSeen.Equal(f.clock.now()) || !slices.Equal(w.Sandboxes, []string{"fake"}) {
		t.Errorf("worker is %+v", w)
	}
}

package queue

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

var (
	modelRuns  = flag.Int("model.runs", 12, "histories of the model test")
	modelSteps = flag.Int("model.steps", 250, "steps of each history")
	modelSeed  = flag.Uint64("model.seed", 1, "seed of the first history; those that follow count up")
)

// playback plays random operations against the queue and against a plain queue in memory, and compares the two after each.
type playback struct {
	*fixture
	t           *testing.T
	rng         *rand.Rand
	plain       *plainQueue
	log         []string
	made        int                 // trials
	runs        []modelRun          // all that were ever claimed
	experiments map[string]string   // ids by name
	ended       map[string]string   // how trials ended
	grown       map[string]int      // running trials by key or pattern at the step before
	acks        map[string]settling // by lease: reports that were accepted
}

// modelRun is a run as its worker knows it.
type modelRun struct{ id, lease, worker string }

type settling struct {
	report api.Finish
	ack    api.FinishAck
}

func TestRandomHistoriesAgreeWithAPlainQueue(t *testing.T) {
	t.Parallel()
	runs, steps := *modelRuns, *modelSteps
	if raceDetector || testing.Short() {
		runs, steps = 2, 80
	}
	for i := range uint64(runs) {
		t.Run(fmt.Sprint("seed ", *modelSeed+i), func(t *testing.T) {
			t.Parallel()
			newPlayback(t, *modelSeed+i).play(steps)
		})
	}
}

func newPlayback(t *testing.T, seed uint64) *playback {
	limits := map[string]int{"anthropic/*": 2, "local": 4}
	h := &playback{
		fixture: newFixture(t, Options{DefaultLimit: 3, LocalLimit: 4, Limits: limits}), t: t, rng: rand.New(rand.NewPCG(seed, 0)),
		experiments: map[string]string{}, ended: map[string]string{}, grown: map[string]int{}, acks: map[string]settling{},
	}
	h.Queue.random = func() float64 { return 0.5 }
	h.plain = newPlainQueue(h.clock.now(), 3, limits)
	return h
}

func (h *playback) play(steps int) {
	for range steps {
		h.step()
		h.compare()
		if h.t.Failed() {
			h.t.Fatalf("after %q", h.log)
		}
	}
	h.drain()
	h.compare()
}

func (h *playback) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

func (h *playback) step() {
	ops := []struct {
		weight int
		run    func()
	}{
		{4, h.doSubmit}, {10, h.doClaim}, {9, h.doFinish}, {2, h.doFinishAgain}, {3, h.doStale}, {4, h.doHeartbeat}, {3, h.doProgress},
		{3, h.doCancel}, {1, h.doCancelMany}, {2, h.doRetry}, {2, h.doLimit}, {2, h.doPause}, {5, h.doTime}, {1, h.doClockJump}, {3, h.doReap}, {1, h.doPauseExperiment},
	}
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	n := h.rng.IntN(total)
	for _, op := range ops {
		if n -= op.weight; n < 0 {
			op.run()
			return
		}
	}
}

func draw[T any](h *playback, list []T) (T, bool) {
	if len(list) == 0 {
		var none T
		return none, false
	}
	return list[h.rng.IntN(len(list))], true
}

func (h *playback) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Error(err)
	}
}

func (h *playback) doSubmit() {
	agent, name := "codex", []string{"gpt-5", "gpt-6", "claude-x", "claude-y"}[h.rng.IntN(4)]
	at := lane{key: map[string]string{
		"gpt-5": "openai/gpt-5", "gpt-6": "openai/gpt-6", "claude-x": "anthropic/claude-x", "claude-y": "anthropic/claude-y",
	}[name], priority: 1}
	if h.rng.IntN(4) == 0 {
		agent, at.key = "oracle", "local"
	}
	experiment, n, budget := fmt.Sprint("e", h.rng.IntN(3)), 1+h.rng.IntN(5), 1+h.rng.IntN(3)
	s := h.sweep(experiment, agent, name, n)
	s.Sweep.MaxAttempts = &budget
	if h.rng.IntN(3) == 0 {
		s.Sweep.Priority, at.priority = api.PriorityHigh, 0
	}
	var existing, retried []string
	if s.TopUp = h.rng.IntN(3) == 0; s.TopUp {
		existing, retried = h.plain.topUp(n, experiment, at, budget)
	}
	got := h.submit(s)
	h.note("submit %d of %s to %s: %d are there, %d tried again", n, at.key, experiment, len(existing), len(retried))
	if !slices.Equal(got.Existing, existing) || !slices.Equal(got.Retried, retried) || len(got.TrialIDs) != n-len(existing)-len(retried) {
		h.t.Errorf("a submission of %d made %q, retried %q, found %q; want to retry %q, to find %q", n, got.TrialIDs, got.Retried, got.Existing, retried, existing)
	}
	for _, id := range retried {
		delete(h.ended, id)
	}
	h.experiments[experiment] = got.Experiment.ID
	h.plain.add(got.TrialIDs, h.made, experiment, at, budget)
	h.made += len(got.TrialIDs)
}

func (h *playback) doClaim() {
	worker, slots := fmt.Sprint("w", h.rng.IntN(3)), 1+h.rng.IntN(6)
	want := h.plain.claim(slots)
	claimed, err := h.Claim(h.t.Context(), claimOf(worker, slots))
	h.must(err)
	wanted, leases := []string{}, make([]string, len(claimed))
	for _, j := range want {
		wanted = append(wanted, j.id)
	}
	h.note("claim %d: %q", slots, ids(claimed))
	if !slices.Equal(ids(claimed), wanted) {
		h.t.Fatalf("%d slots got %q, want %q, after %q", slots, ids(claimed), wanted, h.log)
	}
	for i, c := range claimed {
		leases[i] = c.Lease
		h.runs = append(h.runs, modelRun{c.Trial.ID, c.Lease, worker})
	}
	h.plain.start(want, leases)
}

func (h *playback) doFinish() {
	if run, ok := draw(h, h.live()); ok {
		h.finish(run, h.report())
	}
}

// live are the runs whose leases are held.
func (h *playback) live() []modelRun {
	return slices.DeleteFunc(slices.Clone(h.runs), func(r modelRun) bool { return !h.holds(r) })
}

func (h *playback) holds(r modelRun) bool {
	j := h.plain.jobs[r.id]
	return j.state == api.StatusRunning && j.lease == r.lease
}

func (h *playback) finish(run modelRun, f api.Finish) {
	ack, err := h.Finish(h.t.Context(), run.id, run.lease, f)
	h.note("finish %s as %s %s", run.id, f.Outcome, f.ErrorClass)
	h.must(err)
	j := h.plain.jobs[run.id]
	h.plain.finish(j, f)
	if ack.Status != j.state || (ack.RetryAt != nil) != (j.state == api.StatusRetrying) || ack.RetryAt != nil && !ack.RetryAt.Equal(j.available) {
		h.t.Errorf("finish of %s is answered %s, %v, want %s, %s", run.id, ack.Status, ack.RetryAt, j.state, j.available)
	}
	h.acks[run.lease] = settling{f, ack}
}

func (h *playback) report() api.Finish {
	switch h.rng.IntN(8) {
	case 0, 1:
		return failure(api.ClassInfrastructure)
	case 2:
		f := failure(api.ClassRateLimit)
		if h.rng.IntN(2) == 0 {
			f.RetryAfterSec = ptr(float64(h.rng.IntN(120)))
		}
		return f
	case 3:
		return failure(api.ClassPermanent)
	case 4:
		return failure(api.ClassResult)
	case 5:
		return api.Finish{Outcome: api.StatusCancelled}
	}
	return success([]float64{0, 0.5, 1}[h.rng.IntN(3)])
}

// doFinishAgain repeats a report whose answer was lost.
func (h *playback) doFinishAgain() {
	run, ok := draw(h, h.runs)
	before, settled := h.acks[run.lease]
	if !ok || !settled {
		return
	}
	ack, err := h.Finish(h.t.Context(), run.id, run.lease, before.report)
	h.note("finish %s again", run.id)
	h.must(err)
	if ack.Status != before.ack.Status {
		h.t.Errorf("the repeated end of %s is answered %s, want %s", run.id, ack.Status, before.ack.Status)
	}
}

// doStale lets a worker write whose lease is gone.
func (h *playback) doStale() {
	run, ok := draw(h, h.runs)
	if !ok || h.holds(run) {
		return
	}
	h.note("stale writes to %s", run.id)
	if _, err := h.Finish(h.t.Context(), run.id, run.lease, failure("a class that nobody sends")); !errors.Is(err, ErrStale) {
		h.t.Errorf("a late report of %s: %v, want ErrStale", run.id, err)
	}
	late := api.Progress{Events: []api.ProgressEvent{{Seq: 1000, Stage: "late"}}}
	if _, err := h.Progress(h.t.Context(), run.id, run.lease, late); !errors.Is(err, ErrStale) {
		h.t.Errorf("late progress of %s: %v, want ErrStale", run.id, err)
	}
}

func (h *playback) doHeartbeat() {
	beat := api.Heartbeat{WorkerID: fmt.Sprint("w", h.rng.IntN(3))}
	seen := map[string]bool{}
	for _, r := range slices.Backward(h.runs) {
		if h.rng.IntN(3) > 0 && !seen[r.id] && len(beat.Jobs) < 20 {
			seen[r.id] = true
			beat.Jobs = append(beat.Jobs, api.JobRef{ID: r.id, Lease: r.lease})
		}
	}
	ack, err := h.Heartbeat(h.t.Context(), beat)
	h.must(err)
	h.note("heartbeat of %d", len(beat.Jobs))
	lost, cancel := []string{}, []string{}
	for _, ref := range beat.Jobs {
		switch gone, stop := h.plain.heartbeat(ref.ID, ref.Lease); {
		case gone:
			lost = append(lost, ref.ID)
		case stop:
			cancel = append(cancel, ref.ID)
		}
	}
	slices.Sort(lost)
	slices.Sort(cancel)
	slices.Sort(ack.Lost)
	slices.Sort(ack.Cancel)
	if !slices.Equal(ack.Lost, lost) || !slices.Equal(ack.Cancel, cancel) {
		h.t.Errorf("heartbeat says lost %q, cancel %q, want %q, %q", ack.Lost, ack.Cancel, lost, cancel)
	}
}

func (h *playback) doProgress() {
	run, ok := draw(h, h.live())
	if !ok {
		return
	}
	p := api.Progress{Events: []api.ProgressEvent{{Seq: 1 + h.rng.Int64N(9), Stage: api.StageAgentRunning}}}
	ack, err := h.Progress(h.t.Context(), run.id, run.lease, p)
	h.must(err)
	if want := h.plain.jobs[run.id].cancel; ack.Cancel != want {
		h.t.Errorf("progress of %s is told cancel %t, want %t", run.id, ack.Cancel, want)
	}
}

func (h *playback) anyJob() (*plainJob, bool) {
	return draw(h, h.plain.sorted(func(*plainJob) bool { return true }))
}

func (h *playback) doCancel() {
	if j, ok := h.anyJob(); ok {
		h.note("cancel %s, %s", j.id, j.state)
		h.cancel(CancelFilter{TrialIDs: []string{j.id}})
		h.plain.cancel(func(other *plainJob) bool { return other == j })
	}
}

func (h *playback) doCancelMany() {
	j, ok := h.anyJob()
	if !ok {
		return
	}
	h.note("cancel experiment %s", j.experiment)
	h.cancel(CancelFilter{ExperimentID: h.trial(j.id).ExperimentID})
	h.plain.cancel(func(other *plainJob) bool { return other.experiment == j.experiment })
}

func (h *playback) doRetry() {
	j, ok := h.anyJob()
	if !ok {
		return
	}
	err := h.Retry(h.t.Context(), j.id)
	h.note("retry %s, %s: %v", j.id, j.state, err)
	// Successes have no errors here: they are good results, which are kept.
	if retried := j.state == api.StatusFailed || j.state == api.StatusCancelled; retried != (err == nil) || err != nil && !errors.Is(err, store.ErrConflict) {
		h.t.Errorf("retry of %s, which is %s: %v", j.id, j.state, err)
	}
	if err == nil {
		h.plain.retry(j)
		delete(h.ended, j.id)
	}
}

func (h *playback) doLimit() {
	key, _ := draw(h, []string{"openai/gpt-5", "openai/gpt-6", "openai/*", "anthropic/*"})
	n := h.rng.IntN(6) - 1
	h.must(h.SetLimit(h.t.Context(), key, n, Reason{}))
	h.note("limit of %s is %d", key, n)
	h.plain.setLimit(key, n)
}

func (h *playback) doPause() {
	key, _ := draw(h, []string{"openai/gpt-5", "openai/*", "anthropic/*", "local", "*"})
	if h.rng.IntN(2) == 0 {
		h.note("pause %s", key)
		h.must(h.Pause(h.t.Context(), key, Reason{}))
		h.plain.paused[key] = true
		return
	}
	h.note("resume %s", key)
	h.must(h.Resume(h.t.Context(), key, Reason{}))
	h.plain.resume(key)
}

func (h *playback) doPauseExperiment() {
	name, ok := draw(h, slices.Sorted(maps.Keys(h.experiments)))
	if !ok {
		return
	}
	stop, act := h.rng.IntN(2) == 0, h.ResumeExperiment
	if stop {
		act = h.PauseExperiment
	}
	h.note("experiment %s paused: %t", name, stop)
	h.must(act(h.t.Context(), h.experiments[name]))
	h.plain.stop(name, stop)
}

func (h *playback) doTime() { h.pass(time.Duration(h.rng.IntN(45_000)) * time.Millisecond) }

// doClockJump moves the clock by more than any lease or delay, or back.
func (h *playback) doClockJump() {
	if h.rng.IntN(2) == 0 {
		h.pass(time.Duration(h.rng.IntN(3600)) * time.Second)
		return
	}
	h.pass(-time.Duration(h.rng.IntN(600)) * time.Second)
}

func (h *playback) pass(d time.Duration) {
	h.clock.advance(d)
	h.plain.now = h.clock.now()
	h.note("%s pass", d)
}

func (h *playback) doReap() {
	h.reap()
	h.plain.reap()
	h.note("reap")
}

// drain lets everything come to its end without faults.
func (h *playback) drain() {
	for _, key := range slices.Sorted(maps.Keys(h.plain.paused)) {
		h.must(h.Resume(h.t.Context(), key, Reason{}))
		h.plain.resume(key)
	}
	for name, id := range h.experiments {
		h.must(h.ResumeExperiment(h.t.Context(), id))
		h.plain.stop(name, false)
	}
	for _, key := range []string{"openai/gpt-5", "openai/gpt-6", "openai/*", "anthropic/*"} {
		h.must(h.SetLimit(h.t.Context(), key, -1, Reason{}))
		h.plain.setLimit(key, -1)
	}
	for range 20 * (len(h.plain.jobs) + 1) {
		for _, run := range h.live() {
			h.finish(run, success(1))
		}
		h.pass(time.Hour)
		h.doReap()
		if h.doClaim(); len(h.live()) == 0 {
			break
		}
	}
	for _, j := range h.plain.sorted(func(j *plainJob) bool { return !j.state.Terminal() }) {
		h.t.Errorf("trial %s never ended: it is %s", j.id, j)
	}
}

package queue

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// history plays random operations against a queue and checks after each what must always hold.
type history struct {
	*fixture
	t      *testing.T
	rng    *rand.Rand
	trials []string
	live   []Claimed // as their workers believe
	dead   []Claimed // leases that were settled or lost
	ended  map[string]string
	limits map[string]int // by key or pattern; one that is not there is not limited
	paused map[string]bool
	before map[string]int // running trials by key or pattern at the last check
}

func TestRandomHistoriesKeepTheInvariants(t *testing.T) {
	t.Parallel()
	seeds, steps := uint64(12), 150
	if raceDetector {
		seeds, steps = 2, 60
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			h := &history{
				fixture: newFixture(t, Options{DefaultLimit: 3, LocalLimit: 4, Limits: map[string]int{"anthropic/*": 2}}), t: t, rng: rand.New(rand.NewPCG(seed, 0)),
				ended: map[string]string{}, paused: map[string]bool{}, before: map[string]int{},
				limits: map[string]int{"openai/gpt-5": 3, "openai/gpt-6": 3, "anthropic/claude-x": 3, "local": 4, "anthropic/*": 2},
			}
			for step := range steps {
				op := h.step()
				h.check()
				if t.Failed() {
					t.Fatalf("at step %d: %s", step, op)
				}
			}
			h.drain()
		})
	}
}

func (h *history) step() string {
	ops := []struct {
		weight int
		name   string
		run    func()
	}{
		{3, "submit", h.doSubmit},
		{8, "claim", h.doClaim},
		{6, "finish", h.doFinish},
		{3, "finish again", h.doStale},
		{3, "heartbeat", h.doHeartbeat},
		{3, "progress", h.doProgress},
		{2, "cancel", h.doCancel},
		{1, "retry", h.doRetry},
		{2, "limit", h.doLimit},
		{2, "pause or resume", h.doPause},
		{4, "time", h.doTime},
		{3, "reap", h.reap},
	}
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	n := h.rng.IntN(total)
	for _, op := range ops {
		if n -= op.weight; n < 0 {
			op.run()
			return op.name
		}
	}
	return ""
}

func pickOne[T any](h *history, list []T) (T, bool) {
	if len(list) == 0 {
		var none T
		return none, false
	}
	return list[h.rng.IntN(len(list))], true
}

func (h *history) doSubmit() {
	agent, model := "codex", []string{"gpt-5", "gpt-6", "claude-x"}[h.rng.IntN(3)]
	if h.rng.IntN(4) == 0 {
		agent = "oracle"
	}
	s := h.sweep(fmt.Sprint("e", h.rng.IntN(3)), agent, model, 1+h.rng.IntN(5))
	s.Sweep.MaxAttempts = ptr(1 + h.rng.IntN(3))
	if h.rng.IntN(3) == 0 {
		s.Sweep.Priority = api.PriorityHigh
	}
	h.trials = append(h.trials, h.submit(s).TrialIDs...)
}

func (h *history) doClaim() {
	claimed, err := h.Claim(h.t.Context(), claimOf(fmt.Sprint("w", h.rng.IntN(3)), 1+h.rng.IntN(6)))
	if err != nil {
		h.t.Error(err)
	}
	h.live = append(h.live, claimed...)
}

func (h *history) doFinish() {
	if len(h.live) == 0 {
		return
	}
	i := h.rng.IntN(len(h.live))
	c := h.live[i]
	h.live = append(h.live[:i:i], h.live[i+1:]...)
	h.dead = append(h.dead, c)
	if _, err := h.Finish(h.t.Context(), c.Trial.ID, c.Lease, h.report()); err != nil && !errors.Is(err, ErrStale) {
		h.t.Error(err)
	}
}

func (h *history) report() api.Finish {
	switch h.rng.IntN(7) {
	case 0:
		return failure(api.ClassInfrastructure)
	case 1:
		return failure(api.ClassRateLimit)
	case 2:
		return failure(api.ClassPermanent)
	case 3:
		return failure(api.ClassResult)
	case 4:
		return api.Finish{Outcome: api.StatusCancelled}
	}
	return success([]float64{0, 0.5, 1}[h.rng.IntN(3)])
}

// doStale uses a lease that has ended: only the report that was accepted may be repeated, and without effect.
func (h *history) doStale() {
	c, ok := pickOne(h, h.dead)
	if !ok {
		return
	}
	before := h.state(c.Trial.ID)
	report := failure("a class that nobody sends")
	if _, err := h.Finish(h.t.Context(), c.Trial.ID, c.Lease, report); !errors.Is(err, ErrStale) {
		h.t.Errorf("a late report of %s: %v, want ErrStale", c.Trial.ID, err)
	}
	if _, err := h.Progress(h.t.Context(), c.Trial.ID, c.Lease, api.Progress{Events: []api.ProgressEvent{{Seq: 1000, Stage: "late"}}}); !errors.Is(err, ErrStale) {
		h.t.Errorf("late progress of %s: %v, want ErrStale", c.Trial.ID, err)
	}
	if after := h.state(c.Trial.ID); after != before {
		h.t.Errorf("a stale worker changed %s from %s to %s", c.Trial.ID, before, after)
	}
}

func (h *history) doHeartbeat() {
	var beat []Claimed
	for _, c := range h.live {
		if h.rng.IntN(3) > 0 {
			beat = append(beat, c)
		}
	}
	h.heartbeat(beat...)
}

func (h *history) doProgress() {
	if c, ok := pickOne(h, h.live); ok {
		_, err := h.Progress(h.t.Context(), c.Trial.ID, c.Lease, api.Progress{Events: []api.ProgressEvent{{Seq: h.rng.Int64N(9), Stage: api.StageAgentRunning}}})
		if err != nil && !errors.Is(err, ErrStale) {
			h.t.Error(err)
		}
	}
}

func (h *history) doCancel() {
	if id, ok := pickOne(h, h.trials); ok {
		h.cancel(CancelFilter{TrialIDs: []string{id}})
	}
}

func (h *history) doRetry() {
	if id, ok := pickOne(h, h.trials); ok && h.trial(id).Status.Terminal() {
		if err := h.Retry(h.t.Context(), id); err != nil {
			h.t.Error(err)
		}
		delete(h.ended, id)
	}
}

func (h *history) doLimit() {
	key := []string{"openai/gpt-5", "openai/*"}[h.rng.IntN(2)]
	n := h.rng.IntN(6) - 1
	if h.limits[key] = n; n < 0 && key == "openai/*" {
		delete(h.limits, key)
	} else if n < 0 {
		h.limits[key] = 3
	}
	if err := h.SetLimit(h.t.Context(), key, n, Reason{}); err != nil {
		h.t.Error(err)
	}
}

func (h *history) doPause() {
	key := []string{"openai/gpt-5", "openai/*", "local"}[h.rng.IntN(3)]
	act := h.Pause
	if h.paused[key] = !h.paused[key]; !h.paused[key] {
		act = h.Resume
	}
	if err := act(h.t.Context(), key, Reason{}); err != nil {
		h.t.Error(err)
	}
}

func (h *history) doTime() {
	h.clock.advance(time.Duration(h.rng.Int64N(int64(45 * time.Second))))
}

// state is everything about a trial that a stale worker might change.
func (h *history) state(id string) string { return stateOf(h.trial(id)) }

func stateOf(tr store.Trial) string {
	reward := "unknown"
	if tr.Reward != nil {
		reward = fmt.Sprint(*tr.Reward)
	}
	return fmt.Sprint(tr.Status, tr.Attempt, tr.Stage, tr.TrialDir, tr.ErrorType, reward, tr.FinishedAt)
}

// check is what must hold at every moment.
func (h *history) check() {
	h.t.Helper()
	checkTallies(h.t, h.db)
	h.none("jobs whose lease does not fit their state",
		`SELECT id FROM jobs WHERE (state = 'running') <> (lease <> '' AND lease_until IS NOT NULL AND worker_id <> '')`)
	h.none("leases that two jobs hold",
		`SELECT lease FROM jobs WHERE state = 'running' GROUP BY lease HAVING COUNT(*) > 1`)
	h.none("jobs that are ready in the wrong state",
		`SELECT id FROM jobs WHERE ready = 1 AND state NOT IN ('queued', 'retrying') OR ready = 0 AND state = 'queued'`)
	h.none("jobs with a time to wait in the wrong state",
		`SELECT id FROM jobs WHERE (state = 'retrying') <> (available_at IS NOT NULL)`)
	h.none("jobs whose end does not fit their state",
		`SELECT id FROM jobs WHERE (state IN ('success', 'failed', 'cancelled')) <> (finished_at IS NOT NULL)`)
	h.none("jobs that used up more than their budget",
		`SELECT id FROM jobs WHERE used_attempts > max_attempts OR losses > 6`)
	h.none("jobs whose runs were not all kept",
		`SELECT j.id FROM jobs j WHERE j.attempt <> (SELECT COUNT(*) FROM attempts a WHERE a.trial_id = j.id)`)
	h.none("runs that go on beside the job's own",
		`SELECT a.trial_id FROM attempts a JOIN jobs j ON j.id = a.trial_id
			WHERE (a.outcome = 'running') <> (j.state = 'running' AND j.attempt = a.attempt)`)
	h.none("experiments whose events have gaps",
		`SELECT e.id FROM experiments e WHERE e.last_event <> (SELECT COUNT(*) FROM events v WHERE v.experiment_id = e.id)`)
	h.checkLimits()
	h.checkEnds()
}

// none fails if the query has rows.
func (h *history) none(what, query string) {
	h.t.Helper()
	rows, err := h.db.Read().QueryContext(h.t.Context(), query)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			h.t.Fatal(err)
		}
		h.t.Errorf("%s: %s", what, id)
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
}

// checkLimits allows more running trials than the limit only where it was lowered under them, and none to be started under
// a key that is paused.
func (h *history) checkLimits() {
	h.t.Helper()
	keys, err := h.keyStates(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	sums := map[string]int{}
	for _, k := range keys {
		limit, limited := h.limits[k.Key]
		if limited != (k.Limit != nil) || limited && *k.Limit != limit {
			h.t.Errorf("limit of %s is %v, want %d (%t)", k.Key, k.Limit, limit, limited)
		}
		grown := k.Running > h.before[k.Key]
		if limited && grown && k.Running > limit {
			h.t.Errorf("%d trials of %s run at limit %d", k.Running, k.Key, limit)
		}
		if grown && (h.paused[k.Key] || h.paused[patternOf(k.Key)]) {
			h.t.Errorf("trials of %s were started while it is paused", k.Key)
		}
		h.before[k.Key] = k.Running
		if !k.Pattern() {
			sums[patternOf(k.Key)] += k.Running
		}
	}
	for _, k := range keys {
		if k.Pattern() && k.Running != sums[k.Key] {
			h.t.Errorf("%d trials of %s run, but %d of its keys", k.Running, k.Key, sums[k.Key])
		}
	}
}

// checkEnds holds every trial to the end that it came to.
func (h *history) checkEnds() {
	h.t.Helper()
	for _, tr := range h.all() {
		state := stateOf(tr)
		if end, ended := h.ended[tr.ID]; ended && end != state {
			h.t.Errorf("trial %s ended as %s and is now %s", tr.ID, end, state)
		}
		if tr.Status.Terminal() {
			h.ended[tr.ID] = state
		}
	}
}

// drain runs what is left without faults: everything must come to an end.
func (h *history) drain() {
	for _, key := range []string{"openai/gpt-5", "openai/*", "local"} {
		h.limits["openai/gpt-5"], h.paused[key] = 3, false
		delete(h.limits, "openai/*")
		if err := errors.Join(h.SetLimit(h.t.Context(), key, -1, Reason{}), h.Resume(h.t.Context(), key, Reason{})); err != nil {
			h.t.Fatal(err)
		}
	}
	for range 20 * len(h.trials) {
		h.clock.advance(time.Hour)
		h.reap()
		claimed := h.claim(10)
		if len(claimed) == 0 {
			break
		}
		for _, c := range claimed {
			h.succeed(c, 1)
		}
	}
	h.check()
	for _, tr := range h.all() {
		if !tr.Status.Terminal() {
			h.t.Errorf("trial %s never ended: it is %s", tr.ID, tr.Status)
		}
	}
}

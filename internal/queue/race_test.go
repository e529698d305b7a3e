package queue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// meter counts what runs under a key, as the workers themselves see it.
type meter struct {
	limit   int64
	running atomic.Int64
}

func (m *meter) enter(t *testing.T, key string) {
	if n := m.running.Add(1); n > m.limit {
		t.Errorf("%d trials of %s run at limit %d", n, key, m.limit)
	}
}

func TestLimitsAreExactUnderManyClaimers(t *testing.T) {
	t.Parallel()
	claimers, trialsPerKey := 24, 60
	if raceDetector {
		trialsPerKey = 20
	}
	limits := map[string]int{
		"openai/a": 1, "openai/b": 3, "openai/c": 8,
		"anthropic/d": 5, "anthropic/e": 6, "anthropic/*": 7, // less than its keys have together
	}
	url := storetest.URL(t)
	db := storetest.OpenURL(t, url)
	f := newFixtureOn(t, db, Options{Limits: limits, Now: time.Now})
	// A second queue on a database handle of its own stands for another server.
	second := New(storetest.OpenURL(t, url), Options{Limits: limits, Sealer: f.sealer})
	meters := map[string]*meter{}
	for key, limit := range limits {
		meters[key] = &meter{limit: int64(limit)}
		if isPattern(key) {
			continue
		}
		f.add("e1", key, trialsPerKey/2)
		f.add("e2", key, trialsPerKey/2)
	}
	c := &contest{t: t, queues: []*Queue{f.Queue, second}, meters: meters}
	c.left.Store(int64(trialsPerKey * (len(limits) - 1)))
	// First nobody finishes anything: together they must come to the limit of each key or of its pattern, and no further.
	held := make([][]Claimed, claimers)
	c.all(claimers, func(i int) { held[i] = c.claim(i, 10) })
	for key, m := range meters {
		if n := m.running.Load(); n != m.limit && (isPattern(key) || limits[patternOf(key)] == 0) {
			t.Errorf("%d trials of %s run, want the limit %d", n, key, m.limit)
		}
	}
	c.all(claimers, func(i int) {
		c.finish(i, held[i])
		for c.left.Load() > 0 && !t.Failed() {
			c.finish(i, c.claim(i, 1+i%3))
		}
	})
	if n := c.left.Load(); n != 0 {
		t.Errorf("%d trials are left", n)
	}
	checkTallies(t, db)
}

// contest is a number of claimers on two queues, which stand for two servers.
type contest struct {
	t      *testing.T
	queues []*Queue
	meters map[string]*meter
	runs   sync.Map
	left   atomic.Int64
}

func (c *contest) all(n int, do func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { do(i) })
	}
	group.Wait()
}

func (c *contest) claim(i, slots int) []Claimed {
	claimed, err := c.queues[i%2].Claim(c.t.Context(), claimOf(fmt.Sprint("w", i), slots))
	if err != nil {
		c.t.Errorf("claim: %v", err)
	}
	for _, claim := range claimed {
		for key, m := range c.metersOf(claim) {
			m.enter(c.t, key)
		}
		if _, twice := c.runs.LoadOrStore(claim.Trial.ID, claim.Lease); twice {
			c.t.Errorf("trial %s was handed out twice", claim.Trial.ID)
		}
	}
	return claimed
}

// metersOf gives those of the trial's key and of the pattern above it, by name.
func (c *contest) metersOf(claim Claimed) map[string]*meter {
	key := claim.Trial.QueueKey
	meters := map[string]*meter{key: c.meters[key]}
	if pattern := patternOf(key); c.meters[pattern] != nil {
		meters[pattern] = c.meters[pattern]
	}
	return meters
}

func (c *contest) finish(i int, claimed []Claimed) {
	for _, claim := range claimed {
		for _, m := range c.metersOf(claim) {
			m.running.Add(-1)
		}
		if _, err := c.queues[i%2].Finish(c.t.Context(), claim.Trial.ID, claim.Lease, success(1)); err != nil {
			c.t.Errorf("finish: %v", err)
		}
		c.left.Add(-1)
	}
}

// Claims, reports, heartbeats, cancels, changes of limits, retries and the reaper all at once: nothing deadlocks, and everything ends.
func TestEverythingAtOnceEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 4, Lease: time.Second, Now: time.Now})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var background, workers sync.WaitGroup
	background.Go(func() { _ = f.Run(ctx) })
	trials := append(f.add("e1", "gpt-5", 30), f.add("e2", "claude-x", 30)...)
	background.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			id := trials[i%len(trials)]
			_, _ = f.Cancel(ctx, CancelFilter{TrialIDs: []string{id}})
			_, _ = f.Keys(ctx)
			f.disturb(ctx, i)
			time.Sleep(5 * time.Millisecond)
		}
	})
	for i := range 6 {
		workers.Go(func() { f.work(ctx, fmt.Sprint("w", i), i) })
	}
	workers.Wait()
	cancel()
	background.Wait()
	for _, id := range trials {
		if tr := f.trial(id); !tr.Status.Terminal() {
			t.Errorf("trial %s is %s", id, tr.Status)
		}
	}
	checkTallies(t, f.db)
}

// disturb changes limits and pauses, but leaves no key stopped for long.
func (f *fixture) disturb(ctx context.Context, i int) {
	key := []string{"openai/gpt-5", "openai/*", "anthropic/*", "anthropic/claude-x"}[i%4]
	for _, change := range []func() error{
		func() error { return f.Pause(ctx, key, Reason{}) },
		func() error { return f.SetLimit(ctx, key, 1+i%4, Reason{}) },
		func() error { return f.Resume(ctx, key, Reason{}) },
	} {
		if err := change(); err != nil && ctx.Err() == nil {
			f.t.Errorf("change %s: %v", key, err)
		}
	}
}

// work claims until all trials have ended; some runs it forgets.
func (f *fixture) work(ctx context.Context, worker string, forgetful int) {
	for ctx.Err() == nil {
		c := claimOf(worker, 3)
		c.WaitSec = 1
		claimed, err := f.Claim(ctx, c)
		if err != nil {
			f.t.Errorf("claim: %v", err)
			return
		}
		for i, c := range claimed {
			ref := api.JobRef{ID: c.Trial.ID, Lease: c.Lease}
			if _, err := f.Heartbeat(ctx, api.Heartbeat{WorkerID: worker, Jobs: []api.JobRef{ref}}); err != nil {
				f.t.Errorf("heartbeat: %v", err)
			}
			if (i+forgetful+c.Attempt)%5 == 0 {
				continue // lost
			}
			if _, err := f.Finish(ctx, c.Trial.ID, c.Lease, success(1)); err != nil {
				f.t.Logf("finish: %v", err)
			}
		}
		if f.allEnded(ctx) {
			return
		}
	}
}

func (f *fixture) allEnded(ctx context.Context) bool {
	trials, err := f.db.Trials(ctx, store.TrialFilter{TaskIDs: []string{f.task.ID}})
	if err != nil {
		f.t.Error(err)
	}
	for _, tr := range trials {
		if !tr.Status.Terminal() {
			return false
		}
	}
	return true
}

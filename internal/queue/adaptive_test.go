package queue

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"oddish/api"
)

// answered is one step in the life of an adaptation.
type answered struct {
	after   time.Duration // since the step before
	limited bool          // a rate limit, else a success
	wait    time.Duration // what the provider asked for
	running int           // at a success; 0: as many as the limit allows
	noted   bool          // whether the limit's history gets a line
	limit   int           // in force afterwards
	held    time.Duration // from now on
}

func TestLimitsFollowWhatAProviderAnswers(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, tc := range map[string]struct {
		set   int
		steps []answered
	}{
		"the first rate limit takes a fifth and holds for 15 s": {10, []answered{{limited: true, noted: true, limit: 8, held: 15 * s}}},
		"the time that the provider asks for is obeyed": {10, []answered{
			{limited: true, wait: 40 * s, noted: true, limit: 8, held: 40 * s},
			{after: 10 * s, limited: true, wait: 20 * s, limit: 8, held: 30 * s}, // ends before the hold does
			{limited: true, wait: 90 * s, limit: 8, held: 90 * s},
		}},
		"a burst is one episode": {10, []answered{
			{limited: true, noted: true, limit: 8, held: 15 * s}, {after: s, limited: true, limit: 8, held: 14 * s},
			{after: 13 * s, limited: true, limit: 8, held: s},
		}},
		"after a short hold the next episode waits for the gap": {10, []answered{
			{limited: true, wait: 2 * s, noted: true, limit: 8, held: 2 * s},
			{after: 5 * s, limited: true, wait: 3 * s, limit: 8, held: 3 * s},
			{after: 5 * s, limited: true, limit: 8, held: 5 * s}, // as long as the episode without a time would have held
			{after: 5 * s, limited: true, wait: s, noted: true, limit: 6, held: s},
		}},
		"episodes without a success between double the hold": {10, []answered{
			{limited: true, noted: true, limit: 8, held: 15 * s}, {after: 15 * s, limited: true, noted: true, limit: 6, held: 30 * s},
			{after: 30 * s, limited: true, noted: true, limit: 4, held: 60 * s}, {after: time.Hour, limited: true, noted: true, limit: 3, held: 120 * s},
			{after: time.Hour, limited: true, noted: true, limit: 2, held: 240 * s}, {after: time.Hour, limited: true, noted: true, limit: 1, held: 480 * s},
			{after: time.Hour, limited: true, noted: true, limit: 1, held: 900 * s}, {after: time.Hour, limited: true, noted: true, limit: 1, held: 900 * s},
			// Slow start, up to what the first episode left.
			{after: time.Hour, noted: true, limit: 2}, {noted: true, limit: 3}, {noted: true, limit: 4}, {noted: true, limit: 5},
			{noted: true, limit: 6}, {noted: true, limit: 7}, {noted: true, limit: 8}, {limit: 8},
			{after: s, limited: true, noted: true, limit: 6, held: 15 * s},
		}},
		"above the threshold it takes as many successes as run": {4, []answered{
			{limited: true, noted: true, limit: 3, held: 15 * s},
			{after: 15 * s, limit: 3}, {limit: 3}, {noted: true, limit: 4}, {limit: 4},
		}},
		"a success below the limit tells nothing":          {4, []answered{{limited: true, wait: s, noted: true, limit: 3, held: s}, {after: s, running: 2, limit: 3}}},
		"nothing grows during a hold":                      {2, []answered{{limited: true, noted: true, limit: 1, held: 15 * s}, {after: s, limit: 1, held: 14 * s}, {after: 14 * s, noted: true, limit: 2}}},
		"the limit 1 stays, and is held":                   {1, []answered{{limited: true, noted: true, limit: 1, held: 15 * s}, {after: 15 * s, limit: 1}}},
		"the limit 0 stays":                                {0, []answered{{limited: true, noted: true, limit: 0, held: 15 * s}, {after: 15 * s, running: 1, limit: 0}}},
		"a success without a rate limit before is nothing": {5, []answered{{limit: 5}, {limit: 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a adaptation
			now := time.Unix(1_800_000_000, 0)
			for i, step := range tc.steps {
				now = now.Add(step.after)
				var noted bool
				if step.limited {
					noted = a.rateLimited(tc.set, step.wait, now)
				} else {
					running := step.running
					if running == 0 {
						running = a.effective(tc.set)
					}
					noted = a.succeeded(tc.set, running, now)
				}
				if got := a.effective(tc.set); noted != step.noted || got != step.limit || max(a.heldUntil.Sub(now), 0) != step.held {
					t.Fatalf("step %d: noted %t, limit %d, held for %s, want %+v", i, noted, got, a.heldUntil.Sub(now), step)
				}
			}
		})
	}
}

func TestALimitThatIsSetLowerThanTheAdaptedOneHolds(t *testing.T) {
	t.Parallel()
	var a adaptation
	a.rateLimited(20, 0, time.Unix(1e9, 0))
	if got := a.effective(10); got != 10 {
		t.Errorf("%d, want 10", got)
	}
	if a.succeeded(10, 10, time.Unix(2e9, 0)); a.limit != nil {
		t.Errorf("still adapted to %d", *a.limit)
	}
}

// limited fails a run with a rate limit; 0 seconds: the provider named no time.
func (f *fixture) limited(c Claimed, seconds float64) {
	f.t.Helper()
	report := failure(api.ClassRateLimit)
	if seconds > 0 {
		report.RetryAfterSec = &seconds
	}
	f.finish(c, report)
}

func (f *fixture) key(name string) (KeyState, []Change) {
	f.t.Helper()
	k, changes, err := f.Key(f.t.Context(), name)
	if err != nil {
		f.t.Fatal(err)
	}
	return k, changes
}

func TestAHeldKeyStartsNothingAndOthersGoOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 5})
	f.add("e", "gpt-5", 20)
	claimed := f.claim(5)
	f.limited(claimed[0], 30)
	f.claimNone()
	f.add("e", "claude-x", 1)
	if n := len(f.claim(10)); n != 1 {
		t.Errorf("%d trials of the other key were started, want 1", n)
	}
	k, changes := f.key("gpt-5")
	if k.Effective == nil || *k.Effective != 4 || *k.Limit != 5 || !k.HeldUntil.Equal(f.clock.now().Add(30*time.Second)) || k.PausedBy != "" {
		t.Errorf("key is %+v", k)
	}
	if c := changes[0]; c.Kind != ChangeRateLimit || *c.From != 5 || *c.To != 4 || c.Text != "rate limit: the provider asked to wait 30s" || c.By != "" {
		t.Errorf("change is %+v", c)
	}
	f.clock.advance(29 * time.Second)
	f.reap()
	f.claimNone()
	f.clock.advance(time.Second)
	f.claimNone() // four still run
	f.reap()
	f.succeed(claimed[1], 1)
	if n := len(f.claim(10)); n != 1 {
		t.Errorf("%d were started beside three at a limit of four", n)
	}
	if k, _ := f.key("gpt-5"); k.HeldUntil != nil {
		t.Errorf("still held until %s", k.HeldUntil)
	}
}

func TestAClaimThatWaitsIsWokenAtTheEndOfAHold(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 5})
	f.add("e", "gpt-5", 2)
	f.limited(f.claimOne(), 30)
	due, err := f.nextDue(t.Context())
	if err != nil || due == nil || !due.Equal(f.clock.now().Add(30*time.Second)) {
		t.Fatalf("due at %v, %v", due, err)
	}
	wake := f.hub.claimable()
	f.clock.advance(30 * time.Second)
	f.reap()
	select {
	case <-wake:
	default:
		t.Error("nobody was woken")
	}
	f.claimOne()
}

func TestAGrownLimitIsNotedAndClearedAtTheSetOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 2})
	f.add("e", "gpt-5", 9)
	claimed := f.claim(5)
	f.limited(claimed[0], 0)
	f.succeed(claimed[1], 1) // while held
	f.clock.advance(15 * time.Second)
	f.reap()
	f.succeed(f.claim(5)[0], 1)
	k, changes := f.key("gpt-5")
	if k.Effective != nil || len(changes) != 2 {
		t.Fatalf("key is %+v, changes %+v", k, changes)
	}
	if c := changes[0]; c.Kind != ChangeGrowth || *c.From != 1 || *c.To != 2 || c.Text != "a success at the limit" {
		t.Errorf("change is %+v", c)
	}
}

func TestAnOperatorOverrulesAnAdaptedLimit(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(f *fixture){
		"the same limit once more": func(f *fixture) { f.setLimit("gpt-5", 10) },
		"another limit":            func(f *fixture) { f.setLimit("gpt-5", 12) },
		"back to the configured":   func(f *fixture) { f.setLimit("gpt-5", -1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{DefaultLimit: 10})
			f.setLimit("gpt-5", 10)
			f.add("e", "gpt-5", 40)
			f.limited(f.claim(10)[0], 30)
			act(f)
			k, changes := f.key("gpt-5")
			if k.Effective != nil || *changes[0].From != 8 || *changes[0].To != *k.Limit {
				t.Errorf("key is %+v, last change %+v", k, changes[0])
			}
			f.claimNone() // the provider's wish still holds
			f.resume("gpt-5")
			if n := len(f.claim(100)); n != *k.Limit-9 {
				t.Errorf("%d were started at limit %d beside 9", n, *k.Limit)
			}
			if _, changes := f.key("gpt-5"); changes[0].Kind != ChangeResume {
				t.Errorf("last change is %+v", changes[0])
			}
		})
	}
}

func TestEndsOfRunsDoNotLockAKeyThatMetNoRateLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 3)
	claimed := f.claim(3)
	for i, report := range []api.Finish{success(1), failure(api.ClassInfrastructure)} {
		err := f.record(t.Context(), func(l *ledger) error {
			got, err := l.lockFeedback(t.Context(), claimed[i].Trial.ID, &report)
			if got != nil {
				t.Errorf("%s locks the key", report.Outcome)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAutomaticChangesAreTrimmedAndThoseOfOperatorsKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.setLimit("gpt-5", 4)
	err := f.record(t.Context(), func(l *ledger) error {
		for range maxAutomatic + 2*trimEvery {
			if err := l.addChange(t.Context(), "openai/gpt-5", Change{Kind: ChangeGrowth}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var operators, automatic int
	row := f.db.Read().QueryRowContext(t.Context(), `SELECT SUM(CASE WHEN kind = 'limit' THEN 1 ELSE 0 END), SUM(CASE WHEN kind = 'growth' THEN 1 ELSE 0 END)
		FROM queue_changes`)
	if err := row.Scan(&operators, &automatic); err != nil {
		t.Fatal(err)
	}
	if operators != 1 || automatic < maxAutomatic || automatic >= maxAutomatic+trimEvery {
		t.Errorf("%d changes of operators and %d automatic ones are kept", operators, automatic)
	}
}

func TestAStaleReportOfARateLimitChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 5})
	f.add("e", "gpt-5", 2)
	c := f.claimOne()
	report := failure(api.ClassRateLimit)
	for range 2 { // the second is a repetition
		f.finish(c, report)
		f.clock.advance(time.Minute)
	}
	if _, err := f.Finish(t.Context(), c.Trial.ID, "no lease", report); err == nil {
		t.Error("a report without a lease was accepted")
	}
	if k, changes := f.key("gpt-5"); len(changes) != 1 || *k.Effective != 4 {
		t.Errorf("key is %+v, %s", k, fmt.Sprint(changes))
	}
}

// Many workers report at once: each change of the limit must begin where the one before it ended.
func TestReportsAtOnceChangeALimitOneAfterTheOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 12, Lease: 24 * time.Hour})
	rounds := 40
	if raceDetector {
		rounds = 10
	}
	f.add("e", "gpt-5", 200)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for round := range rounds {
				claimed, err := f.Claim(t.Context(), claimOf("w", 3))
				if err != nil {
					t.Error(err)
				}
				for i, c := range claimed {
					report := success(1)
					if (worker+round+i)%5 == 0 {
						report = failure(api.ClassRateLimit)
						report.RetryAfterSec = ptr(2.0)
					}
					if _, err := f.Finish(t.Context(), c.Trial.ID, c.Lease, report); err != nil {
						t.Error(err)
					}
				}
				f.clock.advance(2 * time.Second)
				if err := f.Queue.sweep(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	_, changes := f.key("gpt-5")
	slices.Reverse(changes)
	if len(changes) < 3 {
		t.Fatalf("only %d changes", len(changes))
	}
	in := *changes[0].From // not 12 where older changes are no longer shown
	if len(changes) < maxChanges && in != 12 {
		t.Errorf("the first change begins at %d", in)
	}
	for _, c := range changes {
		if *c.From != in || c.Kind == ChangeGrowth && *c.To != in+1 {
			t.Errorf("%s from %d to %d, at %d", c.Kind, *c.From, *c.To, in)
		}
		in = *c.To
	}
}

package queue

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// In these tests time passes only while everybody waits, and then at once.

// bubble runs a test in fake time with a queue whose Run is running.
func bubble(t *testing.T, o Options, test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Parallel()
	if storetest.Postgres() {
		t.Skip("a connection to another process does not stand still in fake time")
	}
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), storetest.URL(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.Now = time.Now
		f := newFixtureOn(t, db, o)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if err := f.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
		synctest.Wait()
		test(t, f)
		cancel()
		group.Wait()
	})
}

// answer is what a claim in the background got, and when.
type answer struct {
	claimed []Claimed
	err     error
	after   time.Duration
}

func (f *fixture) claimLater(ctx context.Context, worker string, slots, wait int) <-chan answer {
	ch := make(chan answer, 1)
	start := time.Now()
	go func() {
		c := claimOf(worker, slots)
		c.WaitSec = wait
		claimed, err := f.Claim(ctx, c)
		ch <- answer{claimed, err, time.Since(start)}
	}()
	synctest.Wait()
	return ch
}

func (a answer) want(t *testing.T, trials int, after time.Duration) Claimed {
	t.Helper()
	if a.err != nil || len(a.claimed) != trials {
		t.Fatalf("claimed %q, %v, want %d trials", ids(a.claimed), a.err, trials)
	}
	if a.after != after {
		t.Errorf("answered after %v, want %v", a.after, after)
	}
	if trials == 0 {
		return Claimed{}
	}
	return a.claimed[0]
}

func TestAWaitingClaimEndsEmptyAtItsTime(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		(<-f.claimLater(t.Context(), "w", 1, 20)).want(t, 0, 20*time.Second)
	})
}

func TestASubmissionWakesAWaitingClaim(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		waiting := f.claimLater(t.Context(), "w", 1, 20)
		time.Sleep(7 * time.Second)
		f.add("e", "gpt-5", 1)
		(<-waiting).want(t, 1, 7*time.Second)
	})
}

func TestAFreedSlotWakesAWaitingClaim(t *testing.T) {
	bubble(t, Options{DefaultLimit: 1}, func(t *testing.T, f *fixture) {
		f.add("e", "gpt-5", 2)
		c := f.claimOne()
		waiting := f.claimLater(t.Context(), "other", 1, 20)
		time.Sleep(3 * time.Second)
		f.succeed(c, 1)
		(<-waiting).want(t, 1, 3*time.Second)
	})
}

func TestARaisedLimitWakesAWaitingClaim(t *testing.T) {
	bubble(t, Options{DefaultLimit: 1}, func(t *testing.T, f *fixture) {
		f.add("e", "gpt-5", 2)
		f.claimOne()
		waiting := f.claimLater(t.Context(), "other", 1, 20)
		if err := f.SetLimit(t.Context(), "gpt-5", 2, Reason{}); err != nil {
			t.Fatal(err)
		}
		(<-waiting).want(t, 1, 0)
	})
}

func TestADueRetryWakesAWaitingClaimAtItsMoment(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		f.add("e", "gpt-5", 1)
		ack := f.finish(f.claimOne(), failure(api.ClassInfrastructure))
		delay := time.Until(*ack.RetryAt)
		(<-f.claimLater(t.Context(), "w", 1, 60)).want(t, 1, delay)
	})
}

func TestTheEndOfALeaseWakesAWaitingClaimAtItsMoment(t *testing.T) {
	bubble(t, Options{Lease: 20 * time.Second}, func(t *testing.T, f *fixture) {
		f.add("e", "gpt-5", 1)
		f.claimOne()
		c := (<-f.claimLater(t.Context(), "other", 1, 60)).want(t, 1, 20*time.Second)
		if c.Attempt != 2 {
			t.Errorf("attempt is %d, want 2", c.Attempt)
		}
	})
}

func TestHeartbeatsHoldALeaseOffTheReaper(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		id := f.add("e", "gpt-5", 1)[0]
		c := f.claimOne()
		for range 40 {
			time.Sleep(15 * time.Second)
			if ack := f.heartbeat(c); len(ack.Lost) != 0 {
				t.Fatalf("lost: %+v", ack)
			}
		}
		time.Sleep(DefaultLease - time.Second)
		f.wantStatus(id, api.StatusRunning)
		time.Sleep(2 * time.Second)
		f.wantStatus(id, api.StatusRetrying)
	})
}

func TestOneTrialGoesToOneOfManyWaitingClaims(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		var waiting []<-chan answer
		for range 20 {
			waiting = append(waiting, f.claimLater(t.Context(), "w", 1, 20))
		}
		f.add("e", "gpt-5", 3)
		got := 0
		for _, ch := range waiting {
			a := <-ch
			if a.err != nil {
				t.Error(a.err)
			}
			got += len(a.claimed)
		}
		if got != 3 {
			t.Errorf("%d trials were handed out, want 3", got)
		}
	})
}

func TestAClaimEndsWithItsContext(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		waiting := f.claimLater(ctx, "w", 1, 20)
		time.Sleep(time.Second)
		cancel()
		if a := <-waiting; !errors.Is(a.err, context.Canceled) || a.after != time.Second {
			t.Errorf("answer is %+v", a)
		}
		id := f.add("e", "gpt-5", 1)[0]
		time.Sleep(time.Minute)
		f.wantStatus(id, api.StatusQueued)
	})
}

func TestWhoeverIsIdleAsksTheDatabaseNothing(t *testing.T) {
	var log buffer
	o := Options{Log: slog.New(slog.NewTextHandler(&log, nil))}
	bubble(t, o, func(t *testing.T, f *fixture) {
		waiting := f.claimLater(t.Context(), "w", 1, 25)
		// A statement would fail now.
		if err := f.db.Close(); err != nil {
			t.Fatal(err)
		}
		(<-waiting).want(t, 0, 25*time.Second)
		synctest.Wait()
		if text := log.String(); text != "" {
			t.Errorf("run had something to do: %s", text)
		}
		// The slow poll exists nevertheless.
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if !strings.Contains(log.String(), "queue could not be tended") {
			t.Error("run has not looked for half a minute")
		}
	})
}

func TestARestartedServerGivesWorkersTimeToComeBack(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		id := f.add("e", "gpt-5", 1)[0]
		c := f.claimOne()
		// The lease ran out while no server was there.
		f.execute("UPDATE jobs SET lease_until = $1", time.Now().Add(-time.Hour).UnixMilli())
		f.execute("UPDATE workers SET last_seen = $1", time.Now().Add(-21*time.Second).UnixMilli())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		restarted := New(f.db, Options{})
		go restarted.Run(ctx)
		synctest.Wait()
		f.wantStatus(id, api.StatusRunning)
		time.Sleep(20 * time.Second)
		if ack := f.heartbeat(c); len(ack.Lost) != 0 {
			t.Errorf("the worker lost %q", ack.Lost)
		}
		cancel()
		synctest.Wait()
	})
}

func TestAServerThatStartsBesideAnotherOneTakesTrialsFromDeadWorkers(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		id := f.add("e", "gpt-5", 1)[0]
		f.claimOne()
		f.execute("UPDATE jobs SET lease_until = $1", time.Now().Add(-time.Second).UnixMilli())
		// Another worker was heard meanwhile, so this one could have been.
		f.execute("UPDATE workers SET last_seen = $1", time.Now().Add(-19*time.Second).UnixMilli())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		restarted := New(f.db, Options{})
		go restarted.Run(ctx)
		synctest.Wait()
		f.wantStatus(id, api.StatusRetrying)
		cancel()
		synctest.Wait()
	})
}

func TestSubscribersAreWokenAfterEvents(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		e := f.submit(f.sweep("e", "codex", "gpt-5", 1)).Experiment
		wake, stop := f.Subscribe(e.ID)
		defer stop()
		other, stopOther := f.Subscribe("other")
		defer stopOther()
		select {
		case <-wake:
			t.Error("woken by what was there before")
		default:
		}
		c := f.claimOne()
		<-wake
		f.progress(c, api.ProgressEvent{Seq: 1, Stage: api.StageAgentRunning})
		f.succeed(c, 1)
		<-wake // one signal stands for all since the last look
		select {
		case <-wake:
			t.Error("woken once more")
		case <-other:
			t.Error("woken by another experiment")
		default:
		}
		stop()
		stop()
		if len(f.hub.subscribers) != 1 {
			t.Errorf("subscribers left: %v", f.hub.subscribers)
		}
	})
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

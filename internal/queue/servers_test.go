package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// In these tests two queues, as of two servers, share a PostgreSQL database.

// servers starts two queues on one database, the second with a database connection of its own.
func servers(t *testing.T) (one, two *fixture) {
	t.Helper()
	t.Parallel()
	if !storetest.Postgres() {
		t.Skip("only PostgreSQL is shared by servers")
	}
	url := storetest.URL(t)
	one = newFixtureOn(t, storetest.OpenURL(t, url), Options{Now: time.Now})
	two = &fixture{Queue: New(storetest.OpenURL(t, url), Options{Sealer: one.sealer}), t: t, task: one.task, v: one.v}
	two.db = two.Queue.db
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, f := range []*fixture{one, two} {
		running.Go(func() { _ = f.Run(ctx) })
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	listening(t, one, two)
	return one, two
}

// listening waits until each hears the other.
func listening(t *testing.T, one, two *fixture) {
	t.Helper()
	hears := func(who, from *fixture) {
		const id = "a probe"
		wake, stop := who.Subscribe(id)
		defer stop()
		deadline := time.After(20 * time.Second)
		for {
			from.notifier.post(false, false, id)
			select {
			case <-wake:
				return // its own notices wake nobody, so this one is the other's, or the beginning of listening
			case <-time.After(50 * time.Millisecond):
			case <-deadline:
				t.Fatal("one server does not hear the other")
			}
		}
	}
	hears(two, one)
	hears(one, two)
}

// soon is far below the half minute after which who waits looks by itself.
const soon = 8 * time.Second

func within[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(soon):
		t.Fatalf("%s: nothing came", what)
		panic("not reached")
	}
}

func (f *fixture) waitingClaim(worker string) <-chan answer {
	ch := make(chan answer, 1)
	c := claimOf(worker, 1)
	c.WaitSec = 25
	if claimed, err := f.Claim(f.t.Context(), claimOf(worker, 1)); err != nil || len(claimed) > 0 { // it has been noted
		f.t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	go func() {
		claimed, err := f.Claim(f.t.Context(), c)
		ch <- answer{claimed: claimed, err: err}
	}()
	return ch
}

func TestASubmissionWakesAClaimThatWaitsAtAnotherServer(t *testing.T) {
	one, two := servers(t)
	waiting := two.waitingClaim("w")
	one.add("e", "gpt-5", 1)
	if a := within(t, "claim", waiting); a.err != nil || len(a.claimed) != 1 {
		t.Errorf("claimed %d, %v", len(a.claimed), a.err)
	}
}

func TestACancelReachesAWorkerOfAnotherServer(t *testing.T) {
	one, two := servers(t)
	id := one.add("e", "gpt-5", 1)[0]
	two.claimOne()
	told := make(chan []string, 1)
	go func() {
		ids, err := two.Cancels(t.Context(), api.Cancels{WorkerID: "w", WaitSec: 25})
		if err != nil {
			t.Error(err)
		}
		told <- ids
	}()
	if _, err := one.Cancel(t.Context(), CancelFilter{TrialIDs: []string{id}}); err != nil {
		t.Fatal(err)
	}
	if ids := within(t, "cancels", told); len(ids) != 1 || ids[0] != id {
		t.Errorf("to cancel are %q", ids)
	}
}

func TestEventsReachSubscribersOfAnotherServer(t *testing.T) {
	one, two := servers(t)
	e := one.submit(one.sweep("e", "codex", "gpt-5", 1)).Experiment
	wake, stop := two.Subscribe(e.ID)
	defer stop()
	one.claimOne()
	within(t, "wake-up", wake)
}

func TestALostListenerComesBackAndMissesNothing(t *testing.T) {
	one, two := servers(t)
	waiting := two.waitingClaim("w")
	// Every listener of this database's servers is killed, and the submission comes while none listens.
	killListeners(t, one.db)
	one.add("e", "gpt-5", 1)
	if a := within(t, "claim", waiting); a.err != nil || len(a.claimed) != 1 {
		t.Errorf("claimed %d, %v", len(a.claimed), a.err)
	}
	listening(t, one, two)
}

// killListeners ends the connections that listen to the channel of this database's schema.
func killListeners(t *testing.T, db *store.DB) {
	t.Helper()
	var n int
	row := db.Read().QueryRowContext(t.Context(), `SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE application_name = 'oddish listener' AND query LIKE 'LISTEN%' AND query LIKE '%' || (SELECT to_hex(hashtextextended(current_schema()::text, 0))) || '%'`)
	if err := row.Scan(&n); err != nil || n < 2 {
		t.Fatalf("killed %d listeners, %v", n, err)
	}
}

func TestManyExperimentsAreToldAsAll(t *testing.T) {
	t.Parallel()
	n := &notifier{db: storetest.Open(t), log: slog.New(slog.DiscardHandler), id: "me", experiments: map[string]bool{}}
	for i := range maxNoticed {
		n.experiments[fmt.Sprintf("%08x", i)] = true
	}
	told, _ := n.next()
	text, err := json.Marshal(told)
	if err != nil || len(text) > 7900 || told.All || len(told.Experiments) != maxNoticed {
		t.Errorf("%d bytes, all: %v, %v", len(text), told.All, err)
	}
	for i := range maxNoticed + 1 {
		n.experiments[fmt.Sprintf("%08x", i)] = true
	}
	if told, _ = n.next(); !told.All || told.Experiments != nil {
		t.Errorf("told %+v", told)
	}
	if _, any := n.next(); any {
		t.Error("there is more to tell")
	}
}

func TestWhatIsHeardWakesWhoWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	for _, test := range []struct {
		text                  string
		claims, cancels, mine bool
	}{
		{`{"from":"` + f.notifier.id + `","claims":true,"cancels":true,"all":true}`, false, false, false},
		{`{"from":"x","claims":true}`, true, false, false},
		{`{"from":"x","cancels":true}`, false, true, false},
		{`{"from":"x","experiments":["other"]}`, false, false, false},
		{`{"from":"x","experiments":["other","e"]}`, false, false, true},
		{`{"from":"x","all":true}`, false, false, true},
		{`what is this`, true, true, true},
	} {
		claims, cancels := f.hub.claimable(), f.hub.cancelled()
		wake, stop := f.Subscribe("e")
		f.heard(test.text)
		if isReady(claims) != test.claims || isReady(cancels) != test.cancels || isReady(wake) != test.mine {
			t.Errorf("%s: woke wrongly", test.text)
		}
		stop()
	}
}

func isReady(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestIdleWorkersAskTheDatabaseAlmostNothing(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		var workers sync.WaitGroup
		for i := range 10 {
			c := claimOf(fmt.Sprint("w", i), 1)
			c.WaitSec = 30
			workers.Go(func() {
				for ctx.Err() == nil {
					_, _ = f.Claim(ctx, c)
				}
			})
			workers.Go(func() {
				for ctx.Err() == nil {
					_, _ = f.Cancels(ctx, api.Cancels{WorkerID: c.WorkerID, WaitSec: 30})
				}
			})
		}
		time.Sleep(10 * time.Minute)
		before := f.db.Stats().Statements
		time.Sleep(10 * time.Minute)
		perMinute := float64(f.db.Stats().Statements-before) / 10
		cancel()
		workers.Wait()
		// Run, a claim and a question for cancels look twice a minute each; each worker is noted once in five minutes.
		if perMinute > 25 || perMinute < 4 {
			t.Errorf("%.1f statements a minute", perMinute)
		}
		t.Logf("%.1f statements a minute", perMinute)
	})
}

func TestAWorkerThatHasChangedIsNotedAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	claim := func(version string) {
		c := claimOf("w", 1)
		c.Version = version
		if _, err := f.Claim(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	noted := func() store.Worker {
		workers, err := f.db.Workers(t.Context(), time.Time{})
		if err != nil || len(workers) != 1 {
			t.Fatalf("%d workers, %v", len(workers), err)
		}
		return workers[0]
	}
	claim("1")
	first := noted()
	f.clock.advance(registerEvery - time.Second)
	claim("1")
	if w := noted(); !w.LastSeen.Equal(first.LastSeen) {
		t.Error("it was noted again too soon")
	}
	claim("2")
	if w := noted(); w.Version != "2" || w.LastSeen.Equal(first.LastSeen) {
		t.Errorf("noted is %+v", w)
	}
	f.clock.advance(registerEvery)
	claim("2")
	if w := noted(); !w.LastSeen.Equal(f.clock.now()) {
		t.Errorf("last seen %v at %v", w.LastSeen, f.clock.now())
	}
}

func TestWithoutNotificationsAClaimStillLooksTwiceAMinute(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		waiting := f.claimLater(t.Context(), "w", 1, 300)
		time.Sleep(7 * time.Second)
		// Submitted through a server whose notification was lost.
		other := &fixture{Queue: New(f.db, Options{Sealer: f.sealer}), t: t, db: f.db, task: f.task, v: f.v}
		other.add("e", "gpt-5", 1)
		a := <-waiting
		a.want(t, 1, a.after)
		if a.after > 31*time.Second {
			t.Errorf("after %v", a.after)
		}
	})
}

func TestACancelWithoutNotificationIsFoundInHalfAMinute(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, f *fixture) {
		id := f.add("e", "gpt-5", 1)[0]
		f.claimOne()
		start := time.Now()
		other := New(f.db, Options{})
		go func() {
			time.Sleep(5 * time.Second)
			if _, err := other.Cancel(t.Context(), CancelFilter{TrialIDs: []string{id}}); err != nil {
				t.Error(err)
			}
		}()
		ids, err := f.Cancels(t.Context(), api.Cancels{WorkerID: "w", WaitSec: 120})
		if err != nil || strings.Join(ids, "") != id || time.Since(start) > 31*time.Second {
			t.Errorf("told %q after %v, %v", ids, time.Since(start), err)
		}
	})
}

// A retry sets a tally anew from its trials. What another server has counted meanwhile, and what waits for that, must be in it.
func TestARetryCountsWhatAnotherServerHasJustEnded(t *testing.T) {
	one, two := servers(t)
	failed := one.add("x", "gpt-5", 1)[0]
	one.finish(one.claimOne(), failure(api.ClassPermanent))
	waiting := one.add("x", "gpt-5", 1)[0]

	begun, end, ended := make(chan int), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- two.db.Tx(t.Context(), func(tx *sql.Tx) error {
			var pid int
			if err := tx.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
				return err
			}
			for _, statement := range []string{
				"UPDATE jobs SET state = 'cancelled', ready = 0, finished_at = 1 WHERE id = $1",
				"UPDATE tallies SET queued = queued - 1, cancelled = cancelled + 1 WHERE task_id = (SELECT task_id FROM jobs WHERE id = $1)",
			} {
				if _, err := tx.ExecContext(t.Context(), statement, waiting); err != nil {
					return err
				}
			}
			begun <- pid
			<-end
			return nil
		})
	}()
	pid := within(t, "the other server's change", begun)
	retried := make(chan error, 1)
	go func() {
		_, err := one.RetryMany(t.Context(), RetryFilter{TrialIDs: []string{failed}})
		retried <- err
	}()
	for blocked := 0; blocked == 0; {
		if err := one.db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))", pid).Scan(&blocked); err != nil {
			t.Fatal(err)
		}
	}
	close(end)
	for what, done := range map[string]chan error{"the other server's change": ended, "the retry": retried} {
		if err := within(t, what, done); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	checkTallies(t, one.db)
}

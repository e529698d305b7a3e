package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"oddish/internal/store"
)

// onceSweep is a submission of n trials with a key, whose answer tells the ids.
func (f *fixture) onceSweep(key, request string, n int) Submission {
	s := f.sweep("e", "codex", "gpt-5", n)
	s.Once = Once{Key: key, Request: request}
	s.Answer = func(ctx context.Context, db store.Querier, r SubmitResult) (string, error) {
		task, err := store.FindTaskSummary(ctx, db, f.task.ID)
		return fmt.Sprint(r.TrialIDs, " of ", task.Counts.Total), err
	}
	return s
}

func (f *fixture) count(query string, args ...any) int {
	f.t.Helper()
	var n int
	if err := f.db.Read().QueryRowContext(f.t.Context(), query, args...).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f *fixture) wantTrials(n int) {
	f.t.Helper()
	if got := f.count("SELECT COUNT(*) FROM trials"); got != n {
		f.t.Errorf("there are %d trials, want %d", got, n)
	}
}

func TestASubmissionWithAKeyIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	first := f.submit(f.onceSweep("k", "digest", 2))
	if want := fmt.Sprint(f.ids(0, 1), " of 2"); first.Answer != want || first.Replayed {
		t.Errorf("answer %q, replayed %v; want %q", first.Answer, first.Replayed, want)
	}
	f.submit(f.onceSweep("other", "digest", 2))
	second := f.submit(f.onceSweep("k", "digest", 2))
	if !second.Replayed || second.Answer != first.Answer || second.TrialIDs != nil {
		t.Errorf("the second time it is %+v", second)
	}
	f.wantTrials(4)
	// Another server of the same database.
	server := New(f.db, Options{Now: f.clock.now})
	answer, found, err := server.Replay(t.Context(), Once{"k", "digest"})
	if answer != first.Answer || !found || err != nil {
		t.Errorf("replay: %q, %v, %v", answer, found, err)
	}
	if _, found, err := f.Replay(t.Context(), Once{"new", "digest"}); found || err != nil {
		t.Errorf("replay of a new key: %v, %v", found, err)
	}
}

func TestAKeyIsOfOneRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.submit(f.onceSweep("k", "digest", 1))
	if _, err := f.Submit(t.Context(), f.onceSweep("k", "another", 1)); !errors.Is(err, ErrKeyReused) {
		t.Errorf("submit: %v", err)
	}
	if _, _, err := f.Replay(t.Context(), Once{"k", "another"}); !errors.Is(err, ErrKeyReused) {
		t.Errorf("replay: %v", err)
	}
	f.wantTrials(1)
}

func TestAFailedSubmissionLeavesItsKeyFree(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.onceSweep("k", "digest", 1)
	s.Answer = func(context.Context, store.Querier, SubmitResult) (string, error) { return "", errors.New("no answer") }
	if _, err := f.Submit(t.Context(), s); err == nil {
		t.Error("it was carried out")
	}
	s = f.onceSweep("k", "digest", 1)
	s.Task.ID = "gone"
	if _, err := f.Submit(t.Context(), s); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("submit: %v", err)
	}
	f.wantTrials(0)
	if r := f.submit(f.onceSweep("k", "another", 1)); r.Replayed {
		t.Error("an answer was kept")
	}
}

func TestAnswersAreForgottenAfterADay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	for i := range expiredChunk + 3 {
		f.submit(f.onceSweep(fmt.Sprint("old", i), "digest", 1))
	}
	f.clock.advance(AnswersKept - time.Millisecond)
	if r := f.submit(f.onceSweep("old0", "digest", 1)); !r.Replayed {
		t.Error("the answer was forgotten within a day")
	}
	f.clock.advance(time.Millisecond)
	if _, found, err := f.Replay(t.Context(), Once{"old0", "digest"}); found || err != nil {
		t.Errorf("replay of an old key: %v, %v", found, err)
	}
	if r := f.submit(f.onceSweep("old0", "another", 1)); r.Replayed {
		t.Error("an answer is given after a day")
	}
	// Some old ones went with it, and the rest goes with the next.
	if n := f.count("SELECT COUNT(*) FROM submissions"); n != 3 {
		t.Errorf("%d answers are kept, want 3", n)
	}
	f.submit(f.onceSweep("new", "digest", 1))
	if n := f.count("SELECT COUNT(*) FROM submissions"); n != 2 {
		t.Errorf("%d answers are kept, want 2", n)
	}
}

func TestOfConcurrentSubmissionsWithAKeyOneIsCarriedOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	const clients = 8
	var mu sync.Mutex
	answers := map[string]int{}
	replayed := 0
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			r, err := f.Submit(t.Context(), f.onceSweep("k", "digest", 3))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers[r.Answer]++
			if r.Replayed {
				replayed++
			}
		})
	}
	group.Wait()
	if len(answers) != 1 || replayed != clients-1 {
		t.Errorf("answers %v, %d of them replayed", answers, replayed)
	}
	f.wantTrials(3)
}

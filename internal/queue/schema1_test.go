package queue

import (
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store/storetest"
)

// A queue goes on with what the first version of the tables held: a limit, a lease, a failed trial.
func TestTrialsOfTheFirstSchemaGoOn(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	storetest.LoadSchema1(t, url)
	db := storetest.OpenURL(t, url)
	f := newFixtureOn(t, db, Options{Now: storetest.Schema1Time})
	f.clock = &clock{t: storetest.Schema1Time()}
	f.Queue = New(db, Options{Sealer: newSealer(t), Now: f.clock.now})
	const id = "hello-00000001-"

	if c := f.claimOne(); c.Trial.ID != id+"0" {
		t.Errorf("claimed %s, want %s0", c.Trial.ID, id)
	}
	if _, err := f.Finish(t.Context(), id+"1", "lease-1", success(1)); err != nil {
		t.Errorf("finish the running trial under its lease: %v", err)
	}
	if err := f.Retry(t.Context(), id+"4"); err != nil {
		t.Errorf("retry the failed trial: %v", err)
	}
	f.clock.advance(30 * time.Second) // the retry of trial 2 is due
	if n := len(f.claim(10)); n != 2 {
		t.Errorf("claimed %d, want the retried and the due one", n)
	}
	want := map[string]api.Status{"0": api.StatusRunning, "1": api.StatusSuccess, "2": api.StatusRunning, "3": api.StatusSuccess, "4": api.StatusRunning, "5": api.StatusCancelled}
	for n, status := range want {
		if got := f.trial(id + n).Status; got != status {
			t.Errorf("trial %s is %s, want %s", n, got, status)
		}
	}
	checkTallies(t, db)
}

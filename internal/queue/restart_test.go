package queue

import (
	"reflect"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

func TestARestartKeepsEverything(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	db, err := store.Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	sealer := newSealer(t)
	f := newFixtureOn(t, db, Options{DefaultLimit: 2, Sealer: sealer})
	f.submit(f.secretSweep())
	f.add("e", "gpt-5", 4)
	if err := f.SetLimit(t.Context(), "gpt-5", 3, Reason{}); err != nil {
		t.Fatal(err)
	}
	claimed := f.claim(3)
	f.succeed(claimed[0], 1)
	f.finish(claimed[1], failure(api.ClassInfrastructure))
	before, events := f.all(), f.events("e")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	again := storetest.OpenURL(t, url)
	g := &fixture{
		Queue: New(again, Options{DefaultLimit: 2, Sealer: sealer, Now: f.clock.now}), t: t, db: again, clock: f.clock, task: f.task, v: f.v,
	}
	if after := g.all(); !reflect.DeepEqual(after, before) {
		t.Errorf("trials were\n%+v\nand are\n%+v", before, after)
	}
	if after := g.events("e"); !reflect.DeepEqual(after, events) {
		t.Errorf("events were\n%+v\nand are\n%+v", events, after)
	}
	keys, err := g.Keys(t.Context())
	if err != nil || len(keys) != 1 || *keys[0].Limit != 3 || keys[0].Running != 1 {
		t.Errorf("keys are %+v, %v", keys, err)
	}
	// Leases go on, and so does the limit.
	g.heartbeat(claimed[2])
	if n := len(g.claim(10)); n != 2 {
		t.Errorf("claimed %d, want 2", n)
	}
	g.succeed(claimed[2], 1)
	f.clock.advance(time.Hour)
	checkTallies(t, again)
}

// all are the trials of the fixture's task.
func (f *fixture) all() []store.Trial {
	f.t.Helper()
	trials, err := f.db.Trials(f.t.Context(), store.TrialFilter{TaskIDs: []string{f.task.ID}})
	if err != nil {
		f.t.Fatal(err)
	}
	return trials
}

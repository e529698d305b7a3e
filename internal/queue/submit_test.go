package queue

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

func TestSubmitFindsOrCreatesTheExperiment(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	created := f.submit(f.sweep("name", "oracle", "", 1)).Experiment
	if created.Name != "name" || !regexp.MustCompile(`^[0-9a-f]{8}$`).MatchString(created.ID) {
		t.Errorf("experiment is %+v", created)
	}
	if byName := f.submit(f.sweep("name", "oracle", "", 1)).Experiment; byName.ID != created.ID {
		t.Errorf("by name: %+v", byName)
	}
	if byID := f.submit(f.sweep(created.ID, "oracle", "", 1)).Experiment; byID.ID != created.ID || byID.Name != "name" {
		t.Errorf("by id: %+v", byID)
	}
	f.clock.advance(1e9)
	newer := f.submit(f.sweep("other", "oracle", "", 1)).Experiment
	if err := f.db.RenameExperiment(t.Context(), newer.ID, "name"); err != nil {
		t.Fatal(err)
	}
	if newest := f.submit(f.sweep("name", "oracle", "", 1)).Experiment; newest.ID != newer.ID {
		t.Errorf("of two with the name %+v was taken, want the newest", newest)
	}
	anonymous := f.submit(f.sweep("", "oracle", "", 1)).Experiment
	if !regexp.MustCompile(`^[a-z]+-[a-z]+-[0-9a-f]{4}$`).MatchString(anonymous.Name) {
		t.Errorf("without a name it is called %q", anonymous.Name)
	}
	if other := f.submit(f.sweep("", "oracle", "", 1)).Experiment; other.ID == anonymous.ID {
		t.Error("two submissions without a name share an experiment")
	}
}

func TestSubmitCanPublish(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 1)
	s := f.sweep("e", "codex", "gpt-5", 1)
	s.Sweep.PublishExperiment = ptr(true)
	if !f.submit(s).Experiment.Public {
		t.Error("the experiment is not public")
	}
	if e, err := f.db.Experiment(t.Context(), "e"); err != nil || !e.Public {
		t.Errorf("the experiment is stored as %+v, %v", e, err)
	}
}

func TestConcurrentSubmissionsShareAnExperimentAndNoIndex(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	const submitters, each = 8, 5
	var mu sync.Mutex
	seen := map[string]bool{}
	experiments := map[string]bool{}
	var group sync.WaitGroup
	for range submitters {
		group.Go(func() {
			result, err := f.Submit(t.Context(), f.sweep("same", "codex", "gpt-5", each))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			experiments[result.Experiment.ID] = true
			for _, id := range result.TrialIDs {
				seen[id] = true
			}
		})
	}
	group.Wait()
	if len(experiments) != 1 || len(seen) != submitters*each {
		t.Errorf("%d experiments and %d trials were made, want 1 and %d", len(experiments), len(seen), submitters*each)
	}
	for i := range submitters * each {
		if id := fmt.Sprintf("%s-%d", f.task.ID, i); !seen[id] {
			t.Errorf("index %d is missing", i)
		}
	}
	checkTallies(t, f.db)
}

func TestSubmitDescribesTheTaskOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("one", "codex", "gpt-5", 1)
	s.Sweep.Tags = map[string]string{"team": "a"}
	s.Sweep.GithubUsername = ptr("ann-gh")
	f.submit(s)
	s = f.sweep("two", "codex", "gpt-5", 1)
	s.Sweep.User, s.Sweep.Tags, s.Sweep.Priority, s.Sweep.RunAnalysis = "bob", map[string]string{"team": "b"}, api.PriorityHigh, true
	two := f.submit(s).Experiment
	task, err := f.db.Task(t.Context(), f.task.ID)
	if err != nil {
		t.Fatal(err)
	}
	if task.User != "ann" || task.Tags["team"] != "a" || task.GithubUsername != "ann-gh" {
		t.Errorf("task is %+v: the first submission says whose it is", task)
	}
	if task.ExperimentID != two.ID || task.Priority != api.PriorityHigh || !task.RunAnalysis {
		t.Errorf("task is %+v: the newest submission says where it is", task)
	}
}

func TestSubmitIsOneTransaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("e", "codex", "gpt-5", 3)
	s.Task.ID = "gone"
	if _, err := f.Submit(t.Context(), s); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("task that is gone: %v", err)
	}
	// Fails at the end, when the first trial is sealed.
	bare := New(f.db, Options{Now: f.clock.now})
	if _, err := bare.Submit(t.Context(), f.secretSweep()); err == nil {
		t.Error("secrets without a key were accepted")
	}
	if _, err := f.db.Experiment(t.Context(), "e"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a failed submission left its experiment: %v", err)
	}
	if keys, err := f.Keys(t.Context()); err != nil || len(keys) != 0 {
		t.Errorf("a failed submission left its queue key: %+v, %v", keys, err)
	}
	if ids := f.add("e", "gpt-5", 1); ids[0] != f.task.ID+"-0" {
		t.Errorf("a failed submission used up an index: %q", ids)
	}
}

func TestSubmitRefusesWhatCannotRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("e", "codex", "gpt-5", 1)
	s.Environment = ""
	if _, err := f.Submit(t.Context(), s); err == nil {
		t.Error("a trial without a sandbox kind was accepted")
	}
	s.Sweep.Configs = nil
	if _, err := f.Submit(t.Context(), s); err == nil {
		t.Error("a sweep without agents was accepted")
	}
}

func TestInfoTellsThePlaceInTheQueue(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 2})
	ids := f.add("e", "gpt-5", 6)
	other := f.add("e", "claude-x", 1)
	claimed := f.claim(3) // two of gpt-5 and the other
	running := slices.IndexFunc(claimed, func(c Claimed) bool { return c.Trial.ID == ids[0] })
	f.finish(claimed[running], failure(api.ClassInfrastructure))
	trials, err := f.db.Trials(t.Context(), store.TrialFilter{IDs: append(ids, other...)})
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Info(t.Context(), trials)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]api.QueueInfo{}
	for i, id := range []string{ids[2], ids[3], ids[4], ids[5], ids[0]} { // the retry is last: it may not start yet
		want[id] = api.QueueInfo{Position: i + 1, Ahead: i, QueuedCount: 5, RunningCount: 1, ConcurrencyLimit: 2}
	}
	if len(info) != len(want) {
		t.Errorf("info is given for %d trials, want %d", len(info), len(want))
	}
	for id, w := range want {
		if info[id] != w {
			t.Errorf("trial %s is at %+v, want %+v", id, info[id], w)
		}
	}
	keys, err := f.Keys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Fatalf("keys are %+v, %v", keys, err)
	}
	if k := keys[1]; k.Key != "openai/gpt-5" || *k.Limit != 2 || k.Running != 1 || k.Queued != 4 || k.Retrying != 1 || !k.Oldest.Equal(f.clock.now()) {
		t.Errorf("key is %+v", k)
	}
}

func TestInfoTellsOfTrialsThatNoWorkerCanRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	id := f.add("e", "gpt-5", 1)[0]
	unserved := func() bool {
		trials, err := f.db.Trials(t.Context(), store.TrialFilter{IDs: []string{id}})
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Info(t.Context(), trials)
		if err != nil {
			t.Fatal(err)
		}
		return info[id].Unserved
	}
	if !unserved() {
		t.Error("no worker was ever there, and none is missed")
	}
	ask := func(kinds ...string) {
		c := claimOf("w", 1)
		c.Sandboxes = kinds
		if claimed, err := f.Claim(t.Context(), c); err != nil || len(claimed) != 0 {
			t.Fatalf("claimed %v, %v", claimed, err)
		}
	}
	if ask("builtin"); !unserved() {
		t.Error("a worker with other sandboxes counts")
	}
	f.pause("openai/gpt-5") // so that it waits for something else
	if ask("fake", "builtin"); unserved() {
		t.Error("the worker that could run it is missed")
	}
	f.clock.advance(offeredFor + time.Second)
	if !unserved() {
		t.Error("a worker that was not heard of for long is believed")
	}
}

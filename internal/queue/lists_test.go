package queue

import (
	"errors"
	"slices"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// The lists of package store, with what the queue writes.

func names(list []store.ExperimentSummary) []string {
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names
}

func TestExperimentsAreListedByTheirNewestActivity(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	for _, name := range []string{"a", "b", "c"} {
		f.add(name, "gpt-5", 1)
		f.clock.advance(time.Minute)
	}
	f.succeed(f.claimOne(), 1) // of a
	list, err := f.db.Experiments(t.Context(), 0, 0)
	if err != nil || !slices.Equal(names(list), []string{"a", "c", "b"}) {
		t.Errorf("experiments are %q, %v", names(list), err)
	}
	list, err = f.db.Experiments(t.Context(), 1, 1)
	if err != nil || !slices.Equal(names(list), []string{"c"}) {
		t.Errorf("the second page is %q, %v", names(list), err)
	}
}

func TestSummariesCountTrials(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 10})
	other, v := addTask(t, f.db, "other")
	e := f.submit(f.sweep("e", "codex", "gpt-5", 7)).Experiment
	second := f.sweep("e", "codex", "gpt-5", 1)
	second.Task, second.Version, second.Sweep.TaskID = other, v, other.ID
	f.submit(second)
	f.add("unrelated", "gpt-5", 3)
	started := f.clock.now()
	claimed := f.claim(5)
	f.clock.advance(time.Minute)
	f.succeed(claimed[0], 1)
	f.succeed(claimed[1], 0.5)
	f.finish(claimed[2], failure(api.ClassPermanent))
	f.finish(claimed[3], failure(api.ClassInfrastructure))
	f.cancel(CancelFilter{TrialIDs: []string{other.ID + "-0"}})
	ended := 0
	for _, c := range claimed[:4] {
		if c.Trial.ExperimentID == e.ID {
			ended++
		}
	}

	s, err := f.db.ExperimentSummary(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	c := s.Counts
	if s.Tasks != 2 || c.Total != 8 || c.Cancelled != 1 || c.Success+c.Failed+c.Retrying != ended || c.FinishedAt != nil || !c.StartedAt.Equal(started) {
		t.Errorf("experiment is %+v", s)
	}
	task, err := f.db.TaskSummary(t.Context(), f.task.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := store.Counts{
		Total: 10, Queued: 5, Running: 1, Retrying: 1, Success: 2, Failed: 1, Rewarded: 2, Passed: 1, RewardSum: 1.5, StartedAt: task.Counts.StartedAt,
	}
	if task.Counts != want || task.ExperimentName != "unrelated" {
		t.Errorf("task is %+v, want %+v", task, want)
	}
	tasks, err := f.db.Tasks(t.Context(), store.TaskFilter{ExperimentID: e.ID})
	if err != nil || len(tasks) != 2 {
		t.Fatalf("tasks are %+v, %v", tasks, err)
	}
	for _, k := range tasks {
		if k.ExperimentName != "e" {
			t.Errorf("task is listed under %q", k.ExperimentName)
		}
		if k.ID == other.ID && (k.Counts.Total != 1 || k.Counts.FinishedAt == nil) {
			t.Errorf("other task is %+v", k)
		}
		if k.ID == f.task.ID && k.Counts.Total != 7 {
			t.Errorf("first task is %+v", k)
		}
	}
	if mine, err := f.db.Tasks(t.Context(), store.TaskFilter{User: "nobody"}); err != nil || len(mine) != 0 {
		t.Errorf("tasks of nobody are %+v, %v", mine, err)
	}
}

func TestTrialsAreListedInOrderOfIndex(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	all := f.add("e", "gpt-5", 12)
	e, err := f.db.Experiment(t.Context(), "e")
	if err != nil {
		t.Fatal(err)
	}
	for _, filter := range []store.TrialFilter{{TaskIDs: []string{f.task.ID}}, {ExperimentID: e.ID}, {IDs: all}} {
		list, err := f.db.Trials(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tr := range list {
			got = append(got, tr.ID)
		}
		if !slices.Equal(got, all) {
			t.Errorf("filter %+v gives %q", filter, got)
		}
	}
	page, err := f.db.Trials(t.Context(), store.TrialFilter{ExperimentID: e.ID, Limit: 3, Offset: 9})
	if err != nil || len(page) != 3 || page[2].ID != all[11] {
		t.Errorf("the last page is %+v, %v", page, err)
	}
	if none, err := f.db.Trials(t.Context(), store.TrialFilter{IDs: []string{}}); err != nil || len(none) != 0 {
		t.Errorf("no ids give %d trials, %v", len(none), err)
	}
	if _, err := f.db.Trials(t.Context(), store.TrialFilter{}); err == nil {
		t.Error("an empty filter was accepted")
	}
}

func TestDeleteTask(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.add("e", "gpt-5", 3)
	c := f.claimOne()
	if _, err := f.db.DeleteTask(t.Context(), f.task.ID); !errors.Is(err, store.ErrConflict) {
		t.Errorf("while a trial runs: %v", err)
	}
	f.succeed(c, 1)
	dirs, err := f.db.DeleteTask(t.Context(), f.task.ID)
	slices.Sort(dirs)
	if err != nil || !slices.Equal(dirs, []string{c.Trial.TrialDir, "tasks/hello-world"}) {
		t.Errorf("folders are %q, %v", dirs, err)
	}
	f.wantEmpty("tasks", "task_versions", "trials", "jobs", "attempts", "tallies", "events")
	f.claimNone()
	if _, err := f.db.Experiment(t.Context(), "e"); err != nil {
		t.Errorf("the experiment: %v", err)
	}
	if _, err := f.Finish(t.Context(), c.Trial.ID, c.Lease, success(1)); !errors.Is(err, ErrStale) {
		t.Errorf("a report of a deleted trial: %v", err)
	}
}

func TestDeleteExperiment(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 1})
	f.add("keep", "gpt-5", 1)
	gone := f.submit(f.sweep("gone", "codex", "gpt-5", 2)).Experiment
	f.claimOne() // of keep
	if err := f.SetLimit(t.Context(), "gpt-5", 2, Reason{}); err != nil {
		t.Fatal(err)
	}
	c := f.claimOne()
	if _, _, err := f.db.DeleteExperiment(t.Context(), gone.ID); !errors.Is(err, store.ErrConflict) {
		t.Errorf("while a trial runs: %v", err)
	}
	f.succeed(c, 1)
	n, dirs, err := f.db.DeleteExperiment(t.Context(), gone.ID)
	if err != nil || n != 2 || !slices.Equal(dirs, []string{"jobs/" + gone.ID}) {
		t.Errorf("deleted %d trials in %q, %v", n, dirs, err)
	}
	checkTallies(t, f.db)
	task, err := f.db.TaskSummary(t.Context(), f.task.ID)
	if err != nil || task.ExperimentName != "keep" || task.Counts.Total != 1 {
		t.Errorf("task is %+v, %v", task, err)
	}
	if ids := f.add("keep", "gpt-5", 1); ids[0] != f.task.ID+"-3" {
		t.Errorf("the next trial is %q: indexes must not come back", ids)
	}
}

// wantEmpty fails if a table has rows.
func (f *fixture) wantEmpty(tables ...string) {
	f.t.Helper()
	for _, table := range tables {
		var n int
		if err := f.db.Read().QueryRowContext(f.t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil || n != 0 {
			f.t.Errorf("%d rows are left in %s, %v", n, table, err)
		}
	}
}

package queue

import (
	"errors"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// importInto imports a trial of task hello-world that ran elsewhere.
func (f *fixture) importInto(experimentID, folder string, change func(*api.ImportTrial)) string {
	f.t.Helper()
	began := f.clock.now().Add(-time.Hour)
	ended := began.Add(time.Minute)
	in := api.ImportTrial{
		Digest: "aa", TaskName: "org/hello-world", TaskDigest: "hash of hello-world", Agent: "codex", Model: "openai/gpt-5",
		AgentConfig: api.AgentConfig{Env: map[string]string{"TOKEN": "s3cret"}}, Environment: "docker", Attempts: 2, StartedAt: &began, FinishedAt: &ended,
		Finish: api.Finish{Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": 1}, InputTokens: ptr(int64(7)), OutputTokens: ptr(int64(3)), CostUSD: ptr(0.5)},
	}
	if change != nil {
		change(&in)
	}
	id, err := f.Import(f.t.Context(), experimentID, folder, "hello-world", in)
	if err != nil {
		f.t.Fatal(err)
	}
	checkInvariants(f.t, f.db)
	checkTallies(f.t, f.db)
	return id
}

func (f *fixture) importJob(id string) store.Experiment {
	f.t.Helper()
	e, err := f.ImportJob(f.t.Context(), api.ImportJob{JobID: id, Name: "nightly", Source: "harbor 0.26.0"})
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

func TestATrialThatRanElsewhereIsThereAsItEnded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	e := f.importJob("job-1")
	id := f.importInto(e.ID, "hello__abc", nil)
	got, err := f.db.Trial(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != api.StatusSuccess || got.Version != 1 || got.Attempt != 2 || *got.Reward != 1 || *got.CostUSD != 0.5 || !got.Imported ||
		got.FinishedAt.Sub(*got.StartedAt) != time.Minute || got.TrialDir != store.ExperimentDir(e.ID)+"/hello__abc" || got.QueueKey != "openai/gpt-5" {
		t.Errorf("trial is %+v", got)
	}
	if got.AgentConfig.Env["TOKEN"] != Redacted {
		t.Errorf("a value of its environment was kept: %v", got.AgentConfig.Env)
	}
	if claimed := f.claim(5); len(claimed) != 0 {
		t.Errorf("it was queued: %+v", claimed)
	}
	spending, err := f.db.Spending(t.Context(), e.ID)
	if err != nil || *spending[e.ID].Usage.CostUSD != 0.5 {
		t.Errorf("spending is %+v, %v", spending, err)
	}
	if day, err := store.FindDay(t.Context(), f.db.Read(), store.Day(f.clock.now())); err != nil || day != (api.Spent{}) {
		t.Errorf("what was paid elsewhere counts for today: %+v, %v", day, err)
	}
}

func TestTheSameJobIsTheSameExperiment(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	e := f.importJob("job-1")
	first := f.importInto(e.ID, "hello__abc", nil)
	if again := f.importJob("job-1"); again.ID != e.ID {
		t.Errorf("experiments %s and %s", e.ID, again.ID)
	}
	if other := f.importJob("job-2"); other.ID == e.ID {
		t.Error("another job is the same experiment")
	}
	second := f.importInto(e.ID, "hello__abc", func(in *api.ImportTrial) {
		in.Digest, in.Finish = "bb", api.Finish{Outcome: api.StatusFailed, ErrorType: "RuntimeError", CostUSD: ptr(0.25)}
	})
	if first != second {
		t.Errorf("a folder is trials %s and %s", first, second)
	}
	trials, err := f.db.ImportedTrials(t.Context(), e.ID)
	if err != nil || len(trials) != 1 || trials[0].Digest != "bb" {
		t.Errorf("trials are %+v, %v", trials, err)
	}
	summary, err := f.db.ExperimentSummary(t.Context(), e.ID)
	if err != nil || summary.Counts.Total != 1 || summary.Counts.Failed != 1 || summary.Counts.Rewarded != 0 {
		t.Errorf("counts are %+v, %v", summary.Counts, err)
	}
	if spending, err := f.db.Spending(t.Context(), e.ID); err != nil || *spending[e.ID].Usage.CostUSD != 0.25 {
		t.Errorf("spending is %+v, %v", spending, err)
	}
}

func TestATaskThatIsNotHereIsMadeWithoutAVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	e := f.importJob("job-1")
	in := api.ImportTrial{Digest: "aa", TaskName: "new", Agent: "oracle", Environment: "docker", Attempts: 1, Finish: api.Finish{Outcome: api.StatusCancelled}}
	id, err := f.Import(t.Context(), e.ID, "new__1", "new", in)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.db.Trial(t.Context(), id); err != nil || got.Version != 0 || got.Status != api.StatusCancelled || got.StartedAt == nil {
		t.Errorf("trial is %+v, %v", got, err)
	}
	tasks, err := f.db.Tasks(t.Context(), store.TaskFilter{ExperimentID: e.ID})
	if err != nil || len(tasks) != 1 || tasks[0].Name != "new" || tasks[0].Version != 0 {
		t.Errorf("tasks are %+v, %v", tasks, err)
	}
	task, version, err := f.db.AddVersion(t.Context(), tasks[0].ID, "new", "h", "", func(int) string { return "k" })
	if err != nil || version.Version != 1 || task.ID != tasks[0].ID {
		t.Errorf("its first upload gives %+v, %v", version, err)
	}
}

func TestWhatRanElsewhereIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	e := f.importJob("job-1")
	id := f.importInto(e.ID, "hello__abc", func(in *api.ImportTrial) {
		in.Finish = api.Finish{Outcome: api.StatusFailed, ErrorType: "RuntimeError"}
	})
	if err := f.Retry(t.Context(), id); !errors.Is(err, store.ErrConflict) {
		t.Errorf("error is %v", err)
	}
	f.add(e.ID, "openai/gpt-5", 1)
	if claimed := f.claim(5); len(claimed) != 1 || claimed[0].Trial.ID == id {
		t.Errorf("claimed %+v", claimed)
	}
}

func TestAnExperimentThatRanHereTakesNoImports(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	r := f.submit(f.sweep("own", "codex", "openai/gpt-5", 1))
	in := api.ImportTrial{Digest: "aa", TaskName: "x", Agent: "oracle", Environment: "docker", Attempts: 1, Finish: api.Finish{Outcome: api.StatusSuccess}}
	if _, err := f.Import(t.Context(), r.Experiment.ID, "x__1", "x", in); !errors.Is(err, store.ErrConflict) {
		t.Errorf("error is %v", err)
	}
	if _, err := f.Import(t.Context(), "nope", "x__1", "x", in); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

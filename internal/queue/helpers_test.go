package queue

import (
	"database/sql"
	"slices"
	"sync"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// clock is a time that only the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fixture is a queue with a task, and a clock.
type fixture struct {
	*Queue
	t     *testing.T
	db    *store.DB
	clock *clock
	task  store.Task
	v     store.Version
}

func newFixture(t *testing.T, o Options) *fixture {
	t.Helper()
	return newFixtureOn(t, storetest.Open(t), o)
}

func newFixtureOn(t *testing.T, db *store.DB, o Options) *fixture {
	t.Helper()
	c := &clock{t: time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)}
	if o.Now == nil {
		o.Now = c.now
	}
	if o.Sealer == nil {
		o.Sealer = newSealer(t)
	}
	f := &fixture{Queue: New(db, o), t: t, db: db, clock: c}
	f.task, f.v = addTask(t, db, "hello-world")
	return f
}

func newSealer(t testing.TB) *store.Sealer {
	t.Helper()
	s, err := store.OpenSealer(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func addTask(t testing.TB, db *store.DB, name string) (store.Task, store.Version) {
	t.Helper()
	task, version, err := db.AddVersion(t.Context(), store.NewTaskID(name), name, "hash of "+name, "", func(int) string { return "tasks/" + name })
	if err != nil {
		t.Fatal(err)
	}
	return task, version
}

func ptr[T any](v T) *T { return &v }

// sweep is a submission of n trials of one agent to an experiment.
func (f *fixture) sweep(experiment, agent, model string, n int) Submission {
	s := api.Sweep{TaskID: f.task.ID, User: "ann", Configs: []api.SweepConfig{{Agent: agent, NTrials: n}}}
	if experiment != "" {
		s.ExperimentID = &experiment
	}
	if model != "" {
		s.Configs[0].Model = &model
	}
	return Submission{Sweep: s, Task: f.task, Version: f.v, Environment: "fake"}
}

func (f *fixture) submit(s Submission) SubmitResult {
	f.t.Helper()
	result, err := f.Submit(f.t.Context(), s)
	if err != nil {
		f.t.Fatal(err)
	}
	return result
}

// add submits n trials of a model to an experiment and returns their ids.
func (f *fixture) add(experiment, model string, n int) []string {
	f.t.Helper()
	return f.submit(f.sweep(experiment, "codex", model, n)).TrialIDs
}

func claimOf(worker string, slots int) api.Claim {
	return api.Claim{WorkerID: worker, Hostname: "host", Version: "v", Slots: slots, Sandboxes: []string{"fake"}}
}

// claim claims without waiting.
func (f *fixture) claim(slots int) []Claimed {
	f.t.Helper()
	claimed, err := f.Claim(f.t.Context(), claimOf("w", slots))
	if err != nil {
		f.t.Fatal(err)
	}
	return claimed
}

func (f *fixture) claimOne() Claimed {
	f.t.Helper()
	claimed := f.claim(1)
	if len(claimed) != 1 {
		f.t.Fatalf("claimed %d trials, want 1", len(claimed))
	}
	return claimed[0]
}

func (f *fixture) claimNone() {
	f.t.Helper()
	if claimed := f.claim(10); len(claimed) != 0 {
		f.t.Fatalf("claimed %d trials, want none", len(claimed))
	}
}

func (f *fixture) finish(c Claimed, report api.Finish) api.FinishAck {
	f.t.Helper()
	ack, err := f.Finish(f.t.Context(), c.Trial.ID, c.Lease, report)
	if err != nil {
		f.t.Fatal(err)
	}
	return ack
}

func (f *fixture) succeed(c Claimed, reward float64) {
	f.t.Helper()
	f.finish(c, success(reward))
}

func success(reward float64) api.Finish {
	return api.Finish{Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": reward}}
}

func failure(class api.ErrorClass) api.Finish {
	return api.Finish{Outcome: api.StatusFailed, ErrorType: "SomeError", ErrorMessage: "it broke", ErrorClass: class}
}

func (f *fixture) trial(id string) store.Trial {
	f.t.Helper()
	trial, err := f.db.Trial(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return trial
}

func (f *fixture) wantStatus(id string, want api.Status) {
	f.t.Helper()
	if got := f.trial(id).Status; got != want {
		f.t.Errorf("trial %s is %s, want %s", id, got, want)
	}
}

// reap does what Run would do now.
func (f *fixture) reap() {
	f.t.Helper()
	if err := f.Queue.sweep(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// execute changes the database behind the queue's back.
func (f *fixture) execute(statement string, args ...any) {
	f.t.Helper()
	err := f.db.Tx(f.t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(f.t.Context(), statement, args...)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func ids(claimed []Claimed) []string {
	list := []string{}
	for _, c := range claimed {
		list = append(list, c.Trial.ID)
	}
	return list
}

func (f *fixture) wantClaimed(slots int, want ...string) []Claimed {
	f.t.Helper()
	claimed := f.claim(slots)
	if got := ids(claimed); !slices.Equal(got, want) {
		f.t.Fatalf("claimed %q, want %q", got, want)
	}
	return claimed
}

// checkTallies compares the counts that are kept with those of the trials.
func checkTallies(t *testing.T, db *store.DB) {
	t.Helper()
	const counted = `SELECT j.experiment_id, j.task_id, COUNT(*), SUM(CASE WHEN j.state = 'queued' THEN 1 ELSE 0 END),
			SUM(CASE WHEN j.state = 'running' THEN 1 ELSE 0 END), SUM(CASE WHEN j.state = 'retrying' THEN 1 ELSE 0 END),
			SUM(CASE WHEN j.state = 'success' THEN 1 ELSE 0 END), SUM(CASE WHEN j.state = 'failed' THEN 1 ELSE 0 END),
			SUM(CASE WHEN j.state = 'cancelled' THEN 1 ELSE 0 END), COUNT(a.reward), SUM(CASE WHEN a.reward >= 1 THEN 1 ELSE 0 END)
		FROM jobs j LEFT JOIN attempts a ON a.trial_id = j.id AND a.attempt = j.outcome_attempt
		GROUP BY j.experiment_id, j.task_id ORDER BY 1, 2`
	const kept = `SELECT experiment_id, task_id, queued + running + retrying + success + failed + cancelled, queued, running, retrying,
			success, failed, cancelled, rewarded, passed
		FROM tallies ORDER BY 1, 2`
	if a, b := rowsOf(t, db, counted), rowsOf(t, db, kept); !slices.Equal(a, b) {
		t.Errorf("counted trials %v, kept counts are %v", a, b)
	}
}

type row [11]any

func rowsOf(t *testing.T, db *store.DB, query string) []row {
	t.Helper()
	rows, err := db.Read().QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []row
	for rows.Next() {
		var experiment, task string
		var numbers [9]int64
		targets := []any{&experiment, &task}
		for i := range numbers {
			targets = append(targets, &numbers[i])
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		r := row{experiment, task}
		for i, n := range numbers {
			r[i+2] = n
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

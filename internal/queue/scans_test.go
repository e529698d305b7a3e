package queue

import (
	"context"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/predicate"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// scanRig is a queue on a PostgreSQL with so many trials that reading all of them is the wrong plan for everything. It has
// one connection, whose statements are all counted.
type scanRig struct {
	*Queue
	t  *testing.T
	db *store.DB
}

func newScanRig(t *testing.T) *scanRig {
	t.Helper()
	db, err := store.OpenWith(t.Context(), storetest.URL(t), store.Options{PoolSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Fill(t.Context(), db, storetest.Rows{Finished: 100_000, Queued: 4_000, Keys: 16}); err != nil {
		t.Fatal(err)
	}
	r := &scanRig{Queue: New(db, Options{DefaultLimit: 1000}), t: t, db: db}
	for _, table := range []string{"jobs", "trials", "attempts", "events", "tallies", "tasks", "experiments", "queue_keys"} {
		r.execute("VACUUM ANALYZE " + table)
	}
	return r
}

func (r *scanRig) execute(statement string) {
	r.t.Helper()
	if _, err := r.db.Read().ExecContext(r.t.Context(), statement); err != nil {
		r.t.Fatalf("%s: %v", statement, err)
	}
}

// scans counts the scans of the tables that grow with the number of trials.
func (r *scanRig) scans() (n int) {
	r.t.Helper()
	r.execute("SELECT pg_stat_force_next_flush()")
	row := r.db.Read().QueryRowContext(r.t.Context(), `SELECT SUM(seq_scan) FROM pg_stat_user_tables
		WHERE schemaname = current_schema() AND relname IN ('jobs', 'trials', 'attempts', 'events')`)
	if err := row.Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// check runs something so often that PostgreSQL has chosen its plans for good, and finds out whether it scanned.
func (r *scanRig) check(what string, fn func(ctx context.Context) error) {
	r.t.Helper()
	before := r.scans()
	for range 7 {
		if err := fn(r.t.Context()); err != nil {
			r.t.Errorf("%s: %v", what, err)
			return
		}
	}
	if n := r.scans() - before; n > 0 {
		r.t.Errorf("%s: a big table was scanned %d times", what, n)
	}
}

// take claims trials and lets them go through fn.
func (r *scanRig) take(ctx context.Context, slots int, fn func(Claimed) error) error {
	claimed, err := r.Claim(ctx, claimOf("w", slots))
	for _, c := range claimed {
		if err == nil {
			err = fn(c)
		}
	}
	return err
}

func TestNothingScansTheTrialsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		t.Skip(storetest.PostgresEnv + " is not set")
	}
	r := newScanRig(t)
	finish := func(f api.Finish) func(Claimed) error {
		return func(c Claimed) error {
			_, err := r.Finish(t.Context(), c.Trial.ID, c.Lease, f)
			return err
		}
	}
	r.check("claim and finish", func(ctx context.Context) error { return r.take(ctx, 1, finish(success(1))) })
	r.check("claim and finish of many", func(ctx context.Context) error { return r.take(ctx, 40, finish(success(1))) })
	r.check("a rate limit", func(ctx context.Context) error { return r.take(ctx, 1, finish(failure(api.ClassRateLimit))) })
	r.check("a retry", func(ctx context.Context) error { return r.take(ctx, 1, finish(failure(api.ClassInfrastructure))) })
	var running []Claimed
	r.check("claim and report", func(ctx context.Context) error {
		return r.take(ctx, 10, func(c Claimed) error {
			running = append(running, c)
			_, err := r.Progress(ctx, c.Trial.ID, c.Lease, api.Progress{Events: []api.ProgressEvent{{Seq: 1, Stage: api.StageAgentRunning}}})
			return err
		})
	})
	r.check("heartbeat", func(ctx context.Context) error {
		beat := api.Heartbeat{WorkerID: "w"}
		for _, c := range running {
			beat.Jobs = append(beat.Jobs, api.JobRef{ID: c.Trial.ID, Lease: c.Lease})
		}
		_, err := r.Heartbeat(ctx, beat)
		return err
	})
	r.check("check of a lease", func(ctx context.Context) error {
		_, err := r.Check(ctx, running[0].Trial.ID, running[0].Lease)
		return err
	})
	r.check("look before a claim", func(ctx context.Context) error {
		_, err := r.claimAgain(ctx, claimOf("w", 1), r.hub.claimable())
		return err
	})
	r.checkUpkeep()
	r.checkLists(running[0].Trial)
	r.checkChanges()
}

// checkUpkeep is what Run does, and what workers wait for.
func (r *scanRig) checkUpkeep() {
	r.check("cancels", func(ctx context.Context) error { _, err := r.Cancels(ctx, api.Cancels{WorkerID: "w"}); return err })
	r.check("sweep", r.Queue.sweep)
	r.check("next due", func(ctx context.Context) error { _, err := r.nextDue(ctx); return err })
}

// checkLists is what people look at.
func (r *scanRig) checkLists(running store.Trial) {
	e := running.ExperimentID
	r.check("queue page", func(ctx context.Context) error { _, err := r.Keys(ctx); return err })
	r.check("queue key", func(ctx context.Context) error { _, _, err := r.Key(ctx, running.QueueKey); return err })
	r.check("experiments", func(ctx context.Context) error { _, err := r.db.Experiments(ctx, 25, 0); return err })
	r.check("experiment", func(ctx context.Context) error { _, err := r.db.ExperimentSummary(ctx, e); return err })
	r.check("tasks", func(ctx context.Context) error { _, err := r.db.Tasks(ctx, store.TaskFilter{Limit: 100}); return err })
	r.check("tasks of an experiment", func(ctx context.Context) error {
		_, err := r.db.Tasks(ctx, store.TaskFilter{ExperimentID: e, Limit: 100})
		return err
	})
	r.check("trials of an experiment, and their places", func(ctx context.Context) error {
		trials, err := r.db.Trials(ctx, store.TrialFilter{ExperimentID: e, Limit: 100, Offset: 500})
		if err == nil {
			_, err = r.Info(ctx, trials)
		}
		return err
	})
	r.check("trials of a task", func(ctx context.Context) error {
		_, err := r.db.Trials(ctx, store.TrialFilter{TaskIDs: []string{running.TaskID}})
		return err
	})
	r.check("trial", func(ctx context.Context) error { _, err := r.db.Trial(ctx, running.ID); return err })
	r.check("attempts", func(ctx context.Context) error { _, err := r.db.Attempts(ctx, running.ID); return err })
	r.check("events", func(ctx context.Context) error { _, err := r.db.Events(ctx, e, 100, 500); return err })
	r.check("last event", func(ctx context.Context) error { _, err := r.db.LastEvent(ctx, e); return err })
	r.check("workers", func(ctx context.Context) error { _, err := r.db.Workers(ctx, time.Now().Add(-time.Minute)); return err })
}

// checkChanges is what people do.
func (r *scanRig) checkChanges() {
	task, version := addTask(r.t, r.db, "new")
	n := 0
	r.check("submission", func(ctx context.Context) error {
		n++
		model, experiment := "provider1/model-1", "new"
		_, err := r.Submit(ctx, Submission{
			Sweep: api.Sweep{TaskID: task.ID, ExperimentID: &experiment, User: "ann", Configs: []api.SweepConfig{{Agent: "codex", Model: &model, NTrials: 10 * n}}},
			Task:  task, Version: version, Environment: "fake",
		})
		return err
	})
	waiting := 100 // experiments before it have ended
	r.check("cancel of a trial", func(ctx context.Context) error {
		n++
		trials, err := r.db.Trials(ctx, store.TrialFilter{ExperimentID: storetest.FilledExperiment(waiting), Limit: 1, Offset: 900 + n})
		if err != nil {
			return err
		}
		_, err = r.Cancel(ctx, CancelFilter{TrialIDs: []string{trials[0].ID}})
		return err
	})
	r.check("pause of an experiment", func(ctx context.Context) error {
		if err := r.PauseExperiment(ctx, storetest.FilledExperiment(waiting+1)); err != nil {
			return err
		}
		return r.ResumeExperiment(ctx, storetest.FilledExperiment(waiting+1))
	})
	r.check("cancel of an experiment", func(ctx context.Context) error {
		_, err := r.Cancel(ctx, CancelFilter{ExperimentID: storetest.FilledExperiment(waiting + 2)})
		return err
	})
	r.check("retry by a query", func(ctx context.Context) error {
		query, err := predicate.Parse("experiment:" + storetest.FilledExperiment(3) + " status:failed")
		if err != nil {
			return err
		}
		_, err = r.RetryMany(ctx, RetryFilter{Query: query})
		return err
	})
}

package queue

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// BenchmarkClaimFinish takes trials through the queue one by one, among 10,000 that wait and 100,000 that have ended.
func BenchmarkClaimFinish(b *testing.B) {
	q, db := benchQueue(b, 10_000, 100_000)
	ctx := b.Context()
	n := 0
	for b.Loop() {
		claimed, err := q.Claim(ctx, claimOf("w", 1))
		if err != nil || len(claimed) != 1 {
			b.Fatalf("claimed %d, %v", len(claimed), err)
		}
		if _, err := q.Finish(ctx, claimed[0].Trial.ID, claimed[0].Lease, success(1)); err != nil {
			b.Fatal(err)
		}
		if n++; n%5000 == 0 {
			b.StopTimer()
			benchSubmit(b, ctx, q, db, fmt.Sprint("more ", n), 5000)
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "trials/s")
}

// BenchmarkClaimNothing is what a worker costs that is woken for nothing.
func BenchmarkClaimNothing(b *testing.B) {
	q, _ := benchQueue(b, 10_000, 100_000)
	if err := q.SetLimit(b.Context(), "openai/gpt-5", 0, Reason{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		q.hub.wakeClaims()
		if claimed, err := q.claimAgain(b.Context(), claimOf("w", 1), q.hub.claimable()); err != nil || len(claimed) != 0 {
			b.Fatalf("claimed %d, %v", len(claimed), err)
		}
	}
}

// BenchmarkHeartbeat renews 64 leases.
func BenchmarkHeartbeat(b *testing.B) {
	q, _ := benchQueue(b, 1000, 1000)
	claimed, err := q.Claim(b.Context(), claimOf("w", 64))
	if err != nil {
		b.Fatal(err)
	}
	beat := api.Heartbeat{WorkerID: "w"}
	for _, c := range claimed {
		beat.Jobs = append(beat.Jobs, api.JobRef{ID: c.Trial.ID, Lease: c.Lease})
	}
	for b.Loop() {
		if _, err := q.Heartbeat(b.Context(), beat); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInfo tells the places of 100 trials in a queue of 10,000.
func BenchmarkInfo(b *testing.B) {
	q, db := benchQueue(b, 10_000, 0)
	e, err := db.Experiment(b.Context(), "waiting")
	if err != nil {
		b.Fatal(err)
	}
	trials, err := db.Trials(b.Context(), store.TrialFilter{ExperimentID: e.ID, Limit: 100})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if info, err := q.Info(b.Context(), trials); err != nil || len(info) != 100 {
			b.Fatalf("%d places, %v", len(info), err)
		}
	}
}

// BenchmarkExperiments lists an experiment of 10,000 waiting and one of 100,000 ended trials.
func BenchmarkExperiments(b *testing.B) {
	_, db := benchQueue(b, 10_000, 100_000)
	for b.Loop() {
		if list, err := db.Experiments(b.Context(), 25, 0); err != nil || len(list) != 2 {
			b.Fatalf("%d experiments, %v", len(list), err)
		}
	}
}

// BenchmarkSubmit submits 1,000 trials.
func BenchmarkSubmit(b *testing.B) {
	q, db := benchQueue(b, 1, 0)
	n := 0
	for b.Loop() {
		n++
		benchSubmit(b, b.Context(), q, db, fmt.Sprint(n), 1000)
	}
	b.ReportMetric(float64(1000*n)/b.Elapsed().Seconds(), "trials/s")
}

func benchQueue(b *testing.B, waiting, ended int) (*Queue, *store.DB) {
	b.Helper()
	db := storetest.Open(b)
	q := New(db, Options{DefaultLimit: 1000})
	if ended > 0 {
		benchSubmit(b, b.Context(), q, db, "ended", ended)
		endAll(b, db)
	}
	benchSubmit(b, b.Context(), q, db, "waiting", waiting)
	b.ResetTimer()
	return q, db
}

func benchSubmit(b *testing.B, ctx context.Context, q *Queue, db *store.DB, experiment string, n int) {
	b.Helper()
	task, version := addTask(b, db, experiment)
	model := "gpt-5"
	_, err := q.Submit(ctx, Submission{
		Sweep: api.Sweep{
			TaskID: task.ID, ExperimentID: &experiment, User: "ann",
			Configs: []api.SweepConfig{{Agent: "codex", Model: &model, NTrials: n}},
		},
		Task: task, Version: version, Environment: "fake",
	})
	if err != nil {
		b.Fatal(err)
	}
}

// endAll gives every trial a successful attempt, faster than the queue would.
func endAll(b *testing.B, db *store.DB) {
	b.Helper()
	now := time.Now().UnixMilli()
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO attempts (trial_id, attempt, worker_id, lease, trial_dir, outcome, rewards, reward, started_at, finished_at)
			SELECT id, 1, 'w', 'l', 'jobs/' || id, 'success', '{"reward":1}', 1, %d, %d FROM jobs`, now, now),
		fmt.Sprintf(`UPDATE jobs SET state = 'success', ready = 0, attempt = 1, outcome_attempt = 1, used_attempts = 1, started_at = %d, finished_at = %d`, now, now),
		`UPDATE tallies SET success = queued, queued = 0`,
	} {
		err := db.Tx(b.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(b.Context(), statement)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"oddish/internal/store"
)

// Rows says how much a database is filled with. Numbers of trials are multiples of TrialsPerExperiment.
type Rows struct {
	Finished, Queued int
	Keys             int // of the queue, spread over four providers; trials go to them in turn
}

// What Fill makes: experiments of so many trials, each with some of so many tasks.
const (
	TrialsPerExperiment = 1000
	trialsPerTask       = 20
	tasks               = 500
	eventsPerTrial      = 4
)

// FilledExperiment is the id of the n-th experiment that Fill makes, the finished ones first.
func FilledExperiment(n int) string { return "e" + strconv.Itoa(1_000_000+n) }

// FilledTask is the id of the n-th task that Fill makes.
func FilledTask(n int) string { return fmt.Sprintf("bench-%d-00000000", n) }

// Fill puts trials into a migrated and empty database, much faster than the queue would and as the queue would leave them. They
// ask for the sandbox kind "fake".
func Fill(ctx context.Context, db *store.DB, r Rows) error {
	if r.Keys < 1 || r.Finished%TrialsPerExperiment != 0 || r.Queued%TrialsPerExperiment != 0 {
		return fmt.Errorf("fill database with %+v: want a key, and multiples of %d trials", r, TrialsPerExperiment)
	}
	values := strings.NewReplacer(
		"@trials", strconv.Itoa(r.Finished+r.Queued), "@finished", strconv.Itoa(r.Finished), "@keys", strconv.Itoa(r.Keys),
		"@experiments", strconv.Itoa((r.Finished+r.Queued)/TrialsPerExperiment), "@each", strconv.Itoa(TrialsPerExperiment),
		"@tasks", strconv.Itoa(tasks), "@pertask", strconv.Itoa(trialsPerTask), "@events", strconv.Itoa(eventsPerTrial),
		"@now", strconv.FormatInt(time.Now().UnixMilli(), 10),
	)
	for _, statement := range fillStatements() {
		err := db.Tx(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, values.Replace(statement))
			return err
		})
		if err != nil {
			return fmt.Errorf("fill database: %s: %w", strings.SplitN(statement, "(", 2)[0], err)
		}
	}
	return nil
}

// fillStatements are the same for both engines.
func fillStatements() []string {
	return []string{
		`INSERT INTO experiments (id, name, created_at, last_activity, last_event)
			WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < @experiments)
			SELECT 'e' || (1000000 + i), 'bench-' || i, @now - (@experiments - i) * 60000, @now - (@experiments - i) * 30000,
				CASE WHEN i < @finished / @each THEN @each * @events ELSE @each END FROM n`,
		`INSERT INTO tasks (id, name, submitter, experiment_id, version, next_trial, created_at)
			WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < @tasks)
			SELECT 'bench-' || i || '-00000000', 'bench-' || i, 'ann', 'e' || (1000000 + i % @experiments), 1, @trials, @now - (@tasks - i) * 1000 FROM n`,
		`INSERT INTO task_versions (task_id, version, content_hash, archive_key, created_at)
			SELECT id, 1, 'hash of ' || id, 'tasks/' || id || '/v1.tar.gz', created_at FROM tasks`,
		`INSERT INTO trials (id, name, task_id, idx, task_name, version, content_hash, experiment_id, agent, model, provider, agent_config, harbor, created_at)
			WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < @trials)
			SELECT k.id || '-' || i, k.name || '-' || i, k.id, i, k.name, 1, 'hash of ' || k.id, 'e' || (1000000 + i / @each), 'codex',
				'provider' || (i % @keys % 4) || '/model-' || (i % @keys), 'provider' || (i % @keys % 4),
				'{"kwargs":{"reasoning_effort":"high"}}', '{"agent_timeout_multiplier":2}', @now - (@trials - i) * 60
			FROM n JOIN tasks k ON k.id = 'bench-' || ((i / @each * 7 + i % @each / @pertask) % @tasks) || '-00000000'`,
		`INSERT INTO queue_keys (queue_key, pattern, vtime_low, served_at) SELECT model, provider || '/*', @finished / @keys, @now FROM trials GROUP BY model, provider`,
		`INSERT INTO queue_keys (queue_key) SELECT DISTINCT pattern FROM queue_keys WHERE pattern <> ''`,
		`INSERT INTO jobs (id, kind, subject_id, task_id, experiment_id, queue_key, environment, priority, rank, state, ready, attempt, outcome_attempt,
				used_attempts, max_attempts, queued_at, started_at, finished_at)
			SELECT id, 'trial', id, task_id, experiment_id, model, 'fake', 1, idx / @keys,
				CASE WHEN idx >= @finished THEN 'queued' WHEN idx % 20 = 7 THEN 'failed' ELSE 'success' END,
				CASE WHEN idx >= @finished THEN 1 ELSE 0 END, CASE WHEN idx >= @finished THEN 0 ELSE 1 END, CASE WHEN idx >= @finished THEN 0 ELSE 1 END,
				CASE WHEN idx >= @finished THEN 0 ELSE 1 END, 3, created_at,
				CASE WHEN idx < @finished THEN created_at + 1000 END, CASE WHEN idx < @finished THEN created_at + 601000 END FROM trials`,
		`INSERT INTO attempts (trial_id, attempt, worker_id, lease, trial_dir, sandbox_id, stage, last_seq, outcome, error_type, error_message, error_class,
				rewards, reward, phases, input_tokens, output_tokens, cost_usd, started_at, finished_at, finish_digest)
			SELECT t.id, 1, 'worker-' || (t.idx % 10), 'lease-' || t.idx, 'jobs/' || t.experiment_id || '/' || t.task_name || '__' || t.idx, 'sandbox-' || t.idx,
				CASE j.state WHEN 'success' THEN 'completed' ELSE 'verification' END, 5, j.state,
				CASE j.state WHEN 'success' THEN '' ELSE 'RewardFileNotFoundError' END, '', CASE j.state WHEN 'success' THEN '' ELSE 'result' END,
				CASE j.state WHEN 'success' THEN '{"reward":' || (t.idx % 2) || '}' END, CASE j.state WHEN 'success' THEN t.idx % 2 END,
				'{"agent_execution":{"started_at":"2026-01-02T03:04:05Z","finished_at":"2026-01-02T03:14:05Z"},' ||
				'"verifier":{"started_at":"2026-01-02T03:14:05Z","finished_at":"2026-01-02T03:14:15Z"}}',
				100000, 5000, 0.25, j.started_at, j.finished_at, 'digest'
			FROM trials t JOIN jobs j ON j.id = t.id WHERE j.finished_at IS NOT NULL`,
		`INSERT INTO events (experiment_id, id, trial_id, attempt, at, kind, status, stage)
			SELECT t.experiment_id, CASE WHEN t.idx < @finished THEN t.idx % @each * @events + c.n ELSE t.idx % @each + 1 END, t.id, CASE c.n WHEN 1 THEN 0 ELSE 1 END,
				t.created_at + c.n * 1000, c.kind, CASE WHEN c.n = 1 THEN 'queued' WHEN c.n = 4 THEN j.state ELSE 'running' END,
				CASE c.n WHEN 3 THEN 'agent_running' ELSE '' END
			FROM trials t JOIN jobs j ON j.id = t.id
				JOIN (SELECT 1 AS n, 'queued' AS kind UNION ALL SELECT 2, 'running' UNION ALL SELECT 3, 'stage' UNION ALL SELECT 4, 'finished') c
					ON c.n = 1 OR t.idx < @finished`,
		`INSERT INTO tallies (experiment_id, task_id, queued, success, failed, rewarded, passed, reward_sum, started_at, finished_at)
			SELECT j.experiment_id, j.task_id, SUM(CASE j.state WHEN 'queued' THEN 1 ELSE 0 END), SUM(CASE j.state WHEN 'success' THEN 1 ELSE 0 END),
				SUM(CASE j.state WHEN 'failed' THEN 1 ELSE 0 END), COUNT(a.reward), COALESCE(SUM(CASE WHEN a.reward >= 1 THEN 1 ELSE 0 END), 0),
				COALESCE(SUM(a.reward), 0), MIN(j.started_at), MAX(j.finished_at)
			FROM jobs j LEFT JOIN attempts a ON a.trial_id = j.id AND a.attempt = j.outcome_attempt GROUP BY j.experiment_id, j.task_id`,
	}
}

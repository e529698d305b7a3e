package queue

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// The plans are SQLite's; PostgreSQL has the same indexes, but chooses by statistics.

// planOf explains a statement, which may have placeholders.
func planOf(t *testing.T, db *store.DB, query string) string {
	t.Helper()
	n := 0
	for _, placeholder := range regexp.MustCompile(`\$(\d+)`).FindAllStringSubmatch(query, -1) {
		var i int
		if _, err := fmt.Sscan(placeholder[1], &i); err != nil {
			t.Fatal(err)
		}
		n = max(n, i)
	}
	rows, err := db.Read().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, slices.Repeat([]any{1}, n)...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}

func TestTheClaimIsOneIndexScan(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		t.Skip("plans are SQLite's")
	}
	db := storetest.Open(t)
	var args store.Args
	if got := planOf(t, db, candidatesQuery(&args, []string{"a/b"}, "fake", 1)); got != "SEARCH jobs USING INDEX jobs_ready (queue_key=? AND environment=?)" {
		t.Errorf("the plan is:\n%s", got)
	}
}

func TestNoStatementOfTheQueueScansAllJobs(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		t.Skip("plans are SQLite's")
	}
	db := storetest.Open(t)
	var args store.Args
	w := wish{kinds: []string{"builtin", "docker"}, now: time.Now()}
	ready := readyFor(&args, w)
	var groupArgs, runningArgs store.Args
	statements := map[string]struct{ query, index string }{
		"which keys have something":               {"SELECT k.queue_key FROM queue_keys k WHERE " + ready, "jobs_ready"},
		"count running":                           {"SELECT queue_key, COUNT(*) FROM jobs WHERE state = 'running' AND queue_key IN ($1, $2) GROUP BY queue_key", "jobs_running"},
		"patterns above keys that have something": {groupsQuery(&groupArgs, w), "queue_keys_pattern"},
		"count running under patterns":            {groupRunningQuery(&runningArgs, []string{"a/*", "b/*"}), "jobs_running"},
		"changes of a key":                        {changesQuery, "sqlite_autoindex_queue_changes_1"},
		"due retries":                             {"UPDATE jobs SET ready = 1 WHERE state = 'retrying' AND ready = 0 AND held = 0 AND available_at <= $1", "jobs_delayed"},
		"held jobs of an experiment":              {heldQuery, "jobs_experiment"},
		"held jobs by key":                        {"SELECT queue_key, COUNT(*) FROM jobs WHERE held = 1 GROUP BY queue_key", "jobs_held"},
		"half-done resumes":                       {halfResumed, "jobs_held"},
		"next end of a hold":                      {"SELECT MIN(held_until) FROM queue_keys WHERE held_until IS NOT NULL", "queue_keys_held"},
		"paused experiments":                      {"SELECT id FROM experiments WHERE paused = 1", "experiments_paused"},
		"ended leases":                            {"SELECT id FROM jobs WHERE state = 'running' AND lease_until <= $1 ORDER BY lease_until LIMIT $2", "jobs_leases"},
		"next lease":                              {"SELECT MIN(lease_until) FROM jobs WHERE state = 'running'", "jobs_leases"},
		"next retry":                              {"SELECT MIN(available_at) FROM jobs WHERE state = 'retrying' AND ready = 0 AND held = 0", "jobs_delayed"},
		"last rank":                               {"SELECT MAX(rank) FROM jobs WHERE experiment_id = $1 AND queue_key = $2 AND priority = $3", "jobs_experiment"},
		"trials that are there already":           {"SELECT j.id FROM trials t JOIN jobs j ON j.id = t.id WHERE t.experiment_id = $1 AND t.task_id = $2 AND t.agent = $3 ORDER BY t.idx", "trials_experiment"},
		"old answers":                             {"DELETE FROM submissions WHERE idempotency_key IN (SELECT idempotency_key FROM submissions WHERE created_at <= $1 ORDER BY created_at LIMIT $2)", "submissions_age"},
		"cancel of a task":                        {"SELECT id FROM jobs WHERE task_id IN ($1) AND state = 'queued' ORDER BY id LIMIT 9", "jobs_task"},
		"cancel of an experiment":                 {"SELECT id FROM jobs WHERE experiment_id = $1 AND state = 'queued' ORDER BY id LIMIT 9", "jobs_experiment"},
	}
	for name, s := range statements {
		plan := planOf(t, db, s.query)
		if !strings.Contains(plan, s.index) || regexp.MustCompile(`(?m)^SCAN (jobs|j)$`).MatchString(plan) {
			t.Errorf("%s does not use index %s:\n%s", name, s.index, plan)
		}
	}
}

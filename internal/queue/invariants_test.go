package queue

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// compare holds every trial in the database to the plain queue, and the database to what must be true at every moment.
func (h *playback) compare() {
	h.t.Helper()
	h.comparePlain()
	checkInvariants(h.t, h.db)
	checkTallies(h.t, h.db)
	h.checkLimits()
	h.checkEnds()
}

// comparePlain compares all that decides what becomes of a trial.
func (h *playback) comparePlain() {
	h.t.Helper()
	rows, err := h.db.Read().QueryContext(h.t.Context(), `SELECT id, state, attempt, used_attempts, losses, max_attempts, priority, rank, lease,
			COALESCE(lease_until, 0), cancel_requested, held, CASE WHEN state = 'retrying' THEN available_at ELSE 0 END FROM jobs`)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var j plainJob
		var until, available int64
		var cancel, held int
		err := rows.Scan(&j.id, &j.state, &j.runs, &j.used, &j.losses, &j.max, &j.lane.priority, &j.rank, &j.lease, &until, &cancel, &held, &available)
		if err != nil {
			h.t.Fatal(err)
		}
		n++
		j.cancel, j.held, j.until, j.available = cancel != 0, held != 0, millis(until), millis(available)
		if got, want := j.String(), h.plain.jobs[j.id].String(); got != want {
			h.t.Errorf("trial %s is\n%s, want\n%s", j.id, got, want)
		}
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	if n != len(h.plain.jobs) {
		h.t.Errorf("%d trials are stored, want %d", n, len(h.plain.jobs))
	}
	for key, want := range h.plain.adapted {
		h.compareKey(key, want)
	}
}

// compareKey compares what rate limits have made of a key.
func (h *playback) compareKey(key string, want *adaptation) {
	h.t.Helper()
	var s setting
	err := h.record(h.t.Context(), func(l *ledger) (err error) {
		s, err = l.lockSetting(h.t.Context(), key)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = nil // nothing happened under that key
	}
	h.must(err)
	if got := s.adaptation; !reflect.DeepEqual(got, *want) {
		h.t.Errorf("limit of %s is adapted as %+v, want %+v", key, got, *want)
	}
}

func millis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (j *plainJob) String() string {
	return fmt.Sprintf("%s, priority %d, rank %d, run %d, used %d of %d, lost %d, lease %q until %s, cancel %t, held %t, available %s",
		j.state, j.lane.priority, j.rank, j.runs, j.used, j.max, j.losses, j.lease, j.until, j.cancel, j.held, j.available)
}

// checkInvariants fails for each row that must not be there, whatever happened before.
func checkInvariants(t *testing.T, db *store.DB) {
	t.Helper()
	for what, query := range map[string]string{
		"jobs whose lease does not fit their state": `SELECT id FROM jobs
			WHERE (state = 'running') <> (lease <> '' AND lease_until IS NOT NULL AND worker_id <> '')`,
		"leases that two jobs hold": `SELECT lease FROM jobs WHERE state = 'running' GROUP BY lease HAVING COUNT(*) > 1`,
		"jobs that are ready in the wrong state": `SELECT id FROM jobs
			WHERE ready = 1 AND state NOT IN ('queued', 'retrying') OR ready = 0 AND state = 'queued' AND held = 0`,
		"jobs that are held in the wrong state": `SELECT j.id FROM jobs j JOIN experiments e ON e.id = j.experiment_id
			WHERE (j.held = 1) <> (e.paused = 1 AND j.state IN ('queued', 'retrying')) OR j.held = 1 AND j.ready = 1`,
		"jobs with a time to wait in the wrong state": `SELECT id FROM jobs WHERE (state = 'retrying') <> (available_at IS NOT NULL)`,
		"jobs whose end does not fit their state": `SELECT id FROM jobs
			WHERE (state IN ('success', 'failed', 'cancelled')) <> (finished_at IS NOT NULL)`,
		"jobs that used up more than their budget": `SELECT id FROM jobs WHERE used_attempts > max_attempts OR losses > 6`,
		"jobs whose runs were not all kept": `SELECT j.id FROM jobs j JOIN trials t ON t.id = j.id
			WHERE t.imported = 0 AND j.attempt <> (SELECT COUNT(*) FROM attempts a WHERE a.trial_id = j.id)`,
		"runs that go on beside the job's own": `SELECT a.trial_id FROM attempts a JOIN jobs j ON j.id = a.trial_id
			WHERE (a.outcome = 'running') <> (j.state = 'running' AND j.attempt = a.attempt)`,
		"secrets of trials that have ended": `SELECT t.id FROM trials t JOIN jobs j ON j.id = t.id
			WHERE t.secrets IS NOT NULL AND j.state IN ('success', 'failed', 'cancelled')`,
		"experiments whose events have gaps": `SELECT e.id FROM experiments e
			WHERE e.last_event <> (SELECT COUNT(*) FROM events v WHERE v.experiment_id = e.id)`,
	} {
		for _, id := range texts(t, db, query) {
			t.Errorf("%s: %s", what, id)
		}
	}
}

// texts are the rows of a query with one column.
func texts(t *testing.T, db *store.DB, query string) []string {
	t.Helper()
	rows, err := db.Read().QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// checkLimits allows more running trials than the limit only where it was lowered under them. The plain queue has the same
// limits, but this is asked of the database itself, in case both are wrong.
func (h *playback) checkLimits() {
	h.t.Helper()
	sums := map[string]int{}
	for _, j := range h.all() {
		if j.Status == api.StatusRunning {
			sums[j.QueueKey]++
			sums[patternOf(j.QueueKey)]++
		}
	}
	delete(sums, "")
	for name, running := range sums {
		if limit := h.plain.limit(name); running > limit && running > h.grown[name] {
			h.t.Errorf("%d trials of %s run at limit %d", running, name, limit)
		}
	}
	h.grown = sums
}

// checkEnds holds every trial to the end that it came to.
func (h *playback) checkEnds() {
	h.t.Helper()
	for _, tr := range h.all() {
		reward := "unknown"
		if tr.Reward != nil {
			reward = fmt.Sprint(*tr.Reward)
		}
		state := fmt.Sprint(tr.Status, tr.Attempt, tr.Stage, tr.TrialDir, tr.ErrorType, reward, tr.FinishedAt)
		if end, ended := h.ended[tr.ID]; ended && end != state {
			h.t.Errorf("trial %s ended as %s and is now %s", tr.ID, end, state)
		}
		if tr.Status.Terminal() {
			h.ended[tr.ID] = state
		}
	}
}

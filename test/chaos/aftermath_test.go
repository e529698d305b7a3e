package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"oddish/api"
)

// aftermath looks at what is there when all trials have ended.
type aftermath struct {
	*installation
	havoc   *havoc
	sampler *sampler

	keys       map[string]string // queue key by trial
	attempts   []attempt
	overlap    map[string]int // most agents at once by key and pattern
	delivered  int            // outcomes that workers know to be taken
	stragglers int            // agents that went on after their attempt was closed
}

// attempt is one run of a trial.
type attempt struct {
	trial, dir, outcome, errorType string
	number                         int
	started, finished              time.Time
}

func (a *aftermath) check() {
	a.t.Helper()
	a.load()
	a.checkSampler()
	stays, err := a.readJournal()
	if err != nil {
		a.t.Fatal(err)
	}
	runs := a.agentRuns(stays)
	a.checkOverlap(runs)
	a.checkStragglers(runs)
	a.checkAccepted()
	a.checkAttempts()
	a.checkDelivered()
	a.checkOutcomes()
	a.checkTables()
	a.checkFiles()
	a.checkQueue()
	a.checkLogs()
}

func (a *aftermath) load() {
	a.t.Helper()
	a.keys = map[string]string{}
	for _, row := range a.texts("SELECT id || ' ' || queue_key FROM jobs") {
		id, key, _ := strings.Cut(row, " ")
		a.keys[id] = key
	}
	rows, err := a.engine.db.QueryContext(a.t.Context(), `SELECT trial_id, attempt, trial_dir, outcome, error_type, started_at, COALESCE(finished_at, 0)
		FROM attempts ORDER BY trial_id, attempt`)
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var x attempt
		var started, finished int64
		if err := rows.Scan(&x.trial, &x.number, &x.dir, &x.outcome, &x.errorType, &started, &finished); err != nil {
			a.t.Fatal(err)
		}
		x.started, x.finished = time.UnixMilli(started), time.UnixMilli(finished)
		a.attempts = append(a.attempts, x)
	}
	if err := rows.Err(); err != nil {
		a.t.Fatal(err)
	}
}

// limitChanges reads the history that the queue keeps.
func (a *aftermath) limitChanges() limitAt {
	a.t.Helper()
	rows, err := a.engine.db.QueryContext(a.t.Context(), "SELECT queue_key, at, to_limit FROM queue_changes WHERE kind = 'limit' ORDER BY queue_key, seq")
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	changes := limitAt{}
	for rows.Next() {
		var key string
		var at int64
		var to int
		if err := rows.Scan(&key, &at, &to); err != nil {
			a.t.Fatal(err)
		}
		changes[key] = append(changes[key], limitChange{time.UnixMilli(at), to})
	}
	if err := rows.Err(); err != nil {
		a.t.Fatal(err)
	}
	return changes
}

func (a *aftermath) checkSampler() {
	a.sampler.mu.Lock()
	defer a.sampler.mu.Unlock()
	for _, v := range a.sampler.violations {
		a.t.Errorf("limit exceeded: %s", v)
	}
	if a.sampler.samples < 10 {
		a.t.Errorf("only %d samples of what runs were taken (%d failed): they prove nothing", a.sampler.samples, a.sampler.failures)
	}
}

// checkAccepted wants every trial of a submission that was answered.
func (a *aftermath) checkAccepted() {
	for _, id := range append(slices.Clone(a.havoc.load.trials), a.havoc.accepted...) {
		if _, found := a.keys[id]; !found {
			a.t.Errorf("trial %s was accepted and is not there", id)
		}
	}
}

// checkAttempts wants the runs of every trial to be numbered without gaps and closed, each by its own end: a run with a final outcome is the
// last one, unless somebody asked to try the trial again.
func (a *aftermath) checkAttempts() {
	var before attempt
	for _, x := range a.attempts {
		want := 1
		if x.trial == before.trial {
			want = before.number + 1
		}
		if x.number != want {
			a.t.Errorf("attempt %d of %s follows attempt %d", x.number, x.trial, want-1)
		}
		if x.outcome == "running" || x.finished.Unix() == 0 || x.finished.Before(x.started) {
			a.t.Errorf("attempt %d of %s is not closed: %s from %s to %s", x.number, x.trial, x.outcome, x.started, x.finished)
		}
		if x.trial == before.trial && before.outcome != "retrying" && !a.havoc.retried[x.trial] {
			a.t.Errorf("attempt %d of %s began after %s in attempt %d", x.number, x.trial, before.outcome, before.number)
		}
		// Each time is that of the beginning of its transaction, which then may have waited for the other.
		if x.trial == before.trial && x.started.Before(before.finished.Add(-commitTime)) {
			a.t.Errorf("attempt %d of %s began long before the end of attempt %d: %s, %s", x.number, x.trial, before.number, x.started, before.finished)
		}
		before = x
	}
}

// checkDelivered wants every outcome that a server told a worker it had taken: it is in the log of the worker.
func (a *aftermath) checkDelivered() {
	outcomes := map[string]string{}
	for _, x := range a.attempts {
		outcomes[fmt.Sprintf("%s %d", x.trial, x.number)] = x.outcome
	}
	for _, m := range a.workers {
		data, err := os.ReadFile(m.log)
		if err != nil {
			a.t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var entry struct {
				Msg, Trial, Status string
				Attempt            int
			}
			if json.Unmarshal(line, &entry) != nil || entry.Msg != "trial finished" { // cut by a kill, or something else
				continue
			}
			a.delivered++
			if kept := outcomes[fmt.Sprintf("%s %d", entry.Trial, entry.Attempt)]; kept != entry.Status {
				a.t.Errorf("%s was told that attempt %d of %s ended as %s, and it is %q", m.name, entry.Attempt, entry.Trial, entry.Status, kept)
			}
		}
	}
	if a.delivered == 0 {
		a.t.Error("no worker has delivered anything: the search in their logs proves nothing")
	}
}

// checkOutcomes wants a reason for every trial that has not succeeded.
func (a *aftermath) checkOutcomes() {
	last := map[string]attempt{}
	for _, x := range a.attempts {
		last[x.trial] = x
	}
	scripted := map[string]string{"flaky": "RuntimeError", "judged": "RewardFileNotFoundError"} // by task
	for _, row := range a.texts("SELECT id || ' ' || state FROM jobs") {
		id, state, _ := strings.Cut(row, " ")
		task, _, _ := strings.Cut(id, "-")
		x, ran := last[id]
		switch {
		case state == "cancelled" && !a.havoc.cancelled[id]:
			a.t.Errorf("%s is cancelled, and nobody asked for that", id)
		case state == "cancelled": // perhaps while it waited: then its last run says something else
		case !ran || x.outcome != state:
			a.t.Errorf("%s is %s, its last attempt %s", id, state, x.outcome)
		case state == "failed" && x.errorType != "WorkerLost" && x.errorType != scripted[task]:
			a.t.Errorf("%s failed with %s in attempt %d", id, x.errorType, x.number)
		case state == "success" && x.errorType != "":
			a.t.Errorf("%s succeeded with %s", id, x.errorType)
		}
	}
}

// checkTables wants nothing from queries for what must not be.
func (a *aftermath) checkTables() {
	for what, query := range contradictions() {
		if found := a.texts(query); len(found) > 0 {
			a.t.Errorf("%s: %d, such as %s", what, len(found), strings.Join(found[:min(len(found), 5)], ", "))
		}
	}
	for _, query := range []string{"SELECT agent_config FROM trials", "SELECT harbor FROM trials", "SELECT error_message FROM attempts"} {
		for _, text := range a.texts(query) {
			if strings.Contains(text, secret) {
				a.t.Fatalf("%s gives a secret: %s", query, text)
			}
		}
	}
}

// contradictions are queries that find what contradicts the rest, with what they find.
func contradictions() map[string]string {
	const states = "SUM(CASE WHEN j.state = 'success' THEN 1 ELSE 0 END) <> t.success OR SUM(CASE WHEN j.state = 'failed' THEN 1 ELSE 0 END) <> t.failed" +
		" OR SUM(CASE WHEN j.state = 'cancelled' THEN 1 ELSE 0 END) <> t.cancelled"
	const rewards = "COUNT(a.reward) <> t.rewarded OR SUM(CASE WHEN a.reward >= 1 THEN 1 ELSE 0 END) <> t.passed OR COALESCE(SUM(a.reward), 0) <> t.reward_sum"
	return map[string]string{
		"jobs that are not at rest": "SELECT id FROM jobs WHERE state NOT IN ('success', 'failed', 'cancelled') OR ready <> 0 OR lease <> '' OR worker_id <> ''" +
			" OR lease_until IS NOT NULL OR available_at IS NOT NULL OR finished_at IS NULL",
		"attempts that tell what a ghost said": "SELECT trial_id FROM attempts WHERE error_type = '" + ghost + "' OR sandbox_id = '" + ghost + "'",
		"trials with secrets":                  "SELECT id FROM trials WHERE secrets IS NOT NULL",
		"jobs whose outcome is no run":         "SELECT id FROM jobs WHERE outcome_attempt > attempt OR state <> 'cancelled' AND outcome_attempt <> attempt",
		"jobs that count too many runs":        "SELECT j.id FROM jobs j WHERE j.attempt <> (SELECT COUNT(*) FROM attempts a WHERE a.trial_id = j.id)",
		"runs that used up too much":           "SELECT id FROM jobs WHERE used_attempts > max_attempts",
		"tallies with something to come":       "SELECT experiment_id || '/' || task_id FROM tallies WHERE queued <> 0 OR running <> 0 OR retrying <> 0",
		"tallies that differ from a recount": "SELECT t.experiment_id || '/' || t.task_id FROM tallies t JOIN jobs j ON j.experiment_id = t.experiment_id AND j.task_id = t.task_id" +
			" GROUP BY t.experiment_id, t.task_id, t.success, t.failed, t.cancelled HAVING " + states,
		"tallies whose rewards differ from a recount": "SELECT t.experiment_id || '/' || t.task_id FROM tallies t JOIN jobs j ON j.experiment_id = t.experiment_id AND j.task_id = t.task_id" +
			" LEFT JOIN attempts a ON a.trial_id = j.id AND a.attempt = j.outcome_attempt" +
			" GROUP BY t.experiment_id, t.task_id, t.rewarded, t.passed, t.reward_sum HAVING " + rewards,
		"events after the newest": "SELECT e.id || ' of ' || x.id FROM experiments x JOIN events e ON e.experiment_id = x.id WHERE e.id > x.last_event",
		"trials whose last event tells another state": "SELECT j.id || ' ' || j.state || ' ' || e.status FROM jobs j JOIN events e ON e.trial_id = j.id" +
			" WHERE e.id = (SELECT MAX(n.id) FROM events n WHERE n.trial_id = j.id) AND e.status <> j.state",
		"trials without events": "SELECT j.id FROM jobs j WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.trial_id = j.id)",
	}
}

// checkFiles wants the complete trial directory of every run that has an outcome of its own, and no sandbox or secret in any.
func (a *aftermath) checkFiles() {
	for _, x := range a.attempts {
		dir := filepath.Join(a.dir, "blobs", filepath.FromSlash(x.dir))
		if x.outcome == "success" {
			if _, err := os.Stat(filepath.Join(dir, "result.json")); err != nil {
				a.t.Errorf("attempt %d of %s: %v", x.number, x.trial, err)
			}
		}
	}
	err := filepath.WalkDir(filepath.Join(a.dir, "blobs"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if d.Name() == ghost {
			return fmt.Errorf("%s was written under an ended lease", path)
		}
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(secret)) {
			err = fmt.Errorf("%s holds a secret", path)
		}
		return err
	})
	if err != nil {
		a.t.Error(err)
	}
}

// checkQueue wants every server to say that nothing runs and nothing waits.
func (a *aftermath) checkQueue() {
	for _, url := range a.urls {
		var q api.Queue
		if err := call(a.t.Context(), http.MethodGet, url+"/queue", nil, &q); err != nil {
			a.t.Error(err)
		}
		for _, k := range q.Keys {
			if k.Running+k.Queued+k.Retrying > 0 {
				a.t.Errorf("%s says of %s: %d running, %d queued, %d retrying", url, k.Key, k.Running, k.Queued, k.Retrying)
			}
		}
	}
}

// checkLogs wants no process to have ended by a fault of its own.
func (a *aftermath) checkLogs() {
	for _, m := range a.members() {
		data, err := os.ReadFile(m.log)
		if err != nil {
			a.t.Error(err)
		}
		for _, bad := range []string{"panic", "fatal error:", "goroutine 1 [", secret} {
			if i := bytes.Index(data, []byte(bad)); i >= 0 {
				a.t.Errorf("%s: %q: %s", m.log, bad, data[i:min(len(data), i+500)])
			}
		}
	}
}

func (a *aftermath) figures() string {
	lost := 0
	for _, x := range a.attempts {
		if x.errorType == "WorkerLost" {
			lost++
		}
	}
	states := map[string]int{}
	for _, state := range a.texts("SELECT state FROM jobs") {
		states[state]++
	}
	return fmt.Sprintf("%d trials %v, %d attempts, %d lost with their worker, %d agents went on for a moment after their lease; %d samples; most at once in the database %v, in sandboxes %v",
		len(a.keys), states, len(a.attempts), lost, a.stragglers, a.sampler.samples, a.sampler.peak, a.overlap)
}

package queue

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// run is the run of a job that now begins.
type run struct {
	job
	trialName string
	sealed    string // secrets
	until     time.Time
}

// take gives the picked jobs to the worker and returns what it needs to run them.
func (q *Queue) take(ctx context.Context, l *ledger, workerID string, picked []candidate) ([]Claimed, error) {
	runs, err := q.start(ctx, l, workerID, picked)
	if err != nil {
		return nil, err
	}
	trials, err := readTrials(ctx, l.tx, runs)
	if err != nil {
		return nil, err
	}
	var claimed []Claimed
	for i := range runs {
		r, trial := &runs[i], trials[runs[i].id]
		if r.sealed != "" {
			if err := q.unseal(&trial, r.sealed); err != nil {
				if err := l.fail(ctx, &r.job, err); err != nil {
					return nil, err
				}
				continue
			}
		}
		claimed = append(claimed, Claimed{
			Trial: trial, Attempt: r.attempt, Lease: r.lease, LeaseUntil: r.until, TrialName: r.trialName,
		})
	}
	if err := l.advance(ctx, picked); err != nil {
		return nil, err
	}
	return claimed, nameExperiments(ctx, l.tx, claimed)
}

func readTrials(ctx context.Context, tx *sql.Tx, runs []run) (map[string]store.Trial, error) {
	ids := make([]string, len(runs))
	for i, r := range runs {
		ids[i] = r.id
	}
	list, err := store.FindTrials(ctx, tx, store.TrialFilter{IDs: ids})
	if err != nil {
		return nil, err
	}
	trials := make(map[string]store.Trial, len(list))
	for _, t := range list {
		trials[t.ID] = t
	}
	return trials, nil
}

// start makes each job running under a lease of its own and opens the run's row.
func (q *Queue) start(ctx context.Context, l *ledger, workerID string, picked []candidate) ([]run, error) {
	var runs []run
	for _, candidate := range picked {
		r := run{job: candidate.job, until: l.now.Add(q.lease)}
		r.lease = rand.Text()
		started, err := l.startJob(ctx, workerID, &r)
		if err != nil {
			return nil, fmt.Errorf("start trial %s: %w", r.id, err)
		}
		if !started {
			continue // cancelled or deleted since it was picked
		}
		if err := l.openAttempt(ctx, workerID, &r); err != nil {
			return nil, fmt.Errorf("start trial %s: %w", r.id, err)
		}
		l.move(&r.job, api.StatusRunning)
		l.event(&r.job, "running", api.Event{})
		l.needBy(r.until)
		if r.attempt > 1 {
			l.trim[r.id] = true
		}
		runs = append(runs, r)
	}
	return runs, nil
}

func (l *ledger) startJob(ctx context.Context, workerID string, r *run) (started bool, err error) {
	const query = `UPDATE jobs SET state = 'running', ready = 0, attempt = attempt + 1, outcome_attempt = attempt + 1, available_at = NULL,
			worker_id = $1, lease = $2, lease_until = $3, started_at = COALESCE(started_at, $4)
		WHERE id = $5 AND ready = 1
		RETURNING attempt`
	row := l.tx.QueryRowContext(ctx, query, workerID, r.lease, r.until.UnixMilli(), l.now.UnixMilli(), r.id)
	if err := row.Scan(&r.attempt); errors.Is(err, sql.ErrNoRows) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// openAttempt adds the row of a run under a name that no other run of the experiment has.
func (l *ledger) openAttempt(ctx context.Context, workerID string, r *run) error {
	var taskName string
	row := l.tx.QueryRowContext(ctx, "SELECT task_name, COALESCE(secrets, '') FROM trials WHERE id = $1", r.id)
	if err := row.Scan(&taskName, &r.sealed); err != nil {
		return err
	}
	const query = `INSERT INTO attempts (trial_id, attempt, worker_id, lease, trial_dir, outcome, started_at)
		VALUES ($1, $2, $3, $4, $5, 'running', $6) ON CONFLICT (trial_dir) DO NOTHING`
	const tries = 10
	for range tries {
		r.trialName = newTrialName(taskName)
		dir := store.ExperimentDir(r.experimentID) + "/" + r.trialName
		result, err := l.tx.ExecContext(ctx, query, r.id, r.attempt, workerID, r.lease, dir, l.now.UnixMilli())
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			return err
		}
	}
	return errors.New("no free name for its directory was found")
}

const (
	maxShortName = 32
	nameSuffix   = 7
	nameAlphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
)

// newTrialName draws the name of a trial directory, as Harbor does: the task's short name cut to 32 characters, "__" and
// 7 random ones.
func newTrialName(taskName string) string {
	short := path.Base(taskName)
	if runes := []rune(short); len(runes) > maxShortName {
		short = string(runes[:maxShortName])
	}
	return strings.TrimRight(short, "_-") + "__" + randomText(nameAlphabet, nameSuffix)
}

// randomText draws n characters of an alphabet of at most 128, each with the same chance.
func randomText(alphabet string, n int) string {
	text := make([]byte, 0, n)
	fair := 256 - 256%len(alphabet)
	for len(text) < n {
		var raw [16]byte
		rand.Read(raw[:]) // never fails
		for _, b := range raw {
			if int(b) < fair && len(text) < n {
				text = append(text, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(text)
}

// errorSecretsUnreadable is the error type of a trial whose secrets were sealed with another key.
const errorSecretsUnreadable = "SecretsUnreadable"

// fail ends a run that cannot begin, for good.
func (l *ledger) fail(ctx context.Context, j *job, cause error) error {
	f := api.Finish{
		Outcome: api.StatusFailed, ErrorType: errorSecretsUnreadable, ErrorClass: api.ClassPermanent, ErrorMessage: cause.Error(),
	}
	return l.settle(ctx, j, failed(j, &f, l.now, 0), &f, "")
}

// advance moves the virtual time of the keys on to the newest job that was picked in each priority.
func (l *ledger) advance(ctx context.Context, picked []candidate) error {
	newest := map[string][2]int64{}
	for _, candidate := range picked {
		ranks := newest[candidate.key]
		ranks[candidate.priority] = max(ranks[candidate.priority], candidate.rank)
		newest[candidate.key] = ranks
	}
	for key, ranks := range newest {
		_, err := l.tx.ExecContext(ctx, `UPDATE queue_keys SET served_at = $1,
				vtime_high = CASE WHEN vtime_high < $2 THEN $2 ELSE vtime_high END,
				vtime_low = CASE WHEN vtime_low < $3 THEN $3 ELSE vtime_low END
			WHERE queue_key = $4`, l.now.UnixMilli(), ranks[0], ranks[1], key)
		if err != nil {
			return fmt.Errorf("advance queue key %s: %w", key, err)
		}
	}
	return nil
}

func nameExperiments(ctx context.Context, tx *sql.Tx, claimed []Claimed) error {
	names := map[string]string{}
	for i := range claimed {
		id := claimed[i].Trial.ExperimentID
		if _, known := names[id]; !known {
			e, err := store.FindExperiment(ctx, tx, id)
			if err != nil {
				return err
			}
			names[id] = e.Name
		}
		claimed[i].ExperimentName = names[id]
	}
	return nil
}

package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// run is the run of a job that now begins.
type run struct {
	job
	trialName            string
	taskName, experiment string // names
	sealed               string // secrets
	until                time.Time
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
			Trial: trial, ExperimentName: r.experiment, Attempt: r.attempt, Lease: r.lease, LeaseUntil: r.until, TrialName: r.trialName,
		})
	}
	return claimed, l.advance(ctx, picked)
}

func readTrials(ctx context.Context, tx *sql.Tx, runs []run) (map[string]store.Trial, error) {
	trials := make(map[string]store.Trial, len(runs))
	err := inChunks(runs, func(some []run) error {
		ids := make([]string, len(some))
		for i, r := range some {
			ids[i] = r.id
		}
		list, err := store.FindTrials(ctx, tx, store.TrialFilter{IDs: ids})
		for _, t := range list {
			trials[t.ID] = t
		}
		return err
	})
	return trials, err
}

// start makes each job running under a lease of its own and opens the runs' rows. Jobs that were cancelled or deleted since they were
// picked are left out.
func (q *Queue) start(ctx context.Context, l *ledger, workerID string, picked []candidate) ([]run, error) {
	runs := make([]run, len(picked))
	for i, candidate := range picked {
		runs[i] = run{job: candidate.job, until: l.now.Add(q.lease)}
		runs[i].lease, runs[i].attempt = rand.Text(), 0
	}
	if err := l.startJobs(ctx, workerID, runs, l.now.Add(q.lease)); err != nil {
		return nil, fmt.Errorf("start trials: %w", err)
	}
	runs = slices.DeleteFunc(runs, func(r run) bool { return r.attempt == 0 })
	if err := l.openAttempts(ctx, workerID, runs); err != nil {
		return nil, fmt.Errorf("start trials: %w", err)
	}
	for i := range runs {
		r := &runs[i]
		l.move(&r.job, api.StatusRunning)
		l.event(&r.job, "running", api.Event{})
		l.needBy(r.until)
		if r.attempt > 1 {
			l.trim[r.id] = true
		}
	}
	return runs, nil
}

// byID gives pointers to the runs in the order in which rows of jobs are locked.
func byID(runs []run) []*run {
	sorted := make([]*run, len(runs))
	for i := range runs {
		sorted[i] = &runs[i]
	}
	slices.SortFunc(sorted, func(a, b *run) int { return cmp.Compare(a.id, b.id) })
	return sorted
}

// startJobs sets of each run that was started the number of its attempt and what other tables know of it.
func (l *ledger) startJobs(ctx context.Context, workerID string, runs []run, until time.Time) error {
	return inChunks(byID(runs), func(some []*run) error {
		started := make(map[string]*run, len(some))
		for _, r := range some {
			started[r.id] = r
		}
		var args store.Args
		query := `UPDATE jobs SET state = 'running', ready = 0, attempt = attempt + 1, outcome_attempt = attempt + 1, available_at = NULL,
				worker_id = ` + args.Add(workerID) + `, lease = v.column2, lease_until = ` + args.Add(until.UnixMilli()) + `,
				started_at = COALESCE(started_at, ` + args.Add(l.now.UnixMilli()) + `)
			FROM (VALUES ` + valueRows(some, func(r *run) string { return args.Row(r.id, r.lease) }) + `) AS v
			WHERE jobs.id = v.column1 AND ready > 0 -- not "= 1", which would offer PostgreSQL the index of all ready jobs
			RETURNING jobs.id, attempt, (SELECT name FROM experiments e WHERE e.id = jobs.experiment_id),
				(SELECT task_name FROM trials t WHERE t.id = jobs.id), (SELECT COALESCE(secrets, '') FROM trials t WHERE t.id = jobs.id)`
		return readRows(ctx, l.tx, query, args.Values, func(scan func(...any) error) error {
			var id string
			var begun run
			if err := scan(&id, &begun.attempt, &begun.experiment, &begun.taskName, &begun.sealed); err != nil {
				return err
			}
			r := started[id]
			r.attempt, r.experiment, r.taskName, r.sealed = begun.attempt, begun.experiment, begun.taskName, begun.sealed
			return nil
		})
	})
}

// openAttempts adds the rows of runs, each under a name that no other run of the experiment has.
func (l *ledger) openAttempts(ctx context.Context, workerID string, runs []run) error {
	left := byID(runs)
	const tries = 10
	for range tries {
		opened := map[string]bool{}
		err := inChunks(left, func(some []*run) error {
			var args store.Args
			query := "INSERT INTO attempts (trial_id, attempt, worker_id, lease, trial_dir, outcome, started_at) VALUES " +
				valueRows(some, func(r *run) string {
					r.trialName = newTrialName(r.taskName)
					dir := store.ExperimentDir(r.experimentID) + "/" + r.trialName
					return args.Row(r.id, r.attempt, workerID, r.lease, dir, "running", l.now.UnixMilli())
				}) + " ON CONFLICT (trial_dir) DO NOTHING RETURNING trial_id"
			return readRows(ctx, l.tx, query, args.Values, func(scan func(...any) error) error {
				var id string
				if err := scan(&id); err != nil {
					return err
				}
				opened[id] = true
				return nil
			})
		})
		if err != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(r *run) bool { return opened[r.id] })
		if len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("no free name for the directory of trial %s was found", left[0].id)
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

// served is what a claim took from a queue key: the newest rank in each priority, 0 for none.
type served struct {
	key   string
	ranks [2]int64
}

// advance moves the virtual time of the keys on to the newest job that was picked in each priority.
func (l *ledger) advance(ctx context.Context, picked []candidate) error {
	newest := map[string]served{}
	for _, candidate := range picked {
		s := served{candidate.key, newest[candidate.key].ranks}
		s.ranks[candidate.priority] = max(s.ranks[candidate.priority], candidate.rank)
		newest[candidate.key] = s
	}
	keys := slices.SortedFunc(maps.Values(newest), func(a, b served) int { return cmp.Compare(a.key, b.key) })
	return inChunks(keys, func(some []served) error {
		var args store.Args
		query := `UPDATE queue_keys SET served_at = ` + args.Add(l.now.UnixMilli()) + `,
				vtime_high = CASE WHEN vtime_high < v.column2 THEN v.column2 ELSE vtime_high END,
				vtime_low = CASE WHEN vtime_low < v.column3 THEN v.column3 ELSE vtime_low END
			FROM (VALUES ` + valueRows(some, func(s served) string {
			return "(" + args.Add(s.key) + ", CAST(" + args.Add(s.ranks[0]) + " AS bigint), CAST(" + args.Add(s.ranks[1]) + " AS bigint))"
		}) + `) AS v WHERE queue_key = v.column1`
		if _, err := l.tx.ExecContext(ctx, query, args.Values...); err != nil {
			return fmt.Errorf("advance queue keys: %w", err)
		}
		return nil
	})
}

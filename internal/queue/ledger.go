package queue

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// ledger is a transaction that changes states. It gathers what follows from the changes (counts, events, who
// has to be woken) and writes or does that at its end.
type ledger struct {
	db  *store.DB
	tx  *sql.Tx
	now time.Time

	together bool // it changes several jobs one after the other, see desk

	tallies map[pair]*tally
	events  map[string][]api.Event // by experiment
	trim    map[string]bool        // trials that may have too many events
	used    map[string]used        // by experiment
	paid    map[string]used        // the same without replays
	due     time.Time              // earliest lease end or retry among the changes
	wake    bool                   // there may be something to claim

	last func(ctx context.Context) error // called once all is written; may be nil
}

// pair names a row of tallies.
type pair struct{ experimentID, taskID string }

// tally is a change of a row of tallies.
type tally struct {
	states           map[api.Status]int
	rewarded, passed int
	rewardSum        float64
	started, ended   bool
	recount          bool // instead of the change
}

// record runs fn in a transaction with a ledger, commits, and wakes who waits. fn may be called again, see store.DB.Tx.
func (q *Queue) record(ctx context.Context, fn func(l *ledger) error) error {
	var last *ledger
	err := q.db.Tx(ctx, func(tx *sql.Tx) error {
		// Times are stored in milliseconds: what is answered must equal what is read later.
		now := time.UnixMilli(q.now().UnixMilli()).UTC()
		l := &ledger{
			db: q.db, tx: tx, now: now,
			tallies: map[pair]*tally{}, events: map[string][]api.Event{}, trim: map[string]bool{},
		}
		last = l
		if err := fn(l); err != nil {
			return err
		}
		if err := l.flush(ctx); err != nil || l.last == nil {
			return err
		}
		return l.last(ctx)
	})
	if err != nil {
		return err
	}
	q.wake(last)
	return nil
}

func (l *ledger) tally(j *job) *tally {
	key := pair{j.experimentID, j.taskID}
	if l.tallies[key] == nil {
		l.tallies[key] = &tally{states: map[api.Status]int{}}
	}
	return l.tallies[key]
}

// move notes that the job goes to a state; a new one comes from the empty state.
func (l *ledger) move(j *job, to api.Status) {
	t := l.tally(j)
	if j.state != "" {
		t.states[j.state]--
	}
	t.states[to]++
	t.started = t.started || to == api.StatusRunning
	t.ended = t.ended || to.Terminal()
	l.wake = l.wake || to == api.StatusQueued || j.state == api.StatusRunning
	j.state = to
}

// event notes that something happened to the job, in its present state.
func (l *ledger) event(j *job, kind string, e api.Event) {
	e.ExperimentID, e.TrialID, e.Attempt, e.At, e.Kind, e.Status = j.experimentID, j.id, j.attempt, l.now, kind, j.state
	l.events[j.experimentID] = append(l.events[j.experimentID], e)
}

// needBy notes that Run has something to do at that moment.
func (l *ledger) needBy(at time.Time) {
	if l.due.IsZero() || at.Before(l.due) {
		l.due = at
	}
}

// flush writes in an order that is the same in all transactions, so that they do not deadlock.
func (l *ledger) flush(ctx context.Context) error {
	keys := slices.SortedFunc(maps.Keys(l.tallies), func(a, b pair) int {
		return slices.Compare([]string{a.experimentID, a.taskID}, []string{b.experimentID, b.taskID})
	})
	if err := l.writeTallies(ctx, keys); err != nil {
		return fmt.Errorf("count trials: %w", err)
	}
	var events []api.Event
	for _, experimentID := range slices.Sorted(maps.Keys(l.events)) {
		if err := l.numberEvents(ctx, experimentID, l.events[experimentID]); err != nil {
			return fmt.Errorf("number events of experiment %s: %w", experimentID, err)
		}
		events = append(events, l.events[experimentID]...)
	}
	if err := inChunks(events, func(some []api.Event) error { return l.writeEvents(ctx, some) }); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	if err := l.trimEvents(ctx, events); err != nil {
		return fmt.Errorf("trim events: %w", err)
	}
	return l.writeUsed(ctx)
}

// writeTallies keeps to the order of the keys.
func (l *ledger) writeTallies(ctx context.Context, keys []pair) error {
	for len(keys) > 0 {
		n := slices.IndexFunc(keys, func(key pair) bool { return l.tallies[key].recount })
		if n == 0 {
			if err := l.recount(ctx, keys[0]); err != nil {
				return err
			}
			keys = keys[1:]
			continue
		}
		if n < 0 {
			n = len(keys)
		}
		if err := inChunks(keys[:n], func(some []pair) error { return l.addToTallies(ctx, some) }); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

func (l *ledger) addToTallies(ctx context.Context, keys []pair) error {
	var args store.Args
	rows := valueRows(keys, func(key pair) string {
		t := l.tallies[key]
		s := t.states
		return args.Row(key.experimentID, key.taskID,
			s[api.StatusQueued], s[api.StatusRunning], s[api.StatusRetrying], s[api.StatusSuccess], s[api.StatusFailed], s[api.StatusCancelled],
			t.rewarded, t.passed, t.rewardSum, l.nowIf(t.started), l.nowIf(t.ended))
	})
	_, err := l.tx.ExecContext(ctx, `INSERT INTO tallies AS y (experiment_id, task_id, queued, running, retrying, success, failed, cancelled,
			rewarded, passed, reward_sum, started_at, finished_at)
		VALUES `+rows+`
		ON CONFLICT (experiment_id, task_id) DO UPDATE SET
			queued = y.queued + excluded.queued, running = y.running + excluded.running, retrying = y.retrying + excluded.retrying,
			success = y.success + excluded.success, failed = y.failed + excluded.failed, cancelled = y.cancelled + excluded.cancelled,
			rewarded = y.rewarded + excluded.rewarded, passed = y.passed + excluded.passed, reward_sum = y.reward_sum + excluded.reward_sum,
			started_at = COALESCE(y.started_at, excluded.started_at), finished_at = COALESCE(excluded.finished_at, y.finished_at)`, args.Values...)
	return err
}

func (l *ledger) nowIf(condition bool) *int64 {
	if !condition {
		return nil
	}
	now := l.now.UnixMilli()
	return &now
}

// recount sets a tally anew from its trials: where a reward is taken back, subtracting it would leave a rounding error.
//
// The row is locked by a statement of its own. PostgreSQL shows a statement what was there at its beginning, and one that had to wait for the row would
// count the trials as they were before the transaction that it waited for.
func (l *ledger) recount(ctx context.Context, key pair) error {
	lock := "SELECT 1 FROM tallies WHERE experiment_id = $1 AND task_id = $2" + l.db.ForUpdate()
	if _, err := l.tx.ExecContext(ctx, lock, key.experimentID, key.taskID); err != nil {
		return err
	}
	const query = `UPDATE tallies SET (queued, running, retrying, success, failed, cancelled, rewarded, passed, reward_sum, started_at, finished_at) = (
			SELECT COALESCE(SUM(CASE WHEN j.state = 'queued' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN j.state = 'running' THEN 1 ELSE 0 END), 0),
				COALESCE(SUM(CASE WHEN j.state = 'retrying' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN j.state = 'success' THEN 1 ELSE 0 END), 0),
				COALESCE(SUM(CASE WHEN j.state = 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN j.state = 'cancelled' THEN 1 ELSE 0 END), 0),
				COUNT(a.reward), COALESCE(SUM(CASE WHEN a.reward >= 1 THEN 1 ELSE 0 END), 0), COALESCE(SUM(a.reward), 0),
				MIN(j.started_at), MAX(j.finished_at)
			FROM jobs j LEFT JOIN attempts a ON a.trial_id = j.id AND a.attempt = j.outcome_attempt
			WHERE j.task_id = tallies.task_id AND j.experiment_id = tallies.experiment_id)
		WHERE experiment_id = $1 AND task_id = $2`
	_, err := l.tx.ExecContext(ctx, query, key.experimentID, key.taskID)
	return err
}

// maxTrialEvents bounds the events kept of a trial; more than that come only from a worker gone mad or
// from very many retries.
const maxTrialEvents = 200

// numberEvents gives the events of an experiment their ids.
func (l *ledger) numberEvents(ctx context.Context, experimentID string, events []api.Event) error {
	var last int64
	var paused int
	// The row of the experiment numbers its events, and being locked until the commit makes their order that of the commits.
	row := l.tx.QueryRowContext(ctx, "UPDATE experiments SET last_event = last_event + $1, last_activity = $2 WHERE id = $3 RETURNING last_event, paused",
		len(events), l.now.UnixMilli(), experimentID)
	if err := row.Scan(&last, &paused); err != nil {
		return err
	}
	if paused != 0 {
		if err := l.holdWaiting(ctx, events); err != nil {
			return err
		}
	}
	for i := range events {
		events[i].ID = last - int64(len(events)-1-i)
	}
	return nil
}

func (l *ledger) writeEvents(ctx context.Context, events []api.Event) error {
	var args store.Args
	rows := valueRows(events, func(e api.Event) string {
		return args.Row(e.ExperimentID, e.ID, e.TrialID, e.Attempt, e.At.UnixMilli(), e.Kind, e.Status, e.Stage, e.Reward, e.ErrorType)
	})
	_, err := l.tx.ExecContext(ctx, "INSERT INTO events (experiment_id, id, trial_id, attempt, at, kind, status, stage, reward, error_type) VALUES "+rows,
		args.Values...)
	return err
}

func (l *ledger) trimEvents(ctx context.Context, events []api.Event) error {
	for _, e := range events {
		if !l.trim[e.TrialID] {
			continue
		}
		delete(l.trim, e.TrialID)
		_, err := l.tx.ExecContext(ctx, `DELETE FROM events WHERE trial_id = $1 AND id <=
			(SELECT id FROM events WHERE trial_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)`, e.TrialID, maxTrialEvents)
		if err != nil {
			return err
		}
	}
	return nil
}

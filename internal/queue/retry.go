package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"oddish/api"
	"oddish/internal/predicate"
	"oddish/internal/store"
)

// RetryFilter names trials that are to be tried again: those listed, else those that match the query, which may not be empty then.
type RetryFilter struct {
	TrialIDs []string
	Query    predicate.Query
	DryRun   bool // only say what would be done
}

// RetryResult says what a retry of many trials did, or would do.
type RetryResult struct {
	Matched     int
	Retried     int
	TrialIDs    []string       // of the retried, at most maxListed, sorted
	Experiments []string       // ids of their experiments, sorted
	Errors      map[string]int // the retried by type of error; those without one under ""
	Skipped     []SkippedTrial // at most maxListed
}

// SkippedTrial is a trial that was named and is left as it is.
type SkippedTrial struct{ TrialID, Reason string }

const (
	// maxListed is how many trials a RetryResult lists.
	maxListed = 1000
	// retryChunk is how many trials one transaction queues again, so that a great retry does not hold everybody up.
	retryChunk = 500
)

// Retry queues a trial that has ended once more, with a full budget of attempts; its earlier runs are kept. store.ErrNotFound;
// store.ErrConflict if the trial has not ended, has a result without an error, or had secrets, which were wiped when it ended.
func (q *Queue) Retry(ctx context.Context, trialID string) error {
	r := retrier{q: q, explicit: true}
	return q.record(ctx, func(l *ledger) error {
		found, err := r.requeue(ctx, l, []string{trialID})
		switch {
		case err != nil:
			return fmt.Errorf("retry trial %s: %w", trialID, err)
		case len(found) == 0:
			return fmt.Errorf("trial %s: %w", trialID, store.ErrNotFound)
		case found[0].refusal != "":
			return fmt.Errorf("trial %s: %w: %s", trialID, store.ErrConflict, found[0].refusal)
		}
		return nil
	})
}

// RetryMany is Retry for many trials, in one transaction for some hundred of them. What cannot be tried again is left out and
// named with the reason. A good result is never touched: success without an error is left out, and success with one
// (a timed-out agent, say) unless the trial is listed or the query says something of errors or rewards. After an error some
// may be queued; doing it again queues the rest.
func (q *Queue) RetryMany(ctx context.Context, f RetryFilter) (RetryResult, error) {
	result := RetryResult{TrialIDs: []string{}, Errors: map[string]int{}, Skipped: []SkippedTrial{}}
	r := retrier{q: q, explicit: f.TrialIDs != nil || f.Query.Names(predicate.Error, predicate.Class, predicate.Message, predicate.Reward)}
	ids := slices.Compact(slices.Sorted(slices.Values(f.TrialIDs)))
	if f.TrialIDs == nil {
		if f.Query.Empty() {
			return result, errors.New("retry: the filter is empty")
		}
		var err error
		if ids, r.match, err = q.matching(ctx, f.Query); err != nil {
			return result, fmt.Errorf("retry: %w", err)
		}
	}
	experiments := map[string]bool{}
	for chunk := range slices.Chunk(ids, retryChunk) {
		found, err := r.chunk(ctx, chunk, f.DryRun)
		if err != nil {
			return result, fmt.Errorf("retry, after %d trials were queued again: %w", result.Retried, err)
		}
		if f.TrialIDs != nil {
			result.missing(chunk, found)
		}
		for _, c := range found {
			result.add(c)
			experiments[c.experimentID] = experiments[c.experimentID] || c.refusal == ""
		}
	}
	maps.DeleteFunc(experiments, func(_ string, retried bool) bool { return !retried })
	result.Experiments = slices.Sorted(maps.Keys(experiments))
	return result, nil
}

// matching gives the ids of the trials that match, and what tells later whether one still does.
func (q *Queue) matching(ctx context.Context, query predicate.Query) ([]string, *store.Match, error) {
	m, err := q.db.Match(ctx, query, q.now())
	if err != nil {
		return nil, nil, err
	}
	ids, err := q.db.MatchingIDs(ctx, m)
	return ids, &m, err
}

func (r *RetryResult) add(c nominee) {
	r.Matched++
	if c.refusal != "" {
		r.skip(c.id, c.refusal)
		return
	}
	r.Retried++
	r.Errors[c.errorType]++
	if len(r.TrialIDs) < maxListed {
		r.TrialIDs = append(r.TrialIDs, c.id)
	}
}

// missing names those of a list that are no trials.
func (r *RetryResult) missing(ids []string, found []nominee) {
	for _, id := range ids {
		if !slices.ContainsFunc(found, func(c nominee) bool { return c.id == id }) {
			r.skip(id, "there is no such trial")
		}
	}
}

func (r *RetryResult) skip(id, reason string) {
	if len(r.Skipped) < maxListed {
		r.Skipped = append(r.Skipped, SkippedTrial{TrialID: id, Reason: reason})
	}
}

// retrier tries trials again.
type retrier struct {
	q        *Queue
	match    *store.Match // that trials must still fulfil; nil: none
	explicit bool         // results with an error are meant, too
}

// nominee is a trial that was named, as it is now.
type nominee struct {
	lane
	id, experimentID string
	state            api.Status
	errorType        string
	hasSecrets       int
	imported         int
	refusal          string // why it is not tried again; empty: it is
}

func (r *retrier) chunk(ctx context.Context, ids []string, dryRun bool) ([]nominee, error) {
	if dryRun {
		return r.nominees(ctx, r.q.db.Read(), ids)
	}
	var found []nominee
	err := r.q.record(ctx, func(l *ledger) error {
		var err error
		found, err = r.requeue(ctx, l, ids)
		return err
	})
	return found, err
}

// requeue queues those of the trials that may be tried again. They are looked at twice: to know which queue keys have to be locked,
// and, once their jobs are locked as well, whether they still are what was asked for.
func (r *retrier) requeue(ctx context.Context, l *ledger, ids []string) ([]nominee, error) {
	before, err := r.nominees(ctx, l.tx, ids)
	if err != nil {
		return nil, err
	}
	ranks, err := l.lanesOf(ctx, before)
	if err != nil {
		return nil, err
	}
	jobs, err := l.lockNominees(ctx, before)
	if err != nil {
		return nil, err
	}
	found, err := r.nominees(ctx, l.tx, ids)
	if err != nil {
		return nil, err
	}
	for i := range found {
		c := &found[i]
		j, at := jobs[c.id], ranks[c.place()]
		switch {
		case c.refusal != "":
		case j == nil || at == nil:
			c.refusal = "it changed at this moment: try again"
		default:
			*at++
			if err := l.requeue(ctx, j, *at); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// nominees reads those of the trials that exist and match, in the order of their ids.
func (r *retrier) nominees(ctx context.Context, db store.Querier, ids []string) ([]nominee, error) {
	var args store.Args
	among := args.List(ids)
	if r.match != nil {
		args = store.Args{}
		among = "(" + r.match.Among(&args, ids) + ")"
	}
	query := `SELECT j.id, j.state, j.queue_key, j.priority, j.experiment_id, t.has_secrets, t.imported, COALESCE(a.error_type, '')
		FROM jobs j JOIN trials t ON t.id = j.id LEFT JOIN attempts a ON a.trial_id = j.id AND a.attempt = j.outcome_attempt
		WHERE j.id IN ` + among + " ORDER BY j.id" + r.q.db.ByteOrder()
	found, err := store.Collect(ctx, db, query, args.Values, func(c *nominee) []any {
		return []any{&c.id, &c.state, &c.key, &c.priority, &c.experimentID, &c.hasSecrets, &c.imported, &c.errorType}
	})
	if err != nil {
		return nil, fmt.Errorf("read trials: %w", err)
	}
	for i := range found {
		found[i].refusal = found[i].refuse(r.explicit)
	}
	return found, nil
}

// refuse says why the trial cannot be tried again, if so.
func (c *nominee) refuse(explicit bool) string {
	switch {
	case !c.state.Terminal():
		return fmt.Sprintf("it is %s, and only a trial that has ended can be tried again", c.state)
	case c.imported != 0:
		return "it was imported, and ran elsewhere: run its task here with `oddish run`"
	case c.hasSecrets != 0:
		return "it had secret environment values, which were wiped when it ended: submit it again"
	case c.state == api.StatusSuccess && c.errorType == "":
		return "it has a good result, which is kept; `oddish run --again` makes another trial"
	case c.state == api.StatusSuccess && !explicit:
		return "its result is " + c.errorType + ", which is kept unless errors or rewards are named, as by error:" + c.errorType
	}
	return ""
}

// place is what trials are ranked in.
type place struct {
	lane
	experimentID string
}

func (c *nominee) place() place { return place{c.lane, c.experimentID} }

// lanesOf locks the queue keys of those that can be tried again, and gives for each place the rank after which it goes on.
func (l *ledger) lanesOf(ctx context.Context, nominees []nominee) (map[place]*int64, error) {
	ranks := map[place]*int64{}
	for i := range nominees {
		if nominees[i].refusal == "" {
			ranks[nominees[i].place()] = nil
		}
	}
	// In one order, so that it does not deadlock with others.
	for _, at := range slices.SortedFunc(maps.Keys(ranks), comparePlaces) {
		last, err := l.lastRank(ctx, at.experimentID, at.lane)
		if err != nil {
			return nil, fmt.Errorf("rank in queue %s: %w", at.key, err)
		}
		ranks[at] = &last
	}
	return ranks, nil
}

func comparePlaces(a, b place) int {
	return cmp.Or(compareLanes(a.lane, b.lane), cmp.Compare(a.experimentID, b.experimentID))
}

// lockNominees locks the jobs of those that can be tried again, by id.
func (l *ledger) lockNominees(ctx context.Context, nominees []nominee) (map[string]*job, error) {
	var ids []string
	for _, c := range nominees {
		if c.refusal == "" {
			ids = append(ids, c.id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var args store.Args
	locked, err := l.lockJobs(ctx, "id IN "+args.List(ids)+" ORDER BY id"+l.db.ByteOrder(), args.Values...)
	if err != nil {
		return nil, err
	}
	jobs := make(map[string]*job, len(locked))
	for i := range locked {
		jobs[locked[i].id] = &locked[i]
	}
	return jobs, nil
}

func (l *ledger) requeue(ctx context.Context, j *job, rank int64) error {
	const query = `UPDATE jobs SET state = 'queued', ready = 1, rank = $1, outcome_attempt = 0, used_attempts = 0, losses = 0,
			cancel_requested = 0, available_at = NULL, queued_at = $2, started_at = NULL, finished_at = NULL
		WHERE id = $3`
	if _, err := l.tx.ExecContext(ctx, query, rank, l.now.UnixMilli(), j.id); err != nil {
		return fmt.Errorf("retry trial %s: %w", j.id, err)
	}
	l.move(j, api.StatusQueued)
	l.tally(j).recount = true
	l.event(j, "queued", api.Event{})
	l.trim[j.id] = true
	return nil
}

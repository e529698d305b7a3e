package queue

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"oddish/internal/store"
)

const (
	// togetherAtOnce is how many transactions of reports run at once: more would only wait for each other at
	// the rows of their experiments.
	togetherAtOnce = 4
	// togetherMost is how many reports one transaction takes.
	togetherMost = 64
)

// errAlone is what a report gives that needs a transaction of its own. It has changed nothing yet.
var errAlone = errors.New("not together with others")

// desk gathers the reports of workers that come while others are being written. They all count in the same tallies and have
// their events numbered by the same experiments, whose rows are locked until the commit: one transaction for many of them takes
// hardly longer than for one. A report that comes alone does not wait.
type desk struct {
	mu      sync.Mutex
	waiting []*entry
	running int // transactions
}

// entry is a change of one job.
type entry struct {
	jobID string
	fn    func(ctx context.Context, l *ledger) error
	err   error
	alone bool          // it was not written, and has to be by itself
	done  chan struct{} // closed once err and alone are final
}

// recordJob is record for a change of a single job by its worker, which may be made in one transaction with those of others. fn
// locks the job first, and when it returns ErrStale has changed nothing.
func (q *Queue) recordJob(ctx context.Context, jobID string, fn func(ctx context.Context, l *ledger) error) error {
	r := &entry{jobID: jobID, fn: fn, done: make(chan struct{})}
	if !q.desk.begin(r) {
		<-r.done
		if !r.alone {
			return r.err
		}
		return q.record(ctx, func(l *ledger) error { return fn(ctx, l) })
	}
	defer q.goOn()
	return q.record(ctx, func(l *ledger) error { return fn(ctx, l) })
}

// begin reports whether the caller is to write its report now; otherwise it is written with others.
func (d *desk) begin(r *entry) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running < togetherAtOnce {
		d.running++
		return true
	}
	d.waiting = append(d.waiting, r)
	return false
}

// next takes the reports of the next transaction; none: it is the end.
func (d *desk) next() []*entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		d.running--
		return nil
	}
	n := min(len(d.waiting), togetherMost)
	some := slices.Clone(d.waiting[:n])
	d.waiting = slices.Delete(d.waiting, 0, n)
	return some
}

// goOn has what waits written by somebody who does not wait for it.
func (q *Queue) goOn() {
	some := q.desk.next()
	if some == nil {
		return
	}
	go func() {
		for ; some != nil; some = q.desk.next() {
			q.writeTogether(some)
		}
	}()
}

// writeTogether writes reports in one transaction. If that fails because of one of them, each is left to who made it.
func (q *Queue) writeTogether(some []*entry) {
	ctx := context.Background() // each may be given up by who made it, but not for the others
	var err error
	finished := false
	defer func() {
		if v := recover(); v != nil {
			q.log.Error("reports could not be written together", "panic", v)
		}
		for _, r := range some {
			switch {
			case finished && err == nil:
			case finished && (store.Unavailable(err) || errors.Is(err, store.ErrUnknown)):
				r.err, r.alone = err, false
			default:
				r.alone = true
			}
			close(r.done)
		}
	}()
	// In one order, so that two such transactions cannot deadlock.
	slices.SortStableFunc(some, func(a, b *entry) int { return cmp.Compare(a.jobID, b.jobID) })
	err = q.record(ctx, func(l *ledger) error {
		l.together = true
		for _, r := range some {
			r.err = r.fn(ctx, l)
			r.alone = errors.Is(r.err, errAlone)
			if r.err != nil && !r.alone && !errors.Is(r.err, ErrStale) {
				return r.err
			}
		}
		return nil
	})
	finished = true
}

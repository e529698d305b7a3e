package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"oddish/api"
)

// Run takes trials from workers that are lost, wakes claims when a retry has become due, each at its moment, and whoever waits when
// another process has changed something, until ctx ends. It survives a database that is away for a while. Run it once in each process that claims.
func (q *Queue) Run(ctx context.Context) error {
	var ears sync.WaitGroup
	if q.db.Shared() {
		ears.Go(func() { q.listen(ctx) })
	}
	defer ears.Wait()
	const patience = time.Second // after an error
	for started := false; ; {
		pause := patience
		err := error(nil)
		if !started {
			err = errors.Join(q.extendLeases(ctx), q.finishPauses(ctx))
			started = err == nil
		}
		if err == nil {
			pause, err = q.tend(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			q.log.Error("queue could not be tended; trying again", "error", err)
			pause = patience
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-q.alarm.earlier:
		}
		timer.Stop()
	}
}

// extendLeases gives workers time to find a server that was away: leases that ran out while nobody could
// renew them, and those about to, start anew. If a worker was heard lately, by any server, then there was one, and who is
// silent is lost.
func (q *Queue) extendLeases(ctx context.Context) error {
	return q.record(ctx, func(l *ledger) error {
		// A worker sends four heartbeats in the time of a lease.
		lately := l.now.Add(-q.lease / 3)
		_, err := l.tx.ExecContext(ctx, `UPDATE jobs SET lease_until = $1 WHERE state = 'running' AND lease_until < $2
			AND NOT EXISTS (SELECT 1 FROM workers WHERE last_seen > $3)`,
			l.now.Add(q.lease).UnixMilli(), l.now.Add(q.lease/2).UnixMilli(), lately.UnixMilli())
		if err != nil {
			return fmt.Errorf("extend leases: %w", err)
		}
		return nil
	})
}

// tend does what is due and returns how long there will be nothing to do.
func (q *Queue) tend(ctx context.Context) (time.Duration, error) {
	now := q.now()
	day := q.turnDay(now)
	q.alarm.set(now.Add(safetyPoll)) // before looking, so that no change is missed
	next, err := q.nextDue(ctx)
	if err == nil && next != nil && !next.After(now) {
		if err = q.sweep(ctx); err == nil {
			next, err = q.nextDue(ctx)
		}
	}
	if err != nil {
		return 0, err
	}
	if next == nil || !day.IsZero() && day.Before(*next) {
		next = &day
	}
	if next.IsZero() {
		return safetyPoll, nil
	}
	// A change that came between the look and this has left its signal.
	q.alarm.set(*next)
	return min(max(next.Sub(q.now()), time.Millisecond), safetyPoll), nil
}

// nextDue is when the next lease or hold of a key ends or the next retry may start; nil if there is none.
func (q *Queue) nextDue(ctx context.Context) (*time.Time, error) {
	var next *int64
	row := q.db.Read().QueryRowContext(ctx, `SELECT MIN(due) FROM (
			SELECT MIN(lease_until) AS due FROM jobs WHERE state = 'running'
			UNION ALL SELECT MIN(available_at) FROM jobs WHERE state = 'retrying' AND ready = 0 AND held = 0
			UNION ALL SELECT MIN(held_until) FROM queue_keys WHERE held_until IS NOT NULL) AS dues`)
	if err := row.Scan(&next); err != nil {
		return nil, fmt.Errorf("read when the queue is due: %w", err)
	}
	return fromMillis(next), nil
}

// reapChunk is how many leases one transaction ends.
const reapChunk = 100

// sweep opens keys whose hold is over, makes due retries claimable and ends the runs whose lease has run out.
func (q *Queue) sweep(ctx context.Context) error {
	for {
		var jobs []job
		err := q.record(ctx, func(l *ledger) error {
			if err := l.endHolds(ctx); err != nil {
				return err
			}
			if err := l.promote(ctx); err != nil {
				return err
			}
			var err error
			jobs, err = l.lockJobs(ctx, "state = 'running' AND lease_until <= $1 ORDER BY lease_until LIMIT $2", l.now.UnixMilli(), reapChunk)
			if err != nil {
				return err
			}
			return l.reap(ctx, jobs)
		})
		if err != nil {
			return err
		}
		for _, j := range jobs {
			q.log.Warn("worker lost", "trial", j.id, "attempt", j.attempt, "status", j.state)
		}
		if len(jobs) < reapChunk {
			return nil
		}
	}
}

func (l *ledger) reap(ctx context.Context, jobs []job) error {
	f := api.Finish{
		Outcome: api.StatusFailed, ErrorType: errorWorkerLost, ErrorClass: api.ClassInfrastructure,
		ErrorMessage: "the worker sent no heartbeat before its lease ended",
	}
	for i := range jobs {
		if err := l.settle(ctx, &jobs[i], lost(&jobs[i], l.now), &f, ""); err != nil {
			return err
		}
	}
	return nil
}

package worker

import (
	"context"
	"fmt"
	"time"

	"oddish/api"
	"oddish/internal/trial"
)

// errLeaseEnded is why a trial is stopped when no heartbeat got through: another worker may run it by now.
var errLeaseEnded = fmt.Errorf("%w: no heartbeat reached the server before the lease ended", trial.ErrAbandoned)

// errLeaseLost is why a trial is stopped when the server says that its lease is no longer held.
var errLeaseLost = fmt.Errorf("%w: the server says that the lease is no longer held", trial.ErrAbandoned)

// heartbeats renews the leases of all jobs with one request each quarter of a lease, until ctx
// ends. A heartbeat that fails is repeated sooner. That a lease has ended unrenewed is
// noticed by the job itself, whose timer each renewal sets.
func (w *Worker) heartbeats(ctx context.Context) {
	away := outage{log: w.log, lost: "server does not answer heartbeats; trials go on until their leases end", back: "server answers heartbeats again"}
	n := 0
	for wait := w.lease.beat(); w.lease.wait(ctx, wait); {
		err := w.heartbeat(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			away.over(ctx)
			n, wait = 0, w.lease.beat()
			continue
		}
		away.failed(ctx, err)
		wait = min(backoff(n), w.lease.beat())
		n++
	}
}

// heartbeat sends one, unless there is nothing to renew, and acts on the answer.
func (w *Worker) heartbeat(ctx context.Context) error {
	held := w.jobs.held()
	if len(held) == 0 {
		return nil
	}
	refs := make([]api.JobRef, 0, len(held))
	for _, j := range held {
		refs = append(refs, api.JobRef{ID: j.ID, Lease: j.Lease})
	}
	ctx, cancel := context.WithTimeout(ctx, w.lease.beat())
	defer cancel()
	sent := time.Now() // the new leases are at least this young
	ack, err := w.c.Server.Heartbeat(ctx, api.Heartbeat{WorkerID: w.c.ID, Jobs: refs})
	if err != nil {
		return err
	}
	w.obey(held, ack, sent)
	return nil
}

// obey acts on an answer. It speaks of the jobs that were sent: by now the same trial may
// be held under a newer lease, which is none of its business.
func (w *Worker) obey(held map[string]*job, ack api.HeartbeatAck, sent time.Time) {
	for _, id := range ack.Lost {
		if j := held[id]; j != nil {
			j.lose(errLeaseLost)
			delete(held, id)
		}
	}
	length := w.lease.learn(ack.LeaseSec)
	for _, j := range held {
		j.renew(length - time.Since(sent))
	}
	for budget, ids := range map[string][]string{api.BudgetExperiment: ack.BudgetExceeded, api.BudgetDay: ack.DayExceeded} {
		for _, id := range ids {
			if j := held[id]; j != nil {
				j.exhaust(budget)
			}
		}
	}
	for _, id := range ack.Cancel {
		if j := held[id]; j != nil {
			j.stop(trial.ErrCancelled)
		}
	}
}

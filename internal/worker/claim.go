package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"oddish/api"
	"oddish/client"
)

// claimWaitSec is how long the server holds a claim when there is nothing to run.
const claimWaitSec = 30

// claims asks for trials as long as slots are free, until ctx ends or the first claim is refused for good.
//
// A claim whose answer is lost on the way has leased trials that nobody runs. Nothing is done
// about it here: no heartbeat renews their leases, and when those end the queue gives
// the trials to the next worker without counting the attempt.
func (w *Worker) claims(ctx context.Context) error {
	away := outage{log: w.log, lost: "server does not answer claims", back: "server answers claims again"}
	accepted := false
	for n := 0; ; {
		free, ok := w.slots.wait(ctx)
		if !ok {
			return nil
		}
		got, err := w.c.Server.Claim(ctx, api.Claim{
			WorkerID:  w.c.ID,
			Hostname:  w.c.Hostname,
			Version:   w.c.Version,
			Slots:     free,
			Sandboxes: w.offered,
			WaitSec:   claimWaitSec,
		})
		if err == nil {
			away.over(ctx)
			accepted, n = true, 0
			w.take(ctx, got.Jobs)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if !accepted && refusedForGood(err) {
			return fmt.Errorf("claim trials: %w", err)
		}
		away.failed(ctx, err)
		if !pause(ctx, backoff(n)) {
			return nil
		}
		n++
	}
}

// take starts the jobs of a claim. Those that arrive after the end of ctx go back.
func (w *Worker) take(ctx context.Context, claimed []api.Job) {
	for _, spec := range claimed {
		w.start(ctx, w.newJob(context.WithoutCancel(ctx), spec))
	}
}

func (w *Worker) start(ctx context.Context, j *job) {
	w.slots.take()
	w.running.Go(func() {
		defer w.slots.give()
		defer w.jobs.remove(j)
		w.runJob(j)
	})
	if ctx.Err() != nil {
		j.stop(errHandedBack)
	}
}

// refusedForGood reports whether the server understood the claim and will never grant it: a wrong or
// missing key, another program, another version of the protocol.
func refusedForGood(err error) bool {
	var e *client.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests, 499:
		return false
	}
	return e.Status >= 300 && e.Status < 500
}

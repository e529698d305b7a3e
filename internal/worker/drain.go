package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"oddish/internal/trial"
)

const (
	// handBackTime is how long delivering the remains of stopped trials may take at the end
	// of a drain. Then their leases are left to expire.
	handBackTime = 20 * time.Second
	// stopTime is how long the sandboxes of abandoned trials may take to stop.
	stopTime = 30 * time.Second
)

// errHandedBack is why a trial is stopped at the end of a drain.
var errHandedBack = errors.New("the worker shuts down")

// errGivenUp is why a job is dropped whose remains could not be delivered before the worker ends.
var errGivenUp = fmt.Errorf("%w: the worker ends", trial.ErrAbandoned)

// drain waits for running jobs as Run describes. It returns an error only if trials could not be stopped.
func (w *Worker) drain(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { w.running.Wait(); close(ended) }()

	if n := w.jobs.count(); n > 0 {
		w.log.InfoContext(ctx, "draining", "trials", n, "timeout", max(0, w.c.DrainTimeout))
	}
	if waitFor(ended, max(0, w.c.DrainTimeout), w.handBack) {
		return nil
	}
	if n := w.jobs.count(); n > 0 {
		w.log.InfoContext(ctx, "handing running trials back", "trials", n)
	}
	w.jobs.each(func(j *job) { j.stop(errHandedBack) })
	if waitFor(ended, handBackTime, nil) {
		return nil
	}
	w.log.WarnContext(ctx, "trials could not be handed back; they return to the queue when their leases end",
		"trials", w.jobs.count())
	w.jobs.each(func(j *job) { j.lose(errGivenUp) })
	if waitFor(ended, stopTime, nil) {
		return nil
	}
	return errors.New("worker: some sandboxes did not stop in time; the next start of this worker removes them")
}

// waitFor reports whether done was closed before the time was over or cut was closed.
func waitFor(done <-chan struct{}, d time.Duration, cut <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
	case <-cut:
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

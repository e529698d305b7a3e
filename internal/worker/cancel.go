package worker

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"oddish/api"
	"oddish/client"
	"oddish/internal/trial"
)

// cancelWaitSec is how long the server may hold the question for cancelled jobs.
const cancelWaitSec = 30

// cancels stops jobs whose trials were cancelled, as soon as the server says so, until ctx ends. Heartbeats
// tell it too, later: a server that does not know the question, or is away, costs only time.
func (w *Worker) cancels(ctx context.Context) {
	told := map[string]bool{} // ids that need not be told again
	for n := 0; ctx.Err() == nil; {
		known := slices.Sorted(maps.Keys(told))
		ack, err := w.c.Server.Cancels(ctx, api.Cancels{WorkerID: w.c.ID, Known: known, WaitSec: cancelWaitSec})
		if client.StatusOf(err) == http.StatusNotFound {
			return
		}
		if err != nil {
			if !pause(ctx, backoff(n)) {
				return
			}
			n++
			continue
		}
		n = 0
		held := w.jobs.held()
		if len(ack.Cancel) == 0 { // a quiet time: what is over may be forgotten
			maps.DeleteFunc(told, func(id string, _ bool) bool { return held[id] == nil })
		}
		for _, id := range ack.Cancel {
			told[id] = true
			if j := held[id]; j != nil {
				w.log.InfoContext(ctx, "trial cancelled", "trial", id)
				j.stop(trial.ErrCancelled)
			}
		}
	}
}

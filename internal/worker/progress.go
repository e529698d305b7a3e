package worker

import (
	"context"
	"sync"
	"time"

	"oddish/api"
	"oddish/internal/trial"
)

// progressBatch bounds how many events go in one request.
const progressBatch = 100

// reporter sends what a job is doing, in order and each once (sequence numbers make a repeated
// request harmless), without holding up the trial. It has one goroutine from the first
// event until close.
type reporter struct {
	server Server
	j      *job

	mu      sync.Mutex
	queue   []api.ProgressEvent
	seq     int64
	closing bool
	wake    chan struct{}
	done    chan struct{} // closed when the goroutine has ended; nil before it started
}

func newReporter(s Server, j *job) *reporter {
	return &reporter{server: s, j: j, seq: j.Seq, wake: make(chan struct{}, 1)}
}

// stage reports that the trial entered a stage.
func (r *reporter) stage(s api.Stage) { r.add(api.ProgressEvent{Stage: s}) }

// sandbox reports the id of the trial's sandbox.
func (r *reporter) sandbox(id string) { r.add(api.ProgressEvent{SandboxID: id}) }

// usage reports what the trial has used of models so far.
func (r *reporter) usage(u api.Usage) { r.add(api.ProgressEvent{Usage: &u}) }

// rateLimited reports that the model's provider wants to be asked less.
func (r *reporter) rateLimited(l api.RateLimited) { r.add(api.ProgressEvent{RateLimited: &l}) }

func (r *reporter) add(e api.ProgressEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return
	}
	r.seq++
	e.Seq, e.At = r.seq, time.Now().UTC()
	r.queue = append(r.queue, e)
	if r.done == nil {
		r.done = make(chan struct{})
		go r.run()
	}
	r.signal()
}

func (r *reporter) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// flush takes no more events and waits until those that there are were sent or the lease is lost.
func (r *reporter) flush() {
	r.mu.Lock()
	r.closing = true
	done := r.done
	r.signal()
	r.mu.Unlock()
	if done != nil {
		<-done
	}
}

// close ends the goroutine at once. What was not sent is dropped.
func (r *reporter) close() {
	r.mu.Lock()
	r.queue = nil
	r.mu.Unlock()
	r.flush()
}

func (r *reporter) run() {
	defer close(r.done)
	for {
		batch, closing := r.next()
		if len(batch) > 0 {
			r.send(batch)
		}
		if r.j.held.Err() != nil || closing && len(batch) == 0 {
			return
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-r.wake:
		case <-r.j.held.Done():
			return
		}
	}
}

func (r *reporter) next() (batch []api.ProgressEvent, closing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.queue), progressBatch)
	batch, r.queue = r.queue[:n:n], r.queue[n:]
	return batch, r.closing
}

// send repeats a batch until the server has it. The answer may carry the user's wish to cancel, and
// says at once what the next heartbeat would.
func (r *reporter) send(batch []api.ProgressEvent) {
	err := persist(r.j.held, r.j.log, "progress", func(ctx context.Context) error {
		ack, err := r.server.Progress(ctx, r.j.ID, r.j.Lease, api.Progress{Events: batch})
		if err == nil && ack.Cancel {
			r.j.stop(trial.ErrCancelled)
		}
		if err == nil && ack.BudgetExceeded != "" {
			r.j.tellOver(ack.BudgetExceeded)
		}
		return err
	})
	r.j.check(err)
	if isRefused(err) {
		r.j.log.ErrorContext(r.j.held, "server refuses a report of progress", "error", err)
	}
}

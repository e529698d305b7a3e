package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"oddish/api"
	"oddish/client"
	"oddish/internal/store/storetest"
)

const (
	heartbeatEvery = 15 * time.Second
	// lifetime of a trial here: each reports four stages and is then replaced by another.
	lifetime  = time.Minute
	followers = 32 // event streams that are open meanwhile
)

// running keeps many trials running with heartbeats, progress reports and followers, and watches the server.
func (b *bench) running(ctx context.Context) error {
	r := &runs{b: b, slots: b.o.running / b.o.workers}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var follow sync.WaitGroup
	defer follow.Wait()
	defer cancel()
	for i := range followers {
		follow.Go(func() { r.follow(ctx, i) })
	}
	start := time.Now()
	fleet := make([]*fleetWorker, b.o.workers)
	var filling errgroup.Group
	for i := range fleet {
		fleet[i] = &fleetWorker{worker: b.worker(fmt.Sprint("running-", i)), r: r}
		filling.Go(func() error { return fleet[i].fill(ctx) })
	}
	if err := filling.Wait(); err != nil {
		return err
	}
	row("running: trials started", "%d by %d workers in %.1f s", r.slots*b.o.workers, b.o.workers, time.Since(start).Seconds())
	watch := 4 * b.o.duration
	cpu, own, start := b.server.cpu(), ownCPU(), time.Now()
	timed, stop := context.WithTimeout(ctx, watch)
	defer stop()
	all, timed := errgroup.WithContext(timed)
	for _, w := range fleet {
		all.Go(func() error { return w.run(timed) })
	}
	if err := all.Wait(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	took := time.Since(start)
	row("running: heartbeat of "+fmt.Sprint(r.slots)+" trials", "%s", &r.heartbeats)
	row("running: progress report", "%s, %.0f/s", &r.reports, float64(len(r.reports.took))/took.Seconds())
	row("running: finish", "%s, %.0f/s", &r.finishes, float64(len(r.finishes.took))/took.Seconds())
	row("running: claim", "%s", &r.claims)
	row("running: events received by 32 followers", "%.0f/s", float64(r.events.Load())/time.Since(start).Seconds())
	row("running: processor", "server %.2f, load generator %.2f of one", (b.server.cpu()-cpu).Seconds()/took.Seconds(), (ownCPU()-own).Seconds()/took.Seconds())
	row("running: server, resident", "%d MB, at most %d MB", b.server.residentMB(), b.server.peakMB())
	return r.finishAll(ctx, fleet)
}

// runs is what the workers of one measurement share.
type runs struct {
	b                                     *bench
	slots                                 int
	events                                atomic.Int64
	claims, reports, finishes, heartbeats times
}

// follow reads the events of an experiment, as a browser does.
func (r *runs) follow(ctx context.Context, i int) {
	first := r.b.o.rows.Finished / storetest.TrialsPerExperiment
	c := client.New(r.b.server.url, client.Options{})
	_ = c.Events(ctx, storetest.FilledExperiment(first+i%8), storetest.TrialsPerExperiment, func(api.Event) error {
		r.events.Add(1)
		return nil
	})
}

// finishAll ends what runs, so that it does not disturb what is measured next.
func (r *runs) finishAll(ctx context.Context, fleet []*fleetWorker) error {
	var all errgroup.Group
	for _, w := range fleet {
		all.Go(func() error {
			for _, j := range w.jobs {
				if err := w.finish(ctx, j.Job); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}

// fleetWorker is a worker that keeps its slots full.
type fleetWorker struct {
	*worker
	r    *runs
	mu   sync.Mutex
	jobs []runningJob
}

// runningJob is a trial with what it has reported.
type runningJob struct {
	api.Job
	reported int
}

// fill claims until no slot is free.
func (w *fleetWorker) fill(ctx context.Context) error {
	for free := w.r.slots - len(w.jobs); free > 0; free = w.r.slots - len(w.jobs) {
		var jobs []api.Job
		if err := w.r.claims.measure(func() (err error) { jobs, err = w.claim(ctx, min(free, 100)); return err }); err != nil {
			return err
		}
		if len(jobs) == 0 {
			return errors.New("too few trials are queued: raise -queued")
		}
		w.mu.Lock()
		for _, j := range jobs {
			w.jobs = append(w.jobs, runningJob{Job: j, reported: rand.IntN(len(stages()))})
		}
		w.mu.Unlock()
	}
	return nil
}

// run lets the trials go on until ctx ends, with heartbeats beside.
func (w *fleetWorker) run(ctx context.Context) error {
	beats, ctx := errgroup.WithContext(ctx)
	beats.Go(func() error {
		// Workers do not start at the same moment.
		tick := time.NewTimer(time.Duration(rand.Int64N(int64(heartbeatEvery))))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				tick.Reset(heartbeatEvery)
			}
			if err := w.beat(ctx); err != nil {
				return err
			}
		}
	})
	beats.Go(func() error { return w.live(ctx) })
	err := beats.Wait()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func (w *fleetWorker) beat(ctx context.Context) error {
	w.mu.Lock()
	jobs := make([]api.Job, len(w.jobs))
	for i, j := range w.jobs {
		jobs[i] = j.Job
	}
	w.mu.Unlock()
	return w.r.heartbeats.measure(func() error { _, err := w.client.Heartbeat(ctx, beatOf(w.id, jobs)); return err })
}

// live moves one trial after the other a stage on, so that each gets through in its lifetime; it finishes those that
// are at the end of it, and claims others for them.
func (w *fleetWorker) live(ctx context.Context) error {
	pause := lifetime / time.Duration(w.r.slots*(len(stages())+1))
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for next := 0; ; next++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		i := next % len(w.jobs)
		if err := w.step(ctx, i); err != nil {
			return err
		}
		if len(w.jobs) <= w.r.slots-w.r.slots/20 {
			if err := w.fill(ctx); err != nil {
				return err
			}
		}
	}
}

func (w *fleetWorker) step(ctx context.Context, i int) error {
	j := &w.jobs[i]
	if j.reported < len(stages()) {
		j.reported++
		return w.r.reports.measure(func() error { return w.progress(ctx, j.Job, j.reported) })
	}
	job := j.Job
	w.mu.Lock()
	w.jobs[i] = w.jobs[len(w.jobs)-1]
	w.jobs = w.jobs[:len(w.jobs)-1]
	w.mu.Unlock()
	return w.r.finishes.measure(func() error { return w.finish(ctx, job) })
}

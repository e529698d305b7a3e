package main

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"oddish/api"
)

const (
	claimAtOnce = 50 // trials
	callsAtOnce = 8  // of a worker
)

// throughput takes as many trials through the queue as the machine can: each worker claims trials, reports their stages and
// finishes them.
func (b *bench) throughput(ctx context.Context) error {
	until, cancel := context.WithTimeout(ctx, b.o.duration)
	defer cancel()
	var claim, progress, finish times
	var finished atomic.Int64
	var failed atomic.Pointer[error]
	cpu, own, start := b.server.cpu(), ownCPU(), time.Now()
	var workers sync.WaitGroup
	for i := range b.o.workers {
		w := b.worker("throughput-" + string(rune('a'+i)))
		workers.Go(func() {
			for until.Err() == nil {
				var jobs []api.Job
				err := claim.measure(func() (err error) { jobs, err = w.claim(ctx, claimAtOnce); return err })
				if err == nil {
					err = b.takeThrough(ctx, w, jobs, &progress, &finish)
				}
				if err != nil {
					failed.Store(&err)
					cancel()
					return
				}
				finished.Add(int64(len(jobs)))
			}
		})
	}
	workers.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	took, n := time.Since(start), int(finished.Load())
	row("throughput", "%.0f trials/s with %d progress reports each (n=%d)", float64(n)/took.Seconds(), b.o.stages, n)
	row("throughput: processor time of a trial", "server %s, load generator %s", cost(b.server.cpu()-cpu, n), cost(ownCPU()-own, n))
	row("throughput: claim of up to 50", "%s", &claim)
	row("throughput: progress report", "%s", &progress)
	row("throughput: finish", "%s", &finish)
	row("server, resident", "%d MB, at most %d MB", b.server.residentMB(), b.server.peakMB())
	return nil
}

// takeThrough reports and finishes the jobs, several at once.
func (b *bench) takeThrough(ctx context.Context, w *worker, jobs []api.Job, progress, finish *times) error {
	queue := make(chan api.Job, len(jobs))
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	var failed atomic.Pointer[error]
	var calls sync.WaitGroup
	for range callsAtOnce {
		calls.Go(func() {
			for j := range queue {
				if err := b.takeOne(ctx, w, j, progress, finish); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	calls.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *bench) takeOne(ctx context.Context, w *worker, j api.Job, progress, finish *times) error {
	for n := range b.o.stages {
		if err := progress.measure(func() error { return w.progress(ctx, j, n+1) }); err != nil {
			return err
		}
	}
	return finish.measure(func() error { return w.finish(ctx, j) })
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

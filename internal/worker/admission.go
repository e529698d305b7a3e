package worker

import (
	"context"
	"slices"
	"sync"

	"oddish/api"
	"oddish/internal/task"
)

// need is what a trial declares that it uses of the machine. Zero: it does not say.
type need struct {
	cpus   float64
	memory int64 // bytes
}

// admission lets trials in as long as what they declare fits the machine together, in the order in which
// they came, so that a big one is not overtaken for ever. One that declares more than the
// machine has is let in when it is alone.
type admission struct {
	mu      sync.Mutex
	total   need // zero: not bounded
	used    need
	queue   []*waiter
	waiting func(bool) // told whether anybody waits; called with mu held
}

type waiter struct {
	n  need
	in chan struct{} // closed once let in
}

func newAdmission(cpus float64, memory int64, waiting func(bool)) *admission {
	return &admission{total: need{cpus, memory}, waiting: waiting}
}

// enter waits until n fits and returns how to leave. The error is the cause of ctx's end.
func (a *admission) enter(ctx context.Context, n need) (leave func(), err error) {
	w := &waiter{n: a.clamp(n), in: make(chan struct{})}
	a.mu.Lock()
	a.queue = append(a.queue, w)
	a.admit()
	a.mu.Unlock()

	select {
	case <-w.in:
	case <-ctx.Done():
		a.leave(w)
		return nil, context.Cause(ctx)
	}
	return func() { a.leave(w) }, nil
}

// join counts n as let in, whether it fits or not, and returns how to leave.
func (a *admission) join(n need) (leave func()) {
	w := &waiter{n: a.clamp(n)}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used.cpus += w.n.cpus
	a.used.memory += w.n.memory
	return func() { a.leave(w) }
}

func (a *admission) leave(w *waiter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.queue, w); i >= 0 {
		a.queue = slices.Delete(a.queue, i, i+1)
	} else {
		a.used.cpus -= w.n.cpus
		a.used.memory -= w.n.memory
	}
	a.admit()
}

// admit lets in from the front of the queue whatever fits.
func (a *admission) admit() {
	for len(a.queue) > 0 && a.fits(a.queue[0].n) {
		w := a.queue[0]
		a.queue = a.queue[1:]
		a.used.cpus += w.n.cpus
		a.used.memory += w.n.memory
		close(w.in)
	}
	a.waiting(len(a.queue) > 0)
}

func (a *admission) fits(n need) bool {
	const rounding = 1e-9 // of sums of fractions of a CPU
	return (a.total.cpus == 0 || a.used.cpus+n.cpus <= a.total.cpus+rounding) &&
		(a.total.memory == 0 || a.used.memory+n.memory <= a.total.memory)
}

func (a *admission) clamp(n need) need {
	if a.total.cpus > 0 {
		n.cpus = min(n.cpus, a.total.cpus)
	}
	if a.total.memory > 0 {
		n.memory = min(n.memory, a.total.memory)
	}
	return need{max(n.cpus, 0), max(n.memory, 0)}
}

// declared is what the task in dir, or the submission over its head, says that it needs. A
// task that cannot be read needs nothing: the trial will say what is wrong with it.
func declared(dir string, spec api.TrialSpec) need {
	t, err := task.Load(dir)
	if err != nil {
		return need{}
	}
	cpus, memory := t.Config.Environment.CPUs, t.Config.Environment.MemoryMB
	if e := spec.Harbor.Environment; e != nil {
		if e.OverrideCPUs != nil {
			cpus = e.OverrideCPUs
		}
		if e.OverrideMemoryMB != nil {
			memory = e.OverrideMemoryMB
		}
	}
	var n need
	if cpus != nil {
		n.cpus = float64(*cpus)
	}
	if memory != nil {
		n.memory = int64(*memory) << 20
	}
	return n
}

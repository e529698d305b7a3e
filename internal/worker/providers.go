package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"oddish/internal/sandbox"
)

// checkTime is how long a provider may take to say whether it can start sandboxes.
const checkTime = 30 * time.Second

// workerLabel is the label of a sandbox that names the worker's folder, and so its lock.
const workerLabel = "oddish.worker"

// preflight asks each provider whether it can start sandboxes here and offers those that
// can. The error lists every reason if none can.
func (w *Worker) preflight(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	reasons := make([]error, len(w.c.Providers))
	var wg sync.WaitGroup
	for i, p := range w.c.Providers {
		wg.Go(func() { reasons[i] = p.Check(ctx) })
	}
	wg.Wait()

	w.kinds = map[string]*tracked{}
	for i, p := range w.c.Providers {
		if reasons[i] != nil {
			reasons[i] = fmt.Errorf("%s: %w", p.Kind(), reasons[i])
			continue
		}
		w.kinds[p.Kind()] = newTracked(p, w.home.name)
		w.offered = append(w.offered, p.Kind())
	}
	if len(w.offered) == 0 {
		return fmt.Errorf("worker: no sandbox can be started on this machine: %w", errors.Join(reasons...))
	}
	for _, reason := range reasons {
		if reason != nil {
			w.log.WarnContext(ctx, "sandbox kind is not offered", "reason", reason)
		}
	}
	return nil
}

// tracked is a provider that labels each sandbox with the worker that started it, and knows which of
// them are in use.
type tracked struct {
	sandbox.Provider
	worker string

	mu    sync.Mutex
	inUse map[string]int // by name, from before the start until after the stop
}

func newTracked(p sandbox.Provider, worker string) *tracked {
	return &tracked{Provider: p, worker: worker, inUse: map[string]int{}}
}

// Start starts a sandbox that is in use until it is stopped.
func (t *tracked) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[workerLabel] = t.worker
	spec.Labels = labels

	t.count(spec.Name, 1)
	s, err := t.Provider.Start(ctx, spec)
	if err != nil {
		t.count(spec.Name, -1)
		return nil, err
	}
	return &trackedSandbox{Sandbox: s, stopped: sync.OnceFunc(func() { t.count(spec.Name, -1) })}, nil
}

func (t *tracked) count(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inUse[name] += n
	if t.inUse[name] == 0 {
		delete(t.inUse, name)
	}
}

func (t *tracked) uses(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inUse[name] > 0
}

type trackedSandbox struct {
	sandbox.Sandbox
	stopped func()
}

// Unwrap gives the provider's own.
func (s *trackedSandbox) Unwrap() sandbox.Sandbox { return s.Sandbox }

// Stop ends the use of the sandbox also when it fails, so that the reaper tries again.
func (s *trackedSandbox) Stop(ctx context.Context) error {
	defer s.stopped()
	return s.Sandbox.Stop(ctx)
}

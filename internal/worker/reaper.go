package worker

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"oddish/internal/sandbox"
)

const (
	reapEvery = 5 * time.Minute
	// reapTime is how long listing, or stopping one sandbox, may take.
	reapTime = 30 * time.Second
)

// reap removes sandboxes that nobody uses, at once and every few minutes until ctx ends: those
// of workers that were killed, and those of our own that could not be stopped. One whose job still has a
// folder may be resumed, and is left alone.
//
// Another live worker's sandboxes carry the same owner. They are told apart by the label with the
// name of its folder, whose lock a live worker holds; see home. A sandbox without the label is left alone, and so is one that is kept.
func (w *Worker) reap(ctx context.Context) {
	for {
		w.reapOnce(ctx)
		w.pruneImages(ctx)
		if !pause(ctx, reapEvery) {
			return
		}
	}
}

func (w *Worker) reapOnce(ctx context.Context) {
	kept, err := KeptIn(w.c.Dir).expire(time.Now())
	if err != nil {
		w.log.WarnContext(ctx, "cannot tell which sandboxes are kept", "error", err)
		return
	}
	for _, kind := range w.offered {
		w.reapKind(ctx, w.kinds[kind], kept)
	}
}

// lastReapTime is how long the last look may take.
const lastReapTime = 10 * time.Second

// reapAtEnd looks once more when nothing runs, or when a trial of a former process has ended: an engine may have finished a start that a killed worker
// had asked of it only when its successor had a sandbox of that name in use.
func (w *Worker) reapAtEnd(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastReapTime)
	defer cancel()
	w.reapOnce(ctx)
}

func (w *Worker) reapKind(ctx context.Context, p *tracked, kept map[[2]string]bool) {
	listing, cancel := context.WithTimeout(ctx, reapTime)
	defer cancel()
	// The list comes first and the locks after it: whoever started a listed sandbox held its lock
	// before, so a lock that is free now was given up since.
	infos, err := p.List(listing, w.c.Owner)
	if err != nil {
		if ctx.Err() == nil {
			w.log.WarnContext(ctx, "sandboxes cannot be listed", "sandbox", p.Kind(), "error", err)
		}
		return
	}
	byWorker := map[string][]sandbox.Info{}
	for _, i := range infos {
		if name := i.Labels[workerLabel]; name != "" && !kept[[2]string{p.Kind(), i.ID}] {
			byWorker[name] = append(byWorker[name], i)
		}
	}
	for name, infos := range byWorker {
		if name == w.home.name || w.inherited.has(name) {
			w.reapUnused(ctx, p, name, infos)
		} else {
			w.reapOther(ctx, p, name, infos)
		}
	}
}

// reapUnused removes sandboxes of the worker's folder of that name, which is locked.
func (w *Worker) reapUnused(ctx context.Context, p *tracked, name string, infos []sandbox.Info) {
	jobs, _, err := jobsIn(filepath.Join(w.home.base, name))
	if err != nil {
		w.log.WarnContext(ctx, "cannot tell which sandboxes are in use", "folder", name, "error", err)
		return
	}
	for _, i := range infos {
		if !p.uses(i.Name) && !named(jobs, i.Name) {
			w.remove(ctx, p, i)
		}
	}
}

func (w *Worker) reapOther(ctx context.Context, p *tracked, name string, infos []sandbox.Info) {
	gone, done, err := w.home.abandoned(name)
	if err != nil {
		w.log.WarnContext(ctx, "cannot tell whether a worker is alive", "folder", name, "error", err)
		return
	}
	if !gone {
		return
	}
	defer done()
	w.reapUnused(ctx, p, name, infos)
}

func (w *Worker) remove(ctx context.Context, p *tracked, i sandbox.Info) {
	ctx, cancel := context.WithTimeout(ctx, reapTime)
	defer cancel()
	s, err := p.Attach(ctx, i.ID)
	if err == nil {
		err = s.Stop(ctx)
	}
	switch {
	case errors.Is(err, sandbox.ErrNotFound):
	case err != nil:
		w.log.WarnContext(ctx, "orphaned sandbox cannot be removed", "sandbox", p.Kind(), "id", i.ID, "name", i.Name, "error", err)
	default:
		w.log.InfoContext(ctx, "orphaned sandbox removed", "sandbox", p.Kind(), "id", i.ID, "name", i.Name)
	}
}

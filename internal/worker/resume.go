package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"oddish/api"
	"oddish/client"
)

// resumeTime is how long a starting worker asks a server that is away for the jobs that its former process
// has left. After it their leases have surely ended.
const resumeTime = 2 * defaultLease

// estate is a worker's folder with the jobs that a process which is gone has left in it.
type estate struct {
	name   string
	jobs   []leftJob
	unlock func() // lets others have the folder
}

// inherited are the folders of other workers that are held because their jobs go on here.
type inherited struct {
	mu sync.Mutex
	n  map[string]int // jobs, by folder
}

func (i *inherited) add(name string, n int) (left int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.n[name] += n
	if left = i.n[name]; left == 0 {
		delete(i.n, name)
	}
	return left
}

func (i *inherited) has(name string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.n[name] > 0
}

// resume goes on with the jobs that this worker's former process, and other workers that are gone, have left on
// this machine, as far as their leases are held. What is left of the others is removed. If the server cannot be
// asked in time, those of other workers stay for resumeOthers.
func (w *Worker) resume(ctx context.Context) {
	own, err := w.ownEstate()
	if err != nil {
		w.log.ErrorContext(ctx, "what a former worker left cannot be read", "error", err)
	}
	estates := append([]*estate{own}, w.estates(ctx)...)
	asking, cancel := context.WithTimeout(ctx, resumeTime)
	defer cancel()
	err = w.inherit(ctx, estates, func(in api.ResumeJobs) (api.ResumedJobs, error) { return w.askLong(asking, in) })
	if err == nil || ctx.Err() != nil {
		return
	}
	w.log.WarnContext(ctx, "trials of a former worker cannot be resumed", "error", err)
	if !refusedForGood(err) { // otherwise this worker is about to end, and the next may be let in
		w.discard(ctx, own.jobs)
	}
}

// resumeOthers looks as often as it sends heartbeats, until ctx ends, whether another worker of this machine has
// been killed, and goes on with its jobs if it has not come back itself by then.
func (w *Worker) resumeOthers(ctx context.Context) {
	away := outage{log: w.log, lost: "trials of another worker cannot be resumed yet", back: "trials of another worker were asked for"}
	for pause(ctx, w.lease.beat()) {
		err := w.inherit(ctx, w.estates(ctx), func(in api.ResumeJobs) (api.ResumedJobs, error) { return w.ask(ctx, in) })
		switch {
		case err == nil:
			away.over(ctx)
		case ctx.Err() == nil:
			away.failed(ctx, err)
		}
	}
}

// inherit asks for the jobs of the estates and starts or discards them. After an error they stay as they are.
func (w *Worker) inherit(ctx context.Context, estates []*estate, ask func(api.ResumeJobs) (api.ResumedJobs, error)) error {
	in := api.ResumeJobs{WorkerID: w.c.ID, Hostname: w.c.Hostname, Version: w.c.Version, Jobs: []api.JobRef{}}
	for _, e := range estates {
		for _, j := range e.jobs {
			in.Jobs = append(in.Jobs, api.JobRef{ID: j.ID, Lease: j.Lease})
		}
	}
	if len(in.Jobs) == 0 {
		return nil
	}
	got, err := ask(in)
	if client.StatusOf(err) == http.StatusNotFound {
		err = nil // a server that does not know the question: nothing goes on
	}
	for _, e := range estates {
		if err == nil {
			w.goOn(ctx, e, got.Jobs)
		}
		if !w.inherited.has(e.name) {
			e.unlock()
		}
	}
	return err
}

// goOn starts those jobs of an estate that the server has given and discards the others.
func (w *Worker) goOn(ctx context.Context, e *estate, given []api.Job) {
	var lost []leftJob
	var mine []*job
	for _, left := range e.jobs {
		i := slices.IndexFunc(given, func(j api.Job) bool { return j.ID == left.ID && j.Lease == left.Lease })
		if i < 0 {
			lost = append(lost, left)
			continue
		}
		j := w.newJob(context.WithoutCancel(ctx), given[i])
		j.left = left.dir
		j.over = func() {
			if w.inherited.add(e.name, -1) == 0 {
				e.unlock()
			}
		}
		mine = append(mine, j)
	}
	w.inherited.add(e.name, len(mine))
	w.discard(ctx, lost)
	for _, j := range mine {
		w.start(ctx, j)
	}
	w.log.InfoContext(ctx, "trials of a former worker", "folder", e.name, "resumed", len(mine), "lost", len(lost))
}

// discard removes the folders of jobs. Their sandboxes go with the next pass of the reaper.
func (w *Worker) discard(ctx context.Context, jobs []leftJob) {
	for _, j := range jobs {
		if err := removeJobDir(j.dir); err != nil {
			w.log.WarnContext(ctx, "folder of a lost trial could not be removed", "dir", j.dir, "error", err)
		}
	}
}

// ask asks once.
func (w *Worker) ask(ctx context.Context, in api.ResumeJobs) (api.ResumedJobs, error) {
	ctx, cancel := context.WithTimeout(ctx, w.lease.beat())
	defer cancel()
	return w.c.Server.ResumeJobs(ctx, in)
}

// askLong asks until the server answers, refuses for good, or ctx ends.
func (w *Worker) askLong(ctx context.Context, in api.ResumeJobs) (api.ResumedJobs, error) {
	away := outage{log: w.log, lost: "server does not answer; trials of a former worker wait", back: "server answers again"}
	for n := 0; ; n++ {
		got, err := w.ask(ctx, in)
		if err == nil {
			away.over(ctx)
			return got, nil
		}
		if refusedForGood(err) || ctx.Err() != nil {
			return got, err
		}
		away.failed(ctx, err)
		if !pause(ctx, backoff(n)) {
			return got, err
		}
	}
}

// ownEstate is what a former process has left in this worker's folder. It is never nil.
func (w *Worker) ownEstate() (*estate, error) {
	e := &estate{name: w.home.name, unlock: func() {}}
	var err error
	e.jobs, err = leftIn(w.home.dir)
	return e, err
}

// estates are those of other workers that are gone, locked, with the jobs whose sandboxes can be reached from here.
func (w *Worker) estates(ctx context.Context) []*estate {
	dirs, _ := filepath.Glob(filepath.Join(w.home.base, "w*")) // the pattern is well-formed
	var list []*estate
	for _, dir := range dirs {
		name := filepath.Base(dir)
		if name == w.home.name || w.inherited.has(name) {
			continue
		}
		gone, unlock, err := w.home.abandoned(name)
		if err == nil && !gone {
			continue
		}
		var jobs []leftJob
		if err == nil {
			jobs, err = leftIn(dir)
			jobs = slices.DeleteFunc(jobs, func(j leftJob) bool { return w.kinds[j.Sandbox] == nil })
		}
		if err != nil {
			w.log.WarnContext(ctx, "what another worker left cannot be read", "folder", name, "error", err)
		}
		if len(jobs) == 0 {
			if gone {
				unlock()
			}
			continue
		}
		list = append(list, &estate{name: name, jobs: jobs, unlock: unlock})
	}
	return list
}

// leftIn gives the jobs in the folder of a worker that is gone, and removes what is no job any more or was none yet.
func leftIn(dir string) ([]leftJob, error) {
	jobs, rest, err := jobsIn(dir)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, dir := range rest {
		errs = append(errs, os.RemoveAll(dir))
	}
	if err := errors.Join(errs...); err != nil {
		return jobs, fmt.Errorf("remove what a former worker left: %w", err)
	}
	return jobs, nil
}

package worker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"oddish/api"
	"oddish/internal/llm/gateway"
	"oddish/internal/redact"
	"oddish/internal/trial"
)

// job is one attempt of a trial, from its claim until everything is delivered or the lease is lost.
//
// It has two contexts. held ends when the lease is lost; every request about the job uses it.
// run, below it, ends also when only the trial is to stop (cancelled, handed back), so that what
// came of it can still be delivered.
type job struct {
	api.Job
	log *slog.Logger

	held     context.Context
	loseHeld context.CancelCauseFunc
	run      context.Context
	stopRun  context.CancelCauseFunc

	report *reporter

	// Of a job that a former process has left: its folder, and what to do once that is gone. Otherwise zero.
	left string
	over func()

	mu      sync.Mutex
	timer   *time.Timer // at the end of the lease
	settled bool        // the trial is over: nothing runs that another worker could run as well

	secrets redact.Secrets // that were given to the trial: they are taken out of what is sent

	models *gateway.Session // while the agent may call its model
	budget string           // that is used up, of those that it shares with others; empty: none is

	tellOver func(budget string) // to all jobs here that share it
}

func (w *Worker) newJob(ctx context.Context, spec api.Job) *job {
	j := &job{
		Job: spec,
		log: w.log.With("trial", spec.ID, "attempt", spec.Attempt),
	}
	j.held, j.loseHeld = context.WithCancelCause(ctx)
	j.run, j.stopRun = context.WithCancelCause(j.held)
	j.timer = time.AfterFunc(w.lease.learn(spec.LeaseSec), j.leaseEnded)
	j.report = newReporter(w.c.Server, j)
	j.tellOver = func(budget string) {
		w.jobs.each(func(other *job) {
			if j.shares(budget, other) {
				other.exhaust(budget)
			}
		})
	}
	if former := w.jobs.add(j); former != nil {
		former.lose(errLeaseLost) // the server would not have given it to us again otherwise
	}
	return j
}

// shares reports whether the budget of that name, which j has, is also the other's.
func (j *job) shares(budget string, other *job) bool {
	if budget == api.BudgetDay {
		return other.Trial.AgentConfig.Replay == ""
	}
	return other.Trial.ExperimentID == j.Trial.ExperimentID
}

// stop ends the trial, whose outcome or remains are still delivered.
func (j *job) stop(cause error) { j.stopRun(cause) }

// lose ends everything about the job.
func (j *job) lose(cause error) {
	j.loseHeld(cause)
	j.timer.Stop()
}

// renew starts the lease anew with what is left of it.
func (j *job) renew(left time.Duration) {
	if j.held.Err() == nil {
		j.timer.Reset(max(left, 0))
	}
}

// leaseEnded stops a trial that runs. One that is over keeps trying to deliver: the server may have
// been away itself, and if another worker has the trial by now, the lease token gets a 409.
func (j *job) leaseEnded() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.settled {
		j.loseHeld(errLeaseEnded)
	}
}

// setModels says through which session the agent calls its model now; nil: none.
func (j *job) setModels(s *gateway.Session) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.models = s
	if s != nil && j.budget != "" {
		s.Exhaust(j.budget)
	}
}

// exhaust lets the agent call no model any more, because the budget of that name is used up.
func (j *job) exhaust(budget string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.budget == "" {
		j.log.Info("budget used up", "budget", budget)
	}
	j.budget = budget
	if j.models != nil {
		j.models.Exhaust(budget)
	}
}

// budgetExceeded names the shared budget that is used up; empty: none is.
func (j *job) budgetExceeded() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.budget
}

// settle marks the trial as over. It is false if the lease was lost before.
func (j *job) settle() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.settled = true
	return j.held.Err() == nil
}

// check gives up the job if err says that its lease is lost.
func (j *job) check(err error) {
	if isStale(err) {
		j.lose(errLeaseLost)
	}
}

// cancelled reports whether the trial was stopped by its user.
func (j *job) cancelled() bool { return errors.Is(context.Cause(j.run), trial.ErrCancelled) }

// handedBack reports whether the trial was stopped because the worker ends.
func (j *job) handedBack() bool { return errors.Is(context.Cause(j.run), errHandedBack) }

// trialDir is where the trial's files are, inside the job's folder.
func (j *job) trialDir(dir string) string { return filepath.Join(dir, j.Trial.TrialName) }

// jobs are the jobs whose leases are held, by trial.
type jobs struct {
	mu sync.Mutex
	m  map[string]*job
}

func newJobs() *jobs { return &jobs{m: map[string]*job{}} }

// add returns the job that had the same id before, if any.
func (s *jobs) add(j *job) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	former := s.m[j.ID]
	s.m[j.ID] = j
	return former
}

// remove forgets j, but not a successor under the same id, and ends its contexts.
func (s *jobs) remove(j *job) {
	s.mu.Lock()
	if s.m[j.ID] == j {
		delete(s.m, j.ID)
	}
	s.mu.Unlock()
	j.lose(nil)
}

// held returns the jobs whose leases are to be renewed, in a map of the caller's own.
func (s *jobs) held() map[string]*job {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := maps.Clone(s.m)
	maps.DeleteFunc(out, func(_ string, j *job) bool { return j.held.Err() != nil })
	return out
}

func (s *jobs) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.m)
}

func (s *jobs) each(f func(*job)) {
	for _, j := range s.held() {
		f(j)
	}
}

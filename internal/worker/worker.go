// Package worker claims trials from a server, runs them, and delivers what comes of them.
//
// It speaks to the server only through the worker protocol (package client implements the
// Server interface) and knows no database. How a trial is run is package trial's matter, below; which
// trial is run when, and what its outcome means for another attempt, the server's queue decides.
//
// Each loop has a file: taking up what a former process has left (resume.go), claiming (claim.go), heartbeats (heartbeat.go), cancels (cancel.go), one job from claim to
// delivery (job.go), the reports of its progress (progress.go), its growing files
// (tail.go) and final ones (files.go), and the removal of sandboxes that a killed worker left
// behind (reaper.go).
//
// What holds whatever happens to the server or the network: a job is run only while its
// lease is surely held, everything about it is repeated until the server takes it or says that the
// lease is lost, and a lost job is stopped without another word.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"oddish/api"
	"oddish/client"
	"oddish/internal/agent"
	"oddish/internal/llm/price"
	"oddish/internal/sandbox"
	"oddish/internal/trial"
)

// DefaultDrainTimeout is how long running trials go on after the worker was told to end.
const DefaultDrainTimeout = 30 * time.Second

// Server is the worker's side of the protocol. *client.Client implements it; errors carry a
// *client.Error for answers of the server.
type Server interface {
	Claim(context.Context, api.Claim) (api.Claimed, error)
	ResumeJobs(context.Context, api.ResumeJobs) (api.ResumedJobs, error)
	Heartbeat(context.Context, api.Heartbeat) (api.HeartbeatAck, error)
	Cancels(context.Context, api.Cancels) (api.CancelsAck, error)
	Progress(ctx context.Context, jobID, lease string, p api.Progress) (api.ProgressAck, error)
	PutFile(ctx context.Context, jobID, lease, name string, offset int64, r io.Reader) error
	Finish(ctx context.Context, jobID, lease string, f api.Finish) (api.FinishAck, error)
	TaskArchive(ctx context.Context, jobID, lease string) (io.ReadCloser, error)
	Recording(ctx context.Context, jobID, lease string) (io.ReadCloser, error)
	Source(ctx context.Context, jobID, lease string) (io.ReadCloser, error)
}

var _ Server = (*client.Client)(nil)

// Config of a Worker. Server, ID, Providers, Dir, Owner and Log must be set.
type Config struct {
	Server Server
	// ID names this worker process among all of the server's.
	ID string
	// Hostname and Version are shown to people.
	Hostname, Version string
	// Slots is how many trials run at once; zero: 4.
	Slots int
	// Providers are the sandboxes that may be offered, preferred first. Those whose Check fails are left out.
	Providers []sandbox.Provider
	// Dir is for scratch files. Workers may share it: each takes a numbered folder in it
	// under a lock. It is created if absent.
	Dir string
	// Owner names the installation on every sandbox. Workers that share Dir must share it,
	// and others must not.
	Owner string
	// Getenv gives the variables of this machine: keys of providers, and what templates of tasks refer to; nil: none.
	Getenv func(string) (string, bool)
	// TaskEnv names what templates of tasks and submissions may read of Getenv; see TaskMayRead.
	TaskEnv []string
	// Prices are what models cost; nil: the builtin table.
	Prices *price.Table
	// Packages are the programs of agents on this machine; nil: each sandbox gets its own.
	Packages *agent.Packages
	Log      *slog.Logger
	// KeepImages is how many bytes of images are kept for each kind of sandbox that keeps some; zero: all.
	KeepImages int64
	// DrainTimeout is how long running trials go on once Run's context has ended; zero:
	// DefaultDrainTimeout; negative: not at all.
	DrainTimeout time.Duration
	// CPUs and MemoryBytes are what running trials may have declared together; zero: this
	// machine's, CPUs twice over (see DefaultCPUShare). Remote sandboxes do not count.
	CPUs        float64
	MemoryBytes int64

	run       func(context.Context, trial.Config) trial.Outcome // nil: trial.Run
	digest    func(dir string) ([]string, error)                // nil: taskDigests
	resources func(dir string, spec api.TrialSpec) need         // nil: declared
}

// Worker runs trials. Use New.
type Worker struct {
	c    Config
	log  *slog.Logger
	home *home

	jobs      *jobs
	slots     *slots
	admission *admission
	tasks     *taskCache
	gate      *modelGate
	kinds     map[string]*tracked // provider by kind
	offered   []string            // kinds, preferred first
	inherited inherited

	lease    *leaseClock
	running  sync.WaitGroup // one for each claimed job
	handBack chan struct{}  // closed by HandBack
	once     sync.Once
}

// New checks the configuration. It does no I/O.
func New(c Config) (*Worker, error) {
	switch {
	case c.Server == nil:
		return nil, errors.New("worker: no server given")
	case c.ID == "":
		return nil, errors.New("worker: no id given")
	case c.Dir == "":
		return nil, errors.New("worker: no folder for scratch files given")
	case c.Owner == "":
		return nil, errors.New("worker: no owner given")
	case c.Log == nil:
		return nil, errors.New("worker: no log given")
	case len(c.Providers) == 0:
		return nil, errors.New("worker: no sandbox kind given")
	case c.Slots < 0 || c.Slots > 1000:
		return nil, fmt.Errorf("worker: %d slots: want 1 to 1000", c.Slots)
	}
	setDefaults(&c)
	w := &Worker{
		c:        c,
		log:      c.Log.With("worker", c.ID),
		jobs:     newJobs(),
		lease:    newLeaseClock(),
		slots:    newSlots(c.Slots),
		handBack: make(chan struct{}),

		inherited: inherited{n: map[string]int{}},
	}
	w.admission = newAdmission(c.CPUs, c.MemoryBytes, w.slots.wake)
	return w, nil
}

func setDefaults(c *Config) {
	if c.Slots == 0 {
		c.Slots = 4
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = DefaultDrainTimeout
	}
	if c.CPUs == 0 {
		c.CPUs = machineCPUs()
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = machineMemory()
	}
	if c.Getenv == nil {
		c.Getenv = func(string) (string, bool) { return "", false }
	}
	if c.run == nil {
		c.run = trial.Run
	}
	if c.digest == nil {
		c.digest = taskDigests
	}
	if c.resources == nil {
		c.resources = declared
	}
}

// Run first goes on with the trials that a killed process has left in Dir, if the server still has them as
// running. It claims and runs trials until ctx ends, and then drains: no new trial is claimed, running
// ones go on until DrainTimeout (heartbeats too), and those left are stopped and handed
// back to the queue, which gives them to another worker without counting the attempt.
//
// The error is nil after a drain, even a cut one. Otherwise it says why the worker cannot work: no
// sandbox kind is usable, the folder is not writable, or the server refuses the first claim
// for a reason that will not pass. A server that is away is waited for. Run may be called once.
func (w *Worker) Run(ctx context.Context) error {
	home, err := openHome(w.c.Dir)
	if err != nil {
		return err
	}
	defer home.close()
	w.home = home
	if err := w.preflight(ctx); err != nil {
		return err
	}
	w.gate = newModelGate(w.c.Prices, w.c.Getenv, w.log)
	defer w.gate.close()
	w.tasks = newTaskCache(filepath.Join(home.dir, "tasks"), w.c.digest)

	// What serves running jobs lives on while they do.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var loops sync.WaitGroup
	loops.Go(func() { w.heartbeats(serving) })
	loops.Go(func() { w.cancels(serving) })
	defer loops.Wait()
	defer stop()

	w.log.InfoContext(ctx, "worker started", "slots", w.c.Slots, "sandboxes", w.offered, "dir", home.dir)
	w.resume(ctx)
	loops.Go(func() { w.reap(serving) })
	err = w.takeJobs(ctx)
	err = errors.Join(err, w.drain(serving))
	w.reapAtEnd(ctx)
	return err
}

// takeJobs takes jobs, new ones and those that others have left, until ctx ends.
func (w *Worker) takeJobs(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() { w.resumeOthers(ctx) })
	defer others.Wait()
	defer cancel()
	return w.claims(ctx)
}

// HandBack ends a drain at once: what still runs is stopped and handed back. Before the end
// of Run's context it only shortens the drain to come. It may be called more than once.
func (w *Worker) HandBack() { w.once.Do(func() { close(w.handBack) }) }

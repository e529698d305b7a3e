// Package trial runs one trial: one agent on one task in one sandbox, from the start of the
// sandbox to the reward, in the order and with the rules of Harbor.
//
// Package worker, above it, decides when a trial runs and tells the server; packages agent, sandbox, task
// and result, below it, are what a trial is made of. It speaks to no server: what happens
// is told through the callbacks of Config and what remains is in the trial directory.
//
// Where it differs from Harbor it protects results: /logs/verifier and /tests are emptied
// before verification, processes are killed inside the sandbox at their deadline, variables that
// templates need are looked up before anything starts, and what comes out of the sandbox is capped.
package trial

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// Causes with which the context of Run may end (context.WithCancelCause). Any other end
// counts as the worker's going away.
var (
	// ErrCancelled: the user cancelled. What the agent has written is saved, the outcome is cancelled.
	ErrCancelled = errors.New("cancelled")
	// ErrAbandoned: the trial is somebody else's now. The sandbox is stopped and nothing is saved.
	ErrAbandoned = errors.New("lease lost")
)

// Config says what to run and where.
type Config struct {
	Spec api.TrialSpec
	// TaskDir is the unpacked task.
	TaskDir string
	// Dir is a folder of this trial alone. The trial directory is made in it, as Spec.TrialName, with
	// JournalFile beside it.
	Dir string
	// Resume takes up the trial that a process which is gone has left in Dir, as its journal tells: what ended is
	// not done again, and a running agent or verifier is waited for. If the sandbox is gone too, the trial begins anew, or, once
	// its agent had begun, is handed back: the outcome is cancelled, with the error WorkerLost.
	Resume bool
	// Source is the folder of a trial that has ended: its agent's work is verified again, by the verifier of its own that the task must have, instead of an
	// agent's being run. Wanted of it are result.json, agent/ and artifacts/.
	Source   string
	Provider sandbox.Provider
	// Owner is the installation, see sandbox.Spec.
	Owner string
	// Getenv reads the variables of this machine that templates name; nil: there are none.
	Getenv func(string) (string, bool)
	// Secret is called, before anything starts, with the values that the trial gives to its sandbox and that are secret by the name of their variable.
	// Nil: nobody keeps them out of the trial's files.
	Secret func(values ...string)
	// Packages are the programs of agents on this machine; nil: each sandbox gets its own.
	Packages *agent.Packages
	// Stage is called at each change of stage, Sandbox once with the id of the sandbox, soon
	// after it exists; both from Run's goroutine. Nil: nobody listens.
	Stage   func(api.Stage)
	Sandbox func(id string)
	// Keep, if set, is asked at the end of a trial that went wrong to leave its sandbox to people, and tells until when. An error: it is stopped as ever.
	Keep func(sandbox.Sandbox) (time.Time, error)
	// Models is how agents reach their models; nil: they do not.
	Models Models
	// Log takes what the operator must know. What happens in the trial goes to trial.log. Nil: nowhere.
	Log *slog.Logger
}

// Outcome is what came of a trial.
type Outcome struct {
	Finish api.Finish
	// Dir is the trial directory; empty if it could not be made.
	Dir string
}

// Run runs a trial and returns once its sandbox is stopped and its directory
// written. It never panics. Every error is in Outcome.Finish:
//
//   - success: the trial ran to its end and has a reward, or verification was disabled. An
//     error of the agent that is a result (AgentTimeoutError) may stand beside it.
//   - failed: ErrorType and ErrorClass say why, and whether another attempt makes sense. A reward beside it is
//     one that the error spoils.
//   - cancelled: ctx ended with ErrCancelled, or the trial could not be taken up, see Config.Resume.
func Run(ctx context.Context, c Config) Outcome { return newRun(c).run(ctx) }

func (r *run) run(ctx context.Context) Outcome {
	if err := r.open(); err != nil {
		return Outcome{Finish: failure(err)}
	}
	defer r.close()
	r.record(protect(func() error { return r.execute(ctx) }))
	r.record(protect(func() error { r.stop(ctx); return nil }))
	r.closeModels()
	return r.finish(ctx)
}

// run is one trial under way.
type run struct {
	Config
	dir     string // trial directory
	log     *slog.Logger
	logFile *os.File
	journal *journal

	former   former    // with Resume
	replay   bool      // what former tells is being passed over
	passed   api.Stage // the last stage of that
	handBack bool      // it cannot be taken up

	newAgent func(string, agent.Options) (agent.Agent, error)
	maxFiles int // see maxFetchFiles

	plan  *plan
	box   sandbox.Sandbox // the agent's; nil before the start, and once it is stopped for a separate verifier
	cwd   string          // working directory in it; empty: not asked for
	live  []*liveFile
	trial result.Trial

	models        ModelSession // nil: the agent has no model
	modelsOpen    bool
	modelEnvGiven map[string]string // the agent's environment, with what is for the session alone
	usage         *api.Usage        // of models, once the session is closed

	step *step         // the one under way; nil before the trial is planned
	done []result.Step // of a task with steps, those that are over

	first *result.Error // the first error
	fatal *result.Error // the error that kept the trial from running to its end
}

func newRun(c Config) *run {
	if c.Getenv == nil {
		c.Getenv = func(string) (string, bool) { return "", false }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	dir := filepath.Join(c.Dir, c.Spec.TrialName)
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return &run{Config: c, dir: dir, newAgent: agent.New, maxFiles: maxFetchFiles}
}

// open makes the trial directory with its log, and the journal.
func (r *run) open() error {
	if r.Spec.TrialName == "" || !filepath.IsLocal(r.Spec.TrialName) {
		return result.Errorf(result.ValueError, "trial name %q cannot be the name of a folder", r.Spec.TrialName)
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return result.Errorf(result.OSError, "make the trial directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(r.dir, result.LogFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return result.Errorf(result.OSError, "open the trial's log: %w", err)
	}
	r.logFile = f
	r.log = slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))
	journal := filepath.Join(r.Dir, JournalFile)
	if r.Resume {
		r.former, err = readJournal(journal)
	}
	if err == nil {
		r.journal, err = openJournal(journal, r.Spec.TrialName)
	}
	if err != nil {
		f.Close()
		return result.Errorf(result.OSError, "open the trial's journal: %w", err)
	}
	return nil
}

func (r *run) close() {
	r.journal.close()
	r.logFile.Close()
}

// record keeps an error of the trial; the first one wins.
func (r *run) record(err error) {
	if err == nil {
		return
	}
	e := classify(err)
	r.log.Error("trial error", "type", e.Type, "error", e.Message)
	r.recordStep(e)
	if r.first != nil {
		return
	}
	r.first = e
	r.trial.ExceptionInfo = exception(e)
}

func exception(e *result.Error) *result.ExceptionInfo {
	return &result.ExceptionInfo{Type: e.Type, Message: result.ClipMessage(e.Message), Traceback: traceback(e), OccurredAt: now()}
}

package trial

import (
	"context"
	"errors"
	"time"

	"oddish/api"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// How long attaching to a sandbox is tried whose provider is in trouble, and the pauses between.
const (
	attachTimeout = 30 * time.Second
	attachPause   = 250 * time.Millisecond // first; doubles
	attachRest    = 4 * time.Second        // last
)

// takeUp finds the sandbox of a trial that another process left. Phases that ended are then passed over, and the
// one that was under way goes on. If the sandbox is gone the trial begins anew, unless its agent
// had begun: then the attempt is handed back, because only the queue may start the agent again.
func (r *run) takeUp(ctx context.Context) error {
	f := &r.former
	if len(f.begun) == 0 {
		return nil
	}
	r.replay = true
	var err error
	if !f.hasEnded(phaseAgentStop) {
		err = r.attach(ctx)
	}
	switch {
	case err == nil:
		r.log.Info("trial taken up again", "sandbox", r.Provider.Kind(), "id", f.sandbox)
		r.journal.add(Entry{Event: eventResume})
		return nil
	case f.hasBegun(phaseAgentStop) && !f.stopping: // only a verifier in a sandbox of its own is left to be done
		r.journal.add(Entry{Event: eventResume})
		return nil
	case f.stopping && !f.cut: // it needs the sandbox no more
		return nil
	}
	r.log.Warn("the sandbox of the trial is gone", "id", f.sandbox, "error", err)
	r.removeRemains(ctx)
	if f.hasBegun(phaseAgent) {
		r.handBack = true
		return result.Errorf(result.WorkerLost, "the sandbox did not survive the worker: %w", err)
	}
	r.journal.add(Entry{Event: eventAnew})
	f.forget()
	r.caughtUp()
	return nil
}

// attach attaches to the former sandbox, whatever became of ctx, since it has to be stopped in any case.
func (r *run) attach(ctx context.Context) error {
	if r.former.sandbox == "" {
		return errors.New("its start had not ended")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attachTimeout)
	defer cancel()
	box, err := r.reach(ctx, r.former.sandbox)
	if err == nil {
		r.use(box)
	}
	return err
}

// reach attaches to a sandbox in which commands can be run. A provider in trouble is asked again until ctx ends.
func (r *run) reach(ctx context.Context, id string) (sandbox.Sandbox, error) {
	for pause := attachPause; ; pause = min(2*pause, attachRest) {
		box, err := r.Provider.Attach(ctx, id)
		if err == nil {
			err = probe(ctx, box)
		}
		gone := errors.Is(err, sandbox.ErrNotFound) || errors.Is(err, sandbox.ErrLost)
		if err == nil || gone || sandbox.Pause(ctx, pause) != nil {
			return box, err
		}
	}
}

// probe is an error if nothing can be run in the sandbox. One that ran out of memory is for the phase to find.
func probe(ctx context.Context, box sandbox.Sandbox) error {
	_, err := box.Exec(ctx, sandbox.Command{Label: "probe", Script: ":", Dir: "/", User: "0"})
	if errors.Is(err, sandbox.ErrOutOfMemory) {
		return nil
	}
	return err
}

// use makes box the trial's sandbox.
func (r *run) use(box sandbox.Sandbox) {
	r.box = journaled{box, r.journal}
	if r.Sandbox != nil {
		r.Sandbox(box.ID())
	}
}

// removeRemains removes every sandbox of the trial: one that died, and one that was started but not yet known.
func (r *run) removeRemains(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	infos, err := r.Provider.List(ctx, r.Owner)
	if err != nil {
		r.log.Warn("sandboxes cannot be listed", "error", err)
	}
	for _, i := range infos {
		if !IsSandboxOf(i.Name, r.Spec.TrialName) {
			continue
		}
		box, err := r.Provider.Attach(ctx, i.ID)
		if err == nil {
			err = box.Stop(ctx)
		}
		if err != nil && !errors.Is(err, sandbox.ErrNotFound) {
			r.log.Warn("former sandbox could not be removed; it will be by its labels", "id", i.ID, "error", err)
		}
	}
}

// caughtUp tells the stage that the trial is in, once what another process did has been passed over.
func (r *run) caughtUp() {
	if !r.replay {
		return
	}
	r.replay = false
	if r.passed != "" {
		r.stage(r.passed)
	}
}

// bound gives a phase that began at started its limit (0: none). One that is taken up again has at
// least the time to learn what became of it meanwhile.
func bound(ctx context.Context, started time.Time, again bool, limit time.Duration) (context.Context, context.CancelFunc) {
	switch {
	case limit <= 0:
		return context.WithCancel(ctx)
	case again:
		limit = max(limit-time.Since(started), grace)
	}
	return context.WithTimeout(ctx, limit)
}

// stage tells where the trial is. While another's work is passed over, it is only noted.
func (r *run) stage(s api.Stage) {
	if r.replay {
		r.passed = s
		return
	}
	r.log.Info("stage", "stage", s)
	if r.Stage != nil {
		r.Stage(s)
	}
}

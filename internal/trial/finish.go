package trial

import (
	"context"
	"errors"
	"path/filepath"

	"oddish/api"
	"oddish/internal/result"
)

// finish writes the result down and says what came of the trial.
func (r *run) finish(ctx context.Context) Outcome {
	if errors.Is(context.Cause(ctx), ErrAbandoned) && r.first != nil {
		return Outcome{Finish: failure(r.first), Dir: r.dir}
	}
	finished := now()
	r.trial.FinishedAt = &finished
	r.conclude()
	if err := r.writeResult(); err != nil {
		r.record(err)
		r.fatal = classify(err)
		r.Log.Error("trial directory could not be written", "trial", r.Spec.TrialID, "error", err)
	}
	if r.journal.err != nil {
		r.Log.Warn("trial's journal could not be written", "trial", r.Spec.TrialID, "error", r.journal.err)
	}
	f := r.outcome()
	last := api.StageCompleted
	if f.Outcome == api.StatusCancelled {
		last = api.StageCancelled
	}
	if err := protect(func() error { r.caughtUp(); r.stage(last); return nil }); err != nil {
		r.Log.Error("telling the last stage", "trial", r.Spec.TrialID, "error", err)
	}
	return Outcome{Finish: f, Dir: r.dir}
}

// conclude puts what came of the steps into the result. After trouble around the trial its steps give no reward.
func (r *run) conclude() {
	s := r.step
	switch {
	case s == nil:
	case s.number == 0:
		r.trial.AgentResult, r.trial.VerifierResult = s.result.AgentResult, s.result.VerifierResult
		r.trial.AgentExecution, r.trial.Verifier = s.result.AgentExecution, s.result.Verifier
	default:
		r.trial.StepResults = r.done
		if r.fatal == nil || r.fatal.Class == api.ClassResult && r.fatal.Type != result.CancelledError {
			r.trial.VerifierResult = rewardOf(r.plan.task.Config.MultiStepRewardStrategy, r.done)
		}
	}
}

// writeResult writes result.json and, after an error, exception.txt.
func (r *run) writeResult() error {
	if e := r.trial.ExceptionInfo; e != nil {
		err := result.WriteFile(filepath.Join(r.dir, result.ExceptionFile), []byte(e.Traceback))
		if err != nil {
			return result.Errorf(result.OSError, "%w", err)
		}
	}
	return r.write(result.ResultFile, r.trial)
}

// outcome sums the trial up for the server.
func (r *run) outcome() api.Finish {
	f := api.Finish{Outcome: api.StatusSuccess, Phases: r.trial.Phases(), HasTrajectory: result.HasTrajectory(r.dir), Isolation: r.trial.Isolation}
	if v := r.trial.VerifierResult; v != nil {
		f.Rewards = v.Rewards
	}
	r.addUsage(&f)
	e := r.decisive()
	if e == nil {
		return f
	}
	f.ErrorType, f.ErrorMessage, f.ErrorClass = e.Type, result.ClipMessage(e.Message), e.Class
	switch {
	case r.handBack:
		f.Outcome = api.StatusCancelled
	case e.Type == result.CancelledError:
		f.Outcome, f.ErrorClass = api.StatusCancelled, ""
	case r.fatal != nil || e.Class != api.ClassResult:
		f.Outcome = api.StatusFailed
	}
	return f
}

// decisive gives the error that stands for the trial: the first, unless a later one ended the trial and
// is no result. An agent's timeout must not hide that the sandbox was lost afterwards, or
// the queue would not try again; but a sandbox that ran out of memory is lost because of that.
func (r *run) decisive() *result.Error {
	if r.fatal != nil && r.fatal.Class != api.ClassResult && r.first.Type != result.OutOfMemoryError {
		return r.fatal
	}
	if r.fatal != nil && r.fatal.Type == result.CancelledError {
		return r.fatal
	}
	return r.first
}

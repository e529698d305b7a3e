package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/task"
)

// A trial that verifies another one's work again has that one's agent, with what it used and any error of its own, and its artifacts; only the
// verifier runs, in the sandbox that the task gives it.

// planRegrade refuses a task that needs more for its verification than what a trial leaves.
func (r *run) planRegrade(p *plan) error {
	r.describeSandbox(&p.spec, &p.task.Config.Environment)
	switch s := p.steps[0]; {
	case p.disabled:
		return result.Errorf(result.RegradeError, "verification is disabled, and nothing else is done when a trial is verified again")
	case s.number > 0:
		return result.Errorf(result.RegradeError, "task %s has steps: what each of them left to the next is gone, so that its trials cannot be verified again", r.Spec.TaskName)
	case s.Verifier.EnvironmentMode != task.ModeSeparate:
		return result.Errorf(result.RegradeError, "the verifier of task %s works in the agent's sandbox, which is gone: only a task whose verifier has one of its own "+
			`([verifier] environment_mode = "separate") can be verified again; otherwise run the agent again`, r.Spec.TaskName)
	}
	return nil
}

// regrade verifies what the source trial has left.
func (r *run) regrade(ctx context.Context) error {
	source, err := result.ReadTrial(r.Source)
	if err != nil {
		return result.Errorf(result.RegradeError, "read the trial that is to be verified again: %w", err)
	}
	r.trial.AgentInfo, r.trial.AgentSetup = source.AgentInfo, source.AgentSetup
	r.step.result.AgentResult, r.step.result.AgentExecution = source.AgentResult, source.AgentExecution
	if e := source.ExceptionInfo; e != nil && result.AgentFailed(e.Type) {
		r.record(&result.Error{Type: e.Type, Message: e.Message, Class: result.ClassOf(e.Type)})
	}
	if err := r.phase(ctx, r.step.phase(phaseCollect), nil, 0, "", func(context.Context) error { return r.takeLeft() }); err != nil {
		return err
	}
	r.step.collected = true
	r.stage(api.StageVerification)
	return r.verify(ctx)
}

// takeLeft copies what the source trial has left, and refuses it if it lacks an artifact that the task declares.
func (r *run) takeLeft() error {
	for _, name := range []string{result.AgentDir, result.ArtifactsDir} {
		to := filepath.Join(r.dir, name)
		if err := os.RemoveAll(to); err != nil { // of a former process that was interrupted
			return result.Errorf(result.OSError, "%w", err)
		}
		err := os.CopyFS(to, os.DirFS(filepath.Join(r.Source, name)))
		if errors.Is(err, fs.ErrNotExist) {
			err = os.MkdirAll(to, 0o755)
		}
		if err != nil {
			return result.Errorf(result.OSError, "copy %s of the trial that is verified again: %w", name, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(r.step.artifactsDir(), result.ManifestFile))
	if err != nil {
		return result.Errorf(result.RegradeError, "trial %s has no list of its artifacts: %w", r.Spec.AgentConfig.Regrade, err)
	}
	var list []manifestEntry
	if err := json.Unmarshal(data, &list); err != nil {
		return result.Errorf(result.RegradeError, "trial %s: read the list of its artifacts: %w", r.Spec.AgentConfig.Regrade, err)
	}
	for _, e := range list { // the trial may have been imported, and its list be anybody's
		if !filepath.IsLocal(filepath.FromSlash(e.Destination)) {
			return result.Errorf(result.RegradeError, "trial %s: the list of its artifacts names %q, which is no path in its folder", r.Spec.AgentConfig.Regrade, e.Destination)
		}
	}
	if err := r.makeExecutable(list); err != nil {
		return result.Errorf(result.RegradeError, "trial %s: %w", r.Spec.AgentConfig.Regrade, err)
	}
	return r.checkLeft(list)
}

// makeExecutable sets the execute bits, which what keeps files does not keep.
func (r *run) makeExecutable(list []manifestEntry) error {
	root, err := os.OpenRoot(r.dir) // which no name leaves
	if err != nil {
		return err
	}
	defer root.Close()
	for _, e := range list {
		for _, name := range e.Executable {
			err := root.Chmod(filepath.Join(filepath.FromSlash(e.Destination), filepath.FromSlash(name)), 0o755)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("make a file of artifact %s executable: %w", e.Source, err)
			}
		}
	}
	return nil
}

// checkLeft looks whether each artifact that the task declares was looked for in the source trial, and whether it is known where those with relative
// paths belong. One that was looked for and not there is missing for the verifier as it was then.
func (r *run) checkLeft(list []manifestEntry) error {
	for _, a := range r.step.artifacts {
		i := slices.IndexFunc(list, func(e manifestEntry) bool { return path.Clean(e.Source) == path.Clean(a.source) })
		conventional := path.Clean(a.source) == agent.ArtifactsDir // Harbor lists it only if it was declared
		if !conventional && (i < 0 || list[i].Status == statusSkipped) {
			return result.Errorf(result.RegradeError, "artifact %s, which the task now hands to its verifier, was not collected in trial %s", a.source, r.Spec.AgentConfig.Regrade)
		}
		if i >= 0 && list[i].Status == statusOK && !path.IsAbs(a.source) && r.agentWorkdir() == "" {
			return result.Errorf(result.RegradeError, "artifact %s is relative to a working directory that only the image of the task tells: give it a whole path, or the task a workdir", a.source)
		}
	}
	return r.makeEmpty(list)
}

// makeEmpty makes the folders that were empty: what keeps files keeps none of those.
func (r *run) makeEmpty(list []manifestEntry) error {
	for _, e := range list {
		if e.Status != statusEmpty {
			continue
		}
		if err := os.MkdirAll(filepath.Join(r.dir, filepath.FromSlash(e.Destination)), 0o755); err != nil {
			return result.Errorf(result.OSError, "make an empty artifact: %w", err)
		}
	}
	return nil
}

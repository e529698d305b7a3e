package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
	"oddish/internal/task"
)

// execute runs the trial up to, but without, the stop of its sandbox.
func (r *run) execute(ctx context.Context) error {
	err := r.phases(ctx)
	if err == nil {
		return nil
	}
	r.record(err)
	r.fatal = classify(err)
	r.salvage(ctx)
	return nil
}

// phases goes through the phases of a trial; an error ends it, except one of the agent's own.
func (r *run) phases(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	if r.Source != "" {
		return r.regrade(ctx)
	}
	r.stage(api.StageEnvironment)
	p := r.plan
	if err := r.phase(ctx, phaseID{name: "environment_setup"}, &r.trial.EnvironmentSetup, p.timeouts.build, result.EnvironmentStartTimeoutError, r.start); err != nil {
		return err
	}
	if check := p.task.Config.Environment.Healthcheck; check != nil {
		err := r.phase(ctx, phaseID{name: "healthcheck"}, nil, 0, "", func(ctx context.Context) error { return r.healthcheck(ctx, r.box, check) })
		if err != nil {
			return err
		}
	}
	err := r.phase(ctx, phaseID{name: phaseAgentSetup}, &r.trial.AgentSetup, p.timeouts.setup, result.AgentSetupTimeoutError, func(ctx context.Context) error {
		if err := r.bringSkills(ctx); err != nil {
			return err
		}
		return p.agent.Setup(ctx, r.agentEnv())
	})
	r.trial.AgentInfo.Version = r.agentVersion()
	if err != nil {
		return err
	}
	return r.steps(ctx)
}

// begin plans the trial and writes down what was asked.
func (r *run) begin(ctx context.Context) error {
	if r.former.id == "" {
		r.former.id = result.NewUUID()
		r.former.started = r.journal.add(Entry{Event: eventTrial, ID: r.former.id})
	}
	r.trial = result.Trial{
		ID: r.former.id, StartedAt: &r.former.started, TaskName: r.Spec.TaskName, TrialName: r.Spec.TrialName,
		TrialURI:     "file://" + filepath.ToSlash(r.dir),
		TaskChecksum: r.Spec.TaskDigest, AgentInfo: newAgentInfo(r.Spec),
	}
	level := r.Provider.Capabilities().Isolation
	r.trial.Isolation = &level
	if r.Spec.Source != "" {
		r.trial.Source = &r.Spec.Source
	}
	r.trial.Config = result.NewTrialConfig(r.Spec, r.Spec.TaskName, "jobs/"+r.Spec.ExperimentID, r.Getenv)
	r.trial.TaskID = r.trial.Config.Task.ID()
	if err := r.takeUp(ctx); err != nil {
		return err
	}
	r.stage(api.StageTrialStarted)
	config, err := r.trial.Config.Compact()
	if err != nil {
		return err
	}
	if err := r.write(result.ConfigFile, config); err != nil {
		return err
	}
	if r.plan, err = r.newPlan(); err != nil {
		return err
	}
	r.takeOver()
	if err := r.enter(r.plan.steps[min(len(r.done), len(r.plan.steps)-1)]); err != nil {
		return err
	}
	t := r.plan.task
	r.trial.TaskName = t.Name
	r.trial.AgentInfo.Version = r.plan.agent.Version()
	version := ""
	if len(t.Config.Steps) == 0 {
		mode := t.VerifierMode()
		r.trial.VerifierEnvironmentMode = &mode
	}
	if t.Config.Package != nil {
		version = t.Config.Package.Version
	}
	lock := result.NewTrialLock(r.trial.Config, t.Name, version, r.Spec.TaskDigest)
	lock.Verifier.EnvironmentMode = r.trial.VerifierEnvironmentMode
	if e := r.Spec.Harbor.Environment; e != nil {
		lock.ExtraDockerCompose = result.NewComposeLocks(e.ExtraCompose)
	}
	return r.write(result.LockFile, lock)
}

func newAgentInfo(s api.TrialSpec) result.AgentInfo {
	info := result.AgentInfo{Name: s.Agent, Version: "unknown"}
	if s.Model != "" {
		info.ModelInfo = &result.ModelInfo{Name: s.Model}
		if provider, name, ok := strings.Cut(s.Model, "/"); ok {
			info.ModelInfo = &result.ModelInfo{Name: name, Provider: &provider}
		}
	}
	return info
}

func (r *run) write(name string, v any) error {
	if err := result.WriteJSON(filepath.Join(r.dir, name), v); err != nil {
		return result.Errorf(result.OSError, "%w", err)
	}
	return nil
}

// phase runs f within limit (0: none), whose passing is an error of the name onLimit. The
// phase is entered in the journal and, if timing is not nil, in the result. If another process has gone through
// the phase, its end stands for f's; if one was in the midst of it, f has to go on from there.
func (r *run) phase(ctx context.Context, id phaseID, timing **result.Timing, limit time.Duration, onLimit string, f func(context.Context) error) error {
	if end, over := r.former.ended[id]; over {
		if timing != nil {
			*timing = r.former.timing(id)
		}
		return end.failure()
	}
	if err := interruption(ctx); err != nil {
		return err
	}
	r.caughtUp()
	started, again := r.former.begun[id]
	if !again {
		started = r.journal.add(Entry{Event: eventBegin, Step: id.step, Phase: id.name})
	}
	r.log.Debug("phase begins", "phase", id.name, "step", id.step, "limit", limit, "again", again)
	bounded, cancel := bound(ctx, started, again, limit)
	defer cancel()
	err := protect(func() error { return f(bounded) })
	if err != nil {
		if stop := interruption(ctx); stop != nil {
			err = stop
		} else if errors.Is(err, context.DeadlineExceeded) && bounded.Err() != nil && limit > 0 {
			err = result.Errorf(onLimit, "%s took more than %s", strings.ReplaceAll(id.name, "_", " "), limit)
		}
	}
	finished := r.journal.add(r.ending(id, err))
	if timing != nil {
		*timing = &result.Timing{StartedAt: &started, FinishedAt: &finished}
	}
	r.log.Debug("phase ends", "phase", id.name, "step", id.step, "took", finished.Sub(started), "error", err)
	return err
}

// ending is the entry for the end of a phase with err.
func (r *run) ending(id phaseID, err error) Entry {
	end := Entry{Event: eventEnd, Step: id.step, Phase: id.name}
	switch id.name {
	case phaseAgentSetup:
		end.Version = r.plan.agent.Version()
	case phaseCollect:
		end.Dir = r.cwd
	}
	if err != nil {
		e := classify(err)
		end.Error, end.Message, end.Class, end.Lost = e.Type, e.Message, e.Class, errors.Is(err, sandbox.ErrLost)
	}
	return end
}

// agentVersion is what the agent found out in its setup, in this process or another.
func (r *run) agentVersion() string {
	if v := r.former.ended[phaseID{name: phaseAgentSetup}].Version; v != "" {
		return v
	}
	return r.plan.agent.Version()
}

// start starts the sandbox, unless it runs, and uploads what its image does not bring.
func (r *run) start(ctx context.Context) error {
	if r.box == nil {
		box, err := r.startBox(ctx, r.plan.spec)
		if err != nil {
			return fmt.Errorf("start %s sandbox: %w", r.Provider.Kind(), err)
		}
		r.journal.add(Entry{Event: eventSandbox, Kind: r.Provider.Kind(), ID: box.ID()})
		r.log.Info("sandbox started", "sandbox", r.Provider.Kind(), "id", box.ID(), "isolation", r.Provider.Capabilities().Isolation)
		r.use(box)
	}
	if !r.plan.upload {
		return nil
	}
	return r.uploadEnvironment(ctx)
}

// journaled enters the processes of a sandbox in the journal.
type journaled struct {
	sandbox.Sandbox
	journal *journal
}

func (j journaled) Unwrap() sandbox.Sandbox { return j.Sandbox }

func (j journaled) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	j.journal.add(Entry{Event: eventProcess, ID: p.Name})
	return j.Sandbox.Run(ctx, p)
}

// uploadEnvironment copies the files of environment/, other than what builds an image, into the working directory.
func (r *run) uploadEnvironment(ctx context.Context) error {
	include := func(rel string, _ bool) bool {
		return rel != task.Dockerfile && rel != task.ComposeFile && rel != ".dockerignore"
	}
	if !anyFile(r.plan.task.ContextDir(), include) {
		return nil
	}
	dir, err := r.workdir(ctx)
	if err != nil {
		return err
	}
	if err := agent.UploadDir(ctx, r.box, r.plan.task.ContextDir(), dir, tarball.PackOptions{Include: include}); err != nil {
		return fmt.Errorf("upload the files of environment/ to %s: %w", dir, err)
	}
	return nil
}

// workdir gives the working directory of commands in the sandbox.
func (r *run) workdir(ctx context.Context) (string, error) {
	if r.cwd != "" {
		return r.cwd, nil
	}
	if dir := r.plan.spec.Workdir; dir != "" {
		r.cwd = dir
		return dir, nil
	}
	var out strings.Builder
	code, err := r.box.Exec(ctx, sandbox.Command{Label: "pwd", Script: "pwd", Stdout: &out})
	if err != nil {
		return "", fmt.Errorf("find the working directory: %w", err)
	}
	dir := strings.TrimSpace(out.String())
	if code != 0 || !strings.HasPrefix(dir, "/") {
		return "", fmt.Errorf("find the working directory: pwd gave %q, exit status %d", dir, code)
	}
	r.cwd = dir
	return dir, nil
}

// anyFile reports whether a folder has an entry that include takes.
func anyFile(dir string, include func(rel string, isDir bool) bool) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return include(e.Name(), e.IsDir()) })
}

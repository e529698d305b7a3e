package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
	"oddish/internal/task"
)

// setupProcess is the name of the process that sets a step up, and setupOutput where its output goes.
const (
	setupProcess = "setup"
	setupOutput  = "step-setup.txt"
)

// resetScript removes what the step before has left where the harness has its files: they have been fetched, and its tests and
// solution are no help for the next. Folders that are mount points stay and are emptied.
const resetScript = `
rm -rf /tests /solution 2>/dev/null
for d in /logs/agent /logs/artifacts /logs/verifier; do
	if [ -L "$d" ] || [ ! -d "$d" ]; then rm -rf "$d"; mkdir -p "$d" || exit 1; fi
	find "$d" -mindepth 1 -delete 2>/dev/null || rm -rf "$d"/* "$d"/.[!.]* "$d"/..?*
	chmod 0777 "$d" || exit 1
done
`

// setUpStep prepares the sandbox for a step, as the agent's user. What a script works with is not touched once it has begun.
func (r *run) setUpStep(ctx context.Context) error {
	s := r.step
	begun := r.former.processes[s.process(setupProcess)]
	if s.number > 1 && !begun {
		if err := r.asRoot(ctx, r.box, "reset", resetScript); err != nil {
			return fmt.Errorf("clear away what the step before has left: %w", err)
		}
	}
	if s.Workdir == "" {
		return nil
	}
	dir, err := r.workdir(ctx)
	if err != nil {
		return err
	}
	if !begun {
		if err := r.uploadWorkdir(ctx, dir); err != nil {
			return err
		}
	}
	_, err = os.Stat(filepath.Join(s.Workdir, task.StepSetupScript))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return result.Errorf(result.OSError, "look for the step's %s: %w", task.StepSetupScript, err)
	}
	return r.runSetup(ctx, path.Join(dir, task.StepSetupScript))
}

// uploadWorkdir copies the files of the step into the working directory. They belong to the agent.
func (r *run) uploadWorkdir(ctx context.Context, dir string) error {
	s := r.step
	var names bytes.Buffer
	include := func(rel string, _ bool) bool {
		names.WriteString(rel + "\x00")
		return true
	}
	if err := agent.UploadDir(ctx, r.box, s.Workdir, dir, tarball.PackOptions{Include: include}); err != nil {
		return fmt.Errorf("upload the files of step %s to %s: %w", s.Name, dir, err)
	}
	if s.Agent.User == "" {
		return nil
	}
	out := &sandbox.Tail{Most: 400}
	code, err := r.box.Exec(ctx, sandbox.Command{
		Label: "chown", Script: `u=$(id -u "$ODDISH_USER") || exit 1; xargs -0 chown -h "$u" --`, Env: map[string]string{"ODDISH_USER": s.Agent.User},
		Dir: dir, User: "0", Stdin: &names, Stdout: out, Stderr: out,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit status %d: %s", code, out.Data)
	}
	if err != nil {
		return fmt.Errorf("give the files of step %s to user %s: %w", s.Name, s.Agent.User, err)
	}
	return nil
}

// runSetup runs the step's script. Another exit status than 0 ends the step.
func (r *run) runSetup(ctx context.Context, script string) error {
	s := r.step
	exit, err := r.box.Run(ctx, sandbox.Process{
		Command: sandbox.Command{Label: "step-setup", Script: "bash " + sandbox.Quote(script), User: s.Agent.User},
		Name:    s.process(setupProcess),
		Output:  path.Join(agent.LogsDir, setupOutput),
		Timeout: s.timeouts.build,
		Live:    r.openLive(filepath.Join(s.agentDir(), setupOutput)),
	})
	r.closeLive()
	switch {
	case err != nil:
		return fmt.Errorf("set up step %s: %w", s.Name, err)
	case exit.TimedOut:
		return result.Errorf(result.StepSetupError, "%s of step %s did not finish within %s", task.StepSetupScript, s.Name, s.timeouts.build)
	case exit.Code != 0:
		return result.Errorf(result.StepSetupError, "%s of step %s ended with status %d (its output: %s)", task.StepSetupScript, s.Name, exit.Code,
			path.Join(result.StepsDir, s.Name, result.AgentDir, setupOutput))
	}
	return nil
}

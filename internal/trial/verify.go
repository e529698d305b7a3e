package trial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
	"oddish/internal/task"
)

// verifierProcess is the name of the process that runs the tests.
const verifierProcess = "verifier"

// Paths inside the sandbox.
const (
	verifierDir = "/logs/verifier"
	testsDir    = "/tests"
)

// emptyScript makes /logs/verifier and /tests real and empty folders, so that nothing the agent put there
// takes part in the verification. A folder that is a mount point cannot be removed, but its content can.
// It looks with the shell's own means: processes are dear in some sandboxes.
const emptyScript = `
umask 022
if [ -L /logs ] || [ ! -d /logs ]; then rm -rf /logs; fi
rm -rf /logs/verifier /tests 2>/dev/null
mkdir -p /logs/verifier /tests || exit 1
for d in /logs/verifier /tests; do
	for f in "$d"/* "$d"/.[!.]* "$d"/..?*; do
		if [ -L "$d" ] || [ -e "$f" ] || [ -L "$f" ]; then
			echo "$d is not empty"
			exit 1
		fi
	done
done
`

// verify runs the tests and reads the reward, in the agent's sandbox or in one of the verifier's own.
func (r *run) verify(ctx context.Context) error {
	s := r.step
	if s.separate != nil {
		if err := r.startVerifier(ctx); err != nil {
			return err
		}
	}
	limit := s.timeouts.verifier
	if limit > 0 {
		limit += grace + 2*prepareTimeout // the process has a deadline of its own
	}
	var rewards map[string]float64
	err := r.phase(ctx, s.phase(phaseVerifier), &s.result.Verifier, limit, result.VerifierTimeoutError, func(ctx context.Context) (err error) {
		box := r.verifierBox()
		if !r.former.processes[s.process(verifierProcess)] { // what it works with must not be touched once it has begun
			if err := r.prepareTests(ctx, box); err != nil {
				return err
			}
		}
		err = r.underPolicy(ctx, box, s.baseline(r.plan), s.verifierNetwork, func() error { return r.runTests(ctx, box) })
		if err != nil {
			return err
		}
		rewards, err = r.readRewards(ctx, box)
		return err
	})
	r.closeLive()
	if err == nil && rewards == nil { // another process has read them
		rewards, err = result.ReadRewards(s.verifierDir())
	}
	if err != nil {
		return err
	}
	r.log.Info("verified", "rewards", rewards)
	s.result.VerifierResult = &result.VerifierResult{Rewards: rewards}
	if s.separate != nil {
		r.stopVerifier(ctx)
	}
	return nil
}

// verifierBox is the sandbox in which the verifier works; nil: it is not there.
func (r *run) verifierBox() sandbox.Sandbox {
	if r.step.separate != nil {
		return r.step.box
	}
	return r.box
}

// prepareTests puts the tests into an emptied /tests, or looks whether they are in the verifier's own image.
func (r *run) prepareTests(ctx context.Context, box sandbox.Sandbox) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	if s := r.step.separate; s != nil && !s.upload {
		return r.findTests(ctx, box)
	}
	before, after, err := r.rewardAccess(ctx)
	if err != nil {
		return addTests(err)
	}
	if err := r.asRoot(ctx, box, "empty", before+emptyScript+after); err != nil {
		return addTests(err)
	}
	return r.uploadTests(ctx, box)
}

// uploadTests lays the folders with tests over one another.
func (r *run) uploadTests(ctx context.Context, box sandbox.Sandbox) error {
	name, found := r.plan.task.TestScript(), false
	for _, dir := range r.step.Tests {
		_, err := os.Stat(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return result.Errorf(result.OSError, "look for the tests: %w", err)
		}
		found = found || err == nil
	}
	if !found {
		return result.Errorf(result.FileNotFoundError, "the task has no tests/%s", name)
	}
	for _, dir := range r.step.Tests {
		if err := agent.UploadDir(ctx, box, dir, testsDir, tarball.PackOptions{Include: r.step.includeTest, Executable: name}); err != nil {
			return addTests(err)
		}
	}
	return nil
}

// includeTest leaves out what an image of the verifier's own would be built of.
func (s *step) includeTest(rel string, _ bool) bool {
	return s.separate == nil || rel != task.Dockerfile && rel != ".dockerignore"
}

// rewardAccess is what comes before and after emptyScript to say who may write where rewards are made: everybody, or, if the task gives the agent another user
// than the verifier, only the verifier's, so that what the agent left running can neither fill the folder while it is emptied nor write over what the tests say.
func (r *run) rewardAccess(ctx context.Context) (before, after string, err error) {
	s := r.step
	if s.separate != nil || s.Agent.User == "" || s.Agent.User == s.Verifier.User {
		return "", "chmod 0777 " + verifierDir, nil
	}
	id := &sandbox.Tail{Most: 400}
	code, err := r.box.Exec(ctx, sandbox.Command{Label: "verifier's user", Script: "id -u", Dir: "/", User: s.Verifier.User, Stdout: id, Stderr: id})
	if err != nil {
		return "", "", fmt.Errorf("find the verifier's user: %w", err)
	}
	uid := strings.TrimSpace(string(id.Data))
	if _, bad := strconv.ParseUint(uid, 10, 32); code != 0 || bad != nil {
		return "", "", fmt.Errorf("find the verifier's user: exit status %d: %s", code, uid)
	}
	own := "{ [ -O /logs ] || chown 0 /logs; } && chmod 0755 /logs && "
	before = own + "{ [ -L " + verifierDir + " ] || [ ! -d " + verifierDir + " ] || { chown 0 " + verifierDir + " && chmod 0700 " + verifierDir + "; }; }"
	return before, own + "chown " + uid + " " + verifierDir, nil
}

// addTests names an error of bringing the tests in, unless its cause has a name of its own.
func addTests(err error) error {
	for _, own := range []error{sandbox.ErrLost, sandbox.ErrOutOfMemory} {
		if errors.Is(err, own) {
			return err
		}
	}
	return result.Errorf(result.AddTestsDirError, "bring the tests into the sandbox: %w", err)
}

// asRoot runs a short script as root; another exit status than 0 is an error with its output.
func (r *run) asRoot(ctx context.Context, box sandbox.Sandbox, label, script string) error {
	out := &sandbox.Tail{Most: 400}
	code, err := box.Exec(ctx, sandbox.Command{Label: label, Script: script, Dir: "/", User: "0", Stdout: out, Stderr: out})
	if err != nil {
		return fmt.Errorf("%s: %w", label, err)
	}
	if code != 0 {
		return fmt.Errorf("%s: exit status %d: %s", label, code, out.Data)
	}
	return nil
}

// runTests runs the test script, directly, in the default working directory. Its exit status does not matter.
func (r *run) runTests(ctx context.Context, box sandbox.Sandbox) error {
	s := r.step
	s.verifying = true
	exit, err := box.Run(ctx, sandbox.Process{
		Command: sandbox.Command{
			Label:  "verifier",
			Script: testsDir + "/" + r.plan.task.TestScript(),
			Env:    s.verifierVars,
			User:   s.Verifier.User,
		},
		Name:    s.process(verifierProcess),
		Output:  verifierDir + "/" + result.TestOutputFile,
		Timeout: s.timeouts.verifier,
		Live:    r.openLive(filepath.Join(s.verifierDir(), result.TestOutputFile)),
	})
	switch {
	case errors.Is(err, sandbox.ErrOutOfMemory):
		return result.Errorf(result.OutOfMemoryError, "the tests were killed at the memory limit of the sandbox: %w", err)
	case err != nil && exit.TimedOut:
		return result.Errorf(result.VerifierTimeoutError, "the tests did not finish within %s and could not be stopped: %w", s.timeouts.verifier, err)
	case err != nil:
		return fmt.Errorf("run the tests: %w", err)
	case exit.TimedOut:
		return result.Errorf(result.VerifierTimeoutError, "the tests did not finish within %s", s.timeouts.verifier)
	}
	r.log.Info("tests ran", "exit_code", exit.Code, "output_truncated", exit.Truncated)
	return nil
}

// readRewards fetches what the tests left and reads the rewards from it.
func (r *run) readRewards(ctx context.Context, box sandbox.Sandbox) (map[string]float64, error) {
	report, err := r.fetchVerifierLogs(ctx, box)
	if err != nil {
		return nil, fetchFailed(err)
	}
	dir := r.step.verifierDir()
	if len(report.Skipped) > 0 { // a limit may have been reached before the reward's turn came
		for _, name := range []string{result.RewardJSON, result.RewardText} {
			if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
				continue
			}
			_, err := r.fetch(ctx, box, verifierDir+"/"+name, dir, result.MaxRewardBytes+1)
			if err != nil && !errors.Is(err, sandbox.ErrNotFound) {
				return nil, fetchFailed(err)
			}
		}
	}
	return result.ReadRewards(dir)
}

func fetchFailed(err error) error {
	if errors.Is(err, sandbox.ErrLost) || errors.Is(err, sandbox.ErrOutOfMemory) {
		return err
	}
	return result.Errorf(result.DownloadVerifierDirError, "%w", err)
}

// fetchVerifierLogs copies the verifier's log folder into the trial directory; a missing one counts as empty.
func (r *run) fetchVerifierLogs(ctx context.Context, box sandbox.Sandbox) (tarball.Report, error) {
	r.closeLive()
	report, err := r.fetch(ctx, box, verifierDir, r.step.verifierDir(), maxFetchBytes)
	if errors.Is(err, sandbox.ErrNotFound) {
		return report, nil
	}
	return report, err
}

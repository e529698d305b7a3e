package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oddish/api"
)

// The model writes into a file, waits for five seconds, in which the worker is killed, and says twice that it is done.
const terminusScript = `
keys: [` + providerKey + `]
text_agent: true
turns:
  - text: '{"analysis":"a","plan":"p","commands":[{"keystrokes":"echo hello >> out.txt\n","duration":5}]}'
    usage: {input: 1000, cache_read: 300, output: 20}
  - text: '{"analysis":"a","plan":"p","commands":[],"task_complete":true}'
    usage: {input: 1000, output: 20}
`

// The agent that works in the worker goes on in another one: in the same terminal, with what its model had said.
func TestTerminusOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed, and the sandbox has this machine's tools")
	}
	h := newHome(t, kindBuiltin, append(startModel(t, terminusScript), "ODDISH_AUTO_START_WORKERS=false")...)
	server := h.start("api")
	h.waitServer()
	worker := h.start("worker", "--env", kindBuiltin)
	tasks := recipe{test: `[ "$(cat /app/out.txt)" = hello ] && echo 1 >/logs/verifier/reward.txt || echo 0 >/logs/verifier/reward.txt`}
	h.ok("run", "-p", tasks.folder(t, "hello"), "-a", "terminus-2", "-m", "anthropic/claude-sonnet-4-5", "-E", "e", "--background")
	h.waitStage("e", api.StageAgentRunning)
	eventually(t, "the first command", func() bool {
		states, err := filepath.Glob(filepath.Join(h.dir, "work", "w*", "jobs", "*", "agent", "terminus-2.json"))
		return err == nil && len(states) == 1 && strings.Contains(readFile(t, states[0]), `"sent":1`)
	})
	worker.signal(syscall.SIGKILL)
	worker.wait()
	worker = h.start("worker", "--env", kindBuiltin)
	worker.waitSays(`"resumed":1`)
	began := time.Now()
	var e experiment
	h.ok("status", "-e", "e", "--watch", "--json").decode(t, &e)
	if took := time.Since(began); took > soon {
		t.Errorf("it ended %s after the kill", took)
	}
	trial := e.Trials[0]
	if trial.Attempts != 1 || trial.Reward == nil || *trial.Reward != 1 {
		t.Errorf("after %d attempts the reward is %v: %v", trial.Attempts, deref(trial.Reward), deref(trial.ErrorMessage))
	}
	if number(trial.InputTokens) != 3000 || number(trial.OutputTokens) != 60 || number(trial.ModelCalls) != 3 {
		t.Errorf("%d tokens in %d calls", number(trial.InputTokens), number(trial.ModelCalls))
	}
	dir := h.trialDir(e.Experiment.ID, "hello")
	if steps := strings.Count(readFile(t, filepath.Join(dir, "agent", "trajectory.json")), `"step_id"`); steps != 4 {
		t.Errorf("the trajectory has %d steps", steps)
	}
	if result := readFile(t, filepath.Join(dir, "result.json")); !strings.Contains(result, `"n_episodes": 3`) {
		t.Errorf("the result lacks what Harbor's agent tells:\n%s", result)
	}
	worker.signal(syscall.SIGTERM)
	worker.wait().exits(t, 0)
	server.signal(syscall.SIGTERM)
	server.wait().exits(t, 0)
	h.noProcessLeft()
}

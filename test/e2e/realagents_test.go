package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oddish/api"
)

// The default answers, so slowly that a worker can be killed in the midst of one: 2850 tokens in, 54 out. A call that is cut is asked again.
const slowScript = `
keys: [` + providerKey + `]
delay: 250ms
`

// Real programs outlive the worker that started them: its successor serves their model, and what was used is known, also of the call that was cut.
func TestRealAgentsOutliveTheirWorker(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed, and brings the programs of the agents")
	}
	for agent, model := range map[string]string{"claude-code": "anthropic/claude-sonnet-4-5", "codex": "openai/gpt-5", "pi": "anthropic/claude-sonnet-4-5"} {
		t.Run(agent, func(t *testing.T) {
			t.Parallel()
			vars, provider := startModelProcess(t, slowScript)
			address := strings.TrimPrefix(vars[0], "ANTHROPIC_BASE_URL=")
			vars = append(vars, "OPENAI_BASE_URL="+address+"/v1", "OPENAI_API_KEY="+providerKey, "ODDISH_AUTO_START_WORKERS=false", "ODDISH_AGENT_PACKAGES="+keptAgents(t))
			h := newHome(t, kindBuiltin, vars...)
			h.start("api")
			h.waitServer()
			worker := h.start("worker", "--env", kindBuiltin)
			tasks := recipe{
				environment: "network_mode = \"no-network\"", agentTimeout: 120,
				test: `[ "$(cat /app/out.txt)" = hello ] && echo 1 >/logs/verifier/reward.txt || echo 0 >/logs/verifier/reward.txt`,
			}
			h.ok("run", "-p", tasks.folder(t, "hello"), "-a", agent, "-m", model, "-E", "e", "--background")
			eventually(t, "the second call of the model", func() bool {
				said := provider.stderr.String()
				return strings.Count(said, "/messages\n")+strings.Count(said, "/responses\n") >= 2
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
			if trial.Status != api.StatusSuccess || trial.Attempts != 1 || trial.Reward == nil || *trial.Reward != 1 {
				t.Errorf("%s after %d attempts with reward %v: %v", trial.Status, trial.Attempts, deref(trial.Reward), deref(trial.ErrorMessage))
			}
			if number(trial.InputTokens) < 2850 || number(trial.OutputTokens) < 54 || trial.CostEstimated == nil || !*trial.CostEstimated {
				t.Errorf("%d and %d tokens, estimated: %v", number(trial.InputTokens), number(trial.OutputTokens), deref(trial.CostEstimated))
			}
			if left := strings.TrimSpace(readFile(t, filepath.Join(h.trialDir(e.Experiment.ID, "hello"), "agent", "trajectory.json"))); left == "" {
				t.Error("there is no trajectory")
			}
			worker.signal(syscall.SIGTERM)
			worker.wait().exits(t, 0)
			h.noSandboxLeft()
		})
	}
}

// keptAgents is the folder in which the tests of agents keep their programs between runs.
func keptAgents(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "oddish-test", "agents")
}

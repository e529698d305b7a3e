package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"oddish/api"
)

// soon is well below the 60 s that a lease lasts: what ends within it has waited for none.
const soon = 40 * time.Second

// counted is a task whose agent and tests tell how often each was started, take some seconds, and give reward 1 only if
// the agent's work is whole.
func counted() recipe {
	return recipe{
		solve: `echo start >>/app/starts
for i in 1 2 3 4 5 6 7 8; do echo "line $i"; sleep 1; done
echo done >>/app/starts
`,
		test: `echo start >>/app/tests
sleep 5
[ "$(cat /app/starts)" = "start
done" ] && [ "$(wc -l </app/tests)" = 1 ] && echo 1 >/logs/verifier/reward.txt || echo 0 >/logs/verifier/reward.txt
cat /app/starts /app/tests
`,
	}
}

// Harbor test list #47
func TestAKilledWorkerGoesOnWithItsTrials(t *testing.T) {
	t.Parallel()
	for name, stages := range map[string][]api.Stage{
		"in the setup":           {api.StageEnvironment},
		"during the agent":       {api.StageAgentRunning},
		"during the tests":       {api.StageVerification},
		"twice during the agent": {api.StageAgentRunning, api.StageAgentRunning},
		"again and again":        {api.StageAgentRunning, api.StageVerification},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(t *testing.T, kind string) {
				h := newHome(t, kind, "ODDISH_AUTO_START_WORKERS=false")
				server := h.start("api")
				h.waitServer()
				worker := h.start("worker", "--env", kind)
				h.ok("run", "-p", counted().folder(t, "counted"), "-a", "oracle", "-E", "e", "--background")
				for _, stage := range stages {
					h.waitTrial("e", stage)
					worker.signal(syscall.SIGKILL)
					worker.wait()
					worker = h.start("worker", "--env", kind)
					worker.waitSays(`"resumed":1`)
				}
				h.goesOn("e", time.Now())
				worker.signal(syscall.SIGTERM)
				worker.wait().exits(t, 0)
				server.signal(syscall.SIGTERM)
				server.wait().exits(t, 0)
				h.noProcessLeft()
			})
		})
	}
}

func TestAKilledServerGoesOnWithTheTrialsOfItsOwnWorker(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		server := h.start("api")
		h.waitServer()
		h.ok("run", "-p", counted().folder(t, "counted"), "-a", "oracle", "-E", "e", "--background")
		h.waitStage("e", api.StageAgentRunning)
		server.signal(syscall.SIGKILL)
		server.wait()
		again := h.start("api")
		again.waitSays(`"resumed":1`)
		h.goesOn("e", time.Now())
		again.signal(syscall.SIGTERM)
		again.wait().exits(t, 0)
		h.noProcessLeft()
	})
}

// waitTrial is waitStage, also for the setup, which a question now and then would miss: it waits for the trial's journal.
func (h *home) waitTrial(experiment string, stage api.Stage) {
	h.t.Helper()
	if stage != api.StageEnvironment {
		h.waitStage(experiment, stage)
		return
	}
	eventually(h.t, "a trial's journal", func() bool {
		found, err := filepath.Glob(filepath.Join(h.dir, "work", "w*", "jobs", "*", "journal.jsonl"))
		return err == nil && len(found) > 0
	})
}

// goesOn waits for the only trial of the experiment and checks that nothing of it was done twice or lost.
func (h *home) goesOn(name string, since time.Time) {
	h.t.Helper()
	var e experiment
	h.ok("status", "-e", name, "--watch", "--json").decode(h.t, &e)
	if took := time.Since(since); took > soon {
		h.t.Errorf("it ended %s after the last kill: it has waited for the end of a lease", took)
	}
	if len(e.Trials) != 1 {
		h.t.Fatalf("%d trials, want 1", len(e.Trials))
	}
	trial := e.Trials[0]
	if trial.Status != api.StatusSuccess || trial.Attempts != 1 || trial.Reward == nil || *trial.Reward != 1 {
		h.t.Errorf("trial is %s after %d attempts with reward %v, want success after 1 with 1", trial.Status, trial.Attempts, deref(trial.Reward))
	}
	dir := h.trialDir(e.Experiment.ID, "counted")
	var lines []string
	for i := range 8 {
		lines = append(lines, "line "+strconv.Itoa(i+1))
	}
	if got := strings.TrimSpace(readFile(h.t, filepath.Join(dir, "agent", "oracle.txt"))); got != strings.Join(lines, "\n") {
		h.t.Errorf("the agent's log is %q", got)
	}
	if got := readFile(h.t, filepath.Join(dir, "verifier", "test-stdout.txt")); got != "start\ndone\nstart\n" {
		h.t.Errorf("the agent and the tests were started as in %q, want each once", got)
	}
	h.continuous(dir)
	h.noSandboxLeft()
	if left, err := os.ReadDir(filepath.Join(h.dir, "work", "w0", "jobs")); err != nil || len(left) > 0 {
		h.t.Errorf("folders of jobs are left: %v (%v)", left, err)
	}
}

// continuous checks the times of a trial's phases: each begins when the one before it has ended, and takes as long as its work.
func (h *home) continuous(dir string) {
	h.t.Helper()
	type phase struct {
		Started  time.Time `json:"started_at"`
		Finished time.Time `json:"finished_at"`
	}
	var r struct {
		Setup phase `json:"environment_setup"`
		Agent phase `json:"agent_execution"`
		Tests phase `json:"verifier"`
	}
	readJSON(h.t, filepath.Join(dir, "result.json"), &r)
	var end time.Time
	for _, p := range []struct {
		phase
		least time.Duration
	}{{r.Setup, 0}, {r.Agent, 8 * time.Second}, {r.Tests, 5 * time.Second}} {
		if p.Started.Before(end) || p.Finished.Sub(p.Started) < p.least {
			h.t.Errorf("a phase lasted from %s to %s, after %s", p.Started, p.Finished, end)
		}
		end = p.Finished
	}
}

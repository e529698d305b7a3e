package e2e

import (
	"path/filepath"
	"syscall"
	"testing"

	"oddish/api"
)

// A server that is killed loses nothing: its client goes on when it is there again, its trials run to their end, and what
// it left is removed. The trials that ran are taken over when their leases end, which takes a minute.
//
// Harbor test list #47
func TestKilledServer(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind, "ODDISH_RECONNECT_TIMEOUT=1m")
		run := h.start("run", "-p", slow().folder(t, "slow"), "-a", "oracle", "-E", "killed", "--n-trials", nTrials, "--json", "--watch")
		h.waitStage("killed", api.StageAgentRunning)
		if len(h.sandboxProcesses())+len(h.containers()) == 0 {
			t.Error("no sandbox of a running trial is found: the search for those left behind would prove nothing")
		}
		if err := syscall.Kill(h.healthy().Server.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		run.waitSays("connection lost, trying again")
		server := h.start("api")
		var d document
		run.wait().exits(t, 0).says(t, "connected again").decode(t, &d)
		if len(d.Trials) != 6 {
			t.Errorf("%d trials, want 6", len(d.Trials))
		}
		for _, trial := range d.Trials {
			passed().check(t, trial)
		}
		h.checkAttempts("killed")
		h.noSandboxLeft()
		server.signal(syscall.SIGTERM)
		server.wait().exits(t, 0)
		h.noProcessLeft()
	})
}

// checkAttempts wants the trial directory of the attempt that ended well, for every trial, and no failed one.
func (h *home) checkAttempts(experiment string) {
	h.t.Helper()
	e := h.experiment(experiment)
	results, err := filepath.Glob(filepath.Join(h.dir, "blobs", "jobs", e.Experiment.ID, "*__*", "result.json"))
	if err != nil || len(results) != len(e.Trials) {
		h.t.Errorf("%d trial directories are complete, want %d (%v)", len(results), len(e.Trials), err)
	}
}

// A sandbox that dies under a trial is no fault of the trial's: it is run again, and what the first attempt left is kept.
func TestLostSandbox(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		run := h.start("run", "-p", slow().folder(t, "slow"), "-a", "oracle", "-E", "lost", "--json", "--watch")
		h.waitStage("lost", api.StageAgentRunning)
		h.killSandboxes()
		var d document
		run.wait().exits(t, 0).says(t, "retrying after SandboxLostError").decode(t, &d)
		for _, trial := range d.Trials {
			passed().check(t, trial)
		}
		if e := h.experiment("lost"); len(e.Trials) != 1 || e.Trials[0].Attempts != 2 {
			t.Errorf("trials: %+v, want one with 2 attempts", e.Trials)
		}
		logs, err := filepath.Glob(filepath.Join(h.dir, "blobs", "jobs", d.ExperimentID, "slow__*", "trial.log"))
		if err != nil || len(logs) != 2 {
			t.Errorf("logs of attempts: %v, want 2 (%v)", logs, err)
		}
		h.noSandboxLeft()
	})
}

// killSandboxes ends every sandbox from outside.
func (h *home) killSandboxes() {
	h.t.Helper()
	for pid := range h.sandboxProcesses() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	h.removeContainers()
}

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"oddish/api"
)

// slow is a task whose agent works for a few seconds: long enough to do something to its server meanwhile.
func slow() recipe { return recipe{solve: "sleep 4\n"} }

// nTrials is how many trials of slow a test queues: more than run at once (the key of the oracle is limited by
// the machine), so that some are waiting whatever happens to the server.
const nTrials = "6"

// A server that is told to stop lets its trials end, starts no other, and the next one goes on with those.
func TestStoppedServerDrains(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	const drainTimeout = time.Minute
	h := newHome(t, kindBuiltin, "ODDISH_DRAIN_TIMEOUT="+drainTimeout.String())
	server := h.start("api")
	h.waitServer()
	h.ok("run", "-p", slow().folder(t, "slow"), "-a", "oracle", "-E", "drained", "--n-trials", nTrials, "--background")
	h.waitStage("drained", api.StageAgentRunning)
	told := time.Now()
	server.signal(syscall.SIGTERM)
	o := server.wait().exits(t, 0)
	if took := time.Since(told); took > drainTimeout/2 || !strings.Contains(o.stderr, "draining") || strings.Contains(o.stderr, "handing running trials back") {
		t.Errorf("the drain of trials of a few seconds took %s; the log:\n%s", took, o.stderr)
	}
	h.noProcessLeft()

	again := h.start("api")
	h.waitServer()
	var before experiment
	h.ok("status", "-e", "drained", "--json").decode(t, &before)
	counts := before.Experiment.Counts
	if counts[api.StatusSuccess] == 0 || counts[api.StatusFailed]+counts[api.StatusCancelled]+counts[api.StatusRetrying] > 0 {
		t.Errorf("after the drain: %v", counts)
	}
	var after experiment
	h.ok("status", "-e", "drained", "--watch", "--json").decode(t, &after)
	for _, trial := range after.Trials {
		if trial.Status != api.StatusSuccess || trial.Attempts != 1 {
			t.Errorf("%s: %s after %d attempts, want success after 1", trial.ID, trial.Status, trial.Attempts)
		}
	}
	h.noSandboxLeft()
	again.signal(syscall.SIGTERM)
	again.wait().exits(t, 0)
	h.noProcessLeft()
}

// waitServer waits until a server answers that was started beside the test.
func (h *home) waitServer() {
	h.t.Helper()
	eventually(h.t, "a server at "+h.url, func() bool { return h.run("status", "--json").code == 0 })
}

// Two installations on one machine do not meet.
func TestTwoInstallationsAtOnce(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	homes := []*home{newHome(t, kindBuiltin), newHome(t, kindBuiltin)}
	tasks := recipe{}.folder(t, "plain")
	var runs []*process
	for _, h := range homes {
		runs = append(runs, h.start("run", "-p", tasks, "-a", "oracle", "--n-trials", "2", "--json", "--watch"))
	}
	for i, h := range homes {
		var d document
		runs[i].wait().exits(t, 0).says(t, "started a server at "+h.url).decode(t, &d)
		for _, trial := range d.Trials {
			passed().check(t, trial)
		}
		if o := h.healthy(); len(o.Experiments) != 1 || o.Experiments[0].ID != d.ExperimentID {
			t.Errorf("%s has the experiments %+v, want the one that was run there", h.url, o.Experiments)
		}
	}
	homes[0].ok("clean", "--yes")
	homes[0].noProcessLeft()
	homes[1].healthy()
	_, trial := homes[1].runOne(tasks, "oracle")
	passed().check(t, trial)
}

// `clean --stop-only` keeps what there is, also of a trial that runs; `clean --yes` keeps nothing.
func TestClean(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		tasks := slow().folder(t, "slow")
		h.ok("run", "-p", tasks, "-a", "oracle", "-E", "kept", "--background")
		h.waitStage("kept", api.StageAgentRunning)
		h.ok("clean", "--stop-only")
		h.noProcessLeft()
		h.noSandboxLeft()

		h.ok("run", "-p", tasks, "-a", "nop", "--json", "--watch").says(t, "started a server", "nothing uploaded")
		var kept experiment
		h.ok("status", "-e", "kept", "--watch", "--json").decode(t, &kept)
		if len(kept.Trials) != 1 || kept.Trials[0].Status != api.StatusSuccess || kept.Trials[0].Reward == nil || *kept.Trials[0].Reward != 1 {
			t.Errorf("the trial that was running: %+v", kept.Trials)
		}
		if e := h.healthy().Experiments; len(e) != 2 {
			t.Errorf("%d experiments, want 2", len(e))
		}
		h.ok("clean", "--yes")
		h.noProcessLeft()
		if exists(h.dir) {
			t.Errorf("%s is still there", h.dir)
		}
	})
}

package server

import (
	"archive/tar"
	"errors"
	"io"
	"strings"
	"testing"

	"oddish/api"
)

func regradeSweep(taskID, trialID string) api.Sweep {
	name := "again"
	return api.Sweep{TaskID: taskID, User: "me", ExperimentID: &name, Configs: []api.SweepConfig{
		{Agent: "whatever", NTrials: 3, AgentConfig: &api.AgentConfig{Regrade: trialID, Env: map[string]string{"A": "b"}}},
	}}
}

func TestATrialIsVerifiedAgainAsTheSameAgentsAndModels(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("a", 1)
	job := r.claim(1)[0]
	for name, text := range map[string]string{"result.json": "{}", "agent/log.txt": "l", "artifacts/x/y": "y", "verifier/reward.txt": "1", "trial.log": "t"} {
		r.putFile(job, name, text)
	}
	r.finish(job, passed())
	again := do[api.Submitted](r, "POST", "/tasks/sweep", regradeSweep(sub.ID, job.ID))
	trial := do[api.Trial](r, "GET", "/trials/"+again.NewTrialIDs[0], nil)
	if len(again.NewTrialIDs) != 1 || trial.Agent != "oracle" || trial.RegradeOf == nil || *trial.RegradeOf != job.ID || trial.QueueKey != "local" {
		t.Errorf("trial is %+v", trial)
	}
	claimed := r.claim(1)[0]
	if c := claimed.Trial.AgentConfig; c.Regrade != job.ID || c.Env != nil {
		t.Errorf("its configuration is %+v", c)
	}
	status, body, _ := r.request("GET", jobPath(claimed, "source"), nil, api.LeaseHeader, claimed.Lease)
	if got := tarNames(t, body); status != 200 || got != "agent/log.txt artifacts/x/y result.json" {
		t.Errorf("the source is %d %q", status, got)
	}
	r.refuses(409, "GET", jobPath(claimed, "source"), nil, api.LeaseHeader, "stale")
}

func tarNames(t *testing.T, body string) string {
	t.Helper()
	var names []string
	in := tar.NewReader(strings.NewReader(body))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(names, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

func TestTrialsThatCannotBeVerifiedAgainAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub, other := r.submit("a", 2), r.submit("b", 1)
	running := r.claim(1)[0]
	contains(t, r.refuses(422, "POST", "/tasks/sweep", regradeSweep(other.ID, sub.NewTrialIDs[0])), "is of task a, not of b")
	contains(t, r.refuses(422, "POST", "/tasks/sweep", regradeSweep(sub.ID, running.ID)), "is running")
	r.refuses(404, "POST", "/tasks/sweep", regradeSweep(sub.ID, "nope"))
	do[api.Cancelled](r, "POST", "/experiments/"+other.ExperimentID+"/cancel", nil)
	contains(t, r.refuses(422, "POST", "/tasks/sweep", regradeSweep(other.ID, other.NewTrialIDs[0])), "cancelled before it began")
}

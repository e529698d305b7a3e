package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// regraded is what `oddish regrade --json` prints.
type regraded struct {
	Experiment    string `json:"experiment"`
	ExperimentID  string `json:"experiment_id"`
	ExperimentURL string `json:"experiment_url"`
	LeftOut       []any  `json:"left_out"`
	Trials        []struct {
		ID        string   `json:"id"`
		RegradeOf string   `json:"regrade_of"`
		Task      string   `json:"task"`
		Agent     string   `json:"agent"`
		Model     string   `json:"model"`
		Before    *float64 `json:"before"`
		After     *float64 `json:"after"`
		ErrorType *string  `json:"error_type"`
	} `json:"trials"`
}

func TestAnExperimentIsVerifiedAgainWithBetterTests(t *testing.T) {
	t.Parallel()
	tasks := t.TempDir()
	r := recipe{
		solve:   "mkdir -p /app/out; echo 41 >/app/out/answer\n",
		test:    "[ \"$(cat /app/out/answer)\" = 42 ] && echo 1 >/logs/verifier/reward.txt || echo 0 >/logs/verifier/reward.txt\n",
		further: "[[artifacts]]\nsource = \"/app/out\"\n[verifier.environment]\nworkdir = \"/app\"\n[verifier.environment.oddish]\nimage = \"host\"\n",
	}
	r.write(t, tasks, "apart")
	recipe{}.write(t, tasks, "shared")
	h := newHome(t, "builtin")
	h.runTasks(tasks, "oracle", "-E", "first")
	r.test = strings.ReplaceAll(r.test, "42", "41")
	r.write(t, tasks, "apart")
	var got regraded
	h.ok("regrade", "first", "-p", tasks, "--json").decode(t, &got)
	if len(got.Trials) != 2 {
		t.Fatalf("trials are %+v", got.Trials)
	}
	for _, x := range got.Trials {
		switch {
		case x.Task == "shared" && (x.After != nil || *x.ErrorType != "RegradeError"):
			t.Errorf("a shared verifier gives %+v", x)
		case x.Task == "apart" && (*x.Before != 0 || x.After == nil || *x.After != 1 || x.Agent != "oracle" || x.RegradeOf == ""):
			t.Errorf("trial is %+v", x)
		}
	}
	e := h.experiment("first-regrade")
	if log := fileOf(t, h.trialDir(e.Experiment.ID, "apart"), filepath.Join("agent", "oracle.txt")); log != "" {
		t.Errorf("the agent's log is %q", log)
	}
}

package server

import (
	"encoding/json"
	"testing"

	"oddish/api"
)

func TestBadSweepsAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	sweep := func(config string) string {
		return `{"task_id":"` + u.TaskID + `","user":"me","configs":[` + config + `]}`
	}
	for name, tc := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"no configs":              {400, sweep(""), "configs is empty"},
		"unknown task":            {404, `{"task_id":"nope-12345678","user":"me","configs":[{"agent":"nop"}]}`, "nope-12345678"},
		"unknown agent":           {422, sweep(`{"agent":"wizard"}`), "known are nop, oracle"},
		"timeout_minutes":         {422, sweep(`{"agent":"nop","timeout_minutes":5}`), "task.toml"},
		"unknown environment":     {400, sweep(`{"agent":"nop","environment":"moon"}`), "known are builtin, docker, fake"},
		"no trials":               {422, sweep(`{"agent":"nop","n_trials":-1}`), "n_trials"},
		"far too many trials":     {422, sweep(`{"agent":"nop","n_trials":200000}`), "split it"},
		"no user":                 {422, `{"task_id":"` + u.TaskID + `","configs":[{"agent":"nop"}]}`, "user"},
		"unknown priority":        {422, `{"task_id":"` + u.TaskID + `","user":"me","priority":"urgent","configs":[{"agent":"nop"}]}`, "priority"},
		"unknown field":           {422, sweep(`{"agent":"nop","colour":"red"}`), "colour"},
		"content never uploaded":  {409, `{"task_id":"` + u.TaskID + `","user":"me","content_hash":"abc","configs":[{"agent":"nop"}]}`, "upload it first"},
		"negative agent timeout":  {422, sweep(`{"agent":"nop","agent_config":{"override_timeout_sec":-1}}`), "override_timeout_sec"},
		"zero multiplier":         {422, `{"task_id":"` + u.TaskID + `","user":"me","harbor":{"timeout_multiplier":0},"configs":[{"agent":"nop"}]}`, "timeout_multiplier"},
		"zero verifier timeout":   {422, `{"task_id":"` + u.TaskID + `","user":"me","harbor":{"verifier":{"override_timeout_sec":0}},"configs":[{"agent":"nop"}]}`, "verifier.override_timeout_sec"},
		"not JSON":                {400, `{"task_id":`, "unexpected end"},
		"an artifact of a number": {422, `{"task_id":"` + u.TaskID + `","user":"me","harbor":{"artifacts":[1]},"configs":[{"agent":"nop"}]}`, "artifacts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rig{t: t, http: r.http}
			contains(t, r.refuses(tc.status, "POST", "/tasks/sweep", tc.body), tc.want)
		})
	}
}

func TestProblemsDoNotEchoWhatWasSent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, text, _ := r.request("POST", "/tasks/sweep", `{"task_id":"x","user":"me","configs":[{"agent":"nop","agent_config":{"env":{"KEY":17}},"secret":"hunter2"}]}`)
	if contains(t, text, "detail"); json.Valid([]byte(text)) && (len(text) == 0 || containsAny(text, "hunter2", `"value"`)) {
		t.Errorf("the problem has what was sent: %s", text)
	}
}

func TestSweepsMakeTrials(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	got := do[api.Submitted](r, "POST", "/tasks/sweep", api.Sweep{
		TaskID: u.TaskID, User: "me", ExperimentID: ptr("exp"), Priority: api.PriorityHigh, Tags: map[string]string{"a": "b"},
		Configs: []api.SweepConfig{{Agent: "oracle", NTrials: 2}, {Agent: "nop", Environment: ptr("docker")}},
	})
	if got.TrialsCount != 3 || got.Providers["default"] != 3 || got.ExperimentName != "exp" || got.Status != api.TaskPending || got.Priority != api.PriorityHigh {
		t.Errorf("submitted: %+v", got)
	}
	if len(got.NewTrialIDs) != 3 || got.NewTrialIDs[2] != u.TaskID+"-2" {
		t.Errorf("trials: %v", got.NewTrialIDs)
	}
	third := do[api.Trial](r, "GET", "/tasks/"+u.TaskID+"/trials/2", nil)
	if third.Agent != "nop" || *third.Environment != "docker" || third.Model != "default" || third.QueueKey != "local" || *third.TaskVersion != 1 {
		t.Errorf("third trial: %+v", third)
	}
	if third.HarborStage != nil || third.QueueInfo == nil || third.Reward != nil {
		t.Errorf("third trial, which waits: %+v", third)
	}
	first := do[api.Trial](r, "GET", "/trials/"+got.NewTrialIDs[0], nil)
	if *first.Environment != "fake" { // the server's own
		t.Errorf("first trial runs in %s", *first.Environment)
	}
}

func TestTrialsAddedToATaskTakeAfterItsFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	first := do[api.Submitted](r, "POST", "/tasks/sweep", api.Sweep{
		TaskID: u.TaskID, User: "me", ExperimentID: ptr("exp"), Environment: ptr("docker"), Configs: []api.SweepConfig{{Agent: "nop"}},
	})
	more := do[api.Submitted](r, "POST", "/tasks/sweep", api.Sweep{TaskID: u.TaskID, User: "you", AppendToTask: true, Configs: []api.SweepConfig{{Agent: "oracle"}}})
	if more.ExperimentID != first.ExperimentID {
		t.Errorf("they are in experiment %s, not %s", more.ExperimentID, first.ExperimentID)
	}
	if got := do[api.Trial](r, "GET", "/trials/"+more.NewTrialIDs[0], nil); *got.Environment != "docker" {
		t.Errorf("they run in %s", *got.Environment)
	}
}

func TestASweepIsPinnedToTheContentItNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old := r.upload("hello", "old")
	r.upload("hello", "new")
	for want, hash := range map[int]*string{1: &old.ContentHash, 2: nil} {
		got := do[api.Submitted](r, "POST", "/tasks/sweep", api.Sweep{TaskID: old.TaskID, User: "me", ContentHash: hash, Configs: []api.SweepConfig{{Agent: "nop"}}})
		if trial := do[api.Trial](r, "GET", "/trials/"+got.NewTrialIDs[0], nil); *trial.TaskVersion != want {
			t.Errorf("trial of version %d, want %d", *trial.TaskVersion, want)
		}
	}
}

func TestSecretsOfASweepReachTheWorkerAndNobodyElse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	got := do[api.Submitted](r, "POST", "/tasks/sweep", api.Sweep{TaskID: u.TaskID, User: "me", Configs: []api.SweepConfig{{
		Agent: "oracle", AgentConfig: &api.AgentConfig{Env: map[string]string{"MY_API_KEY": "hunter2"}},
	}}})
	jobs := r.claim(1)
	if len(jobs) != 1 || jobs[0].Trial.AgentConfig.Env["MY_API_KEY"] != "hunter2" {
		t.Fatalf("claimed: %+v", jobs)
	}
	r.finish(jobs[0], passed())
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/tasks", "/trials/" + jobs[0].ID, "/experiments/" + got.ExperimentID + "/trials", "/t/" + jobs[0].ID} {
		if _, text, _ := r.request("GET", path, nil); containsAny(text, "hunter2") {
			t.Errorf("%s tells the secret", path)
		}
	}
	if containsAny(r.blob("jobs/"+got.ExperimentID+"/config.json"), "hunter2") {
		t.Error("the job's config.json tells the secret")
	}
}

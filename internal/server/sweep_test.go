package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oddish/api"
	"oddish/client"
	"oddish/internal/agent"
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
		"unknown agent":           {422, sweep(`{"agent":"wizard"}`), "known are " + known()},
		"an option it lacks":      {422, sweep(`{"agent":"codex","model":"openai/x","agent_config":{"kwargs":{"speed":1}}}`), `no option "speed"`},
		"another agent's name":    {422, sweep(`{"agent":"codex","model":"openai/x","agent_config":{"base":"command","kwargs":{"run":"x"}}}`), "one of Oddish's own"},
		"a base that is none":     {422, sweep(`{"agent":"mine","agent_config":{"base":"codex"}}`), "only command"},
		"no gateway to count":     {422, sweep(`{"agent":"cursor-cli","model":"cursor/x","agent_config":{"record_model":true}}`), "not through the model gateway"},
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

// topUp asks for n oracle trials of the task in the experiment exp.
func topUp(taskID string, n int) api.Sweep {
	return api.Sweep{TaskID: taskID, User: "me", ExperimentID: ptr("exp"), Configs: []api.SweepConfig{{Agent: "oracle", NTrials: n}}}
}

func TestASweepSaysHowManyTrialsThereShouldBe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	id := func(i int) string { return u.TaskID + "-" + strconv.Itoa(i) }
	submit := func(n int, change func(*api.Sweep)) api.Submitted {
		t.Helper()
		sw := topUp(u.TaskID, n)
		change(&sw)
		return do[api.Submitted](r, "POST", "/tasks/sweep", sw)
	}
	same := func(*api.Sweep) {}
	first := submit(2, same)
	if first.TrialsCount != 2 || first.ExistingTrials != 0 || first.RetriedTrialIDs == nil || first.ExistingTrialIDs == nil {
		t.Errorf("at first: %+v", first)
	}
	jobs := r.claim(2)
	r.finish(jobs[0], passed())
	r.finish(jobs[1], api.Finish{Outcome: api.StatusFailed, ErrorType: "E", ErrorMessage: "m", ErrorClass: api.ClassPermanent})
	got := submit(3, same)
	if !slices.Equal(got.ExistingTrialIDs, []string{id(0)}) || !slices.Equal(got.RetriedTrialIDs, []string{id(1)}) || !slices.Equal(got.NewTrialIDs, []string{id(2)}) {
		t.Errorf("topped up: %+v", got)
	}
	if got.TrialsCount != 1 || got.ExistingTrials != 1 || got.Status != api.TaskRunning {
		t.Errorf("topped up: %+v", got)
	}
	if got := submit(3, same); got.TrialsCount != 0 || got.NewTrialIDs == nil || got.ExistingTrials != 3 {
		t.Errorf("when all are there: %+v", got)
	}
	for name, change := range map[string]func(*api.Sweep){
		"again":          func(sw *api.Sweep) { sw.Again = true },
		"append_to_task": func(sw *api.Sweep) { sw.AppendToTask = true },
	} {
		if got := submit(3, change); got.TrialsCount != 3 || got.ExistingTrials != 0 {
			t.Errorf("with %s: %+v", name, got)
		}
	}
}

func TestTheSameSubmissionIsAnsweredTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	sw := topUp(u.TaskID, 2)
	sw.Again = true
	status, first, h := r.request("POST", "/tasks/sweep", sw, api.IdempotencyKeyHeader, "key 1")
	if status != 200 || h.Get(api.IdempotencyReplayedHeader) != "" {
		t.Fatalf("%d %s %v", status, first, h)
	}
	for _, j := range r.claim(2) {
		r.finish(j, passed()) // which changes the task's status
	}
	replay := func(r *rig, body any) {
		t.Helper()
		status, text, h := r.request("POST", "/tasks/sweep", body, api.IdempotencyKeyHeader, "key 1")
		if status != 200 || text != first || h.Get(api.IdempotencyReplayedHeader) != "true" {
			t.Errorf("%d %s, want %s; %v", status, text, first, h)
		}
	}
	replay(r, sw)
	replay(r, ` {"user":"me", "again":true, "configs":[{"n_trials":2,"agent":"oracle"}], "experiment_id":"exp", "task_id":"`+u.TaskID+`"}`)
	replay(newRig(t, func(c *Config) { c.DB, c.Queue = r.db, r.queue }), sw) // another server
	do[api.Deleted](r, "DELETE", "/tasks/"+u.TaskID, nil)
	replay(r, sw)

	sw.Priority = api.PriorityHigh
	contains(t, r.refuses(409, "POST", "/tasks/sweep", sw, api.IdempotencyKeyHeader, "key 1"), "draw a new key")
}

func TestARefusedSubmissionLeavesItsKeyFree(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	bad := topUp(u.TaskID, 1)
	bad.Configs[0].Agent = "wizard"
	r.refuses(422, "POST", "/tasks/sweep", bad, api.IdempotencyKeyHeader, "key")
	bad = topUp("nope-12345678", 1)
	r.refuses(404, "POST", "/tasks/sweep", bad, api.IdempotencyKeyHeader, "key")
	if got := do[api.Submitted](r, "POST", "/tasks/sweep", topUp(u.TaskID, 1), api.IdempotencyKeyHeader, "key"); got.TrialsCount != 1 {
		t.Errorf("submitted: %+v", got)
	}
}

func TestIdempotencyKeysAreShortAndPrintable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	for _, key := range []string{strings.Repeat("k", 256), "schlüssel"} {
		contains(t, r.refuses(422, "POST", "/tasks/sweep", topUp(u.TaskID, 1), api.IdempotencyKeyHeader, key), "Idempotency-Key")
	}
	do[api.Submitted](r, "POST", "/tasks/sweep", topUp(u.TaskID, 1), api.IdempotencyKeyHeader, strings.Repeat("k", 255))
}

// cutter passes requests on and cuts the connection instead of giving the first answers to submissions.
func cutter(t *testing.T, target string, cuts int32) string {
	t.Helper()
	address, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int32
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(address) },
		ModifyResponse: func(resp *http.Response) error {
			if resp.Request.URL.Path == "/tasks/sweep" && n.Add(1) <= cuts {
				panic(http.ErrAbortHandler)
			}
			return nil
		},
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return s.URL
}

func TestAnAnswerThatIsLostOnItsWayDoublesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	var losses int
	c := client.New(cutter(t, r.http.URL, 3), client.Options{OnRetry: func(error, time.Duration) { losses++ }})
	defer c.Close()
	sw := topUp(u.TaskID, 5)
	sw.Again = true
	got, err := c.Submit(t.Context(), sw)
	if err != nil || got.TrialsCount != 5 || losses != 3 {
		t.Fatalf("after %d losses: %+v, %v", losses, got, err)
	}
	trials, err := c.ExperimentTrials(t.Context(), got.ExperimentID)
	if err != nil || len(trials) != 5 {
		t.Errorf("there are %d trials, want 5; %v", len(trials), err)
	}
}

// known lists the agents as messages do.
func known() string {
	var names []string
	for _, a := range agent.Known() {
		names = append(names, a.Name)
	}
	return strings.Join(names, ", ")
}

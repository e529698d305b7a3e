package server

import (
	"strings"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/llm/price"
	"oddish/internal/queue"
	"oddish/internal/result"
)

// sweepOf submits n trials of codex with that agent_config, and the answer may be the next claims' work.
func (r *rig) sweepOf(taskID, experiment, config string, n string) api.Submitted {
	r.t.Helper()
	return do[api.Submitted](r, "POST", "/tasks/sweep", `{"task_id":"`+taskID+`","user":"me","experiment_id":"`+experiment+`",
		"configs":[{"agent":"codex","model":"openai/gpt-5","n_trials":`+n+`,"agent_config":`+config+`}]}`)
}

// end ends a job that made calls of its model, with a log of them.
func (r *rig) end(j api.Job, log string, calls int64) {
	r.t.Helper()
	if log != "" {
		r.putFile(j, result.ModelLogFile, log)
	}
	r.finish(j, api.Finish{Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": 1}, UsageDetails: api.UsageDetails{ModelCalls: &calls}})
}

func (r *rig) recording(j api.Job) (int, string) {
	status, text, _ := r.request("GET", jobPath(j, "recording"), nil, api.LeaseHeader, j.Lease)
	return status, text
}

func TestEachReplayedTrialGetsARecordingOfItsKind(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	r.sweepOf(u.TaskID, "source", `{"record_model":true}`, "3")
	names := map[string]string{} // by trial
	for _, j := range r.claim(3) {
		names[j.ID] = "log of " + j.ID
		if strings.HasSuffix(j.ID, "-2") { // it called no model
			r.end(j, "", 0)
			continue
		}
		r.end(j, names[j.ID], 2)
	}
	sub := r.sweepOf(u.TaskID, "again", `{"replay":"source"}`, "3")
	got := map[string]string{}
	jobs := r.claim(10)
	for _, j := range jobs {
		status, text := r.recording(j)
		if status != 200 {
			t.Fatalf("recording: %d %s", status, text)
		}
		got[j.ID] = text
		if j.Trial.AgentConfig.Replay == "source" {
			t.Error("the worker is told the name of the experiment and not its id")
		}
	}
	for i, id := range sub.NewTrialIDs { // the first two of the source, and the first once more
		if want := "log of " + u.TaskID + []string{"-0", "-1", "-0"}[i]; got[id] != want {
			t.Errorf("trial %s replays %q, want %q", id, got[id], want)
		}
	}
	tr := do[api.Trial](r, "GET", "/trials/"+jobs[0].ID, nil)
	if tr.QueueKey != "local" || tr.Model != "openai/gpt-5" || tr.Provider != "openai" {
		t.Errorf("trial: %+v", tr)
	}
	e := do[api.Experiment](r, "GET", "/experiments/source", nil)
	do[api.Deleted](r, "DELETE", "/experiments/"+e.ID, nil)
	if status, text := r.recording(jobs[0]); status != 410 || !strings.Contains(text, "no recorded trial") {
		t.Errorf("once it is deleted: %d %s", status, text)
	}
}

func TestAReplayWithoutARecordingIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	r.sweepOf(u.TaskID, "plain", `{}`, "1")
	r.end(r.claim(1)[0], "log", 1)
	sweep := func(config string) string {
		return `{"task_id":"` + u.TaskID + `","user":"me","configs":[{"agent":"codex","model":"openai/gpt-5","agent_config":` + config + `}]}`
	}
	for name, c := range map[string]struct {
		status       int
		config, want string
	}{
		"an experiment that is none": {404, `{"replay":"nowhere"}`, "nowhere"},
		"one without a recording":    {422, `{"replay":"plain"}`, "oddish run --record"},
		"an address beside it":       {422, `{"replay":"plain","base_url":"http://h/v1"}`, "asks no provider"},
		"a helper model beside it":   {422, `{"replay":"plain","helper_model":"same"}`, "leave out the helper model"},
		"another provider's helper":  {422, `{"helper_model":"anthropic/claude-haiku-4-5"}`, "openai/NAME"},
		"a helper that is no model":  {422, `{"helper_model":"cheap"}`, "allow, same, refuse"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rig{t: t, http: r.http}
			contains(t, r.refuses(c.status, "POST", "/tasks/sweep", sweep(c.config)), c.want)
		})
	}
}

func TestAliasesAreResolvedBeforeTheQueueKey(t *testing.T) {
	t.Parallel()
	prices, err := price.Builtin().With("x", []byte("aliases: {fast: openai/gpt-5-mini, flash: gemini/gemini-2.5-flash}"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *Config) { c.Prices = prices })
	u := r.upload("hello", "x")
	for model, want := range map[string]struct{ model, key, provider string }{
		"fast":                      {"openai/gpt-5-mini", "openai/gpt-5-mini", "openai"},
		"Flash":                     {"gemini/gemini-2.5-flash", "google/gemini-2.5-flash", "gemini"},
		"google/gemini-2.5-flash":   {"google/gemini-2.5-flash", "google/gemini-2.5-flash", "gemini"},
		"vertex_ai/gemini-2.5-pro":  {"vertex_ai/gemini-2.5-pro", "google/gemini-2.5-pro", "gemini"},
		"vertex_ai/claude-opus-4-1": {"vertex_ai/claude-opus-4-1", "vertex_ai/claude-opus-4-1", "gemini"},
	} {
		sub := do[api.Submitted](r, "POST", "/tasks/sweep", `{"task_id":"`+u.TaskID+`","user":"me","configs":[{"agent":"opencode","model":"`+model+`","agent_config":{"helper_model":"`+model+`"}}]}`)
		tr := do[api.Trial](r, "GET", "/trials/"+sub.NewTrialIDs[0], nil)
		if tr.Model != want.model || tr.QueueKey != want.key || tr.Provider != want.provider {
			t.Errorf("%s became %s under %s of %s, want %+v", model, tr.Model, tr.QueueKey, tr.Provider, want)
		}
	}
}

func TestTheBudgetOfTheDayIsTold(t *testing.T) {
	t.Parallel()
	usd := 2.0
	r := newRig(t, func(c *Config) { c.Queue = queue.New(c.DB, queue.Options{DailyBudget: &api.Budget{USD: &usd}}) })
	u := r.upload("hello", "x")
	r.sweepOf(u.TaskID, "e", `{}`, "2")
	j := r.claim(1)[0]
	if j.Trial.Budget == nil || *j.Trial.Budget.USD != 2 {
		t.Errorf("the worker is told %+v", j.Trial.Budget)
	}
	ack := do[api.ProgressAck](r, "POST", jobPath(j, "events"), `{"events":[{"seq":1,"at":"2026-01-02T03:04:05Z","usage":{"input_tokens":1,"output_tokens":1,"cost_usd":2.5}}]}`, api.LeaseHeader, j.Lease)
	if ack.BudgetExceeded != api.BudgetDay {
		t.Errorf("the answer is %+v", ack)
	}
	if more := r.claim(1); len(more) != 0 {
		t.Errorf("claimed %+v", more)
	}
	d := do[api.Queue](r, "GET", "/queue", nil).Daily
	if d == nil || !d.Exceeded || d.SpentUSD != 2.5 || *d.USD != 2 || !d.Until.After(time.Now()) || d.Until.After(time.Now().Add(24*time.Hour)) {
		t.Errorf("the queue says %+v", d)
	}
	// An agent whose calls nobody counts cannot keep it.
	text := r.refuses(422, "POST", "/tasks/sweep", `{"task_id":"`+u.TaskID+`","user":"me","configs":[{"agent":"cursor-cli","model":"cursor/x"}]}`)
	contains(t, text, "a budget")
}

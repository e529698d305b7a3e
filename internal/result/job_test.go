package result

import (
	"encoding/json"
	"testing"
	"time"

	"oddish/api"
)

// Harbor test list #48
func TestNewJob(t *testing.T) {
	t.Parallel()
	trial := func(name, agent, model, source string, rewards map[string]float64, exception string) Trial {
		r := Trial{TrialName: name, AgentInfo: AgentInfo{Name: agent}, AgentResult: &AgentResult{}}
		if model != "" {
			r.AgentInfo.ModelInfo = &ModelInfo{Name: model}
			r.AgentResult.InputTokens, r.AgentResult.CostUSD = ptr[int64](10), ptr(0.5)
		}
		if source != "" {
			r.Source = &source
		}
		if rewards != nil {
			r.VerifierResult = &VerifierResult{Rewards: rewards}
		}
		if exception != "" {
			r.ExceptionInfo = &ExceptionInfo{Type: exception}
		}
		return r
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	in := JobInput{ExperimentID: "e", StartedAt: at, UpdatedAt: at.Add(time.Minute), Total: 8, Running: 1, Retries: 2}
	j := NewJob(in, []Trial{
		trial("b__1", "oracle", "", "", map[string]float64{"reward": 1}, ""),
		trial("a__1", "oracle", "", "", map[string]float64{"reward": 1}, AgentTimeoutError),
		trial("c__1", "oracle", "", "", nil, RewardFileNotFoundError),
		trial("d__1", "oracle", "", "", nil, CancelledError),
		trial("e__1", "codex", "gpt-5", "suite", map[string]float64{"x": 0.25, "y": 1}, ""),
	})
	if j.FinishedAt != nil {
		t.Error("the job is finished although trials remain")
	}
	j.ID = ""
	got, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"","started_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:05:05Z","finished_at":null,"n_total_trials":8,` +
		`"stats":{"n_completed_trials":5,"n_errored_trials":3,"n_running_trials":1,"n_pending_trials":2,"n_cancelled_trials":1,"n_retries":2,` +
		`"n_input_tokens":10,"n_cache_tokens":null,"n_output_tokens":null,"cost_usd":0.5,"evals":{` +
		`"codex__gpt-5__suite":{"n_trials":1,"n_errors":0,"metrics":[{"x":0.25,"y":1}],"pass_at_k":{},"reward_stats":{"x":{"0.25":["e__1"]},"y":{"1.0":["e__1"]}},"exception_stats":{}},` +
		`"oracle__adhoc":{"n_trials":2,"n_errors":3,"metrics":[{"mean":0.5}],"pass_at_k":{"2":0.8333333333333333,"4":1},"reward_stats":{"reward":{"1.0":["a__1","b__1"]}},` +
		`"exception_stats":{"AgentTimeoutError":["a__1"],"CancelledError":["d__1"],"RewardFileNotFoundError":["c__1"]}}}}}`
	if string(got) != want {
		t.Errorf("job is\n%s\nwant\n%s", got, want)
	}
	if done := NewJob(JobInput{Total: 0}, nil); done.FinishedAt == nil {
		t.Error("a job without trials is not finished")
	}
}

func TestFormatReward(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0.0", 1: "1.0", -1: "-1.0", 0.25: "0.25", 1e-5: "1e-05", 1e16: "1e+16", 123456: "123456.0", 0.0001: "0.0001"} {
		if got := FormatReward(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}

func TestNewJobConfig(t *testing.T) {
	t.Parallel()
	config := func(agent, model, task string) TrialConfig {
		return NewTrialConfig(api.TrialSpec{Agent: agent, Model: model, Environment: "docker"}, task, "jobs/x", nil)
	}
	c := NewJobConfig("x", "jobs", []TrialConfig{
		config("oracle", "", "a"), config("oracle", "", "a"), config("oracle", "", "b"), config("codex", "m", "a"), config("codex", "n", "a"),
	})
	if c.Attempts != 2 || len(c.Agents) != 3 || len(c.Tasks) != 2 {
		t.Errorf("config is %+v", c)
	}
	m, err := c.Compact()
	if err != nil {
		t.Fatal(err)
	}
	if m["job_name"] != "x" || m["n_attempts"] != 2.0 || m["jobs_dir"] != nil || m["environment"] != nil {
		t.Errorf("compact config is %v", m)
	}
}

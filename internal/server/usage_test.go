package server

import (
	"testing"

	"oddish/api"
)

func TestBudgetAndUsageGoAllTheWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	sub := do[api.Submitted](r, "POST", "/tasks/sweep", `{"task_id":"`+u.TaskID+`","user":"me","budget":{"usd":2,"calls":10},"configs":[{"agent":"codex","model":"openai/gpt-5",
		"agent_config":{"base_url":"http://127.0.0.1:1/v1","budget":{"tokens":1000},"record_model":true}}]}`)
	j := r.claim(1)[0]
	c := j.Trial.AgentConfig
	if b := j.Trial.Budget; b == nil || *b.USD != 2 || *b.Calls != 10 || b.Tokens != nil || *c.Budget.Tokens != 1000 || c.BaseURL != "http://127.0.0.1:1/v1" || !c.RecordModel {
		t.Errorf("the worker is told %+v %+v", j.Trial.Budget, c)
	}
	report := `{"events":[{"seq":1,"at":"2026-01-02T03:04:05Z","usage":{"input_tokens":100,"cache_tokens":40,"output_tokens":10,"cost_usd":2.5,
		"cache_write_tokens":5,"reasoning_tokens":3,"model_calls":2,"cost_is_estimated":false,"cost_source":"gateway","price_version":"v1"}}]}`
	ack := do[api.ProgressAck](r, "POST", jobPath(j, "events"), report, api.LeaseHeader, j.Lease)
	if ack.BudgetExceeded != "experiment" {
		t.Errorf("the answer is %+v", ack)
	}
	tr := do[api.Trial](r, "GET", "/trials/"+j.ID, nil)
	if *tr.InputTokens != 100 || *tr.CacheTokens != 40 || *tr.OutputTokens != 10 || *tr.CostUSD != 2.5 || *tr.CacheWrites != 5 || *tr.Reasoning != 3 ||
		*tr.ModelCalls != 2 || *tr.CostEstimated || *tr.CostSource != "gateway" || *tr.PriceVersion != "v1" {
		t.Errorf("trial: %+v", tr)
	}
	e := do[api.Experiment](r, "GET", "/experiments/"+sub.ExperimentID, nil)
	if b := e.Budget; b == nil || !b.Exceeded || b.SpentUSD != 2.5 || b.SpentTokens != 110 || b.SpentCalls != 2 || *e.Usage.InputTokens != 100 || *e.Usage.CostUSD != 2.5 {
		t.Errorf("experiment: %+v %+v", e.Budget, e.Usage)
	}
}

func TestABaseURLHoldsNoCredentials(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	for _, bad := range []string{"127.0.0.1:8080", "ftp://host/v1", "http://user:pass@host/v1", "http://host/v1?key=secret"} {
		text := r.refuses(422, "POST", "/tasks/sweep", `{"task_id":"`+u.TaskID+`","user":"me","configs":[{"agent":"codex","model":"openai/gpt-5","agent_config":{"base_url":"`+bad+`"}}]}`)
		contains(t, text, "base_url")
	}
}

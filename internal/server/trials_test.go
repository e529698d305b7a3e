package server

import (
	"strings"
	"testing"

	"oddish/api"
)

func TestEveryAttemptOfATrialIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("a", 1)
	id := sub.NewTrialIDs[0]
	first := r.claim(1)[0]
	r.putFile(first, "trial.log", "first")
	ack := r.finish(first, api.Finish{Outcome: api.StatusFailed, ErrorType: "SandboxError", ErrorClass: api.ClassInfrastructure})
	if ack.Status != api.StatusRetrying || ack.RetryAt == nil {
		t.Fatalf("finish: %+v", ack)
	}
	trial := do[api.Trial](r, "GET", "/trials/"+id, nil)
	if trial.Status != api.StatusRetrying || trial.RetryAt == nil || trial.Attempts != 1 {
		t.Errorf("a trial that waits for its next attempt: %+v", trial)
	}
	do[api.Cancelled](r, "POST", "/trials/"+id+"/cancel", nil)
	if trial := do[api.Trial](r, "GET", "/trials/"+id, nil); trial.Status != api.StatusCancelled {
		t.Errorf("cancelled trial is %s", trial.Status)
	}
	r.refuses(404, "POST", "/trials/nope-12345678-0/cancel", nil)
	r.refuses(404, "POST", "/trials/nope-12345678-0/retry", nil)
	do[struct{}](r, "POST", "/trials/"+id+"/retry", nil)
	contains(t, r.refuses(409, "POST", "/trials/"+id+"/retry", nil), "queued")
	second := r.claim(1)[0]
	r.putFile(second, "trial.log", "second")
	r.finish(second, passed())
	attempts := do[[]trialAttempt](r, "GET", "/trials/"+id+"/attempts", nil)
	if len(attempts) != 2 || attempts[0].TrialDir == attempts[1].TrialDir || *attempts[0].ErrorType != "SandboxError" || attempts[1].Rewards["reward"] != 1 {
		t.Errorf("attempts: %+v", attempts)
	}
	for query, want := range map[string]string{"": "second", "?attempt=1": "first", "?attempt=2": "second"} {
		if _, text, _ := r.request("GET", "/trials/"+id+"/files/trial.log"+query, nil); text != want {
			t.Errorf("trial.log%s is %q, want %q", query, text, want)
		}
	}
	r.refuses(404, "GET", "/trials/"+id+"/files/trial.log?attempt=3", nil)
	r.refuses(404, "GET", "/trials/nope-12345678-0/attempts", nil)
}

func TestATrialTellsOfItsSteps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 1)
	j := r.claim(1)[0]
	r.putFile(j, "result.json", `{"step_results": [{"step_name": "one", "verifier_result": {"rewards": {"reward": 0.5}}},`+
		` {"step_name": "two", "exception_info": {"exception_type": "StepSetupError", "exception_message": "no luck"}}]}`)
	if got := do[api.Trial](r, "GET", "/trials/"+j.ID, nil); got.Steps != nil {
		t.Errorf("while it runs its steps are %+v", got.Steps)
	}
	r.finish(j, passed())
	got := do[api.Trial](r, "GET", "/trials/"+j.ID, nil).Steps
	if len(got) != 2 || got[0].Name != "one" || *got[0].Reward != 0.5 || got[1].Reward != nil || *got[1].ErrorType != "StepSetupError" {
		t.Errorf("its steps are %+v", got)
	}
	if _, text, _ := r.request("GET", "/t/"+j.ID, nil); !strings.Contains(text, "<b>one</b>") {
		t.Error("its page does not show them")
	}
}

func TestATrialWhoseResultCannotBeReadIsShownWithoutSteps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j := r.withFiles(map[string]string{"result.json": `{"step_results": 3}`})
	if got := do[api.Trial](r, "GET", "/trials/"+j.ID, nil); got.Steps != nil || got.ID != j.ID {
		t.Errorf("the trial is %+v", got)
	}
}

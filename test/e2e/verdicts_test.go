package e2e

import "testing"

// verdict is what must come of a trial.
type verdict struct {
	status string
	reward *float64
	error  string // error_type; empty: none
}

func scored(reward float64) verdict { return verdict{status: "success", reward: &reward} }

func passed() verdict { return scored(1) }

func failed(error string) verdict { return verdict{status: "failed", error: error} }

// passedDespite is a trial whose agent came to a bad end and was verified all the same.
func passedDespite(error string) verdict {
	v := passed()
	v.error = error
	return v
}

// verdicts are those of each kind of sandbox.
type verdicts map[string]verdict

func everywhere(v verdict) verdicts { return verdicts{kindBuiltin: v, kindDocker: v} }

func (v verdict) check(t *testing.T, trial trialOfRun) {
	t.Helper()
	if trial.Status != v.status || trial.errorType() != v.error {
		t.Errorf("%s: %s with error %q (%v), want %s with %q", trial.Task, trial.Status, trial.errorType(), deref(trial.ErrorMessage), v.status, v.error)
	}
	if (trial.Reward == nil) != (v.reward == nil) || v.reward != nil && *trial.Reward != *v.reward {
		t.Errorf("%s: reward %v, want %v", trial.Task, deref(trial.Reward), deref(v.reward))
	}
	if v.error != "" && (trial.ErrorMessage == nil || *trial.ErrorMessage == "") {
		t.Errorf("%s: error %s without a message", trial.Task, v.error)
	}
}

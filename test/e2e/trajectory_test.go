package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// A program that leaves no record of its own has a trajectory all the same: what it asked its model, and what that answered, with tokens and cost.
func TestAProgramThatLeavesNoRecordHasATrajectory(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	h := newHome(t, kindBuiltin, startModel(t, modelScript)...)
	d, trial := h.runCommandAgent("call first; call second")
	passed().check(t, trial)
	file := filepath.Join(h.trialDir(d.ExperimentID, "caller"), "agent", "trajectory.json")
	h.ok("dev", "check-trajectory", file)
	var tr struct {
		Notes string
		Agent struct {
			Name  string
			Model string `json:"model_name"`
		}
		Steps []struct {
			Source, Message string
			Metrics         struct {
				In   int64   `json:"prompt_tokens"`
				Cost float64 `json:"cost_usd"`
			}
		}
		Sums struct {
			In int64 `json:"total_prompt_tokens"`
		} `json:"final_metrics"`
	}
	if err := json.Unmarshal([]byte(readFile(t, file)), &tr); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, s := range tr.Steps {
		said = append(said, s.Source+": "+s.Message)
	}
	if got := strings.Join(said, "\n"); got != "user: first\nagent: hello\nuser: second\nagent: hello" {
		t.Errorf("the steps are\n%s", got)
	}
	if tr.Agent.Name != "command" || tr.Agent.Model != "claude-sonnet-4-5" || !strings.Contains(tr.Notes, "requests") || tr.Sums.In != 2000 ||
		tr.Steps[1].Metrics.In != 1000 || tr.Steps[1].Metrics.Cost == 0 {
		t.Errorf("the trajectory is %+v", tr)
	}
}

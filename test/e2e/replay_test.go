package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tellsItsTask calls the model twice, the second time with the task.
const tellsItsTask = callModel + `
call; call "$(head -n 1 "$ODDISH_PROMPT_FILE")"
`

// What was recorded is answered again without provider and key, free, until the agent asks something else.
func TestAnExperimentIsReplayed(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	vars, model := startModelProcess(t, modelScript)
	h := newHome(t, kindBuiltin, vars...)
	tasks := recipe{environment: "network_mode = \"no-network\""}.folder(t, "caller")
	run := func(n string, more ...string) document {
		return h.runTasks(tasks, "command", append([]string{"-m", "anthropic/claude-sonnet-4-5", "--n-trials", n, "--ak", "run=" + tellsItsTask}, more...)...)
	}
	for _, trial := range run("2", "--record", "-E", "source").Trials {
		passed().check(t, trial)
	}

	// Neither the model nor its key is there any more.
	model.signal(syscall.SIGKILL)
	model.wait()
	h.ok("clean", "--stop-only")
	h.vars = slices.DeleteFunc(h.vars, func(v string) bool { return strings.HasPrefix(v, "ANTHROPIC_") })
	again := run("3", "--replay", "source", "-E", "again")
	for _, trial := range again.Trials {
		passed().check(t, trial)
		if trial.CostUSD != nil || number(trial.InputTokens) != 2000 || number(trial.CacheTokens) != 600 || number(trial.OutputTokens) != 40 || number(trial.ModelCalls) != 2 {
			t.Errorf("a replayed trial: %+v", trial)
		}
	}
	for _, trial := range h.experiment(again.ExperimentID).Trials {
		if trial.QueueKey != "local" || trial.CostSource == nil || *trial.CostSource != "replay" || trial.Model != "anthropic/claude-sonnet-4-5" {
			t.Errorf("a replayed trial: %+v", trial)
		}
	}

	h.divergesAfterAChange(t, tasks, run)
	h.run("run", "-p", tasks, "-a", "command", "-m", "anthropic/claude-opus-4-5", "--ak", "run=call", "--replay", "source").exits(t, 1).says(t, "no recorded trial")
}

// divergesAfterAChange changes what the task tells its agent.
func (h *home) divergesAfterAChange(t *testing.T, tasks string, run func(n string, more ...string) document) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(tasks, "caller", "instruction.md"), []byte("Do as the test wishes.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := run("1", "--replay", "source", "-E", "changed")
	trial := d.Trials[0]
	if trial.Status != "failed" || trial.errorType() != "ReplayDivergenceError" || trial.Reward != nil {
		t.Fatalf("a trial that diverges: %+v", trial)
	}
	for _, word := range []string{"request 2", "recorded request 2", "body.messages[0].content", "wants", "wishes"} {
		if !strings.Contains(*trial.ErrorMessage, word) {
			t.Errorf("the error does not say %q: %s", word, *trial.ErrorMessage)
		}
	}
	var kept struct {
		Request  int            `json:"request"`
		Asked    map[string]any `json:"asked"`
		Expected map[string]any `json:"expected"`
	}
	data := readFile(t, filepath.Join(h.trialDir(d.ExperimentID, "caller"), "replay-divergence.json"))
	if err := json.Unmarshal([]byte(data), &kept); err != nil || kept.Request != 2 || kept.Asked == nil || kept.Expected == nil {
		t.Errorf("what is kept of the divergence: %v, %s", err, data)
	}
}

// The budget of the day is everybody's: when it is used up the agent is stopped, and nothing that calls a model is started.
func TestTheBudgetOfTheDayStopsEverything(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	h := newHome(t, kindBuiltin, append(startModel(t, modelScript), "ODDISH_DAILY_BUDGET=2calls")...)
	_, trial := h.runCommandAgent("call")
	passed().check(t, trial)
	_, trial = h.runCommandAgent("call; sleep 3; call") // the server's word takes a moment
	if trial.errorType() != "BudgetExceeded" || number(trial.ModelCalls) != 1 || !strings.Contains(*trial.ErrorMessage, "day") {
		t.Errorf("the trial that uses it up: %+v", trial)
	}
	tasks := recipe{}.folder(t, "caller")
	h.ok("run", "-p", tasks, "-a", "command", "-m", "anthropic/claude-sonnet-4-5", "--ak", "run=true", "-E", "held", "--background")
	_, trial = h.runOne(tasks, "oracle") // costs nothing
	passed().check(t, trial)
	for _, c := range []struct{ args, words []string }{
		{[]string{"queue"}, []string{"2 of 2 calls", "used up", "00:00 UTC"}},
		{[]string{"status"}, []string{"used up"}},
		{[]string{"status", "-e", "held"}, []string{"queued", "used up"}},
	} {
		out := h.ok(c.args...).stdout
		for _, word := range c.words {
			if !strings.Contains(out, word) {
				t.Errorf("oddish %s does not say %q:\n%s", strings.Join(c.args, " "), word, out)
			}
		}
	}
}

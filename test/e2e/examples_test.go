package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// examples is the folder with the tasks that this project comes with.
func examples() string { return filepath.Join(repository(), "examples", "tasks") }

// exampleNames are the names of the example tasks.
func exampleNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(examples(), "*", "task.toml"))
	if err != nil || len(files) < 8 {
		t.Fatalf("found %d example tasks, want at least 8 (%v)", len(files), err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names
}

// The solution of every example passes, and doing nothing does not, in each kind of sandbox. The second
// run finds the server of the first and uploads nothing.
//
// Harbor test list #16
func TestExamples(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		names := exampleNames(t)
		first := h.ok("run", "-p", examples(), "-a", "oracle", "--env", kind, "--json", "--watch")
		first.says(t, "started a server at "+h.url, "tasks uploaded")
		second := h.ok("run", "-p", examples(), "-a", "nop", "--json", "--watch", "--env", kind)
		second.says(t, "tasks unchanged, nothing uploaded")
		if strings.Contains(second.stderr, "started a server") {
			t.Errorf("the second run started a server of its own:\n%s", second.stderr)
		}
		for _, run := range []struct {
			outcome
			agent  string
			reward float64
		}{{first, "oracle", 1}, {second, "nop", 0}} {
			var d document
			run.decode(t, &d)
			checkDocument(t, h, d, names)
			for _, trial := range d.Trials {
				checkPlainTrial(t, trial, run.agent, kind, run.reward)
				checkTrialDir(t, h.trialDir(d.ExperimentID, trial.Task), trial)
			}
			h.waitJobDir(d.ExperimentID, len(names))
		}
		h.healthy()
		h.noSandboxLeft()
		h.ok("clean", "--yes")
		h.noProcessLeft()
	})
}

// checkDocument looks at what the document says of the run as a whole.
func checkDocument(t *testing.T, h *home, d document, names []string) {
	t.Helper()
	if d.Experiment == "" || d.ExperimentID == "" || d.ExperimentURL != h.url+"/e/"+d.ExperimentID || d.PublicExperimentURL != nil {
		t.Errorf("experiment %q, id %q, url %q, public url %v", d.Experiment, d.ExperimentID, d.ExperimentURL, d.PublicExperimentURL)
	}
	if d.TotalTrials != len(names) || len(d.Trials) != len(names) || len(d.Tasks) != len(names) {
		t.Fatalf("total_trials %d, %d trials, %d tasks, want %d of each", d.TotalTrials, len(d.Trials), len(d.Tasks), len(names))
	}
	var got []string
	for _, trial := range d.Trials {
		got = append(got, trial.Task)
		if !slices.ContainsFunc(d.Tasks, func(k taskOfRun) bool { return k.ID == trial.TaskID && k.TrialsCount == 1 }) {
			t.Errorf("trial %s is of task %q, which is not among the tasks", trial.ID, trial.TaskID)
		}
		if !strings.HasPrefix(trial.ID, trial.TaskID+"-") {
			t.Errorf("trial %s of task %s", trial.ID, trial.TaskID)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, names) {
		t.Errorf("trials of %v, want %v", got, names)
	}
}

// checkPlainTrial wants a trial that ran to its end without any error.
func checkPlainTrial(t *testing.T, trial trialOfRun, agent, kind string, reward float64) {
	t.Helper()
	if trial.Status != "success" || trial.ErrorType != nil || trial.ErrorMessage != nil {
		t.Errorf("%s: status %s, error %q", trial.ID, trial.Status, trial.errorType())
	}
	if trial.Reward == nil || *trial.Reward != reward || trial.Rewards["reward"] != reward {
		t.Errorf("%s: reward %v of %v, want %v", trial.ID, deref(trial.Reward), trial.Rewards, reward)
	}
	if trial.Agent != agent || trial.Model == "" {
		t.Errorf("%s: agent %q, model %q", trial.ID, trial.Agent, trial.Model)
	}
	if trial.Environment == nil || *trial.Environment != kind {
		t.Errorf("%s: environment %v, want %s", trial.ID, deref(trial.Environment), kind)
	}
	if trial.Seconds == nil || *trial.Seconds <= 0 || *trial.Seconds > patience.Seconds() {
		t.Errorf("%s: seconds %v", trial.ID, deref(trial.Seconds))
	}
}

func deref[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

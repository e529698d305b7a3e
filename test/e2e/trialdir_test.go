package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// checkTrialDir wants a complete trial directory in Harbor's layout.
func checkTrialDir(t *testing.T, dir string, trial trialOfRun) {
	t.Helper()
	var config struct {
		TrialName string `json:"trial_name"`
		Agent     struct {
			Name string `json:"name"`
		} `json:"agent"`
	}
	readJSON(t, filepath.Join(dir, "config.json"), &config)
	if config.TrialName != filepath.Base(dir) || config.Agent.Name != trial.Agent {
		t.Errorf("config.json of %s: %+v", dir, config)
	}
	var result struct {
		TrialName string `json:"trial_name"`
		AgentInfo struct {
			Name string `json:"name"`
		} `json:"agent_info"`
		VerifierResult struct {
			Rewards map[string]float64 `json:"rewards"`
		} `json:"verifier_result"`
		ExceptionInfo any    `json:"exception_info"`
		StartedAt     string `json:"started_at"`
		FinishedAt    string `json:"finished_at"`
	}
	readJSON(t, filepath.Join(dir, "result.json"), &result)
	if result.TrialName != config.TrialName || result.AgentInfo.Name != trial.Agent || result.ExceptionInfo != nil || result.StartedAt == "" || result.FinishedAt == "" {
		t.Errorf("result.json of %s: %+v", dir, result)
	}
	if got, want := result.VerifierResult.Rewards["reward"], trial.Rewards["reward"]; got != want || len(result.VerifierResult.Rewards) != len(trial.Rewards) {
		t.Errorf("result.json of %s has the rewards %v, the document %v", dir, result.VerifierResult.Rewards, trial.Rewards)
	}
	if !strings.Contains(readFile(t, filepath.Join(dir, "trial.log")), "sandbox started") {
		t.Errorf("trial.log of %s does not tell of the sandbox", dir)
	}
	steps, err := filepath.Glob(filepath.Join(dir, "steps", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if steps == nil {
		steps = []string{dir}
	}
	for _, step := range steps {
		checkStepDir(t, step, trial.Agent)
	}
}

// checkStepDir wants what came of a step, or of a task without steps.
func checkStepDir(t *testing.T, dir, agent string) {
	t.Helper()
	checkManifest(t, filepath.Join(dir, "artifacts", "manifest.json"))
	readFile(t, filepath.Join(dir, "verifier", "test-stdout.txt"))
	if agent == "oracle" {
		readFile(t, filepath.Join(dir, "agent", "oracle.txt"))
	}
	text, json := filepath.Join(dir, "verifier", "reward.txt"), filepath.Join(dir, "verifier", "reward.json")
	if !exists(text) && !exists(json) {
		t.Errorf("%s has no reward file", dir)
	}
}

// checkManifest wants a manifest that tells of the folder which is always collected.
func checkManifest(t *testing.T, path string) {
	t.Helper()
	type entry struct{ Source, Status string }
	var manifest []entry
	readJSON(t, path, &manifest)
	if !slices.ContainsFunc(manifest, func(e entry) bool {
		return e.Source == "/logs/artifacts" && (e.Status == "ok" || e.Status == "empty")
	}) {
		t.Errorf("%s: %+v", path, manifest)
	}
}

// waitJobDir waits for the files that make an experiment's folder a job for Harbor's viewer: they are written
// soon after the last trial has ended, not with it.
func (h *home) waitJobDir(experimentID string, trials int) {
	h.t.Helper()
	dir := filepath.Join(h.dir, "blobs", "jobs", experimentID)
	eventually(h.t, "job files in "+dir, func() bool {
		data, err := os.ReadFile(filepath.Join(dir, "result.json"))
		var result struct {
			Total      int    `json:"n_total_trials"`
			FinishedAt string `json:"finished_at"`
			Stats      struct {
				Completed int `json:"n_completed_trials"`
			} `json:"stats"`
		}
		return err == nil && json.Unmarshal(data, &result) == nil &&
			result.FinishedAt != "" && result.Total == trials && result.Stats.Completed == trials
	})
	var config struct {
		JobName string `json:"job_name"`
	}
	readJSON(h.t, filepath.Join(dir, "config.json"), &config)
	if config.JobName == "" {
		h.t.Errorf("config.json of %s has no job_name", dir)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	if text := readFile(t, path); text != "" {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

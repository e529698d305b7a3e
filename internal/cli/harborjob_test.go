package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAHarborJobIsToldFromASweepFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"agents: [{name: oracle}]\npath: tasks":       false,
		"agents: [{name: oracle}]\nenvironment: fake": false,
		"environment: {type: docker}":                 true,
		"{\"job_name\": \"x\"}":                       true,
		"orchestrator: {type: local}":                 true,
		"- a list":                                    false,
		"agents: [":                                   false,
	} {
		if got := isHarborJob([]byte(text)); got != want {
			t.Errorf("%q is a job: %v", text, got)
		}
	}
}

func TestWhatAHarborJobAsksAndCannotBeDoneIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"n_attempts: 0":                                                      "n_attempts 0: want 1 or more",
		"job_name: x\nagents: [{name: 'a.b:C'}]":                             "agents[0]: an agent that is Python code",
		"job_name: x\nagents: [{name: codex, max_timeout_sec: 5}]":           "timeouts of an agent are not taken",
		"timeout_multiplier: 0":                                              "timeout multiplier 0: want more than 0",
		"environment: {import_path: 'mine:Env'}":                             "a sandbox that is Python code",
		"environment: {force_build: true}":                                   "give --force-build",
		"environment: {mounts: []}":                                          `unknown field "mounts"`,
		"datasets: [{path: a, name: b}]":                                     "want either path or name",
		"datasets: [{path: a}, {path: b}]":                                   "2 tasks and data sets: a run takes one",
		"tasks: [{path: a, git_url: 'https://example.org/t', source: null}]": "give --repo https://example.org/t",
	} {
		path := filepath.Join(t.TempDir(), "job.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readSweepFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q", text, err, want)
		}
	}
}

func TestAHarborJobBecomesASweep(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "job.json")
	text := `{"job_name": "j", "n_attempts": 3, "agents": [{"name": "codex", "model_name": "openai/gpt-5", "extra_allowed_hosts": ["a.test", "*.b.test"]}, {"model_name": null}],
		"datasets": [{"name": "set", "version": "2.0", "task_names": ["a*"], "n_tasks": 4}], "environment": {"type": "docker", "override_cpus": 2, "extra_allowed_hosts": ["c.test"], "extra_docker_compose": ["more.yaml"]},
		"agent_timeout_multiplier": 1.5, "retry": {"max_retries": 2}, "artifacts": ["/out"], "jobs_dir": "jobs"}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := readSweepFile(path)
	if err != nil {
		t.Fatal(err)
	}
	arms := f.arms()
	if len(arms) != 2 || arms[0].Model != "openai/gpt-5" || arms[1].Agent != "oracle" || arms[1].NTrials != 3 {
		t.Errorf("arms are %+v", arms)
	}
	if f.Dataset != "set@2.0" || f.Environment != "docker" || *f.OverrideCPUs != 2 || *f.MaxTrialAttempts != 3 || *f.multipliers[1] != 1.5 || f.artifacts[0].Source != "/out" || f.ExperimentID != "j" {
		t.Errorf("the sweep is %+v", f)
	}
	if got := arms[0].config(); got == nil || !slices.Equal(got.ExtraAllowedHosts, []string{"a.test", "*.b.test"}) || !slices.Equal(f.envHosts, []string{"c.test"}) || !slices.Equal(f.extraCompose, []string{"more.yaml"}) {
		t.Errorf("hosts of the agent: %+v, of the environment: %q", got, f.envHosts)
	}
	if len(f.notes) != 1 || !strings.HasPrefix(f.notes[0], "jobs_dir is left out") {
		t.Errorf("notes are %q", f.notes)
	}
}

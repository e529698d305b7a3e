package result

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"oddish/api"
)

func TestWriteFileReplacesAtOnceAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, ResultFile)
	for _, text := range []string{"one", "two"} {
		if err := WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != text {
			t.Errorf("file is %q, %v", data, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "folder"), nil); err == nil {
		t.Error("a folder was replaced")
	}
	if err := WriteFile(filepath.Join(dir, "nowhere", "x"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("folder has %v, %v", entries, err)
	}
}

func TestTrialIsWrittenInFullAndReadBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := Time(time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.FixedZone("x", 3600)))
	trial := Trial{
		ID: NewUUID(), TaskName: "org/a<b", TrialName: "a__1234567", Config: NewTrialConfig(api.TrialSpec{Agent: "oracle", Environment: "builtin"}, "a", "jobs/x", nil),
		VerifierResult: &VerifierResult{Rewards: map[string]float64{"reward": 1}}, StartedAt: &start,
		AgentExecution: &Timing{StartedAt: &start, FinishedAt: ptr(start.Add(1500 * time.Millisecond))},
	}
	if err := WriteJSON(filepath.Join(dir, ResultFile), trial); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, ResultFile))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{
		"{\n    \"id\": ", `"task_name": "org/a<b"`, `"agent_result": null`, `"exception_info": null`, `"step_results": null`,
		`"started_at": "2026-03-04T04:06:07.123456Z"`, `"import_path": "oddish:builtin"`, `"type": null`, `"timeout_multiplier": 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("result.json lacks %s:\n%s", want, text)
		}
	}
	got, err := ReadTrial(dir)
	if err != nil || got.TrialName != trial.TrialName || got.Phases()["agent_execution"].DurationSec != 1.5 || len(got.Phases()) != 1 {
		t.Errorf("read back %+v, %v", got, err)
	}
	if err := WriteFile(filepath.Join(dir, ResultFile), []byte("{")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadTrial(dir); err == nil || !strings.Contains(err.Error(), ResultFile) {
		t.Errorf("error of a damaged file is %v", err)
	}
}

func TestCompactConfigOmitsDefaults(t *testing.T) {
	t.Parallel()
	spec := api.TrialSpec{
		TrialName: "a__1234567", ExperimentID: "e1", Agent: "oracle", Environment: "docker", Model: "openai/x", Source: "suite",
		AgentConfig: api.AgentConfig{Env: map[string]string{"API_KEY": "0123456789abc"}, Kwargs: map[string]any{"api_key": "0123456789abc", "n": 1.0}},
		Harbor: api.HarborConfig{
			Environment: &api.EnvironmentConfig{OverrideCPUs: ptr(2), ForceBuild: ptr(false)},
			Verifier:    &api.VerifierConfig{Disable: ptr(true)},
			Artifacts:   []api.Artifact{{Source: "/app/x"}},
		},
	}
	c, err := NewTrialConfig(spec, "a", "jobs/e1", nil).Compact()
	if err != nil {
		t.Fatal(err)
	}
	delete(c, "job_id")
	got, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"agent":{"env":{"API_KEY":"0123****abc"},"kwargs":{"api_key":"0123****abc","n":1},"model_name":"openai/x","name":"oracle"},` +
		`"artifacts":[{"destination":null,"service":null,"source":"/app/x"}],` +
		`"environment":{"override_cpus":2,"type":"docker"},"task":{"path":"a","source":"suite"},"trial_name":"a__1234567","trials_dir":"jobs/e1","verifier":{"disable":true}}`
	if string(got) != want {
		t.Errorf("config.json is\n%s\nwant\n%s", got, want)
	}
}

func TestMaskEnv(t *testing.T) {
	t.Parallel()
	host := func(n string) (string, bool) { return "host-value-1", n == "A_TOKEN" }
	in := map[string]string{
		"A_TOKEN": "host-value-1", "B_KEY": "sk-12345678", "short_password": "12345678", "AUTHOR": "somebody else",
		"C_SECRET": "${C_SECRET}", "D_KEY": "${X:-y}", "PLAIN": "value of no interest",
	}
	got := MaskEnv(in, host)
	for name, want := range map[string]string{
		"A_TOKEN": "${A_TOKEN}", "B_KEY": "sk-1****678", "short_password": "****", "AUTHOR": "some****lse",
		"C_SECRET": "${C_SECRET}", "D_KEY": "${X:-y}", "PLAIN": "value of no interest",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if in["B_KEY"] != "sk-12345678" {
		t.Error("the given map was changed")
	}
	if MaskEnv(nil, nil) != nil {
		t.Error("nil does not stay nil")
	}
}

func TestUUIDs(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-([48])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, id := range []string{NewUUID(), UUIDFor("experiment", "x")} {
		if !form.MatchString(id) {
			t.Errorf("%q is no UUID", id)
		}
	}
	a, b := NewUUID(), NewUUID()
	if a == b {
		t.Errorf("two new UUIDs are both %s", a)
	}
	a, b = UUIDFor("a", "b"), UUIDFor("a", "b")
	if a != b || a == UUIDFor("b", "a") {
		t.Error("the UUIDs of an id differ, or those of two are the same")
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	e := Errorf(AgentTimeoutError, "after %s: %w", time.Second, cause)
	if e.Error() != "AgentTimeoutError: after 1s: cause" || !errors.Is(e, cause) || e.Class != api.ClassResult {
		t.Errorf("error is %v (%s), wraps its cause: %v", e, e.Class, errors.Is(e, cause))
	}
	two := Errorf(OSError, "%w and %w", cause, fs.ErrNotExist)
	if !errors.Is(two, cause) || !errors.Is(two, fs.ErrNotExist) {
		t.Error("one of two causes is lost")
	}
	for name, want := range map[string]api.ErrorClass{
		EnvironmentStartTimeoutError: api.ClassInfrastructure, HealthcheckError: api.ClassInfrastructure, WorkerLost: api.ClassInfrastructure,
		SandboxLostError: api.ClassInfrastructure, RuntimeError: api.ClassInfrastructure, "SomethingNew": api.ClassInfrastructure,
		SandboxBuildFailedError: api.ClassPermanent, ValueError: api.ClassPermanent, UnsupportedTaskError: api.ClassPermanent, FileNotFoundError: api.ClassPermanent,
		VerifierTimeoutError: api.ClassResult, RewardFileEmptyError: api.ClassResult, OutOfMemoryError: api.ClassResult,
		APIRateLimitError: api.ClassRateLimit,
	} {
		if got := ClassOf(name); got != want {
			t.Errorf("class of %s is %s, want %s", name, got, want)
		}
	}
	if !AgentFailed(AgentTimeoutError) || !AgentFailed(NonZeroAgentExitCodeError) || AgentFailed(AgentSetupTimeoutError) || AgentFailed(RuntimeError) {
		t.Error("AgentFailed takes the wrong errors")
	}
}

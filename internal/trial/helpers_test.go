package trial

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"oddish/api"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/fake"
)

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// taskFiles are a task that runs on the machine's own tools; tests change what they are about.
func taskFiles(changes map[string]string) map[string]string {
	files := map[string]string{
		"task.toml":              "[environment]\nworkdir = \"/app\"\n[environment.oddish]\nimage = \"host\"\n",
		"instruction.md":         "Do it.\n",
		"environment/Dockerfile": "FROM scratch\n",
		"tests/test.sh!":         "#!/bin/bash\necho 1 >/logs/verifier/reward.txt\n",
		"solution/solve.sh!":     "#!/bin/bash\necho solved\n",
	}
	maps.Copy(files, changes)
	return files
}

// writeTask writes a task; a name that ends in "!" gets the execute bit, an empty content removes the file.
func writeTask(t testing.TB, changes map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	for name, content := range taskFiles(changes) {
		mode := os.FileMode(0o644)
		name, x := strings.CutSuffix(name, "!")
		if x {
			mode = 0o755
		}
		if content == "" {
			continue
		}
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// config is a trial of the oracle on the task.
func config(t testing.TB, p sandbox.Provider, taskDir string) Config {
	t.Helper()
	return Config{
		Spec: api.TrialSpec{
			TrialID: "demo-1234abcd-0", TrialName: "demo__AbCdEfG", ExperimentID: "1234abcd", TaskID: "demo-1234abcd",
			TaskName: "demo", TaskDigest: digest, Agent: "oracle", Environment: p.Kind(),
		},
		TaskDir: taskDir, Dir: t.TempDir(), Provider: p, Owner: "test",
		Getenv: func(string) (string, bool) { return "", false },
	}
}

// fakeTask is a task for the fake sandbox with these lines in [environment.oddish.fake].
func fakeTask(t testing.TB, script string) string {
	t.Helper()
	return writeTask(t, map[string]string{"task.toml": "[environment.oddish]\nimage = \"host\"\n[environment.oddish.fake]\n" + script})
}

// faked gives a trial of the oracle in a fake sandbox, with kwargs.
func faked(t testing.TB, kwargs map[string]string) (Config, *fake.Provider) {
	t.Helper()
	p := fake.New()
	c := config(t, p, writeTask(t, nil))
	c.Spec.Harbor.Environment = &api.EnvironmentConfig{Kwargs: kwargs}
	return c, p
}

func readTrial(t testing.TB, o Outcome) result.Trial {
	t.Helper()
	r, err := result.ReadTrial(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readFile(t testing.TB, o Outcome, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(o.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func exists(o Outcome, name string) bool {
	_, err := os.Lstat(filepath.Join(o.Dir, name))
	return err == nil
}

func journalOf(t testing.TB, c Config) []Entry {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.Dir, JournalFile))
	if err != nil {
		t.Fatal(err)
	}
	var list []Entry
	for line := range strings.Lines(string(data)) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("journal line %q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

// wantFinish checks outcome, error and class.
func wantFinish(t testing.TB, f api.Finish, outcome api.Status, errorType string, class api.ErrorClass) {
	t.Helper()
	if f.Outcome != outcome || f.ErrorType != errorType || f.ErrorClass != class {
		t.Errorf("finish is %s %q (%s), want %s %q (%s); message: %s",
			f.Outcome, f.ErrorType, f.ErrorClass, outcome, errorType, class, f.ErrorMessage)
	}
}

func wantReward(t testing.TB, f api.Finish, want map[string]float64) {
	t.Helper()
	if !maps.Equal(f.Rewards, want) || (f.Rewards == nil) != (want == nil) {
		t.Errorf("rewards are %v, want %v", f.Rewards, want)
	}
}

// stages records the stages of a trial.
type stages struct {
	mu   sync.Mutex
	list []string
	hook func(api.Stage)
}

func (s *stages) add(stage api.Stage) {
	s.mu.Lock()
	s.list = append(s.list, string(stage))
	s.mu.Unlock()
	if s.hook != nil {
		s.hook(stage)
	}
}

func (s *stages) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.list, " ")
}

func ptr[T any](v T) *T { return &v }

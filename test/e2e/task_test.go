package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// recipe is a small task that a test makes. It can run in every kind of sandbox; without more it
// is one that passes.
type recipe struct {
	solve string // of solution/solve.sh; empty: does nothing
	test  string // of tests/test.sh; empty: gives reward 1

	agentTimeout, verifierTimeout float64 // in seconds; 0: 60
	environment                   string  // further lines of [environment]
	further                       string  // further tables of task.toml
	user                          string  // of the agent; empty: the image's
}

const passes = "echo 1 >/logs/verifier/reward.txt\n"

// write makes the task in a folder of tasks.
func (r recipe) write(t *testing.T, tasks, name string) {
	t.Helper()
	files := map[string]string{
		"task.toml": fmt.Sprintf(`schema_version = "1.4"
[task]
name = "e2e/%s"
[agent]
timeout_sec = %g
%s
[verifier]
timeout_sec = %g
[environment]
workdir = "/app"
%s
[environment.oddish]
image = "host"
%s
`, name, or(r.agentTimeout, 60), r.userLine(), or(r.verifierTimeout, 60), r.environment, r.further),
		"instruction.md":         "Do as the test wants.\n",
		"environment/Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\n",
		"solution/solve.sh":      "#!/bin/bash\n" + r.solve,
		"tests/test.sh":          "#!/bin/bash\n" + or(r.test, passes),
	}
	for file, text := range files {
		path := filepath.Join(tasks, name, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// userLine is the agent's user in task.toml.
func (r recipe) userLine() string {
	if r.user == "" {
		return ""
	}
	return fmt.Sprintf("user = %q", r.user)
}

// folder makes a folder with one task.
func (r recipe) folder(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	r.write(t, dir, name)
	return dir
}

func or[T comparable](v, instead T) T {
	var zero T
	if v == zero {
		return instead
	}
	return v
}

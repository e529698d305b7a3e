package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Tasks that are wrong, or end badly, without harm to anybody else. They run side by side, as
// a user's folder of tasks would.
//
// Harbor test list #4, #5, #6, #15
func TestBrokenTasks(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		newHome(t, kind).runCases(kind, brokenTasks())
	})
}

// taskCase is a task, what must come of it, and what else to look at.
type taskCase struct {
	recipe
	files map[string]string // further ones, or others
	plain string            // a file without its execute bit
	want  verdicts
	look  func(t *testing.T, dir string, trial trialOfRun)
}

// runCases runs the tasks side by side with their own solutions and wants of each what must come of it.
func (h *home) runCases(kind string, cases map[string]taskCase, more ...string) {
	h.t.Helper()
	tasks := h.t.TempDir()
	for name, c := range cases {
		c.write(h.t, tasks, name)
		put(h.t, filepath.Join(tasks, name), c.files)
		if c.plain == "" {
			continue
		}
		if err := os.Chmod(filepath.Join(tasks, name, c.plain), 0o644); err != nil {
			h.t.Fatal(err)
		}
	}
	d := h.runTasks(tasks, "oracle", append([]string{"--max-attempts", "1"}, more...)...)
	if len(d.Trials) != len(cases) {
		h.t.Fatalf("%d trials of %d tasks", len(d.Trials), len(cases))
	}
	for _, trial := range d.Trials {
		c := cases[trial.Task]
		c.want[kind].check(h.t, trial)
		if c.look != nil {
			c.look(h.t, h.trialDir(d.ExperimentID, trial.Task), trial)
		}
	}
	h.waitJobDir(d.ExperimentID, len(cases))
	h.healthy()
	h.noSandboxLeft()
}

func brokenTasks() map[string]taskCase {
	return map[string]taskCase{
		"reward-empty": {
			recipe: recipe{test: ": >/logs/verifier/reward.txt\n"},
			want:   everywhere(failed("RewardFileEmptyError")),
		},
		"reward-no-number": {
			recipe: recipe{test: "echo PASS >/logs/verifier/reward.txt\n"},
			want:   everywhere(failed("VerifierOutputParseError")),
			look: func(t *testing.T, dir string, trial trialOfRun) {
				if !strings.Contains(*trial.ErrorMessage, `"PASS" is not a number`) {
					t.Errorf("message: %s", *trial.ErrorMessage)
				}
			},
		},
		"reward-absent": {
			recipe: recipe{test: "echo the tests ran\n"},
			want:   everywhere(failed("RewardFileNotFoundError")),
			look: func(t *testing.T, dir string, _ trialOfRun) {
				if got := readFile(t, filepath.Join(dir, "verifier", "test-stdout.txt")); got != "the tests ran\n" {
					t.Errorf("test-stdout.txt: %q", got)
				}
				if !strings.Contains(readFile(t, filepath.Join(dir, "exception.txt")), "RewardFileNotFoundError") {
					t.Error("exception.txt does not name the error")
				}
			},
		},
		"reward-is-a-folder": {
			recipe: recipe{test: "mkdir /logs/verifier/reward.txt\n"},
			want:   everywhere(failed("VerifierOutputParseError")),
		},
		"removes-its-folders": {
			recipe: recipe{test: "echo before\nrm -rf /tests /logs\necho after\n"},
			want:   everywhere(failed("RewardFileNotFoundError")),
		},
		"removes-the-tests": {
			recipe: recipe{test: "rm -rf /tests\n" + passes},
			want:   everywhere(passed()),
		},
		"agent-removes-the-logs": {
			recipe: recipe{solve: "rm -rf /logs /tests\n", test: passes},
			want:   everywhere(passed()),
		},
		"agent-plants-a-reward": {
			recipe: recipe{solve: "echo 1 >/logs/verifier/reward.txt\n", test: "true\n"},
			want:   everywhere(failed("RewardFileNotFoundError")),
		},
		"solution-fails": {
			recipe: recipe{solve: "echo no luck >&2\nexit 3\n", test: "echo 0 >/logs/verifier/reward.txt\n"},
			want:   everywhere(scored(0)),
			look: func(t *testing.T, dir string, _ trialOfRun) {
				if got := strings.TrimSpace(readFile(t, filepath.Join(dir, "agent", "exit-code.txt"))); got != "3" {
					t.Errorf("exit-code.txt: %q", got)
				}
				if got := readFile(t, filepath.Join(dir, "agent", "oracle.txt")); got != "no luck\n" {
					t.Errorf("oracle.txt: %q", got)
				}
			},
		},
		"solution-kills-everything": {
			recipe: recipe{
				solve: "touch /app/was-here\nkill -9 -1\nsleep 1\nexit 4\n",
				test:  "test -e /app/was-here && " + passes,
			},
			want: everywhere(passed()),
		},
		"healthcheck-never-passes": {
			recipe: recipe{further: "[environment.healthcheck]\ncommand = \"echo not yet; false\"\ninterval_sec = 0.1\nretries = 3\n"},
			want:   everywhere(failed("HealthcheckError")),
			look: func(t *testing.T, _ string, trial trialOfRun) {
				if !strings.Contains(*trial.ErrorMessage, "not yet") {
					t.Errorf("the message does not show what the healthcheck said: %s", *trial.ErrorMessage)
				}
			},
		},
		"healthcheck-hangs": {
			recipe: recipe{further: "[environment.healthcheck]\ncommand = \"sleep 1000\"\ninterval_sec = 0.1\ntimeout_sec = 0.5\nretries = 2\n"},
			want:   everywhere(failed("HealthcheckError")),
		},
		"memory": {
			// tail keeps everything, since there is no end of line.
			recipe: recipe{
				environment: "memory_mb = 128\n",
				solve:       "head -c 1G /dev/zero | tail\n",
			},
			// gVisor holds the memory of all processes and dies as a whole; in a container the kernel kills one.
			want: verdicts{
				kindBuiltin: failed("OutOfMemoryError"),
				kindDocker:  passedDespite("OutOfMemoryError"),
			},
		},
	}
}

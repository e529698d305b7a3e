package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// put writes more files into a task that a recipe has written; one with no text goes.
func put(t *testing.T, task string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(task, filepath.FromSlash(name))
		if text == "" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// fileOf reads a file of a trial's directory.
func fileOf(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

// Harbor test list #35, #36
func TestATaskWithSteps(t *testing.T) {
	t.Parallel()
	r := recipe{
		test: "cat /tests/mine; wc -l </app/work >/logs/verifier/reward.txt\n",
		further: `
[[steps]]
name = "build"
min_reward = 1
[[steps]]
name = "extend"
artifacts = ["/app/work"]
[steps.agent]
timeout_sec = 30
user = "nobody"
`,
	}
	task := filepath.Join(r.folder(t, "two-steps"), "two-steps")
	put(t, task, map[string]string{
		"steps/build/instruction.md":     "Make a line.\n",
		"steps/build/solution/solve.sh":  "#!/bin/bash\nsetsid sleep 300 >/dev/null 2>&1 & echo $! >/app/pid\necho built >/app/work; chmod 666 /app/work\n",
		"steps/build/tests/mine":         "the build's\n",
		"steps/extend/instruction.md":    "Make another.\n",
		"steps/extend/workdir/setup.sh":  "set -e; id -un; cat extra; echo more >>extra; [ ! -e /tests ]; [ -d /proc/$(cat /app/pid) ]\n",
		"steps/extend/workdir/extra":     "given\n",
		"steps/extend/solution/solve.sh": "#!/bin/bash\nls /logs/agent /logs/verifier; tail -n 1 extra >>/app/work\n",
		"steps/extend/tests/mine":        "the extension's\n",
	})
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		d, trial := h.runOne(task, "oracle", "--max-attempts", "1")
		scored(1.5).check(t, trial)
		dir := h.trialDir(d.ExperimentID, trial.Task)
		for name, want := range map[string]string{
			"steps/build/verifier/test-stdout.txt":  "the build's\n",
			"steps/extend/verifier/test-stdout.txt": "the extension's\n",
			"steps/extend/agent/step-setup.txt":     "nobody\ngiven\n",
			"steps/extend/artifacts/app/work":       "built\nmore\n",
		} {
			if got := fileOf(t, dir, name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if got := fileOf(t, dir, "result.json"); !strings.Contains(got, `"step_name": "extend"`) {
			t.Errorf("result.json is %s", got)
		}
		h.noSandboxLeft()
	})
}

// Harbor test list #33
func TestASeparateVerifier(t *testing.T) {
	t.Parallel()
	r := recipe{
		solve: "[ ! -e /tests ] || echo saw the tests\nsetsid bash -c 'while :; do echo 0 >/logs/verifier/reward.txt; sleep 0.1; done' >/dev/null 2>&1 &\n" +
			"mkdir -p out; echo right >out/answer; echo secret >/app/secret; ln -s /etc/passwd out/link; ln -s /tests/expected out/stolen\n" +
			"mkdir out/bin; printf '#!/bin/bash\\necho it runs\\n' >out/bin/tool; chmod 755 out/bin/tool; ln -s bin/tool out/tool; ln -s /app/out/answer out/bin/answer\n",
		test: "cat /tests/expected; ls /app /app/out /logs/agent\nsleep 1\n/app/out/tool; cat /app/out/bin/answer\n[ \"$(cat /app/out/answer)\" = right ] && grep -q patched /logs/artifacts/patch && echo 1 >/logs/verifier/reward.txt\n",
		further: `
[[verifier.collect]]
command = "echo patched >/logs/artifacts/patch"
[verifier.environment]
network_mode = "no-network"
workdir = "/app"
[verifier.environment.oddish]
image = "host"
`,
	}
	task := filepath.Join(r.folder(t, "separate"), "separate")
	toml := filepath.Join(task, "task.toml")
	data, err := os.ReadFile(toml)
	if err != nil {
		t.Fatal(err)
	}
	put(t, task, map[string]string{
		"task.toml":        "artifacts = [\"out\"]\n" + string(data),
		"tests/Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\nCOPY . /tests/\n",
		"tests/expected":   "hidden\n",
	})
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		d, trial := h.runOne(task, "oracle", "--max-attempts", "1")
		passed().check(t, trial)
		dir := h.trialDir(d.ExperimentID, trial.Task)
		if got, want := fileOf(t, dir, "verifier/test-stdout.txt"), "hidden\n/app:\nout\n\n/app/out:\nanswer\nbin\ntool\n\n/logs/agent:\nit runs\nright\n"; got != want {
			t.Errorf("the tests saw %q, want %q", got, want)
		}
		if got := fileOf(t, dir, "agent/oracle.txt"); got != "" {
			t.Errorf("the agent said %q", got)
		}
		h.noSandboxLeft()
	})
}

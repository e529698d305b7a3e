package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oddish/api"
)

// What authors of tasks rely on, with tasks that are as small as can be; those that go wrong are in broken_test.go.
//
// Harbor test list #1, #2, #3, #7, #8, #9, #10, #11, #13, #17, #18, #19, #22, #23, #32
func TestTasksAreRunAsTheirAuthorsRelyOn(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		cases := rewardRules()
		maps.Copy(cases, scriptRules())
		maps.Copy(cases, lifeRules())
		newHome(t, kind, "RULES_GIVEN=from the machine").runCases(kind, cases, "--yes")
	})
}

// rewarded looks at all rewards of a trial.
func rewarded(want map[string]float64) func(*testing.T, string, trialOfRun) {
	return func(t *testing.T, _ string, trial trialOfRun) {
		if !maps.Equal(trial.Rewards, want) {
			t.Errorf("%s: rewards %v, want %v", trial.Task, trial.Rewards, want)
		}
	}
}

// testsSaid looks at what the tests wrote.
func testsSaid(want string) func(*testing.T, string, trialOfRun) {
	return func(t *testing.T, dir string, trial trialOfRun) {
		if got := fileOf(t, dir, "verifier/test-stdout.txt"); got != want {
			t.Errorf("%s: test-stdout.txt is %q, want %q", trial.Task, got, want)
		}
	}
}

func rewardRules() map[string]taskCase {
	return map[string]taskCase{
		"reward-of-a-text": {recipe: recipe{test: "echo 1 >/logs/verifier/reward.txt\n"}, want: everywhere(passed()), look: rewarded(map[string]float64{"reward": 1})},
		"rewards-of-json": {
			recipe: recipe{test: "echo '{\"reward\": 0.5, \"style\": 3}' >/logs/verifier/reward.json\n"},
			want:   everywhere(scored(0.5)), look: rewarded(map[string]float64{"reward": 0.5, "style": 3}),
		},
		"json-before-text": {
			recipe: recipe{test: "echo 0 >/logs/verifier/reward.txt; echo '{\"reward\": 1}' >/logs/verifier/reward.json\n"},
			want:   everywhere(passed()),
		},
		"reward-and-status-1": {recipe: recipe{test: passes + "exit 1\n"}, want: everywhere(passed())},
		"reward-below-0":      {recipe: recipe{test: "echo -1 >/logs/verifier/reward.txt\n"}, want: everywhere(scored(-1))},
		"reward-above-1":      {recipe: recipe{test: "echo 2.5 >/logs/verifier/reward.txt\n"}, want: everywhere(scored(2.5))},
	}
}

func scriptRules() map[string]taskCase {
	return map[string]taskCase{
		"tests-in-python": {
			files: map[string]string{"tests/test.sh": "#!/usr/bin/env python3\nopen('/logs/verifier/reward.txt', 'w').write('1')\n"},
			want:  everywhere(passed()),
		},
		"tests-without-the-execute-bit": {plain: "tests/test.sh", want: everywhere(passed())},
		"tests-say-something": {
			recipe: recipe{test: "echo out; echo error >&2; cat /tests/deep/data\n" + passes},
			files:  map[string]string{"tests/deep/data": "data\n"},
			want:   everywhere(passed()), look: testsSaid("out\nerror\ndata\n"),
		},
		"tests-where-the-task-says": {
			recipe: recipe{test: "pwd\n" + passes},
			want:   everywhere(passed()), look: testsSaid("/app\n"),
		},
		"variables-of-the-machine": {
			recipe: recipe{test: "echo $GIVEN, $DEFAULT\n" + passes, further: "[verifier.env]\nGIVEN = \"${RULES_GIVEN}\"\nDEFAULT = \"${RULES_UNSET:-a default}\"\n"},
			want:   everywhere(passed()), look: testsSaid("from the machine, a default\n"),
		},
		"artifacts": {
			recipe: recipe{solve: "mkdir -p out/cache; echo r >report.txt; echo o >out/o; echo c >out/cache/c\n"},
			files: map[string]string{"task.toml": `schema_version = "1.4"
artifacts = ["/app/report.txt", {source = "/app/out", destination = "made", exclude = ["cache"]}, "/app/none.txt", {source = "/app/report.txt", destination = "made/again"}]
[environment]
workdir = "/app"
[environment.oddish]
image = "host"
`},
			want: everywhere(passed()), look: artifactsKept,
		},
	}
}

func artifactsKept(t *testing.T, dir string, _ trialOfRun) {
	var list []struct{ Source, Destination, Type, Status string }
	if err := json.Unmarshal([]byte(fileOf(t, dir, "artifacts/manifest.json")), &list); err != nil {
		t.Fatal(err)
	}
	want := `[{/logs/artifacts artifacts/logs/artifacts directory empty} {/app/report.txt artifacts/app/report.txt file ok} {/app/out artifacts/made directory ok}` +
		` {/app/none.txt artifacts/app/none.txt file failed} {/app/report.txt artifacts/made/again file skipped}]`
	if got := fmt.Sprint(list); got != want {
		t.Errorf("the manifest is\n%s\nwant\n%s", got, want)
	}
	if fileOf(t, dir, "artifacts/app/report.txt") != "r\n" || fileOf(t, dir, "artifacts/made/o") != "o\n" {
		t.Error("what was kept is not what was there")
	}
	if _, err := os.Stat(filepath.Join(dir, "artifacts/made/cache")); err == nil {
		t.Error("what is excluded was kept")
	}
}

func lifeRules() map[string]taskCase {
	return map[string]taskCase{
		"agent-out-of-time": {
			recipe: recipe{agentTimeout: 2, solve: "echo half >work\nsleep 600\n", test: "cat work\n" + passes},
			want:   everywhere(passedDespite("AgentTimeoutError")), look: testsSaid("half\n"),
		},
		"verifier-out-of-time": {
			recipe: recipe{verifierTimeout: 2, test: passes + "echo begun\nsleep 600\n"},
			want:   everywhere(failed("VerifierTimeoutError")), look: testsSaid("begun\n"),
		},
		"start-out-of-time": {
			recipe: recipe{environment: "build_timeout_sec = 0.001\n"},
			want:   everywhere(failed("EnvironmentStartTimeoutError")),
		},
		"healthy-after-a-while": {
			recipe: recipe{
				test: "cat /tmp/tries\n" + passes,
				further: "[environment.healthcheck]\ncommand = \"echo >>/tmp/tries; [ $(wc -l </tmp/tries) = 4 ]\"\n" +
					"retries = 1\nstart_period_sec = 60\nstart_interval_sec = 0.1\n",
			},
			want: everywhere(passed()), look: testsSaid("\n\n\n\n"),
		},
		"users": {
			recipe: recipe{
				user:  "65534",
				solve: "umask 077; id -u >/logs/agent/own; id -u >/logs/artifacts/own\n",
				test:  "umask 077; id -u >/logs/verifier/own\n" + passes,
			},
			want: everywhere(passed()),
			look: func(t *testing.T, dir string, trial trialOfRun) {
				for name, want := range map[string]string{"agent/own": "65534\n", "artifacts/logs/artifacts/own": "65534\n", "verifier/own": "0\n"} {
					if got := fileOf(t, dir, name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
			},
		},
	}
}

// A variable that is nowhere is told by its name before anything starts.
//
// Harbor test list #13
func TestAVariableThatIsNotSetIsNamed(t *testing.T) {
	t.Parallel()
	dir := recipe{further: "[solution.env]\nKEY = \"${RULES_UNSET}\"\n"}.folder(t, "unset")
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		_, trial := h.runOne(dir, "oracle", "--yes")
		failed("ValueError").check(t, trial)
		if m := trial.ErrorMessage; m == nil || !strings.Contains(*m, "RULES_UNSET") {
			t.Errorf("the message is %v", deref(m))
		}
	})
}

// What an image says of itself holds, unless the task says otherwise; of image and Dockerfile the image is taken, unless a build is demanded.
//
// Harbor test list #12, #28, #29
func TestTheImageOfATask(t *testing.T) {
	t.Parallel()
	const says = "#!/bin/bash\npwd; cat extra /made 2>/dev/null\n" + passes
	task := func(environment string, files map[string]string) taskCase {
		files["task.toml"] = "schema_version = \"1.4\"\n[environment]\n" + environment
		files["tests/test.sh"] = says
		return taskCase{files: files, want: everywhere(passed())}
	}
	const dockerfile = "FROM debian:bookworm-slim\nWORKDIR /srv/work\nRUN echo made >/made\n"
	plain := func() map[string]string { return map[string]string{"environment/Dockerfile": dockerfile} }
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		h.baseImage(kind)
		cases := map[string]taskCase{
			"its-own-folder":   task("", plain()),
			"another-folder":   task("workdir = \"/srv\"\n", plain()),
			"image-and-recipe": task("docker_image = \"debian:bookworm-slim\"\n", plain()),
			"image-and-files":  task("docker_image = \"debian:bookworm-slim\"\nworkdir = \"/srv\"\n", map[string]string{"environment/extra": "given\n", "environment/Dockerfile": ""}),
		}
		for name, said := range map[string]string{"its-own-folder": "/srv/work\nmade\n", "another-folder": "/srv\nmade\n", "image-and-recipe": "/\n", "image-and-files": "/srv\ngiven\n"} {
			c := cases[name]
			c.look = testsSaid(said)
			cases[name] = c
		}
		h.runCases(kind, cases)
		built := task("docker_image = \"debian:bookworm-slim\"\n", plain())
		built.look = testsSaid("/srv/work\nmade\n")
		h.runCases(kind, map[string]taskCase{"image-and-recipe": built}, "--force-build")
	})
}

// A run that is cancelled leaves results that say so, and no sandboxes.
//
// Harbor test list #45
func TestACancelledRunLeavesResultsAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := recipe{solve: "echo begun\nsleep 600\n"}.folder(t, "long")
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		run := h.start("run", "-p", dir, "-a", "oracle", "-E", "long")
		h.waitTrial("long", api.StageAgentRunning)
		eventually(t, "the agent's first words", func() bool {
			found, err := filepath.Glob(filepath.Join(h.dir, "blobs", "jobs", "*", "long__*", "agent", "oracle.txt"))
			return err == nil && len(found) == 1 && readFile(t, found[0]) == "begun\n"
		})
		run.signal(syscall.SIGINT)
		run.wait()
		h.ok("cancel", "-e", "long", "--yes")
		var e experiment
		h.ok("status", "-e", "long", "--watch", "--json").decode(t, &e)
		if len(e.Trials) != 1 || e.Trials[0].Status != api.StatusCancelled {
			t.Fatalf("trials are %+v", e.Trials)
		}
		trial := h.trialDir(e.Experiment.ID, "long")
		if got := fileOf(t, trial, "result.json"); !strings.Contains(got, `"exception_type": "CancelledError"`) {
			t.Errorf("result.json is %s", got)
		}
		if got := fileOf(t, trial, "agent/oracle.txt"); got != "begun\n" {
			t.Errorf("the agent's output is %q", got)
		}
		h.noSandboxLeft()
	})
}

// What is secret is in no file that is kept: neither in what a run was told, nor in what a program says.
//
// Harbor test list #52
func TestSecretsAreInNoFileOfATrial(t *testing.T) {
	t.Parallel()
	const given, known = "given-4c1b7a90e2", "known-77ab01c5d3"
	dir := recipe{
		solve: "echo $GIVEN_TOKEN; echo $RULES_TOKEN; echo $GIVEN_TOKEN >/logs/artifacts/kept\n",
		test:  "echo $CHECK_TOKEN\n" + passes, further: "[verifier.env]\nCHECK_TOKEN = \"${RULES_TOKEN}\"\n",
	}.folder(t, "secrets")
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind, "RULES_TOKEN="+known)
		d, trial := h.runOne(dir, "oracle", "--yes", "--ae", "GIVEN_TOKEN="+given, "--ae", "RULES_TOKEN="+known)
		passed().check(t, trial)
		trialDir := h.trialDir(d.ExperimentID, "secrets")
		for name, want := range map[string]string{
			"agent/oracle.txt": "[REDACTED]\n[REDACTED]\n", "artifacts/logs/artifacts/kept": "[REDACTED]\n", "verifier/test-stdout.txt": "[REDACTED]\n",
		} {
			if got := fileOf(t, trialDir, name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if got := fileOf(t, trialDir, "config.json"); !strings.Contains(got, `"${RULES_TOKEN}"`) {
			t.Errorf("config.json does not name the variable: %s", got)
		}
		noFileHolds(t, trialDir, given)
		noFileHolds(t, trialDir, known)
	})
}

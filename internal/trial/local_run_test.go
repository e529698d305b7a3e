package trial

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/result"
)

func test(body string) map[string]string {
	return map[string]string{"tests/test.sh!": "#!/bin/bash\n" + body}
}

// Harbor test list #1, #2, #3, #4, #5, #6, #7, #8
func TestRewards(t *testing.T) {
	t.Parallel()
	const out = " >/logs/verifier/"
	for name, c := range map[string]struct {
		script string
		want   map[string]float64
		err    string
	}{
		"reward.txt with 1":              {"echo 1" + out + "reward.txt", map[string]float64{"reward": 1}, ""},
		"reward.json with two keys":      {`echo '{"a": 0.5, "b": 2}'` + out + "reward.json", map[string]float64{"a": 0.5, "b": 2}, ""},
		"json wins over txt":             {`echo '{"reward": 0.25}'` + out + "reward.json; echo 1" + out + "reward.txt", map[string]float64{"reward": 0.25}, ""},
		"exit status is ignored":         {"echo 1" + out + "reward.txt; exit 1", map[string]float64{"reward": 1}, ""},
		"negative is kept":               {"echo -1" + out + "reward.txt", map[string]float64{"reward": -1}, ""},
		"over one is kept":               {"echo 2.5" + out + "reward.txt", map[string]float64{"reward": 2.5}, ""},
		"zero is a reward":               {"echo 0" + out + "reward.txt", map[string]float64{"reward": 0}, ""},
		"empty file":                     {":" + out + "reward.txt", nil, result.RewardFileEmptyError},
		"no number":                      {"echo abc" + out + "reward.txt", nil, result.VerifierOutputParseError},
		"no file":                        {":", nil, result.RewardFileNotFoundError},
		"not a number":                   {"echo nan" + out + "reward.txt", nil, result.VerifierOutputParseError},
		"infinite":                       {"echo inf" + out + "reward.txt", nil, result.VerifierOutputParseError},
		"nested json":                    {`echo '{"a": {"b": 1}}'` + out + "reward.json", nil, result.VerifierOutputParseError},
		"test removes its own folder":    {"rm -rf /tests; echo 1" + out + "reward.txt", map[string]float64{"reward": 1}, ""},
		"test removes /logs/verifier":    {"rm -rf /logs/verifier", nil, result.RewardFileNotFoundError},
		"a link for a reward is no file": {"echo 1 >/tests/r; ln -s /tests/r /logs/verifier/reward.txt", nil, result.RewardFileNotFoundError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newLocal(t)
			o := Run(t.Context(), config(t, p, writeTask(t, test(c.script))))
			if c.err == "" {
				wantFinish(t, o.Finish, api.StatusSuccess, "", "")
			} else {
				wantFinish(t, o.Finish, api.StatusFailed, c.err, api.ClassResult)
				if !exists(o, result.ExceptionFile) {
					t.Error("there is no exception.txt")
				}
			}
			wantReward(t, o.Finish, c.want)
			if !p.boxes[0].stopped {
				t.Error("the sandbox was not stopped")
			}
			r := readTrial(t, o)
			if got := r.VerifierResult != nil; got != (c.want != nil) {
				t.Errorf("verifier_result present: %v", got)
			}
		})
	}
}

// Harbor test list #9, #10, #11, #12
func TestTestScript(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changes map[string]string
		check   func(t *testing.T, o Outcome, b *localBox)
	}{
		"runs without its execute bit": {
			map[string]string{"tests/test.sh!": "", "tests/test.sh": "#!/bin/bash\necho 1 >/logs/verifier/reward.txt\n"}, nil,
		},
		"runs directly, whatever its interpreter": {
			map[string]string{"tests/test.sh!": "#!/usr/bin/env python3\nopen('/logs/verifier/reward.txt', 'w').write('1')\n"}, nil,
		},
		"has both streams in one file": {
			test("echo out; echo err >&2; echo 1 >/logs/verifier/reward.txt"),
			func(t *testing.T, o Outcome, _ *localBox) {
				if got := readFile(t, o, "verifier/test-stdout.txt"); got != "out\nerr\n" {
					t.Errorf("test-stdout.txt is %q", got)
				}
			},
		},
		"runs in the working directory, with its neighbours in /tests": {
			map[string]string{
				"tests/test.sh!":      "#!/bin/bash\npwd; cat /tests/deep/data.txt; echo 1 >/logs/verifier/reward.txt\n",
				"tests/deep/data.txt": "data\n",
			},
			func(t *testing.T, o Outcome, b *localBox) {
				if got := strings.ReplaceAll(readFile(t, o, "verifier/test-stdout.txt"), b.root, ""); got != "/app\ndata\n" {
					t.Errorf("test-stdout.txt is %q", got)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newLocal(t)
			o := Run(t.Context(), config(t, p, writeTask(t, c.changes)))
			wantFinish(t, o.Finish, api.StatusSuccess, "", "")
			wantReward(t, o.Finish, map[string]float64{"reward": 1})
			if c.check != nil {
				c.check(t, o, p.boxes[0])
			}
		})
	}
}

func TestVerifierSeesNothingThatTheAgentPlanted(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]string{
		"a reward":                  "echo 1 >/logs/verifier/reward.txt; echo '{\"reward\": 1}' >/logs/verifier/reward.json; touch /logs/verifier/.hidden",
		"a link for /logs/verifier": "mkdir /app/mine; echo 1 >/app/mine/reward.txt; rm -rf /logs/verifier; ln -s /app/mine /logs/verifier",
		"files in /tests":           "mkdir -p /tests; echo planted >/tests/conftest.py",
		"a link for /tests":         "mkdir /app/t; echo planted >/app/t/conftest.py; ln -s /app/t /tests",
		"a file for /logs/verifier": "rm -rf /logs/verifier; echo x >/logs/verifier",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := test("ls -A /logs/verifier /tests; [ -e /tests/conftest.py ] && echo 1 >/logs/verifier/reward.txt; exit 0")
			files["solution/solve.sh!"] = "#!/bin/bash\n" + plant + "\n"
			o := Run(t.Context(), config(t, newLocal(t), writeTask(t, files)))
			wantFinish(t, o.Finish, api.StatusFailed, result.RewardFileNotFoundError, api.ClassResult)
		})
	}
}

func TestBackgroundProcessOfTheAgentLivesOnForTheVerifier(t *testing.T) {
	t.Parallel()
	files := test(`
for i in $(seq 100); do [ -s /app/pid ] && break; sleep 0.05; done
if kill "$(cat /app/pid)"; then echo 1; else echo 0; fi >/logs/verifier/reward.txt`)
	files["solution/solve.sh!"] = "#!/bin/bash\nsetsid sleep 60 >/dev/null 2>&1 & echo $! >/app/pid\n"
	o := Run(t.Context(), config(t, newLocal(t), writeTask(t, files)))
	wantReward(t, o.Finish, map[string]float64{"reward": 1})
}

// Harbor test list #13, #14
func TestVerifierEnvironment(t *testing.T) {
	t.Parallel()
	toml := taskFiles(nil)["task.toml"] + "[verifier.env]\nA = \"${HOST_A}\"\nB = \"task\"\nC = \"${UNSET:-fallback}\"\n"
	files := test(`echo "$A $B $C $E"; echo 1 >/logs/verifier/reward.txt`)
	files["task.toml"] = strings.Replace(toml, "[environment.oddish]", "[environment.env]\nE = \"${HOST_E}\"\n[environment.oddish]", 1)
	host := map[string]string{"HOST_A": "from host", "HOST_E": "sandbox"}

	p := newLocal(t)
	c := config(t, p, writeTask(t, files))
	c.Getenv = func(n string) (string, bool) { v, ok := host[n]; return v, ok }
	c.Spec.Harbor.Verifier = &api.VerifierConfig{Env: map[string]string{"B": "run"}}
	o := Run(t.Context(), c)
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	if got := readFile(t, o, "verifier/test-stdout.txt"); got != "from host run fallback sandbox\n" {
		t.Errorf("the tests saw %q", got)
	}

	c = config(t, p, writeTask(t, files))
	c.Getenv = func(n string) (string, bool) { return "x", n == "HOST_E" }
	o = Run(t.Context(), c)
	wantFinish(t, o.Finish, api.StatusFailed, result.ValueError, api.ClassPermanent)
	if !strings.Contains(o.Finish.ErrorMessage, "HOST_A") {
		t.Errorf("the message does not name the variable: %s", o.Finish.ErrorMessage)
	}
	if len(p.boxes) != 1 {
		t.Error("a sandbox was started although a variable is missing")
	}
}

// Harbor test list #15
func TestOracle(t *testing.T) {
	t.Parallel()
	t.Run("runs the solution with its environment and keeps its output", func(t *testing.T) {
		t.Parallel()
		files := map[string]string{
			"task.toml":          taskFiles(nil)["task.toml"] + "[solution.env]\nKIND = \"${SOLUTION_KIND:-gold}\"\nBOTH = \"solution\"\n",
			"solution/solve.sh!": "",
			"solution/solve.sh":  "#!/bin/bash\necho $KIND $BOTH $DEBIAN_FRONTEND; cat /solution/extra.txt; pwd >&2\n",
			"solution/extra.txt": "extra\n",
		}
		p := newLocal(t)
		c := config(t, p, writeTask(t, files))
		c.Spec.AgentConfig.Env = map[string]string{"BOTH": "agent"}
		o := Run(t.Context(), c)
		wantFinish(t, o.Finish, api.StatusSuccess, "", "")
		got := strings.ReplaceAll(readFile(t, o, "agent/oracle.txt"), p.boxes[0].root, "")
		if want := "gold solution noninteractive\nextra\n/app\n"; got != want {
			t.Errorf("oracle.txt is %q, want %q", got, want)
		}
		if exists(o, "agent/exit-code.txt") {
			t.Error("exit-code.txt was written for status 0")
		}
	})
	t.Run("a failing solution is still verified", func(t *testing.T) {
		t.Parallel()
		o := Run(t.Context(), config(t, newLocal(t), writeTask(t, map[string]string{"solution/solve.sh!": "#!/bin/bash\nexit 3\n"})))
		wantFinish(t, o.Finish, api.StatusSuccess, "", "")
		wantReward(t, o.Finish, map[string]float64{"reward": 1})
		if got := readFile(t, o, "agent/exit-code.txt"); got != "3" {
			t.Errorf("exit-code.txt is %q", got)
		}
	})
	t.Run("a missing solution is permanent", func(t *testing.T) {
		t.Parallel()
		p := newLocal(t)
		o := Run(t.Context(), config(t, p, writeTask(t, map[string]string{"solution/solve.sh!": ""})))
		wantFinish(t, o.Finish, api.StatusFailed, result.FileNotFoundError, api.ClassPermanent)
		if !p.boxes[0].stopped {
			t.Error("the sandbox was not stopped")
		}
	})
}

// Harbor test list #16
func TestNopLeavesEverythingUntouched(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	c := config(t, p, writeTask(t, test("ls -A /app /logs/agent /logs/artifacts; [ -e /solution ] && echo solution; echo 0 >/logs/verifier/reward.txt")))
	c.Spec.Agent = "nop"
	o := Run(t.Context(), c)
	wantReward(t, o.Finish, map[string]float64{"reward": 0})
	got := strings.ReplaceAll(readFile(t, o, "verifier/test-stdout.txt"), p.boxes[0].root, "")
	if want := "/app:\n\n/logs/agent:\n\n/logs/artifacts:\n"; got != want {
		t.Errorf("the tests saw %q, want %q", got, want)
	}
}

// Harbor test list #23
func TestUsers(t *testing.T) {
	t.Parallel()
	toml := taskFiles(nil)["task.toml"] + "[agent]\nuser = \"worker\"\n[verifier]\nuser = 1000\n"
	p := newLocal(t)
	o := Run(t.Context(), config(t, p, writeTask(t, map[string]string{"task.toml": toml})))
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	if want := []string{"agent=worker", "verifier's user=1000", "empty=0", "verifier=1000"}; !slices.Equal(p.boxes[0].users, want) {
		t.Errorf("commands and users are %v, want %v", p.boxes[0].users, want)
	}
	info, err := os.Stat(filepath.Join(o.Dir, "verifier/reward.txt"))
	if err != nil || info.Mode().Perm()&0o444 != 0o444 {
		t.Errorf("reward.txt cannot be read by others: %v %v", info, err)
	}
}

// Harbor test list #17, #18
func TestTimeouts(t *testing.T) {
	t.Parallel()
	t.Run("an agent out of time is still verified", func(t *testing.T) {
		t.Parallel()
		files := test("cat /app/partial; echo 0.5 >/logs/verifier/reward.txt")
		files["solution/solve.sh!"] = "#!/bin/bash\necho half >/app/partial\nsleep 60 & wait\n"
		c := config(t, newLocal(t), writeTask(t, files))
		c.Spec.AgentConfig.OverrideTimeoutSec = ptr(0.5)
		o := Run(t.Context(), c)
		wantFinish(t, o.Finish, api.StatusSuccess, result.AgentTimeoutError, api.ClassResult)
		wantReward(t, o.Finish, map[string]float64{"reward": 0.5})
		r := readTrial(t, o)
		if r.ExceptionInfo == nil || r.ExceptionInfo.Type != result.AgentTimeoutError || r.VerifierResult == nil {
			t.Errorf("result has exception %v and verifier result %v, want both", r.ExceptionInfo, r.VerifierResult)
		}
	})
	t.Run("tests out of time give no reward", func(t *testing.T) {
		t.Parallel()
		c := config(t, newLocal(t), writeTask(t, test("echo 1 >/logs/verifier/reward.txt; echo begun; sleep 60 & wait")))
		c.Spec.Harbor.Verifier = &api.VerifierConfig{OverrideTimeoutSec: ptr(0.5)}
		begun := time.Now()
		o := Run(t.Context(), c)
		wantFinish(t, o.Finish, api.StatusFailed, result.VerifierTimeoutError, api.ClassResult)
		wantReward(t, o.Finish, nil)
		if got := readFile(t, o, "verifier/test-stdout.txt"); got != "begun\n" {
			t.Errorf("test-stdout.txt is %q", got)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("the trial took %s", took)
		}
	})
}

// Harbor test list #32
func TestArtifacts(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"task.toml": `artifacts = ["/app/report.txt", "out", {source = "/app/dir", destination = "renamed", exclude = ["*.pyc", "cache"]}, "/app/missing.txt", "/app/report.txt/sub", "/app/nothing"]` + "\n" + taskFiles(nil)["task.toml"],
		"solution/solve.sh!": `#!/bin/bash
cd /app
echo report >report.txt
mkdir -p out dir/cache dir/sub
echo o >out/o.txt
touch dir/a.py dir/a.pyc dir/sub/b.pyc dir/cache/c.txt
ln -s /etc/passwd dir/passwd
`,
	}
	c := config(t, newLocal(t), writeTask(t, files))
	c.Spec.Harbor.Artifacts = []api.Artifact{{Source: "/app/out/o.txt", Destination: "mine/o.txt"}, {Source: "/app/other", Destination: "renamed"}}
	o := Run(t.Context(), c)
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	var got []manifestEntry
	if err := json.Unmarshal([]byte(readFile(t, o, "artifacts/manifest.json")), &got); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range got {
		lines = append(lines, strings.Join([]string{e.Source, e.Destination, e.Type, e.Status}, " "))
	}
	want := []string{
		"/logs/artifacts artifacts/logs/artifacts directory empty",
		"/app/report.txt artifacts/app/report.txt file ok",
		"out artifacts/out directory ok",
		"/app/dir artifacts/renamed directory ok",
		"/app/missing.txt artifacts/app/missing.txt file failed",
		"/app/report.txt/sub artifacts/app/report.txt/sub directory skipped",
		"/app/nothing artifacts/app/nothing file failed",
		"/app/out/o.txt artifacts/mine/o.txt file ok",
		"/app/other artifacts/renamed directory skipped",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("manifest is\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	for name, there := range map[string]bool{
		"artifacts/app/report.txt": true, "artifacts/out/o.txt": true, "artifacts/mine/o.txt": true,
		"artifacts/renamed/a.py": true, "artifacts/renamed/a.pyc": false, "artifacts/renamed/sub/b.pyc": false,
		"artifacts/renamed/cache": false, "artifacts/renamed/passwd": false,
	} {
		if exists(o, name) != there {
			t.Errorf("%s exists: %v, want %v", name, !there, there)
		}
	}
	if log := readFile(t, o, "trial.log"); !strings.Contains(log, "passwd") {
		t.Error("trial.log does not tell of the link that was left out")
	}
}

// Harbor test list #28
func TestEnvironmentFilesAreUploaded(t *testing.T) {
	t.Parallel()
	const listing = "ls -A /app; echo 1 >/logs/verifier/reward.txt"
	for name, c := range map[string]struct {
		toml    string
		changes map[string]string
		want    string
	}{
		"host image: all but what builds an image": {
			taskFiles(nil)["task.toml"],
			map[string]string{"environment/data.txt": "x", "environment/.dockerignore": "x"}, "data.txt\n",
		},
		"prebuilt image without Dockerfile": {
			"[environment]\ndocker_image = \"debian\"\n",
			map[string]string{"environment/Dockerfile": "", "environment/data.txt": "x"}, "data.txt\n",
		},
		"prebuilt image with Dockerfile": {
			"[environment]\ndocker_image = \"debian\"\n", map[string]string{"environment/data.txt": "x"}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.changes["task.toml"] = c.toml
			c.changes["tests/test.sh!"] = "#!/bin/bash\n" + listing + "\n"
			cfg := config(t, newLocal(t), writeTask(t, c.changes))
			cfg.Spec.Agent = "nop"
			o := Run(t.Context(), cfg)
			wantFinish(t, o.Finish, api.StatusSuccess, "", "")
			if got := readFile(t, o, "verifier/test-stdout.txt"); got != c.want {
				t.Errorf("the working directory has %q, want %q", got, c.want)
			}
		})
	}
}

func TestLiveOutputGrowsInTheTrialDirectory(t *testing.T) {
	t.Parallel()
	c := config(t, newLocal(t), writeTask(t, nil))
	s := &stages{}
	var during string
	s.hook = func(stage api.Stage) {
		if stage == api.StageVerification { // the agent's folder has been fetched by now
			data, err := os.ReadFile(filepath.Join(c.Dir, c.Spec.TrialName, "agent/oracle.txt"))
			if err != nil {
				t.Error(err)
			}
			during = string(data)
		}
	}
	c.Stage = s.add
	o := Run(context.Background(), c)
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	if during != "solved\n" {
		t.Errorf("oracle.txt was %q before the end", during)
	}
	if want := "trial_started environment_setup agent_running verification completed"; s.String() != want {
		t.Errorf("stages are %q, want %q", s, want)
	}
}

package task

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestATaskWithoutStepsIsOnePart(t *testing.T) {
	t.Parallel()
	tk, err := Load(makeTask(t, map[string]string{"task.toml": "[agent]\ntimeout_sec = 5\nuser = \"a\"\n[verifier]\nenv = {A = \"1\"}\n"}))
	if err != nil {
		t.Fatal(err)
	}
	parts := tk.Parts()
	if len(parts) != 1 {
		t.Fatalf("%d parts", len(parts))
	}
	p := parts[0]
	if p.Name != "" || p.Instruction != tk.Instruction || p.AgentTimeout() != 5*time.Second || p.VerifierTimeout() != DefaultVerifierTimeout || p.Agent.User != "a" {
		t.Errorf("part is %+v", p)
	}
	if p.Verifier.EnvironmentMode != ModeShared || p.Verifier.Environment != nil || !reflect.DeepEqual(p.Tests, []string{tk.TestsDir()}) || p.Solution != tk.SolutionDir() {
		t.Errorf("verifier is %+v, tests %q, solution %q", p.Verifier, p.Tests, p.Solution)
	}
}

func TestAStepTakesOverWhatItDoesNotSay(t *testing.T) {
	t.Parallel()
	tk, err := Load(makeTask(t, map[string]string{
		"task.toml": `
[agent]
timeout_sec = 10
user = "worker"
network_mode = "no-network"
[verifier]
timeout_sec = 20
user = "judge"
env = {A = "task", B = "task"}
[[verifier.collect]]
command = "first"
[[steps]]
name = "one"
[[steps]]
name = "two"
min_reward = 0.5
artifacts = ["/app/x"]
[steps.agent]
timeout_sec = 1
user = 7
network_mode = "public"
[steps.verifier]
timeout_sec = 2
user = "root"
env = {B = "step"}
[[steps.verifier.collect]]
command = "second"
`,
		"steps/one/instruction.md":    "# canary\n\nOne.\n",
		"steps/two/instruction.md":    "Two.\n",
		"steps/two/tests/extra.txt":   "x",
		"steps/two/solution/solve.sh": "x",
		"steps/two/workdir/a":         "x",
	}))
	if err != nil {
		t.Fatal(err)
	}
	parts := tk.Parts()
	one, two := parts[0], parts[1]
	if one.Name != "one" || one.Instruction != "One.\n" || one.AgentTimeout() != 10*time.Second || one.VerifierTimeout() != 20*time.Second ||
		one.Agent.User != "worker" || one.Verifier.User != "judge" || one.Agent.Network.Mode != NetworkNone || len(one.Verifier.Collect) != 1 ||
		one.Verifier.Env["B"] != "task" || one.Workdir != "" || one.Solution != tk.SolutionDir() || len(one.Tests) != 1 {
		t.Errorf("the first step is %+v", one)
	}
	if two.AgentTimeout() != time.Second || two.VerifierTimeout() != 2*time.Second || two.Agent.User != "7" || two.Verifier.User != "root" ||
		two.Agent.Network.Mode != NetworkPublic || two.Verifier.Env["A"] != "task" || two.Verifier.Env["B"] != "step" || two.MinReward["reward"] != 0.5 || len(two.Artifacts) != 1 {
		t.Errorf("the second step is %+v", two)
	}
	if len(two.Verifier.Collect) != 2 || two.Verifier.Collect[1].Command != "second" {
		t.Errorf("its collect commands are %+v", two.Verifier.Collect)
	}
	dir := tk.StepDir("two")
	if two.Workdir != filepath.Join(dir, "workdir") || two.Solution != filepath.Join(dir, "solution") ||
		!reflect.DeepEqual(two.Tests, []string{tk.TestsDir(), filepath.Join(dir, "tests")}) {
		t.Errorf("its folders are %q, %q, %q", two.Workdir, two.Solution, two.Tests)
	}
}

func TestWhereTheVerifierOfAStepRuns(t *testing.T) {
	t.Parallel()
	const steps = "[[steps]]\nname = \"a\"\n"
	for name, c := range map[string]struct {
		toml  string
		mode  string
		image string // of the verifier's environment
		own   bool
	}{
		"in the agent's sandbox":                   {steps, ModeShared, "", false},
		"in the task's":                            {"[verifier.environment]\ndocker_image = \"v\"\n" + steps, ModeSeparate, "v", true},
		"in its own":                               {"[verifier.environment]\ndocker_image = \"v\"\n" + steps + "[steps.verifier.environment]\ndocker_image = \"s\"\n", ModeSeparate, "s", true},
		"in the agent's after all":                 {"[verifier.environment]\ndocker_image = \"v\"\n" + steps + "[steps.verifier]\nenvironment_mode = \"shared\"\n", ModeShared, "", false},
		"in a copy of the agent's":                 {"[environment]\ndocker_image = \"e\"\n" + steps + "[steps.verifier]\nenvironment_mode = \"separate\"\n", ModeSeparate, "e", false},
		"in a copy of the agent's, for every step": {"[verifier]\nenvironment_mode = \"separate\"\n[environment]\ndocker_image = \"e\"\n" + steps, ModeSeparate, "e", false},
	} {
		tk, err := Load(makeTask(t, map[string]string{"task.toml": c.toml, "steps/a/instruction.md": "x"}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p := tk.Parts()[0]
		if p.Verifier.EnvironmentMode != c.mode || (p.Verifier.Environment != nil) != (c.mode == ModeSeparate) || p.OwnEnvironment != c.own {
			t.Errorf("%s: verifier is %+v, own %v", name, p.Verifier, p.OwnEnvironment)
		}
		if e := p.Verifier.Environment; e != nil && e.DockerImage != c.image {
			t.Errorf("%s: image is %q", name, e.DockerImage)
		}
	}
}

func TestTheContextOfASeparateVerifierIsTheNearestFolderWithTests(t *testing.T) {
	t.Parallel()
	tk, err := Load(makeTask(t, map[string]string{
		"task.toml":              "[verifier]\nenvironment_mode = \"separate\"\n[[steps]]\nname = \"a\"\n[[steps]]\nname = \"b\"\n",
		"steps/a/instruction.md": "x", "steps/b/instruction.md": "x", "steps/b/tests/Dockerfile": "FROM scratch\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	a, b := tk.Parts()[0], tk.Parts()[1]
	if a.VerifierContext != tk.TestsDir() || b.VerifierContext != filepath.Join(tk.StepDir("b"), "tests") {
		t.Errorf("contexts are %q and %q", a.VerifierContext, b.VerifierContext)
	}
	one, err1 := tk.VerifierDigest(&a)
	two, err2 := tk.VerifierDigest(&b)
	if err1 != nil || err2 != nil || one == two || len(one) != 32 {
		t.Errorf("digests are %q, %v and %q, %v", one, err1, two, err2)
	}
}

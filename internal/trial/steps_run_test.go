package trial

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/fake"
)

const hostImage = "[environment.oddish]\nimage = \"host\"\n"

// stepsTask is a task with the steps one and two; toml comes before them, and of each step the text after its name.
func stepsTask(t testing.TB, toml, one, two string, changes map[string]string) string {
	t.Helper()
	files := map[string]string{
		"task.toml":                toml + hostImage + "[[steps]]\nname = \"one\"\n" + one + "[[steps]]\nname = \"two\"\n" + two,
		"instruction.md":           "",
		"solution/solve.sh!":       "",
		"steps/one/instruction.md": "First.\n", "steps/two/instruction.md": "Second.\n",
		"steps/one/solution/solve.sh!": "#!/bin/bash\necho one; echo 1 >/app/done\n",
		"steps/two/solution/solve.sh!": "#!/bin/bash\necho two; echo 2 >>/app/done\n",
		"tests/test.sh!":               "#!/bin/bash\nwc -l </app/done >/logs/verifier/reward.txt\n",
	}
	maps.Copy(files, changes)
	return writeTask(t, files)
}

// Harbor test list #35
func TestTheRewardOfATaskWithSteps(t *testing.T) {
	t.Parallel()
	const write = "#!/bin/bash\necho '%' >/logs/verifier/reward.json\n"
	reward := func(json string) string { return strings.Replace(write, "%", json, 1) }
	for name, c := range map[string]struct {
		strategy, gate string
		one, two       string // what the tests of the steps write
		want           map[string]float64
		steps          int
	}{
		"is the mean of its steps":          {"", "", `{"reward": 1}`, `{"reward": 0}`, map[string]float64{"reward": 0.5}, 2},
		"is the mean for each name":         {"mean", "", `{"a": 1, "b": 0.5}`, `{"a": 0.5}`, map[string]float64{"a": 0.75, "b": 0.25}, 2},
		"is that of the last":               {"final", "", `{"a": 1, "b": 0.5}`, `{"a": 0.25}`, map[string]float64{"a": 0.25}, 2},
		"ends at a step below its minimum":  {"", "min_reward = 0.6\n", `{"reward": 0.5}`, `{"reward": 1}`, map[string]float64{"reward": 0.5}, 1},
		"goes on at the minimum":            {"", "min_reward = 0.5\n", `{"reward": 0.5}`, `{"reward": 1}`, map[string]float64{"reward": 0.75}, 2},
		"ends where a minimum is not named": {"final", "min_reward = {a = 0.5, b = 0.5}\n", `{"a": 1}`, `{"a": 1}`, map[string]float64{"a": 1}, 1},
		"ends below one of several minima":  {"final", "min_reward = {a = 0.5, b = 0.5}\n", `{"a": 1, "b": 0}`, `{"a": 1}`, map[string]float64{"a": 1, "b": 0}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			toml := ""
			if c.strategy != "" {
				toml = "multi_step_reward_strategy = \"" + c.strategy + "\"\n"
			}
			dir := stepsTask(t, toml, c.gate, "", map[string]string{"steps/one/tests/test.sh!": reward(c.one), "steps/two/tests/test.sh!": reward(c.two)})
			o := Run(t.Context(), config(t, newLocal(t), dir))
			wantFinish(t, o.Finish, api.StatusSuccess, "", "")
			wantReward(t, o.Finish, c.want)
			r := readTrial(t, o)
			if r.VerifierResult == nil || !maps.Equal(r.VerifierResult.Rewards, c.want) || len(r.StepResults) != c.steps {
				t.Errorf("result is %+v with %d steps", r.VerifierResult, len(r.StepResults))
			}
		})
	}
}

// Harbor test list #35
func TestEachStepLeavesItsOwnFolders(t *testing.T) {
	t.Parallel()
	o := Run(t.Context(), config(t, newLocal(t), stepsTask(t, "artifacts = [\"/app/done\"]\n", "artifacts = [\"/app/none\"]\n", "", nil)))
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	wantReward(t, o.Finish, map[string]float64{"reward": 1.5})
	for name, want := range map[string]string{
		"steps/one/agent/oracle.txt": "one\n", "steps/two/agent/oracle.txt": "two\n",
		"steps/one/verifier/reward.txt": "1\n", "steps/two/verifier/reward.txt": "2\n",
		"steps/one/artifacts/app/done": "1\n", "steps/two/artifacts/app/done": "1\n2\n",
	} {
		if got := readFile(t, o, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"agent", "verifier", "artifacts"} {
		if exists(o, name) {
			t.Errorf("there is %s, of no step", name)
		}
	}
	var of []string
	for _, step := range []string{"one", "two"} {
		var manifest []manifestEntry
		if err := json.Unmarshal([]byte(readFile(t, o, "steps/"+step+"/artifacts/manifest.json")), &manifest); err != nil {
			t.Fatal(err)
		}
		for _, e := range manifest {
			of = append(of, step+" "+e.Source+" "+e.Status)
		}
	}
	if want := []string{"one /logs/artifacts empty", "one /app/done ok", "one /app/none failed", "two /logs/artifacts empty", "two /app/done ok"}; !slices.Equal(of, want) {
		t.Errorf("the manifests have %q", of)
	}
	r := readTrial(t, o)
	if r.VerifierEnvironmentMode != nil || !strings.Contains(readFile(t, o, "lock.json"), `"environment_mode": null`) {
		t.Errorf("the mode of the verifiers is %v, and Harbor tells none where each step has its own", r.VerifierEnvironmentMode)
	}
	if r.AgentResult != nil || r.AgentExecution != nil || r.Verifier != nil || r.AgentSetup == nil || len(r.StepResults) != 2 {
		t.Fatalf("result is %+v", r)
	}
	for i, s := range r.StepResults {
		if s.Name != []string{"one", "two"}[i] || s.AgentResult == nil || s.AgentExecution == nil || s.Verifier == nil || s.VerifierResult.Rewards["reward"] != float64(i+1) || s.ExceptionInfo != nil {
			t.Errorf("step %d is %+v", i, s)
		}
	}
	for _, phase := range []string{"agent_execution", "verifier"} {
		if p := o.Finish.Phases[phase]; !p.StartedAt.Equal(*timingOf(r.StepResults[0], phase).StartedAt) || !p.FinishedAt.Equal(*timingOf(r.StepResults[1], phase).FinishedAt) {
			t.Errorf("phase %s is %+v", phase, p)
		}
	}
}

func timingOf(s result.Step, phase string) *result.Timing {
	if phase == "verifier" {
		return s.Verifier
	}
	return s.AgentExecution
}

// Harbor test list #36
func TestTheTestsOfAStepAreLaidOverTheTasks(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	o := Run(t.Context(), config(t, p, stepsTask(t, "", "", "", map[string]string{
		"tests/test.sh!":          "#!/bin/bash\ncat /tests/*.txt; cat /tests/common >/logs/verifier/reward.txt\n",
		"tests/common":            "1",
		"steps/one/tests/one.txt": "one\n",
		"steps/two/tests/two.txt": "two\n",
		"steps/two/tests/common":  "5",
	})))
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	wantReward(t, o.Finish, map[string]float64{"reward": 3})
	if one, two := readFile(t, o, "steps/one/verifier/test-stdout.txt"), readFile(t, o, "steps/two/verifier/test-stdout.txt"); one != "one\n" || two != "two\n" {
		t.Errorf("the tests saw %q, and then %q", one, two)
	}
}

func TestAStepBeginsWithoutWhatTheOneBeforeLeftToTheHarness(t *testing.T) {
	t.Parallel()
	o := Run(t.Context(), config(t, newLocal(t), stepsTask(t, "", "", "", map[string]string{
		"tests/hidden":                 "x",
		"tests/test.sh!":               "#!/bin/bash\necho 1 >/logs/verifier/reward.txt\n",
		"steps/one/solution/solve.sh!": "#!/bin/bash\ntouch /app/kept /logs/artifacts/left /logs/agent/.log\n",
		"steps/two/solution/solve.sh!": "#!/bin/bash\nls -A /app /logs/agent /logs/artifacts /logs/verifier; ls /tests; ls /solution\n",
	})))
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	got := readFile(t, o, "steps/two/agent/oracle.txt")
	if strings.Contains(got, "hidden") || strings.Contains(got, "reward.txt") || strings.Contains(got, "left") || strings.Contains(got, ".log") || !strings.Contains(got, "kept") {
		t.Errorf("the second step saw %s", got)
	}
}

func TestTheFilesOfAStepComeIntoTheWorkingDirectoryAndAreSetUp(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	o := Run(t.Context(), config(t, p, stepsTask(t, "", "", "", map[string]string{
		"tests/test.sh!":               "#!/bin/bash\ncat /app/made >/logs/verifier/reward.txt\n",
		"steps/two/workdir/setup.sh":   "pwd; cp data/in made\n",
		"steps/two/workdir/data/in":    "7\n",
		"steps/one/solution/solve.sh!": "#!/bin/bash\necho 1 >/app/made\n",
		"steps/two/solution/solve.sh!": "#!/bin/bash\n:\n",
	})))
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	wantReward(t, o.Finish, map[string]float64{"reward": 4})
	if got := readFile(t, o, "steps/two/agent/step-setup.txt"); strings.ReplaceAll(got, p.boxes[0].root, "") != "/app\n" {
		t.Errorf("setup.sh said %q", got)
	}
	if exists(o, "steps/one/agent/step-setup.txt") {
		t.Error("the first step was set up, but has no setup.sh")
	}
}

// Harbor test list #35
func TestAFailingSetupEndsTheSteps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step  string
		class api.ErrorClass
		want  map[string]float64
	}{
		"of the first, before the agent worked": {"one", api.ClassInfrastructure, nil},
		"of the second":                         {"two", api.ClassResult, map[string]float64{"reward": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newLocal(t)
			o := Run(t.Context(), config(t, p, stepsTask(t, "", "", "", map[string]string{"steps/" + c.step + "/workdir/setup.sh": "echo no luck; exit 3\n"})))
			wantFinish(t, o.Finish, api.StatusFailed, result.StepSetupError, c.class)
			wantReward(t, o.Finish, c.want)
			if !strings.Contains(o.Finish.ErrorMessage, "setup.sh of step "+c.step+" ended with status 3") {
				t.Errorf("message is %q", o.Finish.ErrorMessage)
			}
			r := readTrial(t, o)
			last := r.StepResults[len(r.StepResults)-1]
			if last.Name != c.step || last.ExceptionInfo == nil || last.ExceptionInfo.Type != result.StepSetupError || last.AgentResult != nil || last.VerifierResult != nil {
				t.Errorf("the step is %+v", last)
			}
			if got := readFile(t, o, "steps/"+c.step+"/agent/step-setup.txt"); got != "no luck\n" {
				t.Errorf("its output is %q", got)
			}
			if !p.boxes[0].stopped {
				t.Error("the sandbox was not stopped")
			}
		})
	}
}

func TestErrorsInSteps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		one, two string // after the names of the steps
		changes  map[string]string
		outcome  api.Status
		err      string
		class    api.ErrorClass
		want     map[string]float64
		steps    []string // the exceptions of the steps
	}{
		"an agent out of time is verified, and the next step is run": {
			one: "[steps.agent]\ntimeout_sec = 0.5\n", changes: map[string]string{"steps/one/solution/solve.sh!": "#!/bin/bash\necho 1 >/app/done; sleep 60\n"},
			outcome: api.StatusSuccess, err: result.AgentTimeoutError, class: api.ClassResult, want: map[string]float64{"reward": 1.5}, steps: []string{result.AgentTimeoutError, ""},
		},
		"a step without a solution is verified, and the next step is run": {
			changes: map[string]string{"steps/one/solution/solve.sh!": "", "steps/one/workdir/done": "x\n"},
			outcome: api.StatusFailed, err: result.FileNotFoundError, class: api.ClassPermanent, want: map[string]float64{"reward": 1.5}, steps: []string{result.FileNotFoundError, ""},
		},
		"a step without a reward is the last": {
			changes: map[string]string{"steps/one/tests/test.sh!": "#!/bin/bash\n:\n"},
			outcome: api.StatusFailed, err: result.RewardFileNotFoundError, class: api.ClassResult, steps: []string{result.RewardFileNotFoundError},
		},
		"a verifier out of time leaves the rewards of the steps before": {
			two: "[steps.verifier]\ntimeout_sec = 0.5\n", changes: map[string]string{"steps/two/tests/test.sh!": "#!/bin/bash\nsleep 60\n"},
			outcome: api.StatusFailed, err: result.VerifierTimeoutError, class: api.ClassResult, want: map[string]float64{"reward": 1}, steps: []string{"", result.VerifierTimeoutError},
		},
		"a healthcheck that fails is what the agent left": {
			two:     "[steps.healthcheck]\ncommand = \"false\"\nretries = 1\n",
			outcome: api.StatusFailed, err: result.HealthcheckError, class: api.ClassResult, want: map[string]float64{"reward": 1}, steps: []string{"", result.HealthcheckError},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Run(t.Context(), config(t, newLocal(t), stepsTask(t, "", c.one, c.two, c.changes)))
			wantFinish(t, o.Finish, c.outcome, c.err, c.class)
			wantReward(t, o.Finish, c.want)
			var got []string
			for _, s := range readTrial(t, o).StepResults {
				if s.ExceptionInfo == nil {
					got = append(got, "")
				} else {
					got = append(got, s.ExceptionInfo.Type)
				}
			}
			if !slices.Equal(got, c.steps) {
				t.Errorf("the steps have the errors %q, want %q", got, c.steps)
			}
		})
	}
}

func TestStepsHaveUsersVariablesAndTheirOwn(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	toml := "[agent]\nuser = \"worker\"\n[verifier.env]\nA = \"task\"\nB = \"task\"\n"
	o := Run(t.Context(), config(t, p, stepsTask(t, toml, "", "[steps.agent]\nuser = \"other\"\n[steps.verifier]\nuser = \"0\"\nenv = {B = \"step\"}\n", map[string]string{
		"tests/test.sh!": "#!/bin/bash\necho $A $B\necho 1 >/logs/verifier/reward.txt\n",
	})))
	// The machine of the tests has no such users: what matters is who was asked for.
	_ = o
	var agents []string
	for _, u := range p.boxes[0].users {
		if strings.HasPrefix(u, "agent=") || strings.HasPrefix(u, "verifier=") {
			agents = append(agents, u)
		}
	}
	if want := []string{"agent=worker", "verifier=", "agent=other", "verifier=0"}; !slices.Equal(agents, want) {
		t.Errorf("users are %q, want %q", agents, want)
	}
	if one, two := readFile(t, o, "steps/one/verifier/test-stdout.txt"), readFile(t, o, "steps/two/verifier/test-stdout.txt"); one != "task task\n" || two != "task step\n" {
		t.Errorf("the verifiers saw %q and %q", one, two)
	}
}

func TestWithoutVerificationEveryStepIsRun(t *testing.T) {
	t.Parallel()
	c := config(t, newLocal(t), stepsTask(t, "", "min_reward = 1\n", "", nil))
	c.Spec.Harbor.Verifier = &api.VerifierConfig{Disable: ptr(true)}
	o := Run(t.Context(), c)
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	if r := readTrial(t, o); len(r.StepResults) != 2 || r.VerifierResult != nil {
		t.Errorf("result is %+v", r)
	}
}

// counting is an agent that tells which step it was made for, by the folder for its state.
type counting struct {
	state string
	told  *[]string
}

func (counting) Name() string    { return "counting" }
func (counting) Version() string { return "1" }
func (c counting) Setup(context.Context, agent.Env) error {
	*c.told = append(*c.told, "setup "+c.state)
	return nil
}
func (c counting) Run(_ context.Context, env agent.Env, instruction string) error {
	*c.told = append(*c.told, "run "+c.state+" "+strings.TrimSpace(instruction))
	return nil
}

// Harbor test list #37
func TestEachStepHasAnAgentOfItsOwnThatIsSetUpOnce(t *testing.T) {
	t.Parallel()
	p := fake.New()
	c := config(t, p, stepsTask(t, "", "", "", nil))
	c.Spec.Harbor.ExtraInstructions = []string{"Be quick.", "Be kind."}
	r := newRun(c)
	var told []string
	r.newAgent = func(_ string, o agent.Options) (agent.Agent, error) {
		return counting{filepath.Base(o.State), &told}, nil
	}
	wantFinish(t, r.run(t.Context()).Finish, api.StatusSuccess, "", "")
	if want := []string{"setup 1", "run 1 First.\n\n\nBe quick.\n\nBe kind.", "run 2 Second.\n\n\nBe quick.\n\nBe kind."}; !slices.Equal(told, want) {
		t.Errorf("it was told %q", told)
	}
}

func TestStepsTogetherUseWhatTheGatewayCounts(t *testing.T) {
	t.Parallel()
	m := &fakeModels{}
	c := config(t, fake.New(), stepsTask(t, "", "", "", nil))
	c.Models, c.Spec.Agent, c.Spec.Model = m, "caller", "openai/gpt-5"
	r := newRun(c)
	r.newAgent = func(string, agent.Options) (agent.Agent, error) {
		return caller{run: func(agent.Env) error {
			m.usage = api.Usage{InputTokens: ptr(int64(m.opened * 10)), CostUSD: ptr(float64(m.opened))} // of all sessions so far
			return nil
		}}, nil
	}
	o := r.run(t.Context())
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	if m.opened != 2 || m.closed != 2 || m.request.Step != 2 {
		t.Errorf("it was opened %d times and closed %d times, the last for step %d", m.opened, m.closed, m.request.Step)
	}
	if *o.Finish.InputTokens != 20 || *o.Finish.CostUSD != 2 || o.Finish.OutputTokens != nil {
		t.Errorf("the trial used %+v", o.Finish)
	}
	for _, s := range readTrial(t, o).StepResults {
		if a := s.AgentResult; a == nil || *a.InputTokens != 10 || *a.CostUSD != 1 || a.OutputTokens != nil {
			t.Errorf("step %s used %+v", s.Name, a)
		}
	}
}

// longSteps is a task of two steps with every phase, in a sandbox that takes its time.
func longSteps(t *testing.T, toml, two string) (Config, *mortal) {
	t.Helper()
	m := &mortal{Provider: fake.New()}
	dir := stepsTask(t, "[agent]\ntimeout_sec = 600\n[environment]\nworkdir = \"/app\"\n"+toml, "", two, map[string]string{
		"steps/two/workdir/setup.sh": ":\n", "tests/Dockerfile": "FROM scratch\n",
	})
	c := config(t, m, dir)
	c.Spec.Harbor.Environment = &api.EnvironmentConfig{Kwargs: map[string]string{"start_duration": "5s", "duration": "60s", "verify_duration": "20s", "reward": "1"}}
	return c, m
}

func TestATaskWithStepsGoesOnWhereADeadProcessLeftIt(t *testing.T) {
	t.Parallel()
	for _, die := range []string{
		"start", "upload /solution", "run agent-1", "in agent-1", "ran agent-1", "upload /tests", "run verifier-1", "in verifier-1", "ran verifier-1",
		"exec reset", "upload /app", "run setup-2", "ran setup-2", "run agent-2", "in agent-2", "ran agent-2", "run verifier-2", "in verifier-2", "stop", "stopped",
	} {
		t.Run("killed at "+die, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, m := longSteps(t, "", "")
				m.die = []string{die}
				begun := time.Now()
				o := survived(t, c)
				wantFinish(t, o.Finish, api.StatusSuccess, "", "")
				wantReward(t, o.Finish, map[string]float64{"reward": 1})
				if len(m.die) > 0 {
					t.Fatalf("it was not killed; calls: %v", m.calls)
				}
				if m.Provider.Started() != 1 || m.Running() != 0 {
					t.Errorf("%d sandboxes were started and %d are left", m.Provider.Started(), m.Running())
				}
				r := readTrial(t, o)
				if len(r.StepResults) != 2 || r.StartedAt.Sub(begun) > 10*time.Second {
					t.Fatalf("result is %+v", r)
				}
				for _, s := range r.StepResults {
					if p, ok := s.AgentExecution.Phase(); !ok || p.DurationSec < 60 || p.DurationSec > 67 {
						t.Errorf("the agent of step %s took %+v", s.Name, p)
					}
					if p, ok := s.Verifier.Phase(); !ok || p.DurationSec < 20 || p.DurationSec > 27 {
						t.Errorf("the verifier of step %s took %+v", s.Name, p)
					}
					for name, want := range map[string]string{"agent/oracle.txt": "fake agent started\n", "verifier/reward.txt": "1\n"} {
						if got := readFile(t, o, "steps/"+s.Name+"/"+name); got != want {
							t.Errorf("%s of step %s is %q", name, s.Name, got)
						}
					}
				}
			})
		})
	}
}

func TestAStepThatIsOverStandsAlsoWhenTheNextIsTakenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, m := longSteps(t, "", "")
		c.Spec.AgentConfig.OverrideTimeoutSec = ptr(30.0) // both agents run out of time
		m.die = []string{"in agent-2", "in verifier-2"}
		o := survived(t, c)
		wantFinish(t, o.Finish, api.StatusSuccess, result.AgentTimeoutError, api.ClassResult)
		r := readTrial(t, o)
		for _, s := range r.StepResults {
			if s.ExceptionInfo == nil || s.ExceptionInfo.Type != result.AgentTimeoutError || s.VerifierResult == nil {
				t.Errorf("step %s is %+v", s.Name, s)
			}
		}
		for _, call := range []string{"run agent-1", "run verifier-1", "exec reset", "upload /app"} {
			if n := m.count(call); n != 1 {
				t.Errorf("%q was done %d times, want once", call, n)
			}
		}
	})
}

func TestATrialThatIsCancelledInAStepKeepsTheStepsBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, m := longSteps(t, "", "")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		time.AfterFunc(100*time.Second, func() { cancel(ErrCancelled) }) // in the agent of the second step
		o := Run(ctx, c)
		wantFinish(t, o.Finish, api.StatusCancelled, result.CancelledError, "")
		wantReward(t, o.Finish, nil)
		r := readTrial(t, o)
		if len(r.StepResults) != 2 || r.StepResults[0].VerifierResult == nil || r.StepResults[1].ExceptionInfo.Type != result.CancelledError {
			t.Errorf("result is %+v", r)
		}
		if m.Running() != 0 || !exists(o, "steps/two/agent/oracle.txt") && !exists(o, "steps/two/agent/step-setup.txt") {
			t.Error("a sandbox is left, or nothing was saved of the step")
		}
	})
}

func TestStagesOfATaskWithSteps(t *testing.T) {
	t.Parallel()
	c := config(t, newLocal(t), stepsTask(t, "", "", "", nil))
	s := &stages{}
	c.Stage = s.add
	Run(t.Context(), c)
	if want := "trial_started environment_setup agent_running verification agent_running verification completed"; s.String() != want {
		t.Errorf("stages are %q", s)
	}
}

// switching is a fake sandbox that notes the policy under which each process ran.
type switching struct {
	*fake.Provider
	noted []string
}

func (p *switching) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	box, err := p.Provider.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return &switchingBox{box.(*fake.Box), p}, nil
}

type switchingBox struct {
	*fake.Box
	p *switching
}

func (b *switchingBox) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	b.p.noted = append(b.p.noted, p.Name+" "+string(b.Network().Mode))
	return b.Box.Run(ctx, p)
}

func (b *switchingBox) Stop(ctx context.Context) error {
	b.p.noted = append(b.p.noted, "stop "+string(b.Network().Mode))
	return b.Box.Stop(ctx)
}

// Harbor test list #26
func TestTheNetworkPolicyHoldsForItsPhaseAlone(t *testing.T) {
	t.Parallel()
	p := &switching{Provider: fake.New()}
	toml := "[agent]\nnetwork_mode = \"no-network\"\n[environment]\nworkdir = \"/app\"\n"
	dir := stepsTask(t, toml, "", "[steps.agent]\nnetwork_mode = \"public\"\n[steps.verifier]\nnetwork_mode = \"no-network\"\n", nil)
	wantFinish(t, Run(t.Context(), config(t, p, dir)).Finish, api.StatusSuccess, "", "")
	want := []string{"agent-1 no-network", "verifier-1 public", "agent-2 public", "verifier-2 no-network", "stop public"}
	if !slices.Equal(p.noted, want) {
		t.Errorf("policies were %q, want %q", p.noted, want)
	}
}

// Harbor test list #27
func TestAPolicyThatCannotBeSwitchedIsRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	for name, step := range map[string]string{"agent": "[steps.agent]\n", "verifier": "[steps.verifier]\n"} {
		o := Run(t.Context(), config(t, p, stepsTask(t, "", "", step+"network_mode = \"no-network\"\n", nil)))
		wantFinish(t, o.Finish, api.StatusFailed, result.UnsupportedTaskError, api.ClassPermanent)
		if len(p.boxes) > 0 || !strings.Contains(o.Finish.ErrorMessage, name+" of step two.network_mode") {
			t.Errorf("%s: %d sandboxes, message %q", name, len(p.boxes), o.Finish.ErrorMessage)
		}
	}
	if _, err := os.Stat(p.dir); err != nil {
		t.Fatal(err)
	}
}

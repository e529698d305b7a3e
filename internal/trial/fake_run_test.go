package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
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

func TestSuccessfulTrialLeavesACompleteDirectory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := faked(t, map[string]string{"start_duration": "2s", "duration": "30s", "verify_duration": "5s"})
		s := &stages{}
		var id string
		c.Stage, c.Sandbox = s.add, func(got string) { id = got }
		c.Spec.Model, c.Spec.Source = "openai/gpt-5", "suite"
		o := Run(t.Context(), c)
		wantFinish(t, o.Finish, api.StatusSuccess, "", "")
		wantReward(t, o.Finish, map[string]float64{"reward": 1})
		for name, want := range map[string]float64{"environment_setup": 2, "agent_setup": 0, "agent_execution": 30, "verifier": 5} {
			if got, ok := o.Finish.Phases[name]; !ok || got.DurationSec != want {
				t.Errorf("phase %s took %v s, want %v", name, got.DurationSec, want)
			}
		}
		if !strings.HasPrefix(id, "fake-") || p.Running() != 0 {
			t.Errorf("sandbox %q, %d left running", id, p.Running())
		}
		for _, name := range []string{"config.json", "lock.json", "result.json", "trial.log", "agent/oracle.txt", "verifier/test-stdout.txt", "verifier/reward.txt", "artifacts/manifest.json"} {
			if !exists(o, name) {
				t.Errorf("%s is missing", name)
			}
		}
		if exists(o, result.ExceptionFile) {
			t.Error("there is an exception.txt")
		}
		r := readTrial(t, o)
		if r.AgentInfo.Name != "oracle" || r.AgentInfo.Version != "1.0.0" || r.AgentInfo.ModelInfo.Name != "gpt-5" || *r.AgentInfo.ModelInfo.Provider != "openai" {
			t.Errorf("agent_info is %+v", r.AgentInfo)
		}
		if r.AgentResult == nil || *r.VerifierEnvironmentMode != "shared" || *r.Source != "suite" || r.TaskChecksum != digest || r.FinishedAt == nil {
			t.Errorf("result is %+v", r)
		}
	})
}

func TestJournalTellsPhasesSandboxAndProcesses(t *testing.T) {
	t.Parallel()
	c, _ := faked(t, nil)
	Run(t.Context(), c)
	var got []string
	for _, e := range journalOf(t, c) {
		if e.Trial != c.Spec.TrialName || e.At.IsZero() {
			t.Errorf("entry %+v lacks its trial or time", e)
		}
		about := e.Phase
		if e.Event == eventProcess {
			about = e.ID
		}
		if (e.Event == eventTrial || e.Event == eventSandbox) && e.ID == "" {
			t.Errorf("entry %+v lacks its id", e)
		}
		got = append(got, strings.TrimSpace(e.Event+" "+about))
	}
	want := []string{
		"trial",
		"begin environment_setup", "sandbox", "end environment_setup",
		"begin agent_setup", "end agent_setup",
		"begin agent_execution", "process agent", "end agent_execution",
		"begin collect", "end collect",
		"begin verifier", "process verifier", "end verifier",
		"begin stop", "end stop",
	}
	if !slices.Equal(got, want) {
		t.Errorf("journal is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Harbor test list #17, #18, #19
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kwargs  map[string]string
		change  func(*Config)
		outcome api.Status
		err     string
		class   api.ErrorClass
		reward  map[string]float64
		within  time.Duration // of fake time
	}{
		"start fails": {
			kwargs: map[string]string{"start_error": "no room"}, outcome: api.StatusFailed, err: result.RuntimeError, class: api.ClassInfrastructure,
		},
		"image cannot be built": {
			kwargs: map[string]string{"start_error": "build"}, outcome: api.StatusFailed, err: result.SandboxBuildFailedError, class: api.ClassPermanent,
		},
		"sandbox refuses": {
			kwargs: map[string]string{"start_error": "unsupported"}, outcome: api.StatusFailed, err: result.UnsupportedTaskError, class: api.ClassPermanent,
		},
		"unknown sandbox option": {
			kwargs: map[string]string{"durations": "1s"}, outcome: api.StatusFailed, err: result.UnsupportedTaskError, class: api.ClassPermanent,
		},
		"start takes too long": {
			kwargs: map[string]string{"start_duration": "1h"}, outcome: api.StatusFailed, err: result.EnvironmentStartTimeoutError, class: api.ClassInfrastructure, within: 600 * time.Second,
		},
		"agent hangs": {
			kwargs: map[string]string{"agent_hangs": "true"}, change: func(c *Config) { c.Spec.AgentConfig.OverrideTimeoutSec = ptr(20.0) },
			outcome: api.StatusSuccess, err: result.AgentTimeoutError, class: api.ClassResult, reward: map[string]float64{"reward": 0}, within: 20 * time.Second,
		},
		"verifier hangs": {
			kwargs: map[string]string{"verify_hangs": "true"}, outcome: api.StatusFailed, err: result.VerifierTimeoutError, class: api.ClassResult, within: 600 * time.Second,
		},
		"agent exits with a failure": {
			kwargs: map[string]string{"agent_exit": "7"}, outcome: api.StatusSuccess, reward: map[string]float64{"reward": 0},
		},
		"agent out of memory is still verified": {
			kwargs: map[string]string{"oom": "agent"}, outcome: api.StatusSuccess, err: result.OutOfMemoryError, class: api.ClassResult, reward: map[string]float64{"reward": 0},
		},
		"verifier out of memory": {
			kwargs: map[string]string{"oom": "verifier"}, outcome: api.StatusFailed, err: result.OutOfMemoryError, class: api.ClassResult,
		},
		"lost while the agent runs": {
			kwargs: map[string]string{"duration": "1h", "lost_after": "10s"}, outcome: api.StatusFailed, err: result.SandboxLostError, class: api.ClassInfrastructure, within: 10 * time.Second,
		},
		"lost while the tests run": {
			kwargs: map[string]string{"verify_duration": "500s", "lost_after": "10s"}, outcome: api.StatusFailed, err: result.SandboxLostError, class: api.ClassInfrastructure, within: 10 * time.Second,
		},
		"lost after the agent's timeout: tried again": {
			kwargs: map[string]string{"agent_hangs": "true", "verify_hangs": "true", "lost_after": "30s"}, change: func(c *Config) { c.Spec.AgentConfig.OverrideTimeoutSec = ptr(20.0) },
			outcome: api.StatusFailed, err: result.SandboxLostError, class: api.ClassInfrastructure, within: 30 * time.Second,
		},
		"no reward": {
			kwargs: map[string]string{"reward": "none"}, outcome: api.StatusFailed, err: result.RewardFileNotFoundError, class: api.ClassResult,
		},
		"empty reward": {
			kwargs: map[string]string{"reward": "empty"}, outcome: api.StatusFailed, err: result.RewardFileEmptyError, class: api.ClassResult,
		},
		"verification disabled": {
			kwargs: map[string]string{"reward": "none"}, change: func(c *Config) { c.Spec.Harbor.Verifier = &api.VerifierConfig{Disable: ptr(true)} }, outcome: api.StatusSuccess,
		},
		"unknown agent": {
			change: func(c *Config) { c.Spec.Agent = "human" }, outcome: api.StatusFailed, err: result.ValueError, class: api.ClassPermanent,
		},
		"unknown agent option": {
			change: func(c *Config) { c.Spec.AgentConfig.Kwargs = map[string]any{"speed": 1} }, outcome: api.StatusFailed, err: result.ValueError, class: api.ClassPermanent,
		},
		"impossible timeout": {
			change: func(c *Config) { c.Spec.Harbor.TimeoutMultiplier = ptr(0.0) }, outcome: api.StatusFailed, err: result.ValueError, class: api.ClassPermanent,
		},
		"task folder is missing": {
			change: func(c *Config) { c.TaskDir += "/nowhere" }, outcome: api.StatusFailed, err: result.ValueError, class: api.ClassPermanent,
		},
		"artifact of a sidecar": {
			change: func(c *Config) { c.Spec.Harbor.Artifacts = []api.Artifact{{Source: "/x", Service: "db"}} }, outcome: api.StatusFailed, err: result.UnsupportedTaskError, class: api.ClassPermanent,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg, p := faked(t, c.kwargs)
				if c.change != nil {
					c.change(&cfg)
				}
				s := &stages{}
				cfg.Stage = s.add
				begun := time.Now()
				o := Run(t.Context(), cfg)
				wantFinish(t, o.Finish, c.outcome, c.err, c.class)
				wantReward(t, o.Finish, c.reward)
				if took := time.Since(begun); took != c.within {
					t.Errorf("it took %s, want %s", took, c.within)
				}
				if p.Running() != 0 {
					t.Errorf("%d sandboxes are left", p.Running())
				}
				if r := readTrial(t, o); (r.ExceptionInfo == nil) != (c.err == "") {
					t.Errorf("exception_info is %v", r.ExceptionInfo)
				}
				if !strings.HasSuffix(s.String(), " completed") {
					t.Errorf("stages are %s", s)
				}
			})
		})
	}
}

func TestTaskThatCannotRunIsRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	p := fake.New()
	c := config(t, p, writeTask(t, map[string]string{"environment/docker-compose.yaml": "services: {}\n"}))
	o := Run(t.Context(), c)
	wantFinish(t, o.Finish, api.StatusFailed, result.UnsupportedTaskError, api.ClassPermanent)
	if p.Started() != 0 || !strings.Contains(o.Finish.ErrorMessage, "docker-compose.yaml") {
		t.Errorf("%d sandboxes started; message: %s", p.Started(), o.Finish.ErrorMessage)
	}
}

func TestFakeScriptOfTheTaskGivesWayToTheRun(t *testing.T) {
	t.Parallel()
	c := config(t, fake.New(), fakeTask(t, "reward = 0.25\n"))
	wantReward(t, Run(t.Context(), c).Finish, map[string]float64{"reward": 0.25})
	c.Spec.Harbor.Environment = &api.EnvironmentConfig{Kwargs: map[string]string{"reward": `{"a": 1, "b": 2}`}}
	c.Dir = t.TempDir()
	wantReward(t, Run(t.Context(), c).Finish, map[string]float64{"a": 1, "b": 2})
}

// Harbor test list #22
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		toml     string
		failures string
		err      string
		took     time.Duration
	}{
		"passes after some failures in a row fewer than retries": {"retries = 3", "2", "", 10 * time.Second},
		"fails at retries":                          {"retries = 3", "100", result.HealthcheckError, 10 * time.Second},
		"failures in the start period do not count": {"retries = 2\nstart_period_sec = 60\nstart_interval_sec = 10\ninterval_sec = 1", "7", "", 61 * time.Second},
		"fails after the start period":              {"retries = 2\nstart_period_sec = 60\nstart_interval_sec = 10\ninterval_sec = 1", "8", result.HealthcheckError, 61 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				toml := taskFiles(nil)["task.toml"] + "[environment.healthcheck]\ncommand = \"true\"\n" + c.toml + "\n"
				cfg := config(t, fake.New(), writeTask(t, map[string]string{"task.toml": toml}))
				cfg.Spec.Harbor.Environment = &api.EnvironmentConfig{Kwargs: map[string]string{"healthcheck_failures": c.failures}}
				begun := time.Now()
				o := Run(t.Context(), cfg)
				if c.err == "" {
					wantFinish(t, o.Finish, api.StatusSuccess, "", "")
				} else {
					wantFinish(t, o.Finish, api.StatusFailed, c.err, api.ClassInfrastructure)
				}
				if took := time.Since(begun); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
			})
		})
	}
}

func TestHealthcheckThatHangsCountsAsFailed(t *testing.T) {
	t.Parallel()
	toml := taskFiles(nil)["task.toml"] + "[environment.healthcheck]\ncommand = \"sleep 60\"\ntimeout_sec = 0.1\nretries = 2\ninterval_sec = 0\n"
	p := newLocal(t)
	o := Run(t.Context(), config(t, p, writeTask(t, map[string]string{"task.toml": toml})))
	wantFinish(t, o.Finish, api.StatusFailed, result.HealthcheckError, api.ClassInfrastructure)
	if !strings.Contains(o.Finish.ErrorMessage, "2 times") {
		t.Errorf("message is %s", o.Finish.ErrorMessage)
	}
}

// phaseKwargs make one phase last, for the tests that end a trial in each.
var phaseKwargs = map[string]map[string]string{
	"start":       {"start_duration": "500s"},
	"healthcheck": {"healthcheck_failures": "100"},
	"agent":       {"duration": "500s"},
	"verifier":    {"verify_duration": "500s"},
}

func interruptedIn(t *testing.T, kwargs map[string]string, cause error) (Config, *fake.Provider, Outcome, *stages) {
	t.Helper()
	toml := taskFiles(nil)["task.toml"] + "[environment.healthcheck]\ncommand = \"true\"\nretries = 1000\n"
	p := fake.New()
	c := config(t, p, writeTask(t, map[string]string{"task.toml": toml}))
	c.Spec.Harbor.Environment = &api.EnvironmentConfig{Kwargs: kwargs}
	s := &stages{}
	c.Stage = s.add
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	time.AfterFunc(12*time.Second, func() { cancel(cause) })
	begun := time.Now()
	o := Run(ctx, c)
	if took := time.Since(begun); took != 12*time.Second {
		t.Errorf("it took %s, want 12s", took)
	}
	if p.Running() != 0 {
		t.Error("the sandbox was not stopped")
	}
	return c, p, o, s
}

// Harbor test list #45
func TestCancel(t *testing.T) {
	t.Parallel()
	for phase, kwargs := range phaseKwargs {
		t.Run("in the phase "+phase, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, _, o, s := interruptedIn(t, kwargs, ErrCancelled)
				wantFinish(t, o.Finish, api.StatusCancelled, result.CancelledError, "")
				wantReward(t, o.Finish, nil)
				if r := readTrial(t, o); r.ExceptionInfo.Type != result.CancelledError || r.FinishedAt == nil {
					t.Errorf("exception_info is %v", r.ExceptionInfo)
				}
				if !strings.HasSuffix(s.String(), " cancelled") {
					t.Errorf("stages are %s", s)
				}
			})
		})
	}
}

func TestCancelDuringAgentSetupSavesItsLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := faked(t, nil)
		r := newRun(c)
		r.newAgent = scripted(agentScript{setup: func(ctx context.Context, env agent.Env) error {
			env.Box.(journaled).Sandbox.(*fake.Box).WriteFile("/logs/agent/setup/install.log", []byte("half"))
			<-ctx.Done()
			return ctx.Err()
		}})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(ErrCancelled) })
		o := r.run(ctx)
		wantFinish(t, o.Finish, api.StatusCancelled, result.CancelledError, "")
		if got := readFile(t, o, "agent/setup/install.log"); got != "half" || p.Running() != 0 {
			t.Errorf("install.log is %q, %d sandboxes are left", got, p.Running())
		}
	})
}

func TestAbandonedTrialIsStoppedAndSavesNothing(t *testing.T) {
	t.Parallel()
	for phase, kwargs := range phaseKwargs {
		t.Run("in the phase "+phase, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, _, o, s := interruptedIn(t, kwargs, ErrAbandoned)
				wantFinish(t, o.Finish, api.StatusFailed, result.WorkerLost, api.ClassInfrastructure)
				if exists(o, result.ResultFile) || strings.Contains(s.String(), "completed") {
					t.Errorf("an abandoned trial wrote a result or was completed: %s", s)
				}
			})
		})
	}
}

func TestOtherEndOfContextHandsTheTrialBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, o, _ := interruptedIn(t, phaseKwargs["agent"], errors.New("worker is draining"))
		wantFinish(t, o.Finish, api.StatusFailed, result.WorkerLost, api.ClassInfrastructure)
		if !strings.Contains(o.Finish.ErrorMessage, "draining") || !exists(o, result.ResultFile) {
			t.Errorf("message %q, result.json written: %v", o.Finish.ErrorMessage, exists(o, result.ResultFile))
		}
	})
}

// agentScript is an agent of a test.
type agentScript struct {
	setup func(context.Context, agent.Env) error
	run   func(context.Context, agent.Env) error
}

func (agentScript) Name() string    { return "scripted" }
func (agentScript) Version() string { return "1" }

func (a agentScript) Setup(ctx context.Context, env agent.Env) error {
	if a.setup == nil {
		return nil
	}
	return a.setup(ctx, env)
}

func (a agentScript) Run(ctx context.Context, env agent.Env, _ string) error {
	if a.run == nil {
		return nil
	}
	return a.run(ctx, env)
}

func scripted(a agentScript) func(string, agent.Options) (agent.Agent, error) {
	return func(string, agent.Options) (agent.Agent, error) { return a, nil }
}

// Harbor test list #20
func TestAgentErrors(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context, _ agent.Env) error { <-ctx.Done(); return ctx.Err() }
	reward := map[string]float64{"reward": 0}
	for name, c := range map[string]struct {
		agent   agentScript
		outcome api.Status
		err     string
		class   api.ErrorClass
		reward  map[string]float64
	}{
		"setup takes too long":    {agentScript{setup: hang}, api.StatusFailed, result.AgentSetupTimeoutError, api.ClassInfrastructure, nil},
		"setup fails":             {agentScript{setup: func(context.Context, agent.Env) error { return errors.New("no") }}, api.StatusFailed, result.RuntimeError, api.ClassInfrastructure, nil},
		"setup panics":            {agentScript{setup: func(context.Context, agent.Env) error { panic("no") }}, api.StatusFailed, result.InternalError, api.ClassInfrastructure, nil},
		"run ignores its timeout": {agentScript{run: hang}, api.StatusSuccess, result.AgentTimeoutError, api.ClassResult, reward},
		"run panics":              {agentScript{run: func(context.Context, agent.Env) error { panic("no") }}, api.StatusFailed, result.InternalError, api.ClassInfrastructure, nil},
		"run ends badly": {agentScript{run: func(context.Context, agent.Env) error {
			return result.Errorf(result.NonZeroAgentExitCodeError, "exit status 1")
		}}, api.StatusSuccess, result.NonZeroAgentExitCodeError, api.ClassResult, reward},
		"a rate limit spoils the reward": {agentScript{run: func(context.Context, agent.Env) error {
			return result.Errorf(result.APIRateLimitError, "429")
		}}, api.StatusFailed, result.APIRateLimitError, api.ClassRateLimit, reward},
		"run fails otherwise": {agentScript{run: func(context.Context, agent.Env) error { return fmt.Errorf("x: %w", sandbox.ErrUnsupported) }}, api.StatusFailed, result.UnsupportedTaskError, api.ClassPermanent, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg, p := faked(t, nil)
				cfg.Spec.AgentConfig.OverrideTimeoutSec = ptr(100.0)
				r := newRun(cfg)
				r.newAgent = scripted(c.agent)
				o := r.run(t.Context())
				wantFinish(t, o.Finish, c.outcome, c.err, c.class)
				wantReward(t, o.Finish, c.reward)
				if p.Running() != 0 {
					t.Error("the sandbox was not stopped")
				}
			})
		})
	}
}

func TestPanicOfACallbackIsAnError(t *testing.T) {
	t.Parallel()
	for _, stage := range []api.Stage{api.StageTrialStarted, api.StageAgentRunning, api.StageCompleted} {
		t.Run("at "+string(stage), func(t *testing.T) {
			t.Parallel()
			c, p := faked(t, nil)
			c.Stage = func(s api.Stage) {
				if s == stage {
					panic("boom")
				}
			}
			o := Run(t.Context(), c)
			if stage != api.StageCompleted {
				wantFinish(t, o.Finish, api.StatusFailed, result.InternalError, api.ClassInfrastructure)
				if text := readFile(t, o, result.ExceptionFile); !strings.Contains(text, "boom") || !strings.Contains(text, "goroutine") {
					t.Errorf("exception.txt is %s", text)
				}
			}
			if p.Running() != 0 {
				t.Error("the sandbox was not stopped")
			}
		})
	}
}

func TestDiskFailures(t *testing.T) {
	t.Parallel()
	t.Run("the trial directory cannot be made", func(t *testing.T) {
		t.Parallel()
		c, p := faked(t, nil)
		c.Dir = filepath.Join(c.Dir, "file")
		if err := os.WriteFile(c.Dir, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		o := Run(t.Context(), c)
		wantFinish(t, o.Finish, api.StatusFailed, result.OSError, api.ClassInfrastructure)
		if o.Dir != "" || p.Started() != 0 {
			t.Errorf("dir %q, %d sandboxes started", o.Dir, p.Started())
		}
	})
	for name, stage := range map[string]api.Stage{"while the agent runs": api.StageAgentRunning, "before verification": api.StageVerification} {
		t.Run("the trial directory vanishes "+name, func(t *testing.T) {
			t.Parallel()
			c, p := faked(t, nil)
			dir := filepath.Join(c.Dir, c.Spec.TrialName)
			c.Stage = func(s api.Stage) {
				if s == stage { // a file in its place, so that nothing can be written below it
					if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o644)); err != nil {
						t.Error(err)
					}
				}
			}
			o := Run(t.Context(), c)
			if o.Finish.Outcome != api.StatusFailed || o.Finish.ErrorClass != api.ClassInfrastructure {
				t.Errorf("finish is %+v", o.Finish)
			}
			if p.Running() != 0 {
				t.Error("the sandbox was not stopped")
			}
		})
	}
	t.Run("a name that leads out of the folder", func(t *testing.T) {
		t.Parallel()
		c, _ := faked(t, nil)
		c.Spec.TrialName = "../x"
		wantFinish(t, Run(t.Context(), c).Finish, api.StatusFailed, result.ValueError, api.ClassPermanent)
	})
}

// stubborn is a fake sandbox whose stop fails.
type stubborn struct{ *fake.Provider }

func (s stubborn) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	box, err := s.Provider.Start(ctx, spec)
	return stubbornBox{box}, err
}

type stubbornBox struct{ sandbox.Sandbox }

func (stubbornBox) Stop(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestSandboxThatDoesNotStopDoesNotSpoilTheReward(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(t, stubborn{fake.New()}, writeTask(t, nil))
		begun := time.Now()
		o := Run(t.Context(), c)
		wantFinish(t, o.Finish, api.StatusSuccess, "", "")
		if took := time.Since(begun); took != stopTimeout {
			t.Errorf("it took %s, want %s", took, stopTimeout)
		}
		if !strings.Contains(readFile(t, o, "trial.log"), "could not be stopped") {
			t.Error("trial.log says nothing of it")
		}
	})
}

// packed gives sandboxes that a process fills, so that nothing in them can be killed at its timeout.
type packed struct {
	*fake.Provider
	label string // of the process
}

func (p packed) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	box, err := p.Provider.Start(ctx, spec)
	return &packedBox{Sandbox: box, label: p.label}, err
}

type packedBox struct {
	sandbox.Sandbox
	label string
	full  bool
}

func (b *packedBox) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	if p.Label != b.label {
		return b.Sandbox.Run(ctx, p)
	}
	b.full = true
	return sandbox.Exit{TimedOut: true}, fmt.Errorf("processes could not be killed: %w", sandbox.ErrLost)
}

// Exec and Download in a full sandbox answer nothing.
func (b *packedBox) Exec(ctx context.Context, c sandbox.Command) (int, error) {
	if b.full {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return b.Sandbox.Exec(ctx, c)
}

func (b *packedBox) Download(ctx context.Context, src string, w io.Writer) error {
	if b.full {
		<-ctx.Done()
		return ctx.Err()
	}
	return b.Sandbox.Download(ctx, src, w)
}

func TestProcessesThatCannotBeKilledAreATimeoutAndEndTheTrial(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]string{"agent": result.AgentTimeoutError, "verifier": result.VerifierTimeoutError} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := packed{fake.New(), label}
				begun := time.Now()
				o := Run(t.Context(), config(t, p, writeTask(t, nil)))
				wantFinish(t, o.Finish, api.StatusFailed, want, api.ClassResult)
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("a sandbox that answers nothing was used for %s", took)
				}
				if p.Running() != 0 {
					t.Error("the sandbox was not stopped")
				}
			})
		})
	}
}

// Harbor test list #27, #29
func TestProviderLimitsAreChecked(t *testing.T) {
	t.Parallel()
	hostless := "[environment]\n"
	for name, c := range map[string]struct {
		toml   string
		caps   sandbox.Capabilities
		change func(*Config)
		ok     bool
		image  sandbox.Image
	}{
		"host task where it may run":            {taskFiles(nil)["task.toml"], sandbox.Capabilities{HostImage: true}, nil, true, sandbox.Image{Host: true}},
		"host task with docker: its Dockerfile": {taskFiles(nil)["task.toml"], sandbox.Capabilities{Images: true, Build: true}, nil, true, sandbox.Image{Context: "environment"}},
		"image task without images":             {hostless, sandbox.Capabilities{HostImage: true}, nil, false, sandbox.Image{}},
		"prebuilt image":                        {"[environment]\ndocker_image = \"debian\"\n", sandbox.Capabilities{Images: true, Build: true}, nil, true, sandbox.Image{Reference: "debian"}},
		"prebuilt image, forced build":          {"[environment]\ndocker_image = \"debian\"\n", sandbox.Capabilities{Images: true, Build: true}, func(c *Config) { c.Spec.Harbor.Environment = &api.EnvironmentConfig{ForceBuild: ptr(true)} }, true, sandbox.Image{Reference: "debian", Context: "environment", ForceBuild: true}},
		"no network where it cannot be cut off": {taskFiles(nil)["task.toml"] + "[environment.x]\n", sandbox.Capabilities{HostImage: true}, func(c *Config) { noNetwork(c) }, false, sandbox.Image{}},
		"isolation that is enough": {taskFiles(nil)["task.toml"], sandbox.Capabilities{HostImage: true, Isolation: 2}, func(c *Config) {
			c.Spec.Harbor.Environment = &api.EnvironmentConfig{MinIsolation: ptr(2)}
		}, true, sandbox.Image{Host: true}},
		"isolation that is not enough": {taskFiles(nil)["task.toml"], sandbox.Capabilities{HostImage: true, Isolation: 1}, func(c *Config) {
			c.Spec.Harbor.Environment = &api.EnvironmentConfig{MinIsolation: ptr(2)}
		}, false, sandbox.Image{}},
		"hosts of the run where lists cannot be enforced": {taskFiles(nil)["task.toml"], sandbox.Capabilities{HostImage: true, NoNetwork: true}, func(c *Config) {
			noNetwork(c)
			c.Spec.Harbor.Environment = &api.EnvironmentConfig{ExtraAllowedHosts: []string{"example.com"}}
		}, false, sandbox.Image{}},
		"hosts of the agent where policies cannot be switched": {taskFiles(nil)["task.toml"], sandbox.Capabilities{HostImage: true, NoNetwork: true, Allowlist: true}, func(c *Config) {
			noNetwork(c)
			c.Spec.AgentConfig.ExtraAllowedHosts = []string{"example.com"}
		}, false, sandbox.Image{}},
		"GPUs where there are none": {taskFiles(nil)["task.toml"], sandbox.Capabilities{HostImage: true}, func(c *Config) { c.Spec.Harbor.Environment = &api.EnvironmentConfig{OverrideGPUs: ptr(1)} }, false, sandbox.Image{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newLocal(t)
			p.caps = c.caps
			cfg := config(t, p, writeTask(t, map[string]string{"task.toml": c.toml}))
			if c.change != nil {
				c.change(&cfg)
			}
			o := Run(t.Context(), cfg)
			if !c.ok {
				wantFinish(t, o.Finish, api.StatusFailed, result.UnsupportedTaskError, api.ClassPermanent)
				if len(p.boxes) > 0 {
					t.Error("a sandbox was started")
				}
				return
			}
			wantFinish(t, o.Finish, api.StatusSuccess, "", "")
			got := p.boxes[0].spec.Image
			if (got.Context != "") != (got.Digest != "") {
				t.Errorf("image is %+v", got)
			}
			got.Digest = ""
			if got.Context != "" {
				got.Context = filepath.Base(got.Context)
			}
			if got != c.image {
				t.Errorf("image is %+v, want %+v", got, c.image)
			}
		})
	}
}

// noNetwork makes the task of c one without network.
func noNetwork(c *Config) {
	file := filepath.Join(c.TaskDir, "task.toml")
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(strings.Replace(string(data), "[environment]\n", "[environment]\nnetwork_mode = \"no-network\"\n", 1)), 0o644)
	}
	if err != nil {
		panic(err)
	}
}

func TestSandboxSpec(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	toml := "[environment]\nworkdir = \"/app\"\ncpus = 2\nmemory_mb = 512\nnetwork_mode = \"no-network\"\n[environment.env]\nA = \"1\"\nB = \"task\"\n[environment.oddish]\nimage = \"host\"\n"
	c := config(t, p, writeTask(t, map[string]string{"task.toml": toml}))
	c.Spec.Harbor.Environment = &api.EnvironmentConfig{OverrideMemoryMB: ptr(256), OverrideStorageMB: ptr(100), Env: map[string]string{"B": "run"}}
	wantFinish(t, Run(t.Context(), c).Finish, api.StatusSuccess, "", "")
	s := p.boxes[0].spec
	if s.Name != c.Spec.TrialName || s.Owner != "test" || s.Labels[fake.TrialLabel] != c.Spec.TrialID || s.Workdir != "/app" {
		t.Errorf("spec is %+v", s)
	}
	if want := (sandbox.Resources{CPUs: 2, MemoryBytes: 256 << 20, StorageBytes: 100 << 20}); s.Resources != want {
		t.Errorf("resources are %+v, want %+v", s.Resources, want)
	}
	if s.Network.Mode != sandbox.NetworkNone || s.Env["A"] != "1" || s.Env["B"] != "run" {
		t.Errorf("network %v, env %v", s.Network, s.Env)
	}
}

// Harbor test list #52
func TestSecretsAreMaskedInWhatIsWrittenDown(t *testing.T) {
	t.Parallel()
	c, _ := faked(t, nil)
	const secret = "sk-very-long-secret-value"
	c.Spec.AgentConfig.Env = map[string]string{"OPENAI_API_KEY": secret, "HOST_TOKEN": "host-token-value", "PLAIN": "plain"}
	c.Getenv = func(n string) (string, bool) { return "host-token-value", n == "HOST_TOKEN" }
	var told []string
	c.Secret = func(values ...string) { told = append(told, values...) }
	o := Run(t.Context(), c)
	if slices.Sort(told); !slices.Equal(told, []string{"host-token-value", secret}) {
		t.Errorf("it tells of the secrets %q", told)
	}
	for _, name := range []string{"config.json", "lock.json", "result.json", "trial.log"} {
		if text := readFile(t, o, name); strings.Contains(text, secret) || strings.Contains(text, "host-token-value") {
			t.Errorf("%s holds a secret", name)
		}
	}
	if text := readFile(t, o, "config.json"); !strings.Contains(text, "${HOST_TOKEN}") || !strings.Contains(text, "sk-v****lue") || !strings.Contains(text, "plain") {
		t.Errorf("config.json is %s", text)
	}
}

package trial

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/fake"
)

// mortal is a provider that survives the processes that use it. A process dies at the calls that die names, as
// by SIGKILL: nothing of it runs any more, not even what it deferred to do.
type mortal struct {
	*fake.Provider
	mu    sync.Mutex
	die   []string // calls at which the next processes die, one each
	calls []string
}

// call notes a call and ends the process if this is where it dies.
func (m *mortal) call(name string) {
	if m.dies(name) {
		runtime.Goexit()
	}
}

func (m *mortal) dies(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.die) > 0 && m.die[0] == name {
		m.die = m.die[1:]
		return true
	}
	m.calls = append(m.calls, name)
	return false
}

func (m *mortal) count(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, c := range m.calls {
		if c == name {
			n++
		}
	}
	return n
}

func (m *mortal) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	m.call("start")
	box, err := m.Provider.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	m.call("started")
	return &mortalBox{box, m}, nil
}

func (m *mortal) Attach(ctx context.Context, id string) (sandbox.Sandbox, error) {
	m.call("attach")
	box, err := m.Provider.Attach(ctx, id)
	if err != nil {
		return nil, err
	}
	return &mortalBox{box, m}, nil
}

type mortalBox struct {
	sandbox.Sandbox
	m *mortal
}

func (b *mortalBox) Exec(ctx context.Context, cmd sandbox.Command) (int, error) {
	b.m.call("exec " + cmd.Label)
	return b.Sandbox.Exec(ctx, cmd)
}

func (b *mortalBox) Upload(ctx context.Context, dst string, tar io.Reader) error {
	if b.m.dies("upload " + dst) {
		io.Copy(io.Discard, tar) //nolint:errcheck // for the packing goroutine to end, which a real death ends too
		runtime.Goexit()
	}
	return b.Sandbox.Upload(ctx, dst, tar)
}

// Run has three moments to die at: before the process begins, ten seconds later, and when it has ended.
func (b *mortalBox) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	b.m.call("run " + p.Name)
	if b.m.dies("in " + p.Name) {
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		b.Sandbox.Run(short, p) //nolint:errcheck // nobody hears of it
		cancel()
		runtime.Goexit()
	}
	exit, err := b.Sandbox.Run(ctx, p)
	b.m.call("ran " + p.Name)
	return exit, err
}

func (b *mortalBox) Stop(ctx context.Context) error {
	b.m.call("stop")
	err := b.Sandbox.Stop(ctx)
	b.m.call("stopped")
	return err
}

// survived runs a trial in one process after another until one lives to its end.
func survived(t *testing.T, c Config) Outcome {
	t.Helper()
	for lives := 1; ; lives++ {
		var o *Outcome
		over := make(chan struct{})
		go func() {
			defer close(over)
			got := Run(t.Context(), c)
			o = &got
		}()
		<-over
		if o != nil {
			return *o
		}
		if lives > 10 {
			t.Fatal("it dies again and again")
		}
		c.Resume = true
		time.Sleep(3 * time.Second) // until the next process is there
	}
}

// longTrial is a trial with every phase, in a sandbox that takes its time.
func longTrial(t *testing.T) (Config, *mortal) {
	t.Helper()
	m := &mortal{Provider: fake.New()}
	dir := writeTask(t, map[string]string{
		"task.toml":            "artifacts = [\"/app/answer\"]\n[agent]\ntimeout_sec = 600\n[environment]\nworkdir = \"/app\"\n[environment.oddish]\nimage = \"host\"\n[environment.healthcheck]\ncommand = \"true\"\n",
		"environment/data.txt": "data",
	})
	c := config(t, m, dir)
	c.Spec.Harbor.Environment = &api.EnvironmentConfig{Kwargs: map[string]string{"start_duration": "5s", "duration": "60s", "verify_duration": "20s"}}
	return c, m
}

func TestATrialGoesOnWhereADeadProcessLeftIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		die     string
		started int // sandboxes
	}{
		{die: "start", started: 1},
		{die: "started", started: 2},
		{die: "upload /app", started: 1},
		{die: "exec healthcheck", started: 1},
		{die: "upload /solution", started: 1},
		{die: "run agent", started: 1},
		{die: "in agent", started: 1},
		{die: "ran agent", started: 1},
		{die: "exec is-dir", started: 1},
		{die: "exec empty", started: 1},
		{die: "upload /tests", started: 1},
		{die: "run verifier", started: 1},
		{die: "in verifier", started: 1},
		{die: "ran verifier", started: 1},
		{die: "stop", started: 1},
		{die: "stopped", started: 1},
	} {
		for _, twice := range []bool{false, true} {
			name := "killed at " + c.die
			if twice {
				name += " and again"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					config, m := longTrial(t)
					m.die = []string{c.die}
					started := c.started
					if twice {
						m.die = []string{c.die, c.die}
						if c.die == "started" {
							started++
						}
						if c.die == "stopped" {
							m.die = []string{c.die, "attach"} // there is nothing left to stop
						}
					}
					begun := time.Now()
					o := survived(t, config)
					wantFinish(t, o.Finish, api.StatusSuccess, "", "")
					wantReward(t, o.Finish, map[string]float64{"reward": 1})
					if len(m.die) > 0 {
						t.Errorf("it was not killed at %v; calls: %v", m.die, m.calls)
					}
					if m.Provider.Started() != started || m.Running() != 0 {
						t.Errorf("%d sandboxes were started and %d are left, want %d and none", m.Provider.Started(), m.Running(), started)
					}
					wantContinuous(t, o, begun)
					wantComplete(t, o)
				})
			})
		}
	}
}

// wantContinuous checks that the phases follow one another without a hole that another start of them would leave.
func wantContinuous(t *testing.T, o Outcome, begun time.Time) {
	t.Helper()
	for name, least := range map[string]float64{"environment_setup": 5, "agent_execution": 60, "verifier": 20} {
		p, ok := o.Finish.Phases[name]
		if !ok || p.DurationSec < least || p.DurationSec > least+7 || p.StartedAt.Before(begun) {
			t.Errorf("phase %s: %+v, want about %v s", name, p, least)
		}
	}
	r := readTrial(t, o)
	if r.ID == "" || r.StartedAt == nil || r.StartedAt.Sub(begun) > 20*time.Second || r.AgentInfo.Version != "1.0.0" {
		t.Errorf("result: id %q, started %v, agent %+v", r.ID, r.StartedAt, r.AgentInfo)
	}
}

func wantComplete(t *testing.T, o Outcome) {
	t.Helper()
	for name, want := range map[string]string{"agent/oracle.txt": "fake agent started\n", "verifier/test-stdout.txt": "fake verifier started\n", "verifier/reward.txt": "1\n"} {
		if got := readFile(t, o, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"config.json", "lock.json", "artifacts/manifest.json"} {
		if !exists(o, name) {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestWhatABegunProcessWorksWithIsNotTouchedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, m := longTrial(t)
		m.die = []string{"in agent", "in verifier"}
		wantFinish(t, survived(t, c).Finish, api.StatusSuccess, "", "")
		for _, call := range []string{"upload /app", "upload /solution", "exec empty", "upload /tests"} {
			if n := m.count(call); n != 1 {
				t.Errorf("%q was done %d times, want once", call, n)
			}
		}
	})
}

func TestStagesOfATrialThatGoesOnDoNotGoBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, m := longTrial(t)
		m.die = []string{"in agent", "stopped"}
		s := &stages{}
		c.Stage = s.add
		survived(t, c)
		want := "trial_started environment_setup agent_running agent_running verification verification completed"
		if s.String() != want {
			t.Errorf("stages are %q, want %q", s, want)
		}
	})
}

func TestAnAgentsTimeoutCountsFromItsFirstStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, m := longTrial(t)
		m.die = []string{"in agent"}
		c.Spec.AgentConfig.OverrideTimeoutSec = ptr(30.0)
		begun := time.Now()
		o := survived(t, c)
		wantFinish(t, o.Finish, api.StatusSuccess, result.AgentTimeoutError, api.ClassResult)
		if got := o.Finish.Phases["agent_execution"].DurationSec; got != 30 || time.Since(begun) > 70*time.Second {
			t.Errorf("the agent had %v s of its 30, all took %s", got, time.Since(begun))
		}
	})
}

func TestTheEndOfAPhaseThatAnotherProcessSawStands(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kwargs  map[string]string
		die     string
		outcome api.Status
		err     string
		class   api.ErrorClass
	}{
		"agent ran out of time":       {map[string]string{"agent_hangs": "true"}, "in verifier", api.StatusSuccess, result.AgentTimeoutError, api.ClassResult},
		"agent ran out of memory":     {map[string]string{"oom": "agent"}, "in verifier", api.StatusSuccess, result.OutOfMemoryError, api.ClassResult},
		"verifier left nothing":       {map[string]string{"reward": "none"}, "stop", api.StatusFailed, result.RewardFileNotFoundError, api.ClassResult},
		"healthcheck never succeeded": {map[string]string{"healthcheck_failures": "99"}, "stopped", api.StatusFailed, result.HealthcheckError, api.ClassInfrastructure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				config, m := longTrial(t)
				config.Spec.Harbor.Environment.Kwargs = c.kwargs
				m.die = []string{c.die}
				o := survived(t, config)
				wantFinish(t, o.Finish, c.outcome, c.err, c.class)
				if r := readTrial(t, o); r.ExceptionInfo == nil || r.ExceptionInfo.Type != c.err || o.Finish.ErrorMessage == "" {
					t.Errorf("exception is %+v", r.ExceptionInfo)
				}
				if m.Running() != 0 || len(m.die) > 0 {
					t.Errorf("%d sandboxes are left; deaths to come: %v", m.Running(), m.die)
				}
			})
		})
	}
}

func TestATrialWhoseSandboxIsGoneBeginsAnewOrIsHandedBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		die     string
		outcome api.Status
		err     string
		class   api.ErrorClass
		started int
	}{
		"before the agent":    {"upload /app", api.StatusSuccess, "", "", 2},
		"under the agent":     {"in agent", api.StatusCancelled, result.WorkerLost, api.ClassInfrastructure, 1},
		"under the verifier":  {"in verifier", api.StatusCancelled, result.WorkerLost, api.ClassInfrastructure, 1},
		"when all was done":   {"stop", api.StatusSuccess, "", "", 1},
		"when it was stopped": {"stopped", api.StatusSuccess, "", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				config, m := longTrial(t)
				m.die = []string{c.die}
				died := make(chan struct{})
				go func() { defer close(died); Run(t.Context(), config) }()
				<-died
				m.removeAll(t)
				config.Resume = true
				o := Run(t.Context(), config)
				wantFinish(t, o.Finish, c.outcome, c.err, c.class)
				if c.err != "" && !strings.Contains(o.Finish.ErrorMessage, "the sandbox did not survive the worker") {
					t.Errorf("message is %q", o.Finish.ErrorMessage)
				}
				if m.Provider.Started() != c.started || m.Running() != 0 {
					t.Errorf("%d sandboxes were started, want %d; %d are left", m.Provider.Started(), c.started, m.Running())
				}
			})
		})
	}
}

// removeAll removes every sandbox, as a reboot does.
func (m *mortal) removeAll(t *testing.T) {
	t.Helper()
	infos, err := m.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		box, err := m.Provider.Attach(t.Context(), i.ID)
		if err == nil {
			err = box.Stop(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestACancelledTrialThatGoesOnIsStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, m := longTrial(t)
		m.die = []string{"in agent"}
		died := make(chan struct{})
		go func() { defer close(died); Run(t.Context(), c) }()
		<-died
		c.Resume = true
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(ErrCancelled)
		o := Run(ctx, c)
		wantFinish(t, o.Finish, api.StatusCancelled, result.CancelledError, "")
		if m.Running() != 0 {
			t.Error("its sandbox is left")
		}
	})
}

func TestATrialThatWasBeingGivenUpGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, m := longTrial(t)
		m.die = []string{"stop"}
		ctx, cancel := context.WithCancelCause(t.Context())
		died := make(chan struct{})
		go func() { defer close(died); Run(ctx, c) }()
		time.Sleep(20 * time.Second) // the agent runs
		cancel(errors.New("the worker shuts down"))
		<-died
		c.Resume = true
		o := Run(t.Context(), c)
		wantFinish(t, o.Finish, api.StatusSuccess, "", "")
		if m.count("run agent") != 2 || m.Provider.Started() != 1 {
			t.Errorf("calls: %v", m.calls)
		}
	})
}

func TestAJournalIsReadUpToItsLastWholeLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), JournalFile)
	j, err := openJournal(path, "demo")
	if err != nil {
		t.Fatal(err)
	}
	j.add(Entry{Event: eventTrial, ID: "uuid"})
	j.add(Entry{Event: eventBegin, Phase: "environment_setup"})
	j.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(slices.Clone(whole), `{"at":"2`...), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := readJournal(path)
	if err != nil || f.id != "uuid" || len(f.begun) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	if left, err := os.ReadFile(path); err != nil || !slices.Equal(left, whole) {
		t.Errorf("the journal is %q, want %q (%v)", left, whole, err)
	}
	if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readJournal(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged journal gives %v", err)
	}
	if f, err := readJournal(path + ".none"); err != nil || len(f.begun) != 0 {
		t.Errorf("no journal gives %+v, %v", f, err)
	}
}

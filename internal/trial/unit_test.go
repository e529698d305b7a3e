package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/fake"
	"oddish/internal/task"
)

// Harbor test list #21
func TestTimeoutMultipliers(t *testing.T) {
	t.Parallel()
	tk := &task.Task{Config: task.Config{
		Agent:       task.Agent{TimeoutSec: ptr(100.0)},
		Verifier:    task.Verifier{TimeoutSec: ptr(50.0)},
		Environment: task.Environment{BuildTimeoutSec: ptr(10.0)},
	}}
	for name, c := range map[string]struct {
		spec api.TrialSpec
		want timeouts
	}{
		"the task's": {api.TrialSpec{}, timeouts{10 * time.Second, 360 * time.Second, 100 * time.Second, 50 * time.Second}},
		"the general multiplier holds for all": {
			api.TrialSpec{Harbor: api.HarborConfig{TimeoutMultiplier: ptr(2.0)}},
			timeouts{20 * time.Second, 720 * time.Second, 200 * time.Second, 100 * time.Second},
		},
		"a specific one beats it": {
			api.TrialSpec{Harbor: api.HarborConfig{
				TimeoutMultiplier: ptr(2.0), AgentTimeoutMultiplier: ptr(3.0), VerifierTimeoutMultiplier: ptr(0.5),
				AgentSetupTimeoutMultiplier: ptr(1.0), EnvironmentBuildTimeoutMultiplier: ptr(10.0),
			}},
			timeouts{100 * time.Second, 360 * time.Second, 300 * time.Second, 25 * time.Second},
		},
		"the maximum applies before the multiplier": {
			api.TrialSpec{
				AgentConfig: api.AgentConfig{MaxTimeoutSec: ptr(30.0)},
				Harbor:      api.HarborConfig{TimeoutMultiplier: ptr(2.0), Verifier: &api.VerifierConfig{MaxTimeoutSec: ptr(70.0)}},
			},
			timeouts{20 * time.Second, 720 * time.Second, 60 * time.Second, 100 * time.Second},
		},
		"an override replaces the task's": {
			api.TrialSpec{
				AgentConfig: api.AgentConfig{OverrideTimeoutSec: ptr(7.0), OverrideSetupTimeoutSec: ptr(8.0)},
				Harbor:      api.HarborConfig{Verifier: &api.VerifierConfig{OverrideTimeoutSec: ptr(9.0)}},
			},
			timeouts{10 * time.Second, 8 * time.Second, 7 * time.Second, 9 * time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newTimeouts(tk, &tk.Parts()[0], c.spec)
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	t.Run("without a limit there is none, unless a maximum is set", func(t *testing.T) {
		t.Parallel()
		free := &task.Task{}
		got, err := newTimeouts(free, &free.Parts()[0], api.TrialSpec{Harbor: api.HarborConfig{TimeoutMultiplier: ptr(2.0)}})
		if err != nil || got.agent != 0 {
			t.Errorf("agent has %s, %v, want no limit", got.agent, err)
		}
		got, err = newTimeouts(free, &free.Parts()[0], api.TrialSpec{AgentConfig: api.AgentConfig{MaxTimeoutSec: ptr(5.0)}})
		if err != nil || got.agent != 5*time.Second {
			t.Errorf("agent has %s, %v, want 5s", got.agent, err)
		}
	})
	t.Run("a huge one does not overflow", func(t *testing.T) {
		t.Parallel()
		if got := limit(0, ptr(1e300), nil, ptr(1e10), nil); got <= 0 {
			t.Errorf("got %s", got)
		}
	})
}

func TestExclude(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		out           bool
	}{
		{"*.pyc", "a.pyc", true}, {"*.pyc", "deep/er/a.pyc", true}, {"*.pyc", "a.py", false},
		{"cache", "cache", true}, {"cache", "x/cache/y", true}, {"cache", "cached", false}, {"cache/", "cache/a", true},
		{"a/*.txt", "a/b/c.txt", true}, {"a/*.txt", "x/a/b.txt", true}, {"./a", "a", true},
		{"[ab].txt", "b.txt", true}, {"[!ab].txt", "b.txt", false}, {"[!ab].txt", "c.txt", true}, {"a?c", "abc", true},
		{"[", "[", true}, {"a.b", "axb", false}, {"\\*", "*", true}, {"\\*", "x", false}, {"ä*", "äö", true}, {"[z-a]", "b", false},
		{"/top", "top", true}, {"/top", "x/top", false},
	} {
		if got := excluder([]string{c.pattern})(c.name); got != c.out {
			t.Errorf("pattern %q leaves out %q: %v, want %v", c.pattern, c.name, got, c.out)
		}
	}
	if excluder(nil) != nil || excluder([]string{""}) != nil {
		t.Error("no pattern gives a function")
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		sandbox.ErrUnsupported: result.UnsupportedTaskError,
		sandbox.ErrBuild:       result.SandboxBuildFailedError,
		sandbox.ErrDiskFull:    result.OSError,
		sandbox.ErrOutOfMemory: result.OutOfMemoryError,
		sandbox.ErrLost:        result.SandboxLostError,
		&fs.PathError{Op: "write", Path: "x", Err: errors.New("no space left")}: result.OSError,
		errors.New("else"):                          result.RuntimeError,
		result.Errorf(result.HealthcheckError, "x"): result.HealthcheckError,
	} {
		if got := classify(errors.Join(err)); got.Type != want || got.Class != result.ClassOf(want) {
			t.Errorf("%v is %s (%s), want %s", err, got.Type, got.Class, want)
		}
	}
}

// crowded is a sandbox with more below /logs/verifier than may be fetched, before the reward's turn comes.
type crowded struct{ *fake.Provider }

func (c crowded) Start(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	box, err := c.Provider.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return crowdedBox{box.(*fake.Box)}, nil
}

type crowdedBox struct{ *fake.Box }

func (b crowdedBox) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	if p.Label == "verifier" {
		for i := range 100 {
			b.WriteFile(fmt.Sprintf("/logs/verifier/a/%d", i), nil)
		}
	}
	return b.Box.Run(ctx, p)
}

func TestRewardIsFoundBehindTooManyFiles(t *testing.T) {
	t.Parallel()
	r := newRun(config(t, crowded{fake.New()}, writeTask(t, nil)))
	r.maxFiles = 50
	o := r.run(t.Context())
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	wantReward(t, o.Finish, map[string]float64{"reward": 1})
	if !strings.Contains(readFile(t, o, "trial.log"), "left out") {
		t.Error("trial.log says nothing of files that were left out")
	}
}

func TestAgentOutputIsCapped(t *testing.T) {
	t.Parallel()
	c, _ := faked(t, nil)
	r := newRun(c)
	r.newAgent = scripted(agentScript{run: func(ctx context.Context, env agent.Env) error {
		box := env.Box.(journaled).Sandbox.(*fake.Box)
		box.WriteFile("/logs/agent/big.log", make([]byte, maxFetchFile+1000))
		return nil
	}})
	o := r.run(t.Context())
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	info, err := os.Stat(filepath.Join(o.Dir, "agent/big.log"))
	if err != nil || info.Size() != maxFetchFile {
		t.Errorf("big.log: %v, %v, want %d bytes", info, err, maxFetchFile)
	}
	if !strings.Contains(readFile(t, o, "trial.log"), "file cut at the limit") {
		t.Error("trial.log says nothing of the cut")
	}
}

func TestLiveFileStopsAtItsLimit(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "live"))
	if err != nil {
		t.Fatal(err)
	}
	l := &liveFile{file: f, left: 5}
	for _, part := range []string{"abc", "defg", "h"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("write gives %d, %v", n, err)
		}
	}
	f.Close()
	if data, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(data, []byte("abcde")) {
		t.Errorf("file is %q, %v", data, err)
	}
	if n, err := l.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("write to a closed file gives %d, %v", n, err)
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	got := result.ClipMessage(strings.Repeat("a", 600) + strings.Repeat("z", 5000) + "\xff")
	if len(got) > 1010 || !strings.HasPrefix(got, "aaa") || !strings.HasSuffix(got, "z?") {
		t.Errorf("clip gives %d bytes: %.20s", len(got), got)
	}
}

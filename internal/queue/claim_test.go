package queue

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"oddish/api"
)

func TestClaimHandsOverEverythingNeededToRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("my experiment", "claude-code", "Claude Haiku 4-5", 1)
	s.Sweep.Source = ptr("bench@1.0")
	s.Sweep.MaxAttempts = ptr(2)
	s.Sweep.Configs[0].AgentConfig = &api.AgentConfig{Env: map[string]string{"KEY": "k-123"}, Kwargs: map[string]any{"temperature": 0.5}}
	s.Sweep.Harbor = &api.HarborConfig{TimeoutMultiplier: ptr(2.0), Artifacts: []api.Artifact{{Source: "/out"}}}
	result := f.submit(s)
	c := f.claimOne()
	if c.Attempt != 1 || c.Lease == "" || !c.LeaseUntil.Equal(f.clock.now().Add(DefaultLease)) || c.ExperimentName != "my experiment" {
		t.Errorf("claimed %+v", c)
	}
	if !regexp.MustCompile(`^hello-world__[2-9A-HJ-NP-Za-km-z]{7}$`).MatchString(c.TrialName) {
		t.Errorf("trial name is %q", c.TrialName)
	}
	tr := c.Trial
	if tr.ID != f.task.ID+"-0" || tr.Name != "hello-world-0" || tr.Agent != "claude-code" || tr.Model != "claude-haiku-4-5" ||
		tr.QueueKey != "anthropic/claude-haiku-4-5" || tr.Provider != "claude" || tr.Environment != "fake" || tr.Source != "bench@1.0" {
		t.Errorf("trial is %+v", tr)
	}
	if tr.ContentHash != f.v.ContentHash || tr.Version != 1 || tr.MaxAttempts != 2 || tr.Attempt != 1 || tr.Status != api.StatusRunning {
		t.Errorf("trial is %+v", tr)
	}
	if tr.TrialDir != "jobs/"+result.Experiment.ID+"/"+c.TrialName || tr.WorkerID != "w" || !tr.StartedAt.Equal(f.clock.now()) {
		t.Errorf("trial is %+v", tr)
	}
	if tr.AgentConfig.Env["KEY"] != "k-123" || tr.AgentConfig.Kwargs["temperature"] != 0.5 || *tr.Harbor.TimeoutMultiplier != 2 || tr.Harbor.Artifacts[0].Source != "/out" {
		t.Errorf("configuration is %+v, %+v", tr.AgentConfig, tr.Harbor)
	}
}

// Harbor test list #43
func TestClaimKeepsToTheLimitOfEachKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 3, Limits: map[string]int{"GPT-5": 2, "openai/stopped": 0}})
	f.add("e", "gpt-5", 5)
	f.add("e", "openai/stopped", 5)
	f.add("e", "claude-x", 5)
	count := map[string]int{}
	claimed := f.claim(100)
	for _, c := range claimed {
		count[c.Trial.QueueKey]++
	}
	if count["openai/gpt-5"] != 2 || count["openai/stopped"] != 0 || count["anthropic/claude-x"] != 3 {
		t.Errorf("running are %v", count)
	}
	f.claimNone()
	f.succeed(claimed[0], 1)
	if again := f.claim(100); len(again) != 1 || again[0].Trial.QueueKey != claimed[0].Trial.QueueKey {
		t.Errorf("after one slot became free %q were claimed", ids(again))
	}
}

func TestLocalAgentsAreLimitedByTheMachine(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 1, LocalLimit: 6})
	f.submit(f.sweep("e", "oracle", "gpt-5", 5))
	f.submit(f.sweep("e", "nop", "", 5))
	if claimed := f.claim(100); len(claimed) != 6 || claimed[0].Trial.QueueKey != "local" {
		t.Errorf("claimed %d local trials, want 6", len(claimed))
	}
}

func TestLimitsChangeAtRunTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 1})
	f.add("e", "gpt-5", 10)
	set := func(n int) {
		t.Helper()
		if err := f.SetLimit(t.Context(), "gpt-5", n, Reason{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.claim(10)); n != 1 {
		t.Errorf("claimed %d at limit 1", n)
	}
	set(4)
	if n := len(f.claim(10)); n != 3 {
		t.Errorf("claimed %d more at limit 4", n)
	}
	set(2)
	f.claimNone()
	set(0)
	f.claimNone()
	set(-1)
	keys, err := f.Keys(t.Context())
	if err != nil || len(keys) != 1 || *keys[0].Limit != 1 || keys[0].Running != 4 || keys[0].Queued != 6 {
		t.Errorf("keys are %+v, %v", keys, err)
	}
}

func TestClaimTakesOnlySandboxesThatTheWorkerOffers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	s := f.sweep("e", "codex", "gpt-5", 1)
	s.Sweep.Environment = ptr("docker")
	s.Sweep.Configs = append(s.Sweep.Configs, api.SweepConfig{Agent: "codex", Model: ptr("gpt-5"), Environment: ptr("builtin")})
	dockerTrial := f.submit(s).TrialIDs
	f.claimNone()
	c := claimOf("w", 5)
	c.Sandboxes = []string{"docker"}
	claimed, err := f.Claim(t.Context(), c)
	if err != nil || !slices.Equal(ids(claimed), dockerTrial[:1]) {
		t.Errorf("claimed %q, %v", ids(claimed), err)
	}
	c.Sandboxes = []string{"fake", "builtin", "builtin"}
	claimed, err = f.Claim(t.Context(), c)
	if err != nil || !slices.Equal(ids(claimed), dockerTrial[1:]) {
		t.Errorf("claimed %q, %v", ids(claimed), err)
	}
}

func TestHighPriorityGoesFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 100})
	low := f.add("low", "gpt-5", 2)
	s := f.sweep("high", "codex", "gpt-5", 2)
	s.Sweep.Priority = api.PriorityHigh
	high := f.submit(s).TrialIDs
	f.wantClaimed(3, high[0], high[1], low[0])
}

func TestExperimentsShareAKeyFairly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 100})
	big := f.add("big", "gpt-5", 50)
	f.wantClaimed(10, big[:10]...)
	small := f.add("small", "gpt-5", 5)
	claimed := f.claim(10)
	fromSmall := 0
	for _, c := range claimed {
		if slices.Contains(small, c.Trial.ID) {
			fromSmall++
		}
	}
	if fromSmall != 5 {
		t.Errorf("of the next 10 trials %d are of the small experiment, want 5: %q", fromSmall, ids(claimed))
	}
}

func TestAnExperimentThatComesBackDoesNotCatchUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 1000})
	// "idle" has run nothing while "busy" ran a hundred: that gives it no claim to the next hundred.
	f.add("idle", "gpt-5", 1)
	f.claim(1)
	f.add("busy", "gpt-5", 100)
	f.claim(100)
	busy := f.add("busy", "gpt-5", 10)
	idle := f.add("idle", "gpt-5", 10)
	claimed := f.claim(4)
	fromIdle := 0
	for _, c := range claimed {
		if slices.Contains(idle, c.Trial.ID) {
			fromIdle++
		}
	}
	if fromIdle != 2 {
		t.Errorf("of 4 claims %d are of the experiment that came back, want 2: %q of %q and %q", fromIdle, ids(claimed), busy, idle)
	}
}

func TestPrioritiesHaveAVirtualTimeOfTheirOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 1000})
	a := f.add("a", "gpt-5", 20)
	s := f.sweep("high", "codex", "gpt-5", 50)
	s.Sweep.Priority = api.PriorityHigh
	f.submit(s)
	f.claim(50)
	b := f.add("b", "gpt-5", 20)
	claimed := f.claim(10)
	fromB := 0
	for _, c := range claimed {
		if slices.Contains(b, c.Trial.ID) {
			fromB++
		}
	}
	if fromB != 5 {
		t.Errorf("of 10 claims %d are of the later experiment, want 5: %q of %q and %q", fromB, ids(claimed), a, b)
	}
}

// Harbor test list #42
func TestKeysTakeTurns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{DefaultLimit: 100})
	f.add("e", "gpt-5", 20)
	f.add("e", "claude-x", 20)
	f.add("e", "gemini-y", 20)
	count := map[string]int{}
	for _, c := range f.claim(9) {
		count[c.Trial.QueueKey]++
	}
	for key, n := range count {
		if n != 3 {
			t.Errorf("of 9 slots %s got %d, want 3", key, n)
		}
	}
	// With one slot at a time nobody starves either.
	clear(count)
	for range 9 {
		f.clock.advance(1e9)
		count[f.claimOne().Trial.QueueKey]++
	}
	for key, n := range count {
		if n != 3 {
			t.Errorf("of 9 single slots %s got %d, want 3", key, n)
		}
	}
}

// Harbor test list #41
func TestTrialNames(t *testing.T) {
	t.Parallel()
	tests := []struct{ task, want string }{
		{"hello-world", "hello-world__"},
		{"org/hello", "hello__"},
		{"a-very-long-name-of-a-task-that-is-cut-off", "a-very-long-name-of-a-task-that__"},
		{"123456789012345678901234567890-_-", "123456789012345678901234567890__"},
	}
	for _, tt := range tests {
		got := newTrialName(tt.task)
		if len(got) < nameSuffix || got[:len(got)-nameSuffix] != tt.want {
			t.Errorf("task %q gives trial name %q, want %s and 7 characters", tt.task, got, tt.want)
		}
	}
	seen := map[string]bool{}
	for range 1000 {
		seen[newTrialName("t")] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 names are only %d different ones", len(seen))
	}
}

func TestClaimRefusesNonsense(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	for i, c := range []api.Claim{{Slots: 1, Sandboxes: []string{"fake"}}, claimOf("w", 0), {WorkerID: "w", Slots: 1}} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if _, err := f.Claim(t.Context(), c); err == nil {
				t.Errorf("claim %+v was accepted", c)
			}
		})
	}
}

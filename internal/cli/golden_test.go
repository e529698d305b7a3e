package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/colorprofile"

	"oddish/api"
	"oddish/internal/agent"
)

var update = flag.Bool("update", false, "rewrite testdata/golden")

// golden compares text with a file of testdata/golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run `go test ./internal/cli -update` if it should):\n%s", path, got)
	}
}

// testApp is an App with nothing around it but env.
func testApp(t *testing.T, env ...string) (a *App, out, errs *bytes.Buffer) {
	t.Helper()
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	dir := t.TempDir()
	return &App{Stdin: strings.NewReader(""), Stdout: out, Stderr: errs, Env: append([]string{"HOME=" + dir}, env...), Dir: dir}, out, errs
}

func TestHelpIsAsRecorded(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, args string }{
		{"help.txt", "--help"},
		{"help_run.txt", "run --help"},
		{"help_check.txt", "check --help"},
		{"help_validate.txt", "validate --help"},
		{"help_status.txt", "status --help"},
		{"help_ls.txt", "ls --help"},
		{"help_retry.txt", "retry --help"},
		{"help_cancel.txt", "cancel --help"},
		{"help_pause.txt", "pause --help"},
		{"help_resume.txt", "resume --help"},
		{"help_pull.txt", "pull --help"},
		{"help_clean.txt", "clean --help"},
		{"help_api.txt", "api --help"},
		{"help_worker.txt", "worker --help"},
		{"help_db.txt", "db --help"},
		{"help_db_backup.txt", "db backup --help"},
		{"help_db_restore.txt", "db restore --help"},
		{"help_db_copy.txt", "db copy --help"},
		{"help_db_purge.txt", "db purge --help"},
		{"help_db_reset.txt", "db reset --help"},
		{"help_agents.txt", "agents --help"},
		{"help_models.txt", "models --help"},
		{"help_dev_fake_model.txt", "dev fake-model --help"},
		{"help_dev_check_trajectory.txt", "dev check-trajectory --help"},
		{"help_queue.txt", "queue --help"},
		{"help_queue_limit.txt", "queue limit --help"},
		{"help_queue_pause.txt", "queue pause --help"},
		{"help_queue_resume.txt", "queue resume --help"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, out, errs := testApp(t, "COLUMNS=80")
			if code := a.Run(t.Context(), strings.Fields(tc.args)); code != exitOK || errs.Len() > 0 {
				t.Errorf("exit status %d, standard error %q", code, errs)
			}
			golden(t, tc.name, out.String())
			for line := range strings.SplitSeq(out.String(), "\n") {
				// Examples are copied whole and may be longer.
				if n := len([]rune(line)); n > 80 && !strings.Contains(line, "oddish ") && !strings.Contains(line, "-a ") {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
}

func TestEveryFlagOfRunHasAHelpGroup(t *testing.T) {
	t.Parallel()
	a, out, _ := testApp(t)
	a.Run(t.Context(), []string{"run", "--help"})
	for _, want := range []string{"--path", "--agent", "--model", "--n-trials", "--fail-on", "--fresh", "--github-meta", "--artifact", "--dataset"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help lacks %s", want)
		}
	}
	for _, refused := range []string{"--publish", "--run-analysis"} {
		if strings.Contains(out.String(), refused) {
			t.Errorf("the help offers %s, which is refused", refused)
		}
	}
}

// someTrials are trials in every state that a table shows.
func someTrials() []api.Trial {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	end := func(s float64) *time.Time { t := at.Add(time.Duration(s * float64(time.Second))); return &t }
	num := func(f float64) *float64 { return &f }
	str := func(s string) *string { return &s }
	stage := api.StageAgentRunning
	return []api.Trial{
		{ID: "hello-world-1a2b3c4d-0", Name: "hello-world-0", TaskID: "hello-world-1a2b3c4d", Agent: "oracle", Model: "default", Status: api.StatusSuccess,
			Attempts: 1, MaxAttempts: 3, Reward: num(1), StartedAt: &at, FinishedAt: end(0.84)},
		{ID: "hello-world-1a2b3c4d-1", Name: "hello-world-1", Agent: "claude-code", Model: "anthropic/claude-sonnet-4-5", Status: api.StatusSuccess,
			Attempts: 1, MaxAttempts: 3, Reward: num(0.25), StartedAt: &at, FinishedAt: end(75)},
		{ID: "a-task-with-a-very-long-name-indeed-5e6f7a8b-12", Name: "a-task-with-a-very-long-name-indeed-12", Agent: "claude-code", Model: "anthropic/claude-sonnet-4-5",
			Status: api.StatusFailed, Attempts: 3, MaxAttempts: 3, ErrorType: str("EnvironmentStartTimeoutError"),
			ErrorMessage: str("sandbox did not start within 600 s\nmore"), StartedAt: &at, FinishedAt: end(4000)},
		{ID: "hello-world-1a2b3c4d-2", Name: "hello-world-2", Agent: "nop", Model: "default", Status: api.StatusCancelled, MaxAttempts: 3},
		{ID: "hello-world-1a2b3c4d-3", Name: "hello-world-3", Agent: "codex", Model: "openai/gpt-5.2", Status: api.StatusRunning,
			Attempts: 2, MaxAttempts: 3, HarborStage: &stage, StartedAt: &at},
		{ID: "hello-world-1a2b3c4d-4", Name: "hello-world-4", Agent: "codex", Model: "openai/gpt-5.2", Status: api.StatusQueued,
			MaxAttempts: 3, QueueInfo: &api.QueueInfo{Position: 4, Ahead: 3}},
		{ID: "hello-world-1a2b3c4d-5", Name: "hello-world-5", Agent: "codex", Model: "openai/gpt-5.2", Status: api.StatusRetrying,
			Attempts: 1, MaxAttempts: 3, RetryAt: end(30), ErrorType: str("SandboxStartError")},
	}
}

// someQueueKeys are keys in every state that a table shows, and changes of every kind.
func someQueueKeys() ([]api.QueueKey, []api.QueueChange) {
	num := func(n int) *int { return &n }
	age := func(s float64) *float64 { return &s }
	str := func(s string) *string { return &s }
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	until := at.Add(34 * time.Second)
	return []api.QueueKey{
			{Key: "local", Limit: num(8), ConfiguredLimit: num(8), Running: 8, Queued: 112, OldestAgeSeconds: age(75)},
			{Key: "openai/*", Limit: num(20), Running: 12, Queued: 90, Retrying: 3, OldestAgeSeconds: age(7500), Paused: true, PausedBy: str("openai/*")},
			{Key: "openai/gpt-5.2", Limit: num(16), ConfiguredLimit: num(8), Running: 12, Queued: 90, Retrying: 3, OldestAgeSeconds: age(7500),
				Paused: true, PausedBy: str("openai/*"), BoundedBy: str("openai/*")},
			{Key: "openrouter/a-maker/a-model-with-a-very-long-name-20260501", Limit: num(0), ConfiguredLimit: num(0)},
			{Key: "xai/*", Paused: true, PausedBy: str("xai/*")},
			{Key: "xai/grok-4", Limit: num(64), ConfiguredLimit: num(64), EffectiveLimit: num(12), Running: 9, Queued: 130, Held: 40, HeldUntil: &until},
		}, []api.QueueChange{
			{At: at.Add(73 * time.Hour), Kind: "growth", From: num(6), To: num(7), Reason: "a success at the limit"},
			{At: at.Add(73 * time.Hour), Kind: "rate_limit", From: num(8), To: num(6), Reason: "rate limit: the provider asked to wait 30s"},
			{At: at.Add(72 * time.Hour), Kind: "default", From: num(4), To: num(8), By: "ann"},
			{At: at.Add(3 * time.Hour), Kind: "limit", From: num(8), To: num(4), Reason: "the provider asked us to slow down until the end of the month", By: "bob"},
			{At: at.Add(time.Hour), Kind: "resume", By: "ann"},
			{At: at, Kind: "pause", Reason: "outage", By: "ann"},
		}
}

// someAgents are agents of every kind.
func someAgents(t *testing.T) []agent.Info {
	t.Helper()
	var list []agent.Info
	for _, name := range []string{"claude-code", "cursor-cli", "nop", "mini-swe-agent", "command", "goose"} {
		info, known := agent.Find(name)
		if !known {
			t.Fatalf("there is no agent %s", name)
		}
		list = append(list, info)
	}
	return list
}

func isReady(i agent.Info) bool { return i.Name == "claude-code" }

func plain(s string) string {
	var b bytes.Buffer
	w := colorprofile.Writer{Forward: &b, Profile: colorprofile.NoTTY}
	_, _ = w.Write([]byte(s))
	return b.String()
}

func TestTablesFitTheirWidth(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 10, 0, time.UTC)
	experiments := []api.Experiment{
		{ID: "1a2b3c4d", Name: "calm-otter-k3f9", TaskCount: 12, Total: 36, Completed: 30, RewardTotal: 28, RewardSum: 21,
			Counts: map[api.Status]int{api.StatusRunning: 4, api.StatusFailed: 2}, LastActivity: now.Add(-5 * time.Second)},
		{ID: "5e6f7a8b", Name: "an experiment with a name that somebody made up in a long meeting", TaskCount: 1, Total: 1,
			Completed: 1, LastActivity: now.Add(-50 * time.Hour)},
	}
	keys, changes := someQueueKeys()
	for _, tc := range []struct {
		name  string
		width int
		text  func(width int) string
	}{
		{"queue_80.txt", 80, func(w int) string { return queueTable(w, keys, time.UTC) }},
		{"queue_160.txt", 160, func(w int) string { return queueTable(w, keys, time.UTC) }},
		{"queue_key.txt", 80, func(w int) string {
			return queueKeyText(keys[2], time.UTC) + "\n\n" + changesTable(w, changes, time.UTC)
		}},
		{"results_80.txt", 80, func(w int) string { return resultsTable(w, someTrials()) }},
		{"results_160.txt", 160, func(w int) string { return resultsTable(w, someTrials()) }},
		{"results_pipe.txt", 0, func(w int) string { return resultsTable(w, someTrials()) }},
		{"results_passed.txt", 80, func(w int) string { return resultsTable(w, someTrials()[:2]) }},
		{"trials_80.txt", 80, func(w int) string { return trialsTable(w, someTrials(), now) }},
		{"trials_160.txt", 160, func(w int) string { return trialsTable(w, someTrials(), now) }},
		{"experiments_80.txt", 80, func(w int) string { return experimentsTable(w, experiments, now) }},
		{"agents_80.txt", 80, func(w int) string { return agentsTable(w, someAgents(t), isReady) }},
		{"agents_160.txt", 160, func(w int) string { return agentsTable(w, someAgents(t), isReady) }},
		{"agent_claude-code.txt", 80, func(w int) string { return agentText(w, someAgents(t)[0], true) }},
		{"agent_cursor-cli.txt", 80, func(w int) string { return agentText(w, someAgents(t)[1], false) }},
		{"agent_nop.txt", 80, func(w int) string { return agentText(w, someAgents(t)[2], false) }},
		{"experiments_160.txt", 160, func(w int) string { return experimentsTable(w, experiments, now) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := plain(tc.text(tc.width))
			golden(t, tc.name, got+"\n")
			for line := range strings.SplitSeq(got, "\n") {
				if n := len([]rune(line)); tc.width > 0 && n > tc.width {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
}

func TestColoursAreDroppedWhereTheyAreNotWanted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		env  []string
		want bool
	}{
		{[]string{"CLICOLOR_FORCE=1", "TERM=xterm-256color"}, true},
		{[]string{"CLICOLOR_FORCE=1", "TERM=xterm-256color", "NO_COLOR=1"}, false},
		{[]string{"TERM=xterm-256color"}, false}, // no terminal
	} {
		a, out, _ := testApp(t, tc.env...)
		a.outPrinter().line(statusCell(someTrials()[0]))
		if got := strings.Contains(out.String(), "\x1b[32m"); got != tc.want {
			t.Errorf("%v: %q", tc.env, out)
		}
	}
}

func TestLiveViewFitsEveryTerminal(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	now := start.Add(75 * time.Second)
	f := frame{total: 120, ended: 41, passed: 20, below: 12, failed: 8, cancelled: 1, running: 40, queued: 38, retrying: 1}
	for i := range 30 {
		f.active = append(f.active, boardRow{
			name: strings.Repeat("long-name-", i%5) + "task-" + string(rune('a'+i%26)), agent: "claude-code", model: "anthropic/claude-sonnet-4-5",
			status: api.StatusRunning, stage: api.StageAgentRunning, attempt: 1 + i%2, since: now.Add(-time.Duration(i) * 30 * time.Second),
		})
	}
	for _, width := range []int{1, 10, 20, 40, 60, 80, 160} {
		for _, height := range []int{1, 2, 3, 5, 24, 80} {
			got := plain(drawFrame(f, width, height, start, now))
			lines := strings.Split(got, "\n")
			if len(lines) > max(1, height-1) || len(lines) > maxLiveLines {
				t.Errorf("%d×%d: %d lines", width, height, len(lines))
			}
			for _, l := range lines {
				if n := len([]rune(l)); n > width {
					t.Errorf("%d×%d: %d columns: %q", width, height, n, l)
				}
			}
		}
	}
	golden(t, "live_80x12.txt", plain(drawFrame(f, 80, 12, start, now))+"\n")
	golden(t, "live_160x24.txt", plain(drawFrame(f, 160, 24, start, now))+"\n")
	f.lost = true
	golden(t, "live_lost.txt", plain(drawFrame(f, 80, 4, start, now))+"\n")
}

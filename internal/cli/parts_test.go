package cli

import (
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/config"
	"oddish/internal/server"
)

func TestTheServerKnowsTheIsolationOfOurSandboxes(t *testing.T) {
	t.Parallel()
	for kind, level := range server.Isolation() {
		p, err := newProvider(t.Context(), kind, machine{dataDir: t.TempDir(), log: slog.New(slog.DiscardHandler)})
		if err != nil { // not to be had here
			t.Logf("%s: %v", kind, err)
			continue
		}
		if got := p.Capabilities().Isolation; got != level {
			t.Errorf("%s isolates at level %d, the server says %d", kind, got, level)
		}
	}
	if got, want := sandboxKinds(), slices.Sorted(maps.Keys(server.Isolation())); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("kinds are %v, the server knows %v", got, want)
	}
}

func TestModelsBelongToTheAgentBeforeThem(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, args, want string }{
		{"nothing given", "", "claude-code:"},
		{"one model, no agent", "-m x", "claude-code:x"},
		{"agent then model", "-a codex -m x", "codex:x"},
		{"model first", "-m x -a codex -a gemini-cli", "codex:x gemini-cli:x"},
		{"pairs", "-a claude-code -m x -a codex -m y", "claude-code:x codex:y"},
		{"several models of one agent", "-a codex -m x -m y", "codex:x codex:y"},
		{"an agent without a model between", "-a oracle -a codex -m x", "oracle: codex:x"},
		{"a default and an own model", "-m x -a codex -m y -a aider", "codex:y aider:x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, _, _ := testApp(t)
			cmd := a.runCommand()
			f := &runFlags{}
			cmd.ResetFlags()
			f.define(cmd.Flags())
			if err := cmd.ParseFlags(strings.Fields(tc.args)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range f.arms.arms() {
				got = append(got, r.Agent+":"+r.Model)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("%s gives %s, want %s", tc.args, s, tc.want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	half := summary{total: 2, passed: 1, below: 1, rewarded: 2, rewardSum: 1}
	broken := summary{total: 2, passed: 1, failed: 1, rewarded: 1, rewardSum: 1}
	none := summary{total: 1, failed: 1}
	stopped := summary{total: 1, cancelled: 1}
	for _, tc := range []struct {
		condition string
		s         summary
		fails     bool
	}{
		{"error", half, false},
		{"error", broken, true},
		{"error", stopped, true},
		{"reward<0.5", half, false},
		{"reward<0.51", half, true},
		{"reward < 1", broken, false},
		{"reward<0.1", none, true},
		{"error,reward<1", half, true},
	} {
		c, err := parseConditions([]string{tc.condition})
		if err != nil {
			t.Fatal(err)
		}
		if got := conditionError(c, tc.s) != nil; got != tc.fails {
			t.Errorf("%s of %+v is %v", tc.condition, tc.s, got)
		}
	}
	for _, bad := range []string{"", "errors", "reward", "reward<x", "reward>1", "error,"} {
		if _, err := parseConditions([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestSummaryLine(t *testing.T) {
	t.Parallel()
	got := plain(summarize(someTrials()).line())
	want := "7 trials: 1 passed, 1 not passed, 1 failed (EnvironmentStartTimeoutError), 1 cancelled, 3 not ended · mean reward 0.62 (of 2)"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSmallFormats(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ got, want string }{
		{formatReward(1), "1.00"},
		{formatReward(0.9999), "0.9999"},
		{formatReward(0.001), "0.0010"},
		{formatReward(-2), "-2.00"},
		{formatSeconds(0.04), "0.0s"},
		{formatSeconds(59.94), "59.9s"},
		{formatSeconds(245), "4m05s"},
		{formatSeconds(7800), "2h10m"},
		{formatAge(3 * time.Minute), "3m ago"},
		{formatAge(47 * time.Hour), "47h ago"},
		{cut("hello", 10, true), "hello"},
		{cut("a-long-task-name-12", 10, true), "a-lon…e-12"},
		{cut("a-long-task-name-12", 10, false), "a-long-ta…"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		raw, url, host string
		port           int
		local          bool
	}{
		{"http://localhost:8000", "http://localhost:8000", "127.0.0.1", 8000, true},
		{"localhost:8000/", "http://localhost:8000", "127.0.0.1", 8000, true},
		{"http://127.0.0.2:9", "http://127.0.0.2:9", "127.0.0.2", 9, true},
		{"http://[::1]:8000", "http://[::1]:8000", "::1", 8000, true},
		{"http://localhost", "http://localhost", "127.0.0.1", 80, true},
		{"http://localhost:8000/oddish", "http://localhost:8000/oddish", "", 0, false},
		{"https://localhost:8000", "https://localhost:8000", "", 0, false},
		{"https://oddish.example.org", "https://oddish.example.org", "", 0, false},
		{"http://10.0.0.1:8000", "http://10.0.0.1:8000", "", 0, false},
	} {
		got, err := parseEndpoint(tc.raw)
		want := endpoint{url: tc.url, local: tc.local, host: tc.host, port: tc.port}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", tc.raw, got, err, want)
		}
	}
	for _, bad := range []string{"http://", "ftp://x", "http://localhost:99999", "http://x?y=z"} {
		if _, err := parseEndpoint(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestListenAddressFollowsSettingsAndFlags(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  config.Config
		f    apiFlags
		host string
		port int
		bad  bool
	}{
		{name: "default", host: "127.0.0.1", port: 8000},
		{name: "the address that clients use", cfg: config.Config{APIURL: "http://localhost:9000"}, host: "127.0.0.1", port: 9000},
		{name: "a remote address says nothing", cfg: config.Config{APIURL: "https://x.org"}, host: "127.0.0.1", port: 8000},
		{name: "settings", cfg: config.Config{APIURL: "http://localhost:9000", APIPort: 9001}, host: "127.0.0.1", port: 9001},
		{name: "flags", cfg: config.Config{APIPort: 9001}, f: apiFlags{host: "localhost", port: 0, portGiven: true}, host: "127.0.0.1", port: 0},
		{name: "others may not come without a key", f: apiFlags{host: "0.0.0.0"}, bad: true},
		{name: "others may come with a key", cfg: config.Config{APIKey: "k"}, f: apiFlags{host: "0.0.0.0"}, host: "0.0.0.0", port: 8000},
		{name: "no port", f: apiFlags{port: -1, portGiven: true}, bad: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			host, port, err := listenAddress(tc.cfg, &tc.f)
			if (err != nil) != tc.bad || host != tc.host || port != tc.port {
				t.Errorf("%s:%d, %v", host, port, err)
			}
		})
	}
}

func TestDataDirectoryErrorsNameItAndTheRemedy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: "/d/x", Err: syscall.ENOSPC}, "the disk of the data directory /d is full"},
		{errors.New("database or disk is full (13)"), "the disk of the data directory /d is full"},
		{&fs.PathError{Op: "mkdir", Path: "/d", Err: syscall.EACCES}, "data directory /d cannot be written: permission denied"},
		{&fs.PathError{Op: "open", Path: "/d/x", Err: syscall.EROFS}, "data directory /d cannot be written: read-only file system"},
		{&fs.PathError{Op: "mkdir", Path: "/d", Err: syscall.ENOTDIR}, "data directory /d is not a folder"},
	} {
		e := describe(dataDirError("/d", tc.err))
		if e.msg != tc.want || !strings.Contains(e.hint, "ODDISH_DATA_DIR") || e.code != exitFailure {
			t.Errorf("%v: %+v", tc.err, e)
		}
	}
}

// A file system of a few kilobytes is full at once.
func TestFullDiskIsToldBeforeAServerStarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	_ = os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 64<<10), 0o600)
	if err := prepareDataDir(dir); err == nil || !strings.Contains(err.Error(), "is full") {
		t.Errorf("prepareDataDir: %v", err)
	}
}

func TestOnlyOneHoldsTheDataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if isLocked(dir) {
		t.Error("locked before anything")
	}
	l, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDataDir(dir); !errors.Is(err, errLocked) {
		t.Errorf("second lock: %v", err)
	}
	if !isLocked(dir) {
		t.Error("not locked")
	}
	l.release()
	if isLocked(dir) {
		t.Error("still locked")
	}
}

func TestAStateWithoutALockIsStale(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writeState(dir, serverState{PID: os.Getpid(), URL: "http://localhost:1"}); err != nil {
		t.Fatal(err)
	}
	if _, ok := liveServer(dir); ok {
		t.Error("a state that nobody holds is believed")
	}
	if stopped, err := stopServer(t.Context(), dir); stopped || err != nil {
		t.Errorf("stopServer: %v, %v", stopped, err)
	}
}

func TestBoardTakesOnlyNews(t *testing.T) {
	t.Parallel()
	now := time.Now()
	one := 1.0
	stage := api.StageVerification
	b := newBoard([]api.Trial{{ID: "a", Status: api.StatusRunning, Attempts: 1, HarborStage: &stage}, {ID: "b", Status: api.StatusQueued}}, false, now)
	for _, tc := range []struct {
		name string
		e    api.Event
		news bool
	}{
		{"an old stage", api.Event{TrialID: "a", Attempt: 1, Status: api.StatusRunning, Stage: api.StageAgentRunning}, false},
		{"a trial that is not watched", api.Event{TrialID: "z", Attempt: 1, Status: api.StatusRunning}, false},
		{"a retry", api.Event{TrialID: "a", Attempt: 1, Status: api.StatusRetrying, ErrorType: "X"}, true},
		{"the retry again", api.Event{TrialID: "a", Attempt: 1, Status: api.StatusRetrying}, false},
		{"the next attempt", api.Event{TrialID: "a", Attempt: 2, Status: api.StatusRunning}, true},
		{"its end", api.Event{TrialID: "a", Attempt: 2, Status: api.StatusSuccess, Reward: &one}, true},
		{"a late stage", api.Event{TrialID: "a", Attempt: 2, Status: api.StatusRunning, Stage: api.StageVerification}, false},
		{"a cancelled waiting trial", api.Event{TrialID: "b", Attempt: 0, Status: api.StatusCancelled}, true},
	} {
		if got := b.apply(tc.e, now) != nil; got != tc.news {
			t.Errorf("%s: news is %v", tc.name, got)
		}
	}
	if !b.done() {
		t.Error("not done")
	}
	if f := b.frame(); f.passed != 1 || f.cancelled != 1 || f.ended != 2 {
		t.Errorf("frame: %+v", f)
	}
}

func TestATrialThatIsTriedAgainIsNotTakenForEnded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	one := 1.0
	b := newBoard([]api.Trial{{ID: "a", Status: api.StatusQueued, Attempts: 1}}, false, now) // it failed, and waits once more
	for _, tc := range []struct {
		name string
		e    api.Event
		news bool
	}{
		{"the end of its first attempt", api.Event{TrialID: "a", Attempt: 1, Status: api.StatusFailed, ErrorType: "X"}, false},
		{"that it waits", api.Event{TrialID: "a", Attempt: 1, Status: api.StatusQueued}, false},
		{"its second attempt", api.Event{TrialID: "a", Attempt: 2, Status: api.StatusRunning}, true},
		{"the end of it", api.Event{TrialID: "a", Attempt: 2, Status: api.StatusFailed}, true},
		{"that it waits again", api.Event{TrialID: "a", Attempt: 2, Status: api.StatusQueued}, true},
		{"its third attempt's end", api.Event{TrialID: "a", Attempt: 3, Status: api.StatusSuccess, Reward: &one}, true},
	} {
		if got := b.apply(tc.e, now) != nil; got != tc.news {
			t.Errorf("%s: news is %v", tc.name, got)
		}
		if ended := tc.e.Status.Terminal() && tc.news; b.done() != ended {
			t.Errorf("after %s the board is done: %v", tc.name, b.done())
		}
	}
}

func TestASubmissionSaysWhatWasThere(t *testing.T) {
	t.Parallel()
	for want, n := range map[string][3]int{ // existing, tried again, new
		"": {0, 0, 4},
		"1 trial: all there already (--again runs all of them anew)":                       {1, 0, 0},
		"12 trials: 8 there already, 1 tried again, 3 new (--again runs all of them anew)": {8, 1, 3},
		"3 trials: 3 tried again (--again runs all of them anew)":                          {0, 3, 0},
		"5 trials: 2 there already, 3 new (--again runs all of them anew)":                 {2, 0, 3},
		"1200 trials: 1000 there already, 200 tried again (--again runs all of them anew)": {1000, 200, 0},
	} {
		s := submission{retried: n[1], made: n[2], known: make([]string, n[0]+n[1]), trialIDs: make([]string, n[0]+n[1]+n[2])}
		if got := s.counts(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestExperimentNamesHaveTheKnownForm(t *testing.T) {
	t.Parallel()
	for range 50 {
		parts := strings.Split(experimentName(), "-")
		if len(parts) != 3 || len(parts[2]) != 4 {
			t.Fatalf("name %q", strings.Join(parts, "-"))
		}
	}
}

func TestServerLogIsPutAsideWhenLarge(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "server.log")
	if err := os.WriteFile(path, make([]byte, maxServerLog), 0o600); err != nil {
		t.Fatal(err)
	}
	if from, err := rotateLog(path); from != 0 || err != nil {
		t.Errorf("rotateLog: %d, %v", from, err)
	}
	if _, err := os.Stat(path + ".old"); err != nil {
		t.Error(err)
	}
	if from, err := rotateLog(path); from != 0 || err != nil {
		t.Errorf("rotateLog without a file: %d, %v", from, err)
	}
}

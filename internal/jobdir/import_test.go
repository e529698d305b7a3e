package jobdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oddish/api"
	"oddish/client"
	"oddish/internal/tarball"
)

// fakeTarget is a server that keeps what is imported.
type fakeTarget struct {
	job      api.ImportJob
	native   bool
	archives map[string][]byte
	trials   map[string]api.ImportTrial
	order    []string
	fail     map[string]error // by folder
}

func newTarget() *fakeTarget {
	return &fakeTarget{archives: map[string][]byte{}, trials: map[string]api.ImportTrial{}, fail: map[string]error{}}
}

func (f *fakeTarget) ImportJob(_ context.Context, in api.ImportJob) (api.ImportedJob, error) {
	f.job = in
	out := api.ImportedJob{ExperimentID: "e1", ExperimentName: in.Name, Native: f.native}
	for folder, t := range f.trials {
		out.Trials = append(out.Trials, api.ImportedTrial{Folder: folder, Digest: t.Digest})
	}
	return out, nil
}

func (f *fakeTarget) PutImport(_ context.Context, _, folder string, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	f.archives[folder], err = io.ReadAll(r)
	return err
}

func (f *fakeTarget) ImportTrial(_ context.Context, _, folder string, in api.ImportTrial) (api.ImportedTrial, error) {
	if err := f.fail[folder]; err != nil {
		return api.ImportedTrial{}, err
	}
	f.trials[folder] = in
	f.order = append(f.order, folder)
	return api.ImportedTrial{Folder: folder}, nil
}

func importAll(t *testing.T, target *fakeTarget, dir string) Imported {
	t.Helper()
	jobs, err := Find(dir)
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	done, err := Import(t.Context(), target, jobs[0], ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestATaskWithoutANameIsCalledAsItsTrialBegins(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"task_name": "org/sums", "trial_name": "sums__a1B2c3D", "config": {"task": {"path": "."}}, "finished_at": "2026-01-02T03:04:05"}`: "org/sums",
		`{"task_name": "", "trial_name": "sums__a1B2c3D", "config": {"task": {"path": "tasks/add"}}, "finished_at": "2026-01-02T03:04:05"}`: "tasks/add",
		`{"task_name": "", "trial_name": "my__sums__a1B2c3D", "config": {"task": {"path": "."}}, "finished_at": "2026-01-02T03:04:05"}`:     "my__sums",
		`{"config": {"task": {"path": ".."}}, "finished_at": "2026-01-02T03:04:05"}`:                                                        "folder",
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "folder__1"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "folder__1", "result.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		in, _, err := (&Job{Dir: dir}).readTrial("folder__1")
		if err != nil || in.TaskName != want {
			t.Errorf("of %s got %q, %v, want %q", text, in.TaskName, err, want)
		}
	}
}

// Each folder in testdata was written by the models of that version of Harbor: five trials, from 0.6 on one with steps, and one that was killed.
func TestJobsOfAllVersionsOfHarborAreImported(t *testing.T) {
	t.Parallel()
	versions, err := os.ReadDir("testdata")
	if err != nil || len(versions) < 5 {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	for _, v := range versions {
		t.Run(v.Name(), func(t *testing.T) {
			t.Parallel()
			target := newTarget()
			done := importAll(t, target, filepath.Join("testdata", v.Name()))
			want := []LeftOut{{"killed__abcdef9", errUnfinished.Error()}}
			if !reflect.DeepEqual(done.LeftOut, want) || done.New != done.Trials || len(target.trials) != done.New {
				t.Errorf("did %+v", done)
			}
			if target.job.JobID != "0f0e0d0c-0b0a-4908-8706-050403020100" || target.job.Name != v.Name() || target.job.CreatedAt == nil {
				t.Errorf("job is %+v", target.job)
			}
			checkTrials(t, target.trials)
		})
	}
}

func checkTrials(t *testing.T, trials map[string]api.ImportTrial) {
	t.Helper()
	for folder, want := range map[string]string{
		"passes__abcdef0":  "passes claude-code anthropic/claude-sonnet success map[reward:1]  1200 0.0125",
		"fails__abcdef1":   "fails oracle  success map[reward:0]  - -",
		"slow__abcdef2":    "slow claude-code anthropic/claude-sonnet success map[reward:0] AgentTimeoutError 1200 0.0125",
		"broken__abcdef3":  "broken claude-code anthropic/claude-sonnet failed map[] RuntimeError 1200 0.0125",
		"stopped__abcdef4": "stopped claude-code anthropic/claude-sonnet cancelled map[] CancelledError 1200 0.0125",
		"steps__abcdef5":   "steps claude-code anthropic/claude-sonnet success map[reward:0.5] AgentTimeoutError 10 -",
	} {
		in, there := trials[folder]
		if !there && strings.HasPrefix(folder, "steps") {
			continue // of a version without steps
		}
		f := in.Finish
		got := fmt.Sprintf("%s %s %s %s %v %s %s %s", in.TaskName, in.Agent, in.Model, f.Outcome, f.Rewards, f.ErrorType, shown(f.InputTokens), shown(f.CostUSD))
		if got != want {
			t.Errorf("%s is %q, want %q", folder, got, want)
		}
		if in.DataSet != "my-set" || in.Environment != "docker" || *in.Harbor.TimeoutMultiplier != 2 || in.Attempts != 1 {
			t.Errorf("%s is %+v", folder, in)
		}
		if d := f.Phases["environment_setup"].DurationSec; d != 2 {
			t.Errorf("the sandbox of %s started in %v s", folder, d)
		}
	}
	if began := trials["passes__abcdef0"].StartedAt; began == nil || began.Nanosecond() != 250e6 {
		t.Errorf("it began at %v", began)
	}
}

func shown[T any](v *T) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}

func TestTimesWithoutAZoneAreThisMachines(t *testing.T) {
	t.Parallel()
	doc := map[string]any{"started_at": "2026-03-01T12:00:00.25", "finished_at": "2026-03-01 12:00:01"}
	normal(doc)
	want := time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.Local).UTC().Format(time.RFC3339Nano)
	if doc["started_at"] != want || doc["finished_at"] == nil {
		t.Errorf("times are %v and %v, want %s", doc["started_at"], doc["finished_at"], want)
	}
}

// copyJob gives a copy of a job folder that the test may change.
func copyJob(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "nightly")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "harbor-0.26.0"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAnImportGoesOnAndBringsWhatChanged(t *testing.T) {
	t.Parallel()
	dir, target := copyJob(t), newTarget()
	target.fail["broken__abcdef3"] = errors.New("gone")
	jobs, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Import(t.Context(), target, jobs[0], ImportOptions{}); err == nil || !strings.Contains(err.Error(), "broken__abcdef3") {
		t.Fatalf("error is %v", err)
	}
	target.fail = nil
	if done := importAll(t, target, dir); done.Unchanged != 3 || done.New != 3 {
		t.Errorf("did %+v", done)
	}
	write(t, filepath.Join(dir, "passes__abcdef0", "agent", "log.txt"), "more\n")
	if err := os.RemoveAll(filepath.Join(dir, "slow__abcdef2")); err != nil {
		t.Fatal(err)
	}
	done := importAll(t, target, dir)
	if done.Changed != 1 || done.New != 0 || done.Unchanged != 4 || !slices.Equal(done.Former, []string{"slow__abcdef2"}) {
		t.Errorf("did %+v", done)
	}
}

func TestWhatTheServerWillNeverTakeIsListedAndTheRestImported(t *testing.T) {
	t.Parallel()
	dir, target := copyJob(t), newTarget()
	target.fail["slow__abcdef2"] = &client.Error{Method: "POST", URL: "/x", Status: 400, Detail: "task_name is empty"}
	done := importAll(t, target, dir)
	if done.New != 5 || len(target.trials) != 5 {
		t.Errorf("did %+v", done)
	}
	if !slices.ContainsFunc(done.LeftOut, func(l LeftOut) bool {
		return l.Path == "slow__abcdef2" && strings.Contains(l.Reason, "task_name is empty")
	}) {
		t.Errorf("left out %+v", done.LeftOut)
	}
}

func TestTrialsComeInTheOrderInWhichTheyBegan(t *testing.T) {
	t.Parallel()
	target := newTarget()
	importAll(t, target, copyJob(t))
	want := []string{"passes__abcdef0", "fails__abcdef1", "slow__abcdef2", "broken__abcdef3", "stopped__abcdef4", "steps__abcdef5"}
	if !slices.Equal(target.order, want) {
		t.Errorf("order is %v", target.order)
	}
}

func TestWhatCannotBeUsedIsListed(t *testing.T) {
	t.Parallel()
	dir, target := copyJob(t), newTarget()
	passes := filepath.Join(dir, "passes__abcdef0")
	if err := os.Symlink("/etc/passwd", filepath.Join(passes, "agent", "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(passes, "agent", "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "fails__abcdef1", "result.json"), `{"trial_name": "x", `)
	write(t, filepath.Join(dir, "slow__abcdef2", "result.json"), `{"trial_name": "x", "task_name": 7}`)
	text, err := os.ReadFile(filepath.Join(dir, "steps__abcdef5", "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "steps__abcdef5", "result.json"), strings.Replace(string(text), `"mcp_servers": []`, `"mcp_servers": [{"name": "a"}]`, 1))
	done := importAll(t, target, dir)
	var left []string
	for _, l := range done.LeftOut {
		left = append(left, l.Path)
	}
	want := []string{"fails__abcdef1", "killed__abcdef9", "slow__abcdef2", "config.json", "passes__abcdef0/agent/link", "passes__abcdef0/agent/pipe"}
	if !slices.Equal(left, want) || done.New != 4 {
		t.Errorf("left out %v, did %+v", left, done)
	}
	out := t.TempDir()
	if _, err := tarball.UnpackGzip(strings.NewReader(string(target.archives["passes__abcdef0"])), out, tarball.UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(out, "agent", "link")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link came along: %v", err)
	}
}

func TestADryRunOnlyReads(t *testing.T) {
	t.Parallel()
	jobs, err := Find(filepath.Dir(copyJob(t)))
	if err != nil || len(jobs) != 1 {
		t.Fatal(err)
	}
	if done, err := Import(t.Context(), nil, jobs[0], ImportOptions{DryRun: true}); err != nil || done.Trials != 6 || done.ExperimentID != "" {
		t.Errorf("did %+v, %v", done, err)
	}
}

func TestTheServersOwnExperimentIsNotImported(t *testing.T) {
	t.Parallel()
	target := newTarget()
	target.native = true
	if done := importAll(t, target, copyJob(t)); !done.Native || len(target.trials) != 0 {
		t.Errorf("did %+v", done)
	}
}

func TestFoldersWithoutJobsAreRefused(t *testing.T) {
	t.Parallel()
	dir := copyJob(t)
	if _, err := Find(t.TempDir()); !errors.Is(err, ErrNoJob) {
		t.Errorf("error is %v", err)
	}
	if _, err := Find(filepath.Join(dir, "passes__abcdef0")); err == nil || !strings.Contains(err.Error(), "name the job's folder, "+dir) {
		t.Errorf("error is %v", err)
	}
	if _, err := Find(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

// FuzzReadTrial: whatever is in a trial's folder, reading it neither fails but with an error nor takes what is unknown for a number.
func FuzzReadTrial(f *testing.F) {
	for _, folder := range []string{"passes__abcdef0", "steps__abcdef5", "slow__abcdef2"} {
		text, err := os.ReadFile(filepath.Join("testdata", "harbor-0.26.0", folder, "result.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"trial_name":"a","task_name":"b","verifier_result":{"reward":true},"agent_result":{"n_input_tokens":1e3},"config":{"environment":{"env":["A=b"],"kwargs":{"a":1}},"artifacts":["/x"]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "a__1"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "a__1", "result.json"), string(text))
		j := Job{Dir: dir}
		in, _, err := j.readTrial("a__1")
		if err != nil {
			return
		}
		if in.Agent == "" || in.TaskName == "" || in.Environment == "" || !in.Finish.Outcome.Terminal() {
			t.Errorf("%s gives %+v", text, in)
		}
	})
}

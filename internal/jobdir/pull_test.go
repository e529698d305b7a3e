package jobdir

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"oddish/api"
	"oddish/client"
	"oddish/internal/result"
)

// fakeSource is a server with one experiment, whose trials' files are by trial and path.
type fakeSource struct {
	job   api.JobFiles
	rows  []api.Trial
	files map[string]map[string]string

	mu     sync.Mutex
	gets   int
	broken map[string]int // path: so many transfers of it break off
}

func newSource() *fakeSource {
	trial := func(name, status string) api.Trial {
		return api.Trial{ID: name, Name: name, Status: api.Status(status), Agent: "oracle", Model: "default"}
	}
	doc := func(folder string) map[string]string {
		return map[string]string{
			"config.json":      `{"trial_name": "` + folder + `", "trials_dir": "jobs/e", "task": {"path": "hello"}, "environment": {"import_path": "oddish:builtin"}}`,
			"result.json":      `{"id": "x", "trial_uri": "file:///gone", "config": {"trials_dir": "jobs/e"}, "cost": 1234567890123456789}`,
			"agent/oracle.txt": "done",
		}
	}
	return &fakeSource{
		job: api.JobFiles{
			ExperimentID: "e", Config: []byte(`{"tasks": [{"path": "hello"}], "environment": {"import_path": "oddish:builtin", "type": null}}`),
			Lock: []byte(`{"schema_version": 3, "trials": []}`), Result: []byte(`{"id": "r"}`),
			Trials: []api.JobTrial{
				{TrialID: "hello-0", Folder: "hello__1", Status: "success"}, {TrialID: "hello-1", Folder: "hello__2", Status: "failed"},
				{TrialID: "hello-2", Folder: "hello__3", Status: "running"},
			},
		},
		rows:   []api.Trial{trial("hello-0", "success"), trial("hello-1", "failed"), trial("hello-2", "running")},
		files:  map[string]map[string]string{"hello-0": doc("hello__1"), "hello-1": doc("hello__2")},
		broken: map[string]int{},
	}
}

func (s *fakeSource) JobFiles(context.Context, string) (api.JobFiles, error) { return s.job, nil }

func (s *fakeSource) ExperimentTrials(context.Context, string) ([]api.Trial, error) {
	return s.rows, nil
}

func (s *fakeSource) TrialFiles(_ context.Context, id string) (api.TrialFiles, error) {
	var list api.TrialFiles
	for name, text := range s.files[id] {
		list.Files = append(list.Files, api.File{Path: name, Size: int64(len(text))})
	}
	return list, nil
}

func (s *fakeSource) TrialFile(_ context.Context, id, name string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	if s.broken[name] > 0 {
		s.broken[name]--
		cut := iotest.ErrReader(&client.TransportError{Method: "GET", URL: name, Err: io.ErrUnexpectedEOF})
		return io.NopCloser(io.MultiReader(strings.NewReader("half"), cut)), nil
	}
	return io.NopCloser(strings.NewReader(s.files[id][name])), nil
}

func pull(t *testing.T, s *fakeSource, dir string) Progress {
	t.Helper()
	p, err := Pull(t.Context(), s, api.Experiment{ID: "e", Name: "nightly"}, dir, Options{Tasks: filepath.Join(filepath.Dir(dir), "tasks")})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func readDoc(t *testing.T, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestAPulledDirectorySaysWhereItIs(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	if p := pull(t, newSource(), dir); p.Trials != 2 || p.Fetched != 2 || p.Open != 1 {
		t.Errorf("progress is %+v", p)
	}
	job := readDoc(t, filepath.Join(dir, "config.json"))
	task := job["tasks"].([]any)[0].(map[string]any)["path"]
	if job["job_name"] != "job" || job["jobs_dir"] != filepath.Dir(dir) || task != filepath.Join(filepath.Dir(dir), "tasks", "hello") {
		t.Errorf("the job's config is %v", job)
	}
	config := readDoc(t, filepath.Join(dir, "hello__1", "config.json"))
	env := config["environment"].(map[string]any)
	if config["trials_dir"] != dir || env["type"] != "docker" || env["import_path"] != nil {
		t.Errorf("a trial's config is %v", config)
	}
	data, err := os.ReadFile(filepath.Join(dir, "hello__1", "result.json"))
	if err != nil || !strings.Contains(string(data), "1234567890123456789") {
		t.Errorf("a number was changed: %s, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "hello__3")); err == nil {
		t.Error("a trial that has not ended has a folder")
	}
}

func TestAPulledLockTellsOfTasksWhatTheTrialsLocksDo(t *testing.T) {
	t.Parallel()
	s, dir := newSource(), filepath.Join(t.TempDir(), "job")
	s.job.Lock = []byte(`{"trials": [{"task": {"digest": "sha256:a", "version": null}, "verifier": {"environment_mode": "shared"}},
		{"task": {"digest": "sha256:b", "version": null}, "verifier": {"environment_mode": "shared"}}, {"task": {"digest": "sha256:c", "version": null}, "verifier": {"environment_mode": "shared"}}]}`)
	s.files["hello-0"]["lock.json"] = `{"task": {"digest": "sha256:a", "version": "1.2"}, "verifier": {"environment_mode": "separate"}}`
	s.files["hello-1"]["lock.json"] = `{"task": {"digest": "sha256:b", "version": null}, "verifier": {"environment_mode": null}}`
	pull(t, s, dir)
	got, err := json.Marshal(readDoc(t, filepath.Join(dir, "lock.json")))
	want := `{"trials":[{"task":{"digest":"sha256:a","version":"1.2"},"verifier":{"environment_mode":"separate"}},` +
		`{"task":{"digest":"sha256:b","version":null},"verifier":{"environment_mode":null}},{"task":{"digest":"sha256:c","version":null},"verifier":{"environment_mode":"shared"}}]}`
	if err != nil || string(got) != want {
		t.Errorf("lock.json is\n%s\nwant\n%s", got, want)
	}
}

func TestWhatIsThereIsNotPulledAgain(t *testing.T) {
	t.Parallel()
	s, dir := newSource(), filepath.Join(t.TempDir(), "job")
	pull(t, s, dir)
	before := s.gets
	if p := pull(t, s, dir); p.Kept != 2 || p.Fetched != 0 || s.gets != before {
		t.Errorf("progress is %+v after %d more files", p, s.gets-before)
	}
	if err := os.WriteFile(filepath.Join(dir, "hello__1", "agent", "oracle.txt"), []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := pull(t, s, dir); p.Kept != 1 || p.Fetched != 1 {
		t.Errorf("after a file was changed, progress is %+v", p)
	}
}

func TestAPullGoesOnWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	s, dir := newSource(), filepath.Join(t.TempDir(), "job")
	s.broken["agent/oracle.txt"] = 1000
	_, err := Pull(t.Context(), s, api.Experiment{ID: "e"}, dir, Options{})
	if !client.Unreachable(err) {
		t.Fatalf("error is %v", err)
	}
	for _, name := range []string{"hello__1", "hello__2", result.ResultFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is there although the pull did not end", name)
		}
	}
	s.broken["agent/oracle.txt"] = 1 // is tried again
	if p := pull(t, s, dir); p.Fetched != 2 {
		t.Errorf("progress is %+v", p)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "hello__1", "agent", "oracle.txt")); string(text) != "done" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

func TestATrialThatWasTriedAgainTakesThePlaceOfItsFormerAttempt(t *testing.T) {
	t.Parallel()
	s, dir := newSource(), filepath.Join(t.TempDir(), "job")
	pull(t, s, dir)
	s.job.Trials[1].Folder = "hello__9"
	pull(t, s, dir)
	if _, err := os.Stat(filepath.Join(dir, "hello__2")); err == nil {
		t.Error("the former attempt is still there")
	}
	if _, err := os.Stat(filepath.Join(dir, "hello__9", "result.json")); err != nil {
		t.Error(err)
	}
}

func TestATrialWhoseWorkerWasLostHasAResult(t *testing.T) {
	t.Parallel()
	s, dir := newSource(), filepath.Join(t.TempDir(), "job")
	s.files["hello-1"] = map[string]string{"trial.log": "started"}
	kind, message := result.WorkerLost, "its worker is gone"
	s.rows[1].ErrorType, s.rows[1].ErrorMessage, s.rows[1].Model = &kind, &message, "openai/gpt-5"
	pull(t, s, dir)
	trial, err := result.ReadTrial(filepath.Join(dir, "hello__2"))
	if err != nil {
		t.Fatal(err)
	}
	if trial.ExceptionInfo == nil || trial.ExceptionInfo.Type != kind || trial.TaskName != "hello" || trial.AgentInfo.ModelInfo.Name != "gpt-5" {
		t.Errorf("its result is %+v", trial)
	}
	if p := pull(t, s, dir); p.Kept != 2 {
		t.Errorf("it is not kept: %+v", p)
	}
}

// Harbor test list #46
func TestFoldersOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Pull(t.Context(), newSource(), api.Experiment{ID: "e"}, dir, Options{}); !errors.Is(err, ErrForeign) {
		t.Errorf("error is %v", err)
	}
	other := filepath.Join(t.TempDir(), "job")
	pull(t, newSource(), other)
	if _, err := Pull(t.Context(), newSource(), api.Experiment{ID: "another"}, other, Options{}); !errors.Is(err, ErrForeign) {
		t.Errorf("error is %v", err)
	}
}

func TestNamesThatLeadOutOfTheFolderAreRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*fakeSource){
		"a folder above":    func(s *fakeSource) { s.job.Trials[0].Folder = ".." },
		"a folder in one":   func(s *fakeSource) { s.job.Trials[0].Folder = "a/b" },
		"a file above":      func(s *fakeSource) { s.files["hello-0"]["../../x"] = "evil" },
		"an absolute file":  func(s *fakeSource) { s.files["hello-0"]["/tmp/x"] = "evil" },
		"an empty folder":   func(s *fakeSource) { s.job.Trials[0].Folder = "" },
		"the pull's folder": func(s *fakeSource) { s.job.Trials[0].Folder = "." },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := newSource(), filepath.Join(t.TempDir(), "job")
			spoil(s)
			if _, err := Pull(t.Context(), s, api.Experiment{ID: "e"}, dir, Options{}); err == nil || !strings.Contains(err.Error(), "the server names") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

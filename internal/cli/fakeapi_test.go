package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/api"
)

// fakeAPI is a server over real HTTP that keeps trials in memory.
type fakeAPI struct {
	*httptest.Server
	mu      sync.Mutex
	sweeps  []api.Sweep
	trials  []api.Trial
	events  []api.Event
	uploads int
	// refuse answers a submission with a status other than 0.
	refuse func(n int) int
	// hangUp ends event streams after the last event, instead of leaving them open.
	hangUp bool
	// paused says that the experiment is.
	paused bool
	// broken answers everything about experiments with 503.
	broken bool
}

func newFakeAPI(t *testing.T) *fakeAPI {
	t.Helper()
	f := &fakeAPI{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, api.Health{Status: "healthy", Database: "connected", Service: "oddish", Version: Version(), PID: 1})
	})
	mux.HandleFunc("POST /tasks/upload/init", f.initUpload)
	mux.HandleFunc("PUT /archive", func(http.ResponseWriter, *http.Request) { f.mu.Lock(); f.uploads++; f.mu.Unlock() })
	mux.HandleFunc("POST /tasks/upload/complete", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, api.Upload{}) })
	mux.HandleFunc("POST /tasks/sweep", f.sweep)
	mux.HandleFunc("GET /experiments/{id}", f.unlessBroken(func(w http.ResponseWriter, _ *http.Request) {
		e := api.Experiment{ID: "exp1", Name: "fake", Paused: f.paused, Total: len(f.trials), Counts: map[api.Status]int{}}
		for _, t := range f.trials {
			if t.Status.Terminal() {
				e.Completed++
			}
		}
		writeJSON(w, e)
	}))
	mux.HandleFunc("GET /experiments/{id}/trials", f.unlessBroken(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"items": f.trials, "next_cursor": ""})
	}))
	mux.HandleFunc("GET /experiments/{id}/events", func(w http.ResponseWriter, r *http.Request) {
		f.unlessBroken(f.sendEvents)(w, r)
		if !f.hangUp {
			<-r.Context().Done()
		}
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAPI) sendEvents(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range f.events {
		data, _ := json.Marshal(e)
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.ID, data)
	}
	_ = http.NewResponseController(w).Flush()
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (f *fakeAPI) unlessBroken(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.broken {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		h(w, r)
	}
}

func (f *fakeAPI) initUpload(w http.ResponseWriter, r *http.Request) {
	var in api.UploadInit
	_ = json.NewDecoder(r.Body).Decode(&in)
	url, method := f.URL+"/archive", "PUT"
	writeJSON(w, api.Upload{TaskID: in.Name + "-id", Name: in.Name, Version: 1, ContentHash: in.ContentHash,
		UploadURL: &url, UploadMethod: &method, RequiresCompletion: true})
}

// sweep makes one trial of each config, which passes at once.
func (f *fakeAPI) sweep(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var s api.Sweep
	_ = json.NewDecoder(r.Body).Decode(&s)
	if f.refuse != nil {
		if status := f.refuse(len(f.sweeps)); status != 0 {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(api.Problem{Detail: "no more today"})
			return
		}
	}
	f.sweeps = append(f.sweeps, s)
	out := api.Submitted{ID: s.TaskID, Name: strings.TrimSuffix(s.TaskID, "-id"), ExperimentID: "exp1", ExperimentName: "fake", TrialsCount: len(s.Configs)}
	now, one := time.Now(), 1.0
	for i, c := range s.Configs {
		id := fmt.Sprintf("%s-%d", s.TaskID, i)
		out.NewTrialIDs = append(out.NewTrialIDs, id)
		f.trials = append(f.trials, api.Trial{ID: id, Name: fmt.Sprintf("%s-%d", out.Name, i), TaskID: s.TaskID, ExperimentID: "exp1", Agent: c.Agent,
			Model: "default", Status: api.StatusSuccess, Attempts: 1, Reward: &one, StartedAt: &now, FinishedAt: &now})
		f.events = append(f.events, api.Event{ID: int64(len(f.events) + 1), TrialID: id, Attempt: 1, Kind: "finished", Status: api.StatusSuccess, Reward: &one})
	}
	writeJSON(w, out)
}

// makeTask writes a valid task and returns its folder.
func makeTask(t *testing.T, dir, name string) {
	t.Helper()
	for file, text := range map[string]string{
		"task.toml":              "[agent]\ntimeout_sec = 60\n[verifier]\ntimeout_sec = 60\n[environment]\nbuild_timeout_sec = 60\n",
		"instruction.md":         "Do it.\n",
		"environment/Dockerfile": "FROM scratch\n",
		"tests/test.sh":          "true\n",
		"solution/solve.sh":      "true\n",
	} {
		path := filepath.Join(dir, name, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunSubmitsWhatTheFlagsSay(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	a, out, errs := testApp(t, "ODDISH_API_URL="+f.URL)
	makeTask(t, a.Dir, "hello")
	code := a.Run(t.Context(), strings.Fields("run hello -a codex -m openai/gpt-5 --n-trials 2 -E mine -P high -u ann -G octo --github-meta {\"pr\":1} -e fake "+
		"--ae K=V=W --ak web_search=live --ek duration=1 --override-cpus 2 --override-memory-mb 64 --override-storage-mb 65 --override-gpus 0 --force-build "+
		"--disable-verification --artifact /x --artifact /y --max-attempts 5 --agent-timeout-multiplier 2.5 --json"))
	if code != exitOK {
		t.Fatalf("exit status %d: %s", code, errs)
	}
	if !json.Valid(out.Bytes()) || f.uploads != 1 || len(f.sweeps) != 1 {
		t.Fatalf("%d uploads, %d sweeps, output %s", f.uploads, len(f.sweeps), out)
	}
	f.sweeps[0].ContentHash = nil // of the files; checked where digests are made
	got, err := json.MarshalIndent(f.sweeps[0], "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "sweep.json", string(got)+"\n")
}

func TestRunWatchesToTheEnd(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	a, out, errs := testApp(t, "ODDISH_API_URL="+f.URL)
	makeTask(t, a.Dir, "tasks/one")
	makeTask(t, a.Dir, "tasks/two")
	if code := a.Run(t.Context(), strings.Fields("run tasks -a oracle -a nop")); code != exitOK {
		t.Fatalf("exit status %d: %s", code, errs)
	}
	for _, want := range []string{"one-0  oracle", "two-1  nop", "4 trials: 4 passed"} {
		if !strings.Contains(out.String()+errs.String(), want) {
			t.Errorf("%q is missing in\n%s%s", want, out, errs)
		}
	}
	if !strings.Contains(errs.String(), "(4/4)") {
		t.Errorf("progress: %s", errs)
	}
	if *f.sweeps[1].ExperimentID != "exp1" {
		t.Errorf("the second task names the experiment %q", *f.sweeps[1].ExperimentID)
	}
}

func TestASubmissionThatBreaksOffSaysWhatWasQueued(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	f.refuse = func(n int) int {
		if n == 1 {
			return http.StatusUnprocessableEntity
		}
		return 0
	}
	a, _, errs := testApp(t, "ODDISH_API_URL="+f.URL)
	makeTask(t, a.Dir, "tasks/one")
	makeTask(t, a.Dir, "tasks/two")
	if code := a.Run(t.Context(), strings.Fields("run tasks -a oracle")); code != exitFailure {
		t.Errorf("exit status %d", code)
	}
	for _, want := range []string{"1 of 2 tasks were queued", "oddish status -e exp1", "no more today"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("%q is missing in %s", want, errs)
		}
	}
}

func TestAServerThatStaysAwayIsGivenUp(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	f.hangUp = true
	f.trials = []api.Trial{{ID: "a-0", Name: "a-0", Agent: "nop", Status: api.StatusRunning, Attempts: 1}}
	a, _, errs := testApp(t, "ODDISH_API_URL="+f.URL, "ODDISH_RECONNECT_TIMEOUT=50ms")
	conn, err := a.connect("", 0)
	if err != nil {
		t.Fatal(err)
	}
	fl := &follower{app: a, conn: conn, o: watchOptions{experiment: "exp1"}, worry: make(chan struct{}, 1), news: make(chan api.Event, 64)}
	trials, err := fl.snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fl.board, fl.view = newBoard(trials, false, time.Now()), &plainView{p: a.errPrinter()}
	f.mu.Lock()
	f.broken = true
	f.mu.Unlock()
	if err := fl.watch(t.Context()); err != errGone {
		t.Fatalf("watch: %v", err)
	}
	if e := describe(fl.giveUp()); !strings.Contains(e.hint, "oddish status -e exp1 --watch") || e.code != exitFailure {
		t.Errorf("error: %+v", e)
	}
	if !strings.Contains(errs.String(), "connection lost") {
		t.Errorf("progress: %s", errs)
	}
}

func TestMissedEventsAreReadFromTheServer(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	f.hangUp = true
	f.trials = []api.Trial{{ID: "a-0", Name: "a-0", Agent: "nop", Status: api.StatusSuccess, Attempts: 1}}
	a, _, _ := testApp(t, "ODDISH_API_URL="+f.URL)
	conn, err := a.connect("", 0)
	if err != nil {
		t.Fatal(err)
	}
	// fromStart forgets that the trial has ended, and no event tells; the event stream, which ends at once, makes it look.
	trials, err := a.follow(t.Context(), conn, watchOptions{experiment: "exp1", fromStart: true, quiet: true})
	if err != nil || len(trials) != 1 {
		t.Errorf("follow: %v, %v", trials, err)
	}
}

func TestErrorsAreReportedInTheFormOfTheOutput(t *testing.T) {
	t.Parallel()
	a, out, errs := testApp(t, "ODDISH_API_URL=http://127.0.0.1:1")
	if code := a.Run(t.Context(), []string{"status", "--json"}); code != exitFailure {
		t.Errorf("exit status %d", code)
	}
	var doc struct {
		Error struct{ Code, Message, Hint string }
	}
	if err := json.Unmarshal(errs.Bytes(), &doc); err != nil || doc.Error.Code != "unreachable" || out.Len() > 0 {
		t.Errorf("%v: %s", err, errs)
	}
}

package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"oddish/api"
	"oddish/client"
	"oddish/internal/blob"
	"oddish/internal/queue"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/fake"
	"oddish/internal/server"
	"oddish/internal/store"
	"oddish/internal/task"
	"oddish/internal/worker"
)

// system is a real server with its database, on the loopback, that can be restarted.
type system struct {
	t       *testing.T
	dir     string
	address string
	lease   time.Duration
	client  *client.Client
	stop    func()
}

func newSystem(t *testing.T, lease time.Duration) *system {
	t.Helper()
	s := &system{t: t, dir: t.TempDir(), address: "127.0.0.1:0", lease: lease}
	s.start()
	t.Cleanup(func() { s.stop() })
	s.client = client.New("http://"+s.address, client.Options{})
	t.Cleanup(s.client.Close)
	return s
}

func (s *system) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) start() {
	s.t.Helper()
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	db, err := store.Open(ctx, "sqlite:///"+filepath.Join(s.dir, "oddish.db"), log)
	s.must(err)
	s.must(db.Migrate(ctx))
	sealer, err := store.OpenSealer(s.dir, "")
	s.must(err)
	blobs, err := blob.NewLocal(filepath.Join(s.dir, "blobs"))
	s.must(err)
	q := queue.New(db, queue.Options{Log: log, Sealer: sealer, LocalLimit: 8, Lease: s.lease})
	h, err := server.New(server.Config{DB: db, Queue: q, Blobs: blobs, Log: log, Version: "test", Environment: fake.Kind, TempDir: s.dir})
	s.must(err)
	l, err := net.Listen("tcp", s.address)
	s.must(err)
	s.address = l.Addr().String()
	tended, served := make(chan error, 1), make(chan error, 1)
	web := &http.Server{Handler: h.Handler()}
	go func() { tended <- q.Run(ctx) }()
	go func() { served <- web.Serve(l) }()
	s.stop = func() {
		_ = web.Close()
		cancel()
		<-served
		<-tended
		_ = db.Close()
	}
}

// worker starts a worker and returns how to end it.
func (s *system) worker(id string, p sandbox.Provider, drain time.Duration) (stop func()) {
	s.t.Helper()
	w, err := worker.New(worker.Config{
		Server: s.client, ID: id, Hostname: "here", Version: "test", Slots: 4, Providers: []sandbox.Provider{p},
		Dir: filepath.Join(s.dir, "work"), Owner: "me", Log: slog.New(slog.DiscardHandler), DrainTimeout: drain,
	})
	s.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("worker %s: %v", id, err)
		}
	}
}

// submit uploads a small task and submits trials of it in the fake sandbox.
func (s *system) submit(trials int, options map[string]string) api.Submitted {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "hello")
	for name, content := range map[string]string{
		"task.toml":      "schema_version = \"1.4\"\n[agent]\ntimeout_sec = 7200\n[verifier]\ntimeout_sec = 60\n[environment]\nbuild_timeout_sec = 60\n",
		"instruction.md": "Say hello.\n", "environment/Dockerfile": "FROM scratch\n", "tests/test.sh": "true\n", "solution/solve.sh": "true\n",
	} {
		name = filepath.Join(dir, name)
		s.must(os.MkdirAll(filepath.Dir(name), 0o700))
		s.must(os.WriteFile(name, []byte(content), 0o600))
	}
	digest, err := task.Digest(dir)
	s.must(err)
	ctx := s.t.Context()
	up, err := s.client.InitUpload(ctx, api.UploadInit{Name: "hello", ContentHash: digest})
	s.must(err)
	if !up.ContentUnchanged {
		var b bytes.Buffer
		s.must(task.Pack(&b, dir))
		s.must(s.client.PutArchive(ctx, up, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }))
		_, err = s.client.CompleteUpload(ctx, api.UploadComplete{TaskID: up.TaskID, Name: up.Name, Version: up.Version, ContentHash: digest})
		s.must(err)
	}
	environment := fake.Kind
	got, err := s.client.Submit(ctx, api.Sweep{
		TaskID: up.TaskID, User: "me", Environment: &environment,
		Configs: []api.SweepConfig{{Agent: "oracle", NTrials: trials}},
		Harbor:  &api.HarborConfig{Environment: &api.EnvironmentConfig{Kwargs: options}},
	})
	s.must(err)
	return got
}

// until follows the experiment until the condition holds for its trials, and returns them.
func (s *system) until(experiment string, what string, holds func([]api.Trial) bool) []api.Trial {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var trials []api.Trial
	look := func(api.Event) error {
		var err error
		if trials, err = s.client.ExperimentTrials(ctx, experiment); err != nil {
			return err
		}
		if holds(trials) {
			return client.ErrStop
		}
		return nil
	}
	if err := s.client.Events(ctx, experiment, 0, look); err != nil {
		s.t.Fatalf("waiting until %s: %v; trials %s", what, err, states(trials))
	}
	return trials
}

func states(trials []api.Trial) (out []string) {
	for _, t := range trials {
		out = append(out, fmt.Sprintf("%s:%s/%d", t.ID, t.Status, t.Attempts))
	}
	return out
}

func every(status api.Status) func([]api.Trial) bool {
	return func(trials []api.Trial) bool {
		for _, t := range trials {
			if t.Status != status {
				return false
			}
		}
		return len(trials) > 0
	}
}

func agentRuns(trials []api.Trial) bool {
	for _, t := range trials {
		if t.HarborStage == nil || *t.HarborStage != api.StageAgentRunning {
			return false
		}
	}
	return len(trials) > 0
}

func TestTrialsGoThroughTheRealServer(t *testing.T) {
	t.Parallel()
	s := newSystem(t, 0)
	defer s.worker("w1", fake.New(), 0)()
	sub := s.submit(10, nil)
	for _, tr := range s.until(sub.ExperimentID, "all have ended", every(api.StatusSuccess)) {
		if tr.Reward == nil || *tr.Reward != 1 || tr.Attempts != 1 {
			t.Errorf("trial %s: reward %v after %d attempts", tr.ID, tr.Reward, tr.Attempts)
		}
		files, err := s.client.TrialFiles(t.Context(), tr.ID)
		s.must(err)
		names := map[string]bool{}
		for _, f := range files.Files {
			names[f.Path] = true
		}
		for _, want := range []string{"config.json", "result.json", "trial.log"} {
			if !names[want] {
				t.Errorf("trial %s has no %s among %v", tr.ID, want, names)
			}
		}
		r, err := s.client.TrialFile(t.Context(), tr.ID, "result.json")
		s.must(err)
		data, err := io.ReadAll(r)
		_ = r.Close()
		if err != nil || len(data) == 0 {
			t.Errorf("result.json of %s: %d bytes, %v", tr.ID, len(data), err)
		}
	}
}

func TestACancelThroughTheRealServerStopsTheTrial(t *testing.T) {
	t.Parallel()
	s := newSystem(t, 2*time.Second)
	p := fake.New()
	defer s.worker("w1", p, 0)()
	sub := s.submit(2, map[string]string{"duration": "1h"})
	s.until(sub.ExperimentID, "the agents run", agentRuns)
	_, err := s.client.CancelExperiment(t.Context(), sub.ExperimentID)
	s.must(err)
	s.until(sub.ExperimentID, "both are cancelled", every(api.StatusCancelled))
	if p.Running() != 0 {
		t.Errorf("%d sandboxes still run", p.Running())
	}
}

func TestARestartOfTheRealServerIsSurvived(t *testing.T) {
	t.Parallel()
	s := newSystem(t, 4*time.Second)
	p := fake.New()
	defer s.worker("w1", p, 0)()
	sub := s.submit(3, map[string]string{"duration": "3s"})
	s.until(sub.ExperimentID, "the agents run", agentRuns)
	s.stop()
	s.start()
	for _, tr := range s.until(sub.ExperimentID, "all have ended", every(api.StatusSuccess)) {
		if tr.Attempts != 1 {
			t.Errorf("trial %s took %d attempts", tr.ID, tr.Attempts)
		}
	}
}

func TestATrialThatIsHandedBackIsTakenByTheNextWorker(t *testing.T) {
	t.Parallel()
	s := newSystem(t, 0)
	first := s.worker("w1", fake.New(), -1)
	sub := s.submit(2, map[string]string{"duration": "2s"})
	s.until(sub.ExperimentID, "the agents run", agentRuns)
	first()
	started := time.Now()
	defer s.worker("w2", fake.New(), 0)()
	s.until(sub.ExperimentID, "all have ended", every(api.StatusSuccess))
	if d := time.Since(started); d > 20*time.Second {
		t.Errorf("the next worker got them after %v: they waited for the end of their leases", d)
	}
}

package worker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/client"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
	"oddish/internal/trial"
)

const testKind = "test"

// rig is a worker with a fake server, fake sandboxes and fake trials. It must be used in a synctest bubble.
type rig struct {
	t        testing.TB
	server   *fakeServer
	client   *client.Client
	provider *stubProvider
	config   Config
	worker   *Worker
	digest   string

	stop context.CancelFunc
	done chan error // gets Run's result
}

// newRig makes a rig whose server is up and whose task archive has a digest that fits.
func newRig(t testing.TB, slots int, run func(context.Context, trial.Config) trial.Outcome) *rig {
	t.Helper()
	r := &rig{t: t, server: newFakeServer(t), provider: &stubProvider{}, done: make(chan error, 1)}
	r.server.up()
	r.client = r.server.client()
	archive, digest := testTask(t, "hello")
	r.server.archives[""], r.digest = archive, digest
	r.config = Config{
		Server:    r.client,
		ID:        "worker-1",
		Slots:     slots,
		Providers: []sandbox.Provider{r.provider},
		Dir:       t.TempDir(),
		Owner:     "me",
		Log:       slog.New(slog.DiscardHandler),
		run:       run,
		resources: func(string, api.TrialSpec) need { return need{} },
	}
	return r
}

// start starts the worker; finish must be called before the bubble ends.
func (r *rig) start() {
	r.t.Helper()
	w, err := New(r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.worker = w
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.done <- w.Run(ctx) }()
}

// finish drains the worker, takes the server down and checks that no job's folder is left.
func (r *rig) finish() {
	r.t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("run: %v", err)
	}
	r.close()
	left, err := filepath.Glob(filepath.Join(r.config.Dir, "w*", "jobs", "*"))
	if err != nil || len(left) > 0 {
		r.t.Errorf("folders left: %v %v", left, err)
	}
}

func (r *rig) close() {
	r.server.down()
	r.client.Close()
}

// job makes a job of the test task.
func (r *rig) job(id string) api.Job {
	return api.Job{ID: id, Attempt: 1, Lease: "lease-" + id, Trial: api.TrialSpec{
		TrialID: id, TrialName: "trial__" + id, TaskID: "task-1", TaskName: "task", TaskVersion: 1, TaskDigest: r.digest,
		Agent: "nop", Environment: testKind,
	}}
}

func (r *rig) enqueue(ids ...string) {
	for _, id := range ids {
		r.server.enqueue(r.job(id))
	}
}

// finished waits until the job has ended on the server and returns what it knows.
func (r *rig) finished(id string) seen {
	r.t.Helper()
	synctest.Wait()
	<-r.server.job(id).finished
	return r.server.job(id)
}

// outcome is the only finish of a job.
func (s seen) outcome(t testing.TB) api.Finish {
	t.Helper()
	if len(s.finishes) != 1 {
		t.Fatalf("%d finishes, want 1: %+v", len(s.finishes), s.finishes)
	}
	return s.finishes[0]
}

// testTask packs a small task.
func testTask(t testing.TB, instruction string) (archive []byte, digest string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"task.toml": "schema_version = \"1.4\"\n", "instruction.md": instruction, "tests/test.sh": "true\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := tarball.PackGzip(&b, dir, tarball.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	digests, err := taskDigests(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), digests[0]
}

// success is a trial that writes a result and succeeds.
func success(_ context.Context, c trial.Config) trial.Outcome {
	write(filepath.Join(c.Dir, c.Spec.TrialName, "result.json"), "{}")
	return trial.Outcome{Finish: api.Finish{Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": 1}}}
}

// gate is a trial that tells that it runs and goes on until it is let go or stopped; its
// cause is then told.
type gate struct {
	mu      sync.Mutex
	running map[string]trial.Config
	causes  map[string]error
	most    int
	leave   map[string]chan struct{}
}

func newGate() *gate {
	return &gate{running: map[string]trial.Config{}, causes: map[string]error{}, leave: map[string]chan struct{}{}}
}

func (g *gate) run(ctx context.Context, c trial.Config) trial.Outcome {
	id := c.Spec.TrialID
	leave := make(chan struct{})
	g.mu.Lock()
	g.running[id], g.leave[id] = c, leave
	g.most = max(g.most, len(g.running))
	g.mu.Unlock()
	c.Stage(api.StageTrialStarted)
	defer func() {
		g.mu.Lock()
		delete(g.running, id)
		g.mu.Unlock()
	}()
	write(filepath.Join(c.Dir, c.Spec.TrialName, "trial.log"), "started\n")
	select {
	case <-leave:
		return trial.Outcome{Finish: api.Finish{Outcome: api.StatusSuccess}}
	case <-ctx.Done():
		g.mu.Lock()
		g.causes[id] = context.Cause(ctx)
		g.mu.Unlock()
		if g.was(id, trial.ErrCancelled) {
			return trial.Outcome{Finish: api.Finish{Outcome: api.StatusCancelled}}
		}
		return trial.Outcome{Finish: api.Finish{Outcome: api.StatusFailed}}
	}
}

func (g *gate) let(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.leave[id])
}

func (g *gate) now() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.running))
}

// was reports whether the trial was stopped for that reason.
func (g *gate) was(id string, cause error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.causes[id] != nil && strings.HasPrefix(g.causes[id].Error(), cause.Error())
}

func (g *gate) dir(id string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.running[id]
	return filepath.Join(c.Dir, c.Spec.TrialName)
}

func write(name, content string) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		panic(err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		panic(err)
	}
}

// stubProvider keeps a list of sandboxes that do nothing.
type stubProvider struct {
	sandbox.Provider
	kind  string // empty: testKind
	check error

	mu    sync.Mutex
	boxes []sandbox.Info
	next  int
}

func (p *stubProvider) Kind() string {
	if p.kind == "" {
		return testKind
	}
	return p.kind
}
func (p *stubProvider) Check(context.Context) error        { return p.check }
func (p *stubProvider) Capabilities() sandbox.Capabilities { return sandbox.Capabilities{} }

func (p *stubProvider) Start(_ context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	id := fmt.Sprintf("box-%d", p.next)
	p.boxes = append(p.boxes, sandbox.Info{ID: id, Name: s.Name, Owner: s.Owner, Labels: s.Labels, Created: time.Now(), Running: true})
	return &stubSandbox{p: p, id: id}, nil
}

func (p *stubProvider) Attach(_ context.Context, id string) (sandbox.Sandbox, error) {
	if !slices.Contains(p.names(), id) {
		return nil, sandbox.ErrNotFound
	}
	return &stubSandbox{p: p, id: id}, nil
}

func (p *stubProvider) List(_ context.Context, owner string) ([]sandbox.Info, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []sandbox.Info
	for _, b := range p.boxes {
		if owner == "" || b.Owner == owner {
			out = append(out, b)
		}
	}
	return out, nil
}

// names are the ids of the sandboxes that there are.
func (p *stubProvider) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, b := range p.boxes {
		out = append(out, b.ID)
	}
	return out
}

type stubSandbox struct {
	sandbox.Sandbox
	p  *stubProvider
	id string
}

func (s *stubSandbox) ID() string { return s.id }
func (s *stubSandbox) Stop(context.Context) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.boxes = slices.DeleteFunc(s.p.boxes, func(b sandbox.Info) bool { return b.ID == s.id })
	return nil
}

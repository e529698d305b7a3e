package worker

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/internal/trial"
)

// leave puts a job with its folder and sandbox where a worker that was killed has left it, in the folder of that
// name. The server has it as running.
func (r *rig) leave(folder, id string) (dir string) {
	r.t.Helper()
	h := &home{base: r.config.Dir, name: folder, dir: filepath.Join(r.config.Dir, folder)}
	if err := os.MkdirAll(jobsDir(h.dir), 0o700); err != nil {
		r.t.Fatal(err)
	}
	j := r.job(id)
	dir, err := h.jobDir(j)
	if err != nil {
		r.t.Fatal(err)
	}
	r.provider.orphan("box-of-"+id, "me", folder)
	r.provider.rename("box-of-"+id, j.Trial.TrialName)
	r.server.set(func() {
		r.server.running[id] = j
		r.server.jobs[id] = &seen{lease: j.Lease, files: map[string][]byte{}, finished: make(chan struct{}), events: make([]api.ProgressEvent, 2)}
	})
	return dir
}

// rename gives a sandbox the name of a trial.
func (p *stubProvider) rename(id, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.boxes {
		if p.boxes[i].ID == id {
			p.boxes[i].Name = name
		}
	}
}

// resumable is g.run that notes the folders of trials that are to be resumed, and stops their sandboxes at the end.
func resumable(g *gate, dirs map[string]string) func(context.Context, trial.Config) trial.Outcome {
	return func(ctx context.Context, c trial.Config) trial.Outcome {
		if c.Resume {
			g.mu.Lock()
			dirs[c.Spec.TrialID] = c.Dir
			g.mu.Unlock()
		}
		o := g.run(ctx, c)
		box, err := c.Provider.Attach(ctx, "box-of-"+c.Spec.TrialID)
		if err == nil {
			_ = box.Stop(ctx)
		}
		return o
	}
}

func TestJobsOfAKilledWorkerGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, dirs := newGate(), map[string]string{}
		r := newRig(t, 1, nil)
		r.config.run = resumable(g, dirs)
		own, other := r.leave("w0", "a"), r.leave("w3", "b") // more than there are slots
		r.enqueue("new")
		r.start()
		synctest.Wait()
		if got := g.now(); !slices.Equal(got, []string{"a", "b"}) {
			t.Fatalf("running %v", got)
		}
		if dirs["a"] != own || dirs["b"] != other {
			t.Errorf("resumed in %v, left in %s and %s", dirs, own, other)
		}
		if in := r.server.resumes; len(in) != 1 || in[0].WorkerID != "worker-1" || len(in[0].Jobs) != 2 {
			t.Errorf("asked %+v", in)
		}
		time.Sleep(20 * time.Second)
		if e := r.server.job("a").events; len(e) != 3 || e[2].Seq != 3 {
			t.Errorf("events are %+v: want the next to have the number 3", e)
		}
		if _, beats, _ := r.server.count(); beats == 0 {
			t.Error("their leases are not renewed")
		}
		if left := r.provider.names(); len(left) != 2 {
			t.Errorf("sandboxes in use were removed: %v are left", left)
		}
		if gone, _, _ := r.worker.home.abandoned("w3"); gone {
			t.Error("the folder of the other worker is free while its job goes on")
		}
		g.let("a")
		g.let("b")
		for _, id := range []string{"a", "b"} {
			if f := r.finished(id).outcome(t); f.Outcome != api.StatusSuccess {
				t.Errorf("%s: %+v", id, f)
			}
		}
		synctest.Wait()
		if got := g.now(); !slices.Equal(got, []string{"new"}) {
			t.Errorf("running %v, want the new one", got)
		}
		if gone, done, _ := r.worker.home.abandoned("w3"); !gone {
			t.Error("the folder of the other worker stays locked")
		} else {
			done()
		}
		g.let("new")
		r.finished("new")
		r.finish()
		if left := r.provider.names(); len(left) > 0 {
			t.Errorf("sandboxes are left: %v", left)
		}
	})
}

func TestLostJobsAreRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		for _, home := range []string{"w0", "w1"} {
			r.leave(home, home+"-job")
			r.server.set(func() { r.server.jobs[home+"-job"].lost = true })
		}
		unfinished := filepath.Join(r.config.Dir, "w0", "jobs", "half")
		write(filepath.Join(unfinished, jobFile+".tmp"), "{")
		r.start()
		synctest.Wait()
		if left := r.provider.names(); len(left) > 0 {
			t.Errorf("sandboxes are left: %v", left)
		}
		r.finish() // looks for folders
	})
}

func TestAWorkerWaitsForItsServerToResumeJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 1, g.run)
		r.leave("w0", "a")
		r.server.down()
		r.start()
		time.Sleep(30 * time.Second)
		if len(g.now()) > 0 || len(r.provider.names()) != 1 {
			t.Fatalf("running %v, sandboxes %v", g.now(), r.provider.names())
		}
		r.server.up()
		time.Sleep(10 * time.Second)
		if got := g.now(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("running %v", got)
		}
		g.let("a")
		r.finished("a")
		r.finish()
	})
}

func TestJobsThatCannotBeResumedInTimeAreGivenUp(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(*http.Request) int{
		"the server is in trouble": func(r *http.Request) int {
			if strings.HasSuffix(r.URL.Path, "/resume") {
				return 500
			}
			return 0
		},
		"the server does not know the question": func(r *http.Request) int {
			if strings.HasSuffix(r.URL.Path, "/resume") {
				return 404
			}
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, success)
				r.server.refuse = refuse
				r.leave("w0", "a")
				r.enqueue("new")
				r.start()
				time.Sleep(resumeTime + 10*time.Second)
				r.finished("new")
				synctest.Wait()
				if left := r.provider.names(); len(left) > 0 {
					t.Errorf("sandboxes are left: %v", left)
				}
				r.finish()
			})
		})
	}
}

func TestAWrongKeyLeavesTheJobsForTheNextStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		r.server.refuse = func(*http.Request) int { return 401 }
		dir := r.leave("w0", "a")
		r.start()
		if err := <-r.done; err == nil {
			t.Error("the worker ended without an error")
		}
		r.close()
		if _, err := os.Stat(filepath.Join(dir, jobFile)); err != nil || len(r.provider.names()) != 1 {
			t.Errorf("the job's folder: %v; sandboxes %v", err, r.provider.names())
		}
		r.stop()
	})
}

func TestJobsOfAWorkerThatDiesLaterGoOnInAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 1, g.run)
		if err := os.MkdirAll(filepath.Join(r.config.Dir, "w1"), 0o700); err != nil {
			t.Fatal(err)
		}
		lock, err := tryLock(filepath.Join(r.config.Dir, "w1"))
		if err != nil || lock == nil {
			t.Fatal(lock, err)
		}
		r.leave("w1", "a")
		r.leave("w1", "far")
		r.relabel("w1", "far", "elsewhere")
		r.start()
		time.Sleep(time.Minute)
		if got := g.now(); len(got) > 0 {
			t.Fatalf("running %v, of a worker that lives", got)
		}
		lock.Close()
		time.Sleep(defaultLease / 2)
		if got := g.now(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("running %v, want what has a sandbox within reach", got)
		}
		g.let("a")
		r.finished("a")
		if jobs, _, _ := jobsIn(filepath.Join(r.config.Dir, "w1")); len(jobs) != 1 || jobs[0].ID != "far" {
			t.Errorf("left in the folder: %+v", jobs)
		}
		r.stop()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		r.close()
	})
}

// relabel says in a job's folder that its sandbox is of another kind.
func (r *rig) relabel(home, id, kind string) {
	r.t.Helper()
	jobs, _, err := jobsIn(filepath.Join(r.config.Dir, home))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, j := range jobs {
		if j.ID != id {
			continue
		}
		text := `{"id":"` + id + `","lease":"` + j.Lease + `","trial_name":"` + j.TrialName + `","sandbox":"` + kind + `"}`
		if err := writeDurably(filepath.Join(j.dir, jobFile), []byte(text)); err != nil {
			r.t.Fatal(err)
		}
	}
}

func TestAResumedJobWhoseSandboxKindIsGoneIsHandedBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		r.leave("w0", "a")
		r.server.set(func() {
			j := r.server.running["a"]
			j.Trial.Environment = "elsewhere"
			r.server.running["a"] = j
		})
		r.start()
		if f := r.finished("a").outcome(t); f.Outcome != api.StatusCancelled || f.ErrorType != errorShutdown || !strings.Contains(f.ErrorMessage, "elsewhere") {
			t.Errorf("finish: %+v", f)
		}
		r.finish()
	})
}

func TestAResumedTrialIsLetInWhereThereIsNoRoom(t *testing.T) {
	t.Parallel()
	a := newAdmission(2, 0, func(bool) {})
	leave, err := a.enter(t.Context(), need{cpus: 2})
	if err != nil {
		t.Fatal(err)
	}
	joined := a.join(need{cpus: 2})
	leave()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.enter(ctx, need{cpus: 1}); err == nil {
		t.Error("another was let in beside it")
	}
	joined()
	leave, err = a.enter(t.Context(), need{cpus: 2})
	if err != nil {
		t.Fatal(err)
	}
	leave()
}

func TestTheFileOfAJobIsPrivate(t *testing.T) {
	t.Parallel()
	h, err := openHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	dir, err := h.jobDir(api.Job{ID: "a", Lease: "l", Trial: api.TrialSpec{AgentConfig: api.AgentConfig{Env: map[string]string{"KEY": "secret"}}}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, jobFile)
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info, err)
	}
	if data, err := os.ReadFile(name); err != nil || strings.Contains(string(data), "secret") {
		t.Errorf("content %s, %v", data, err)
	}
	if err := removeJobDir(dir); err != nil {
		t.Error(err)
	}
	if err := removeJobDir(dir); err != nil {
		t.Errorf("removing it again: %v", err)
	}
}

package worker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/internal/sandbox"
	"oddish/internal/trial"
)

// orphan adds a sandbox that some worker left.
func (p *stubProvider) orphan(id, owner, worker string) {
	info := sandbox.Info{ID: id, Name: "trial-" + id, Owner: owner, Running: true}
	if worker != "" {
		info.Labels = map[string]string{workerLabel: worker}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.boxes = append(p.boxes, info)
}

func TestOrphansOfDeadWorkersAreRemovedAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		alive := filepath.Join(r.config.Dir, "w1")
		dead := filepath.Join(r.config.Dir, "w2")
		for _, dir := range []string{alive, dead} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		lock, err := tryLock(alive)
		if err != nil || lock == nil {
			t.Fatal(lock, err)
		}
		defer lock.Close()
		r.provider.orphan("former-self", "me", "w0")
		r.provider.orphan("of-a-live-worker", "me", "w1")
		r.provider.orphan("of-a-dead-worker", "me", "w2")
		r.provider.orphan("folder-is-gone", "me", "w9")
		r.provider.orphan("no-label", "me", "")
		r.provider.orphan("bad-label", "me", "../w1")
		r.provider.orphan("other-owner", "you", "w0")
		r.start()
		synctest.Wait()
		if got := r.provider.names(); !slices.Equal(got, []string{"of-a-live-worker", "no-label", "bad-label", "other-owner"}) {
			t.Errorf("left %v", got)
		}
		if again, err := tryLock(dead); err != nil || again == nil {
			t.Errorf("the dead worker's folder stays locked: %v", err)
		} else {
			again.Close()
		}
		// The other worker dies later.
		lock.Close()
		time.Sleep(reapEvery + time.Second)
		synctest.Wait()
		if slices.Contains(r.provider.names(), "of-a-live-worker") {
			t.Error("the sandbox of a worker that died is still there")
		}
		r.finish()
	})
}

func TestWhatIsKeptIsReapedOnceItExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		r.provider.orphan("kept", "me", "w0")
		r.provider.orphan("kept-by-a-dead-worker", "me", "w9")
		r.provider.orphan("not-kept", "me", "w0")
		for _, id := range []string{"kept", "kept-by-a-dead-worker"} {
			if err := KeptIn(r.config.Dir).Add(Kept{Kind: r.provider.Kind(), ID: id, Until: time.Now().Add(reapEvery + time.Second)}); err != nil {
				t.Fatal(err)
			}
		}
		r.start()
		synctest.Wait()
		time.Sleep(reapEvery)
		synctest.Wait()
		if got := r.provider.names(); !slices.Equal(got, []string{"kept", "kept-by-a-dead-worker"}) {
			t.Errorf("left %v", got)
		}
		time.Sleep(reapEvery)
		synctest.Wait()
		if got := r.provider.names(); len(got) != 0 {
			t.Errorf("left %v", got)
		}
		r.finish()
	})
}

func TestSandboxesInUseAreNotReapedAndForgottenOnesAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := errors.New("does not stop")
		leave := make(chan struct{})
		r := newRig(t, 1, func(ctx context.Context, c trial.Config) trial.Outcome {
			box, err := c.Provider.Start(ctx, sandbox.Spec{Name: c.Spec.TrialName, Owner: c.Owner, Labels: map[string]string{"a": "b"}})
			if err != nil {
				t.Error(err)
			}
			<-leave
			box.(*trackedSandbox).Sandbox = failingStop{err: stuck}
			if err := box.Stop(ctx); !errors.Is(err, stuck) {
				t.Errorf("stop: %v", err)
			}
			return trial.Outcome{Finish: api.Finish{Outcome: api.StatusSuccess}}
		})
		r.start()
		r.enqueue("a")
		time.Sleep(3 * reapEvery)
		synctest.Wait()
		if got := r.provider.names(); len(got) != 1 {
			t.Fatalf("sandboxes %v while the trial runs", got)
		}
		if got := r.provider.boxes[0].Labels; got["a"] != "b" || got[workerLabel] != "w0" {
			t.Errorf("labels %v", got)
		}
		close(leave)
		r.finished("a")
		time.Sleep(reapEvery + time.Second)
		synctest.Wait()
		if got := r.provider.names(); len(got) != 0 {
			t.Errorf("sandboxes %v that could not be stopped are still there", got)
		}
		r.finish()
	})
}

type failingStop struct {
	sandbox.Sandbox
	err error
}

func (f failingStop) Stop(context.Context) error { return f.err }

func TestWorkersThatShareAFolderTakeOneEach(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	first, err := openHome(base)
	if err != nil {
		t.Fatal(err)
	}
	second, err := openHome(base)
	if err != nil || second.name != "w1" || first.name != "w0" {
		t.Fatalf("%+v %v", second, err)
	}
	left, err := first.jobDir(api.Job{ID: "a", Lease: "lease-a"})
	if err != nil {
		t.Fatal(err)
	}
	first.close() // as after a SIGKILL
	third, err := openHome(base)
	if err != nil || third.name != "w0" {
		t.Fatalf("%+v %v", third, err)
	}
	if jobs, _, err := jobsIn(third.dir); err != nil || len(jobs) != 1 || jobs[0].dir != left || jobs[0].ID != "a" || jobs[0].Lease != "lease-a" {
		t.Errorf("what the former worker left is read as %+v, %v", jobs, err)
	}
	second.close()
	third.close()
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	write(file, "")
	if _, err := openHome(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
}

func TestASandboxThatAppearsLateIsRemovedAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		r.start()
		synctest.Wait() // the first look is over
		r.provider.orphan("start-of-a-former-process", "me", "w0")
		r.finish()
		if left := r.provider.names(); len(left) != 0 {
			t.Errorf("left %v", left)
		}
	})
}

package worker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/internal/trial"
)

func TestTrialsOfATaskShareOneCopyThatIsFetchedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		dirs := map[string]bool{}
		r := newRig(t, 3, func(ctx context.Context, c trial.Config) trial.Outcome {
			mu.Lock()
			dirs[c.TaskDir] = true
			mu.Unlock()
			return success(ctx, c)
		})
		r.start()
		r.enqueue("a", "b", "c", "d")
		for _, id := range []string{"a", "b", "c", "d"} {
			r.finished(id)
		}
		if _, _, fetches := r.server.count(); len(dirs) != 1 || fetches != 1 {
			t.Errorf("folders %v after %d fetches", dirs, fetches)
		}
		r.finish()
	})
}

func TestATaskThatIsNotWhatItShouldBeIsAPermanentError(t *testing.T) {
	t.Parallel()
	other, _ := testTask(t, "another instruction")
	for name, tc := range map[string]struct {
		archive []byte
		words   string
	}{
		"another content": {other, "upload the task again"},
		"no archive":      {[]byte("not a gzip stream"), "its stored archive cannot be unpacked"},
		"half an archive": {other[:len(other)/2], "its stored archive cannot be unpacked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, success)
				r.server.archives[""] = tc.archive
				r.start()
				r.enqueue("a")
				f := r.finished("a").outcome(t)
				if f.ErrorClass != api.ClassPermanent || f.ErrorType != errorTaskArchive || !strings.Contains(f.ErrorMessage, tc.words) {
					t.Errorf("outcome %+v", f)
				}
				r.finish()
			})
		})
	}
}

func TestATaskThatTheServerLacksIsLeftToAnotherAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		delete(r.server.archives, "")
		r.start()
		r.enqueue("a")
		f := r.finished("a").outcome(t)
		if f.ErrorClass != api.ClassInfrastructure || f.ErrorType != errorTaskDownload {
			t.Errorf("outcome %+v", f)
		}
		r.finish()
	})
}

func TestACancelledTrialDoesNotWaitForItsTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, success)
		r.start()
		r.enqueue("a")
		r.server.set(func() { delete(r.server.archives, "") })
		// The cache's only copy is being prepared by somebody who never ends.
		synctest.Wait()
		r.finished("a")

		e := r.worker.tasks.entry(filepath.Join(r.digest, "task"))
		<-e.lock
		r.enqueue("b")
		synctest.Wait()
		r.server.set(func() { r.server.jobs["b"].cancel = true })
		time.Sleep(16 * time.Second)
		if f := r.finished("b").outcome(t); f.Outcome != api.StatusCancelled {
			t.Errorf("outcome %+v", f)
		}
		e.lock <- struct{}{}
		r.finish()
	})
}

// cache is a cache without a server: the archive comes from fetch.
func cache(t *testing.T, dir string) (*taskCache, *slog.Logger) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return newTaskCache(dir, taskDigests), slog.New(slog.DiscardHandler)
}

// serveBytes opens the archive and counts how often.
func serveBytes(archive []byte, n *int) fetchTask {
	return func(context.Context) (io.ReadCloser, error) {
		*n++
		return io.NopCloser(bytes.NewReader(archive)), nil
	}
}

func TestABrokenDownloadIsTriedAgain(t *testing.T) {
	t.Parallel()
	archive, digest := testTask(t, "x")
	c, log := cache(t, t.TempDir())
	n := 0
	dir, release, err := c.acquire(t.Context(), log, api.TrialSpec{TaskDigest: digest, TaskName: "x"}, func(ctx context.Context) (io.ReadCloser, error) {
		if n++; n == 1 {
			return io.NopCloser(io.MultiReader(bytes.NewReader(archive[:50]), brokenReader{})), nil
		}
		return io.NopCloser(bytes.NewReader(archive)), nil
	})
	if err != nil || n != 2 {
		t.Fatalf("%s, error %v after %d tries", dir, err, n)
	}
	release()
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errTest }

func TestAStoredTaskIsVerifiedByTheNextProcess(t *testing.T) {
	t.Parallel()
	archive, digest := testTask(t, "x")
	spec := api.TrialSpec{TaskDigest: digest, TaskName: "org/x"}
	base := t.TempDir()
	n := 0
	use := func() string {
		t.Helper()
		c, log := cache(t, base)
		dir, release, err := c.acquire(t.Context(), log, spec, serveBytes(archive, &n))
		if err != nil {
			t.Fatal(err)
		}
		release()
		return dir
	}
	dir := use()
	if filepath.Base(dir) != "x" {
		t.Errorf("folder %s", dir)
	}
	if use(); n != 1 {
		t.Errorf("%d fetches although the task was there", n)
	}
	write(filepath.Join(dir, "instruction.md"), "damaged")
	if err := os.Mkdir(filepath.Join(base, ".new-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if use(); n != 2 {
		t.Errorf("%d fetches, want the damaged task fetched again", n)
	}
	if left, _ := filepath.Glob(filepath.Join(base, ".*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestOnlyTasksThatNobodyUsesAreEvicted(t *testing.T) {
	t.Parallel()
	c, log := cache(t, t.TempDir())
	n := 0
	var kept string
	var keptRelease func()
	for i := range maxIdleTasks + 10 {
		archive, digest := testTask(t, fmt.Sprint(i))
		dir, release, err := c.acquire(t.Context(), log, api.TrialSpec{TaskDigest: digest, TaskName: "x"}, serveBytes(archive, &n))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			kept, keptRelease = dir, release
			continue
		}
		release()
		release() // twice is once
	}
	if _, err := os.Stat(filepath.Join(kept, "instruction.md")); err != nil {
		t.Errorf("a task in use was removed: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(c.dir, "*", "x"))
	if len(left) != maxIdleTasks+1 {
		t.Errorf("%d tasks kept, want %d and the one in use", len(left), maxIdleTasks)
	}
	keptRelease()
}

func TestTaskFoldersHaveSafeNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"hello": "hello", "org/hello": "hello", "": "task", "..": "task", "a/..": "task", ".hidden": "task", `a\b`: "task", "/": "task",
	} {
		if got := folderName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

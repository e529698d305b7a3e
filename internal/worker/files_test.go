package worker

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/internal/trial"
)

func TestGrowingLogsArriveByteExactWhileTheTrialRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 1, g.run)
		r.start()
		r.enqueue("a")
		synctest.Wait()
		var whole strings.Builder
		random := rand.New(rand.NewPCG(1, 2))
		for range 50 {
			chunk := strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(100_000))
			whole.WriteString(chunk)
			write(filepath.Join(g.dir("a"), "agent", "claude-code.txt"), chunk)
			write(filepath.Join(g.dir("a"), "agent", "trajectory.json"), chunk) // not a log
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		j := r.server.job("a")
		if string(j.files["agent/claude-code.txt"]) != whole.String() {
			t.Errorf("%d bytes arrived, want %d", len(j.files["agent/claude-code.txt"]), whole.Len())
		}
		if _, ok := j.files["agent/trajectory.json"]; ok {
			t.Error("a file that is no log was sent early")
		}
		puts := j.puts
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := r.server.job("a").puts - puts; n != 0 {
			t.Errorf("%d requests although nothing grew", n)
		}
		g.let("a")
		j = r.finished("a")
		if string(j.files["agent/trajectory.json"]) != whole.String() || string(j.files["agent/claude-code.txt"]) != whole.String() {
			t.Error("the final files differ")
		}
		r.finish()
	})
}

func TestALogThatWasReplacedOrThatTheServerForgotIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 1, g.run)
		r.start()
		r.enqueue("a")
		synctest.Wait()
		name := filepath.Join(g.dir("a"), "verifier", "test-stdout.txt")
		write(name, "a long first version")
		time.Sleep(1500 * time.Millisecond)
		if err := os.WriteFile(name, []byte("short"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if got := string(r.server.job("a").files["verifier/test-stdout.txt"]); got != "short" {
			t.Errorf("after replacing: %q", got)
		}
		r.server.set(func() { r.server.jobs["a"].files["verifier/test-stdout.txt"] = nil })
		write(name, " and more")
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		if got := string(r.server.job("a").files["verifier/test-stdout.txt"]); got != "short and more" {
			t.Errorf("after a loss: %q", got)
		}
		g.let("a")
		r.finished("a")
		r.finish()
	})
}

// plant makes a trial directory with everything in it that must not be uploaded.
func plant(t testing.TB, dir string) {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	write(secret, "secret")
	write(filepath.Join(dir, "agent", "ok.txt"), "fine")
	for _, err := range []error{
		os.Symlink(secret, filepath.Join(dir, "agent", "link.txt")),
		os.Symlink(filepath.Dir(secret), filepath.Join(dir, "folder")),
		os.Symlink("agent/ok.txt", filepath.Join(dir, "trial.log")),
		syscall.Mkfifo(filepath.Join(dir, "agent", "pipe.txt"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLinksAndPipesAreNotFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(ctx context.Context, c trial.Config) trial.Outcome {
			plant(t, filepath.Join(c.Dir, c.Spec.TrialName))
			time.Sleep(3 * time.Second) // seen by the tail as well
			return trial.Outcome{Finish: api.Finish{Outcome: api.StatusSuccess}}
		})
		r.start()
		r.enqueue("a")
		j := r.finished("a")
		if len(j.files) != 2 || string(j.files["agent/ok.txt"]) != "fine" {
			t.Errorf("files %q", j.files)
		}
		for _, name := range []string{"agent/link.txt", "agent/pipe.txt", "folder", "trial.log"} {
			if !strings.Contains(string(j.files[notUploaded]), `"`+name+`": not a regular file`) {
				t.Errorf("%s is not among what was left out: %s", name, j.files[notUploaded])
			}
		}
		r.finish()
	})
}

func TestAFileThatTheServerRefusesIsNotedAndDoesNotHoldUpTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(ctx context.Context, c trial.Config) trial.Outcome {
			write(filepath.Join(c.Dir, c.Spec.TrialName, "big.bin"), "too big")
			return success(ctx, c)
		})
		r.server.refuse = func(req *http.Request) int {
			if strings.HasSuffix(req.URL.Path, "/big.bin") {
				return 413
			}
			return 0
		}
		r.start()
		r.enqueue("a")
		j := r.finished("a")
		if f := j.outcome(t); f.Outcome != api.StatusSuccess || string(j.files["result.json"]) != "{}" {
			t.Errorf("outcome %+v, files %q", f, j.files)
		}
		if !strings.Contains(string(j.files[notUploaded]), `"big.bin": the server refuses it`) {
			t.Errorf("note %q", j.files[notUploaded])
		}
		r.finish()
	})
}

func TestABigFileIsSentInChunks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		content := bytes.Repeat([]byte("0123456789abcdef"), (2*uploadChunk+160)/16)
		r := newRig(t, 1, func(ctx context.Context, c trial.Config) trial.Outcome {
			for name, data := range map[string][]byte{"big": content, "exact": content[:uploadChunk], "empty": nil} {
				write(filepath.Join(c.Dir, c.Spec.TrialName, name), string(data))
			}
			return trial.Outcome{Finish: api.Finish{Outcome: api.StatusSuccess}}
		})
		r.start()
		r.enqueue("a")
		j := r.finished("a")
		if !bytes.Equal(j.files["big"], content) || !bytes.Equal(j.files["exact"], content[:uploadChunk]) || len(j.files["empty"]) != 0 {
			t.Errorf("%d, %d and %d bytes arrived", len(j.files["big"]), len(j.files["exact"]), len(j.files["empty"]))
		}
		if j.puts != 5 {
			t.Errorf("%d requests, want 3 and 1 and 1", j.puts)
		}
		r.finish()
	})
}

func TestFilesAreSentAgainWhenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, 1, g.run)
		r.start()
		r.enqueue("a")
		synctest.Wait()
		for i := range 20 {
			write(filepath.Join(g.dir("a"), "artifacts", string(rune('a'+i))), strings.Repeat("x", 10_000*i))
		}
		puts := make(chan struct{}, 1000)
		r.server.set(func() {
			r.server.hold = func(req *http.Request) {
				if req.Method == http.MethodPut {
					puts <- struct{}{}
				}
			}
		})
		g.let("a")
		<-puts
		<-puts
		r.server.down() // in the middle of several
		time.Sleep(time.Minute)
		r.server.up()
		time.Sleep(30 * time.Second)
		j := r.finished("a")
		for i := range 20 {
			if got := len(j.files["artifacts/"+string(rune('a'+i))]); got != 10_000*i {
				t.Errorf("file %d has %d bytes", i, got)
			}
		}
		j.outcome(t)
		r.finish()
	})
}

func TestBigFilesAreCutAndNoted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "huge"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(maxFileBytes + 1); err != nil { // sparse
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var left omissions
	files := list(root, &left)
	if len(files) != 1 || files[0].size != maxFileBytes || !strings.Contains(string(left.text()), `"huge": cut to`) {
		t.Errorf("%+v, %s", files, left.text())
	}
}

func TestOpenRegularRefusesWhatIsNotARegularFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"agent/link.txt", "agent/pipe.txt", "trial.log", "agent", "folder/secret", "missing"} {
		if f, err := openRegular(root, name); err == nil {
			_ = f.Close()
			t.Errorf("%s was opened", name)
		}
	}
}

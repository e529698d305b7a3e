package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostile is a task that uses up something: time, disk, processes. Whatever it does, its trial ends within a
// bounded time, and neither the server nor the trials after it suffer.
type hostile struct {
	recipe
	kind   string     // where it is worth a test; empty: everywhere
	heavy  bool       // keeps the machine so busy that two at once would prove less
	want   []verdicts // any one of them
	within time.Duration
	look   func(t *testing.T, kind, dir string)
}

// oneHeavy is held while a heavy task runs.
var oneHeavy sync.Mutex

func TestHostileTasks(t *testing.T) {
	t.Parallel()
	for name, c := range hostileTasks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := func(t *testing.T, kind string) { c.run(t, name, kind) }
			if c.kind != "" {
				inKind(t, c.kind, run)
				return
			}
			eachKind(t, run)
		})
	}
}

func (c hostile) run(t *testing.T, name, kind string) {
	h := newHome(t, kind)
	good := recipe{}.folder(t, "good")
	_, before := h.runOne(good, "oracle") // starts the server and, in docker, builds the image
	passed().check(t, before)
	server := h.healthy().Server.PID

	if c.heavy {
		oneHeavy.Lock()
		defer oneHeavy.Unlock()
	}
	peak := h.watchSize()
	d, trial := h.runOne(c.folder(t, name), "oracle", "--max-attempts", "1")
	t.Logf("%s %s after %v s", trial.Status, trial.errorType(), deref(trial.Seconds))
	c.check(t, kind, trial)
	if got := peak(); got > maxDataBytes {
		t.Errorf("the data directory grew to %d MiB, want at most %d", got>>20, maxDataBytes>>20)
	}
	if trial.Seconds == nil || *trial.Seconds > c.within.Seconds() {
		t.Errorf("it took %v s, want at most %s", deref(trial.Seconds), c.within)
	}
	if c.look != nil {
		c.look(t, kind, h.trialDir(d.ExperimentID, name))
	}
	h.noSandboxLeft()
	if pid := h.healthy().Server.PID; pid != server {
		t.Errorf("the server is process %d now, it was %d", pid, server)
	}
	_, after := h.runOne(good, "oracle")
	passed().check(t, after)
	h.noSandboxLeft()
}

func (c hostile) check(t *testing.T, kind string, trial trialOfRun) {
	t.Helper()
	for _, want := range c.want {
		if w := want[kind]; w.status == trial.Status && w.error == trial.errorType() {
			w.check(t, trial)
			return
		}
	}
	c.want[0][kind].check(t, trial)
}

// maxDataBytes is how much of the disk one hostile trial may take: its output, twice while it is on its way
// to the server, and a sandbox of a small task.
const maxDataBytes = 768 << 20

func hostileTasks() map[string]hostile {
	// What a deadline must get hold of: a process that ignores signals, and others in sessions of their own.
	const hang = `echo begun
trap '' TERM INT HUP
setsid bash -c 'trap "" TERM; sleep 1000' &
(setsid setsid sleep 1000 &)
while :; do sleep 1000; done
`
	// Processes that make processes, and processes that only are there.
	const bomb = "bomb() { bomb | bomb & }\nbomb 2>/dev/null\nwhile :; do sleep 1000; done\n"
	// Without exec, so that the limit comes soon.
	const crowd = "mkfifo /app/never\nexec 9<>/app/never\nwhile :; do read -u 9 & done\n"
	return map[string]hostile{
		"tests-hang": {
			recipe: recipe{test: hang, verifierTimeout: 2},
			want:   []verdicts{everywhere(failed("VerifierTimeoutError"))},
			within: 30 * time.Second,
			look: func(t *testing.T, _, dir string) {
				if got := readFile(t, filepath.Join(dir, "verifier", "test-stdout.txt")); got != "begun\n" {
					t.Errorf("test-stdout.txt: %q", got)
				}
			},
		},
		"agent-hangs": {
			recipe: recipe{solve: hang, agentTimeout: 2},
			want:   []verdicts{everywhere(passedDespite("AgentTimeoutError"))},
			within: 30 * time.Second,
			look: func(t *testing.T, _, dir string) {
				if got := readFile(t, filepath.Join(dir, "agent", "oracle.txt")); got != "begun\n" {
					t.Errorf("oracle.txt: %q", got)
				}
			},
		},
		"tests-flood-output": {
			recipe: recipe{test: "head -c 10G /dev/zero\n" + passes, verifierTimeout: 15},
			want:   []verdicts{everywhere(passed()), everywhere(failed("VerifierTimeoutError"))},
			within: 60 * time.Second,
			look:   looksCut,
		},
		// The output is on the full disk too: what is there to see is that the reward could not be written.
		"tests-fill-the-disk": {
			kind: kindBuiltin,
			recipe: recipe{
				environment: "storage_mb = 64\n",
				test:        "head -c 10G /dev/zero >/logs/verifier/big\n" + passes,
			},
			want:   []verdicts{everywhere(failed("RewardFileEmptyError"))},
			within: 60 * time.Second,
			look: func(t *testing.T, _, dir string) {
				if got := diskUsage(filepath.Join(dir, "verifier")); got < 32<<20 || got > 64<<20 {
					t.Errorf("%d MiB came out of a sandbox of 64", got>>20)
				}
			},
		},
		// Docker bounds each file, and the reward fits beside it.
		"tests-write-without-end": {
			kind: kindDocker,
			recipe: recipe{
				environment: "storage_mb = 64\n",
				test:        "head -c 10G /dev/zero >/logs/verifier/big\n" + passes,
			},
			want:   []verdicts{everywhere(passed())},
			within: 60 * time.Second,
			look: func(t *testing.T, _, dir string) {
				if got := readFile(t, filepath.Join(dir, "verifier", "test-stdout.txt")); !strings.Contains(got, "File size limit exceeded") {
					t.Errorf("test-stdout.txt: %q", got)
				}
				if got := diskUsage(filepath.Join(dir, "verifier")); got < 64<<20 || got > 65<<20 {
					t.Errorf("%d MiB came out of a sandbox whose files have at most 64", got>>20)
				}
			},
		},
		// What is taken from a sandbox is bounded even where the sandbox is not.
		"tests-leave-a-large-file": {
			kind:   kindDocker,
			recipe: recipe{test: "head -c 600M /dev/zero >/logs/verifier/big\n" + passes},
			want:   []verdicts{everywhere(passed())},
			within: 60 * time.Second,
			look: func(t *testing.T, _, dir string) {
				if got := diskUsage(filepath.Join(dir, "verifier")); got > 257<<20 {
					t.Errorf("%d MiB were taken from the sandbox", got>>20)
				}
				if log := readFile(t, filepath.Join(dir, "trial.log")); !strings.Contains(log, "file cut at the limit") {
					t.Errorf("trial.log does not tell that a file was cut:\n%s", log)
				}
			},
		},
		"tests-fork-without-end": {
			heavy:  true,
			recipe: recipe{test: bomb, verifierTimeout: 3, environment: "cpus = 1\n"},
			want:   []verdicts{everywhere(failed("VerifierTimeoutError"))},
			within: 60 * time.Second,
		},
		"agent-takes-every-process": {
			heavy:  true,
			recipe: recipe{solve: crowd, agentTimeout: 5, environment: "cpus = 1\n"},
			// The second where not even a kill can be started any more.
			want:   []verdicts{everywhere(passedDespite("AgentTimeoutError")), everywhere(failed("AgentTimeoutError"))},
			within: 60 * time.Second,
		},
	}
}

// looksCut wants output that was capped and says so.
func looksCut(t *testing.T, _, dir string) {
	t.Helper()
	const limit, note = 64 << 20, "\n[oddish: output cut here, its limit is 67108864 bytes]\n"
	got := readFile(t, filepath.Join(dir, "verifier", "test-stdout.txt"))
	if len(got) != limit+len(note) || !strings.HasSuffix(got, note) {
		t.Errorf("test-stdout.txt has %d bytes and ends with %q, want %d bytes and the note", len(got), got[max(0, len(got)-100):], limit)
	}
}

// watchSize measures the data directory until the returned function is called, which gives the largest size seen, in bytes.
func (h *home) watchSize() (peak func() int64) {
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		largest := int64(0)
		for {
			largest = max(largest, diskUsage(h.dir))
			select {
			case <-stop:
				most <- largest
				return
			case <-h.t.Context().Done():
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-most
	}
}

// diskUsage adds up the files below dir, in bytes.
func diskUsage(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // removed meanwhile
		}
		if info, err := os.Lstat(path); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

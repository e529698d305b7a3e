package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oddish/api"
)

// smallDisk mounts a file system of its own for the data directory.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		cannot(t, "only root can mount a small disk")
	}
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("oddish-e2e", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		cannot(t, fmt.Sprintf("a small disk cannot be mounted: %v", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes what is left of the disk; empty gives it back.
func fill(t *testing.T, disk string) (empty func()) {
	t.Helper()
	name := filepath.Join(disk, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, block := range []int{1 << 20, 4 << 10, 1} {
		data := make([]byte, block)
		for err = nil; err == nil; _, err = f.Write(data) {
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that is full before the server starts.
func TestFullDiskAtTheStart(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	disk := smallDisk(t, 64)
	h := homeAt(t, filepath.Join(disk, "data"), kindBuiltin, "ODDISH_MIN_FREE_DISK=0")
	tasks := recipe{}.folder(t, "plain")
	empty := fill(t, disk)
	h.run("run", "-p", tasks, "-a", "oracle").exits(t, 1).says(t, "error: the disk of the data directory "+h.dir+" is full", "hint: make room")
	h.run("api").exits(t, 1).says(t, "the disk of the data directory "+h.dir+" is full")
	h.noProcessLeft()
	if n := diskUsage(h.dir); n > 0 {
		t.Errorf("%d bytes were left in the data directory", n)
	}
	empty()
	_, trial := h.runOne(tasks, "oracle")
	passed().check(t, trial)
}

// The server is there all the same, and says what there is too little of.
func TestNoTrialStartsOnADiskWithoutRoom(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	h := homeAt(t, filepath.Join(smallDisk(t, 64), "data"), kindBuiltin)
	_, trial := h.runOne(recipe{}.folder(t, "plain"), "oracle", "--max-attempts", "1")
	failed("OSError").check(t, trial)
	if said := trial.ErrorMessage; said == nil || !strings.Contains(*said, "ODDISH_MIN_FREE_DISK") {
		t.Errorf("the error is %v", said)
	}
	h.noSandboxLeft()
}

// A disk that becomes full under a running server.
func TestFullDiskUnderAServer(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	disk := smallDisk(t, 64)
	h := homeAt(t, filepath.Join(disk, "data"), kindBuiltin, "ODDISH_MIN_FREE_DISK=0")
	_, trial := h.runOne(recipe{}.folder(t, "first"), "oracle")
	passed().check(t, trial)
	server := h.healthy().Server.PID

	empty := fill(t, disk)
	second := recipe{}.folder(t, "second")
	h.run("run", "-p", second, "-a", "oracle", "--json", "--watch").exits(t, 1).says(t, "the disk of the server is full")
	empty()

	_, trial = h.runOne(second, "oracle")
	passed().check(t, trial)
	if pid := h.healthy().Server.PID; pid != server {
		t.Errorf("the server is process %d now, it was %d", pid, server)
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, "tmp", "*")); len(left) > 0 {
		t.Errorf("half-written files are left: %v", left)
	}
	h.noSandboxLeft()
}

// A disk that becomes full under a trial. Nothing can be written of it, but once there is room it comes to its end.
func TestFullDiskUnderATrial(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	disk := smallDisk(t, 64)
	h := homeAt(t, filepath.Join(disk, "data"), kindBuiltin, "ODDISH_MIN_FREE_DISK=0")
	h.ok("run", "-p", slow().folder(t, "slow"), "-a", "oracle", "-E", "cramped", "--background")
	h.waitStage("cramped", api.StageAgentRunning)
	empty := fill(t, disk)
	eventually(t, "the sandbox to end", func() bool { return len(h.sandboxProcesses()) == 0 })
	h.healthy()
	empty()
	var e experiment
	h.ok("status", "-e", "cramped", "--watch", "--json").decode(t, &e)
	if len(e.Trials) != 1 || e.Trials[0].Status != api.StatusSuccess || e.Trials[0].Reward == nil || *e.Trials[0].Reward != 1 {
		t.Errorf("trials: %+v, want one that has passed", e.Trials)
	}
	h.noSandboxLeft()
}

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process is of this installation if the data directory stands in its environment (servers and commands) or
// on its command line (the builtin sandbox).
func (h *home) processes() map[int]string {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		h.t.Fatal(err)
	}
	found := map[int]string{}
	for _, dir := range entries {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // none of a zombie
		if len(line) == 0 {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if bytes.Contains(line, []byte(h.dir+"/")) || bytes.Contains(environ, []byte("\x00ODDISH_DATA_DIR="+h.dir+"\x00")) {
			found[pid] = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// sandboxProcesses are the processes of builtin sandboxes.
func (h *home) sandboxProcesses() map[int]string {
	found := h.processes()
	for pid, line := range found {
		if !strings.HasPrefix(line, "oddish-shim ") && !strings.HasPrefix(line, "runsc-") {
			delete(found, pid)
		}
	}
	return found
}

// containers are the names of docker sandboxes, running or not.
func (h *home) containers() []string {
	host := os.Getenv("ODDISH_TEST_DOCKER_HOST")
	if host == "" {
		return nil
	}
	return strings.Fields(docker(h.t, host, "ps", "--all", "--filter", "label=oddish.owner="+h.owner(), "--format", "{{.Names}}"))
}

// owner is the name under which the installation's containers go. Tests that see a container while it
// runs prove that the name is right, so that none found later means that there is none.
func (h *home) owner() string {
	sum := sha256.Sum256([]byte(h.dir))
	return "oddish-" + hex.EncodeToString(sum[:6])
}

func docker(t *testing.T, host string, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+host)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// noSandboxLeft wants that every sandbox is gone, with its processes, its files and its control groups.
func (h *home) noSandboxLeft() {
	h.t.Helper()
	if left := h.sandboxProcesses(); len(left) > 0 {
		h.t.Errorf("processes of sandboxes are left: %v", left)
	}
	// One that an engine made for a worker which was killed meanwhile goes when its trial has ended.
	eventually(h.t, "containers to be removed", func() bool { return len(h.containers()) == 0 })
	if left, _ := filepath.Glob(filepath.Join(h.dir, "sandboxes", "[b.]*")); len(left) > 0 {
		h.t.Errorf("folders of sandboxes are left: %v", left)
	}
	// The worker removes it once the server has taken the result, of which the command may have heard before.
	eventually(h.t, "scratch folders of trials to be removed", func() bool {
		left, err := filepath.Glob(filepath.Join(h.dir, "work", "w*", "jobs", "*"))
		return err == nil && len(left) == 0
	})
	logs, _ := filepath.Glob(filepath.Join(h.dir, "blobs", "jobs", "*", "*", "trial.log"))
	for _, log := range logs {
		for _, id := range sandboxIDs(h.t, log) {
			if left, _ := filepath.Glob("/sys/fs/cgroup/*/oddish-" + id); len(left) > 0 {
				h.t.Errorf("control groups are left: %v", left)
			}
		}
	}
}

// sandboxIDs reads from a trial.log which sandboxes the trial had.
func sandboxIDs(t *testing.T, log string) []string {
	t.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(string(data)) {
		if _, rest, ok := strings.Cut(line, `msg="sandbox started"`); ok {
			if _, id, ok := strings.Cut(rest, " id="); ok {
				ids = append(ids, strings.TrimSpace(id))
			}
		}
	}
	return ids
}

// noProcessLeft wants that nothing of the installation runs any more. A server counts as ended for other commands once it has
// given up its data directory, which is a moment before its process is gone.
func (h *home) noProcessLeft() {
	h.t.Helper()
	left := h.processes()
	for deadline := time.Now().Add(5 * time.Second); len(left) > 0 && time.Now().Before(deadline); left = h.processes() {
		time.Sleep(20 * time.Millisecond)
	}
	if len(left) > 0 {
		h.t.Errorf("processes are left: %v", left)
	}
	if left := h.containers(); len(left) > 0 {
		h.t.Errorf("containers are left: %v", left)
	}
}

// killAll kills what runs of the installation.
func (h *home) killAll() {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		left := h.processes()
		if len(left) == 0 {
			return
		}
		for pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func (h *home) removeContainers() {
	if left := h.containers(); len(left) > 0 {
		docker(h.t, os.Getenv("ODDISH_TEST_DOCKER_HOST"), append([]string{"rm", "--force"}, left...)...)
	}
}

package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds every single thing that a test waits for. It is generous: what is measured has its own limit.
const patience = 2 * time.Minute

// home is one installation: a data directory, an address, and the environment of its user.
type home struct {
	t    *testing.T
	dir  string // ODDISH_DATA_DIR
	url  string
	port int
	vars []string
}

// newHome makes an installation for sandboxes of a kind, with further variables in its environment. What
// still runs of it when the test ends is killed.
func newHome(t *testing.T, kind string, vars ...string) *home {
	t.Helper()
	return homeAt(t, filepath.Join(t.TempDir(), "data"), kind, vars...)
}

func homeAt(t *testing.T, dir, kind string, vars ...string) *home {
	t.Helper()
	h := &home{t: t, dir: dir, port: freePort(t)}
	h.url = "http://localhost:" + strconv.Itoa(h.port)
	user := t.TempDir()
	h.vars = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + user,
		"TMPDIR=" + user,
		"ODDISH_DATA_DIR=" + h.dir,
		"ODDISH_API_URL=" + h.url,
		"ODDISH_DEFAULT_ENVIRONMENT=" + kind,
		"DOCKER_HOST=" + dockerHostFor(kind, user),
	}, vars...)
	t.Cleanup(func() {
		h.killAll()
		h.removeContainers()
		if t.Failed() {
			h.showLog()
		}
	})
	return h
}

// Ports are taken in turn from a range of which the kernel gives none to connections, where one that is free now
// might be gone when the server starts. The start depends on the process, so that two runs of these tests seldom meet.
const (
	firstPort = 20_000
	portCount = 10_000
)

var nextPort atomic.Int64

func freePort(t *testing.T) int {
	t.Helper()
	for range portCount {
		port := firstPort + (os.Getpid()*97+int(nextPort.Add(1)))%portCount
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// command prepares the program with arguments, in the environment of this home.
func (h *home) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = h.vars
	cmd.Dir = repository()
	return cmd
}

// run runs the program to its end.
func (h *home) run(args ...string) outcome {
	h.t.Helper()
	p := h.start(args...)
	return p.wait()
}

// ok runs the program and wants it to succeed.
func (h *home) ok(args ...string) outcome {
	h.t.Helper()
	return h.run(args...).exits(h.t, 0)
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !yes() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// showLog shows the end of the server's log, for a test that failed.
func (h *home) showLog() {
	data, err := os.ReadFile(filepath.Join(h.dir, "server.log"))
	if err != nil {
		return
	}
	const most = 6 << 10
	if len(data) > most {
		data = data[len(data)-most:]
	}
	h.t.Logf("server.log of %s:\n%s", h.dir, data)
}

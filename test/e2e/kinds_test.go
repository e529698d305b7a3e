package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Kinds of sandboxes that really run tasks.
const (
	kindBuiltin = "builtin"
	kindDocker  = "docker"
)

// eachKind runs a test once for each kind that this machine has.
func eachKind(t *testing.T, test func(t *testing.T, kind string)) {
	t.Helper()
	inKind(t, kindBuiltin, test)
	inKind(t, kindDocker, test)
}

// inKind runs a test for one kind.
func inKind(t *testing.T, kind string, test func(t *testing.T, kind string)) {
	t.Helper()
	t.Run(kind, func(t *testing.T) {
		t.Parallel()
		needKind(t, kind)
		test(t, kind)
	})
}

// needKind skips the test where sandboxes of the kind cannot be had.
func needKind(t *testing.T, kind string) {
	t.Helper()
	switch kind {
	case kindDocker:
		if os.Getenv("ODDISH_TEST_DOCKER_HOST") == "" {
			cannot(t, "no docker engine: ODDISH_TEST_DOCKER_HOST is not set (scripts/docker-engine.sh starts one)")
		}
	case kindBuiltin:
		if why := whyNoBuiltin(); why != "" {
			cannot(t, "the builtin sandbox does not work on this machine: "+why)
		}
	}
}

// cannot skips a test with its reason, which with CI=true is a failure.
func cannot(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("cannot be tested, and CI=true: " + reason)
	}
	t.Skip(reason)
}

// whyNoBuiltin asks the program itself: a server whose sandbox does not work refuses to start and says why.
var whyNoBuiltin = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "oddish-e2e-probe-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	h := &home{dir: filepath.Join(dir, "data"), vars: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir,
		"ODDISH_DATA_DIR=" + filepath.Join(dir, "data"),
		"ODDISH_DEFAULT_ENVIRONMENT=builtin",
		"DOCKER_HOST=" + dockerHostFor(kindBuiltin, dir),
	}}
	return h.tryServer()
})

// dockerHostFor is the engine for sandboxes of a kind; of any other than docker, one that is not there.
func dockerHostFor(kind, dir string) string {
	if kind == kindDocker {
		return os.Getenv("ODDISH_TEST_DOCKER_HOST")
	}
	return "unix://" + filepath.Join(dir, "no-docker.sock")
}

// tryServer starts a server and stops it once it is there; it returns its last words if it ended before that.
func (h *home) tryServer() string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := h.command(ctx, "api", "--port", "0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return err.Error()
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if _, err := os.Stat(filepath.Join(h.dir, "server.json")); err == nil {
			cancel()
			<-ended
			return ""
		}
		select {
		case <-ended:
			return strings.TrimSpace(stderr.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

//go:build linux && (amd64 || arm64)

package builtin

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/sandboxtest/machine"
)

// helperEnv makes the test binary act as a worker of its own; see helperMain.
const helperEnv = "ODDISH_TEST_WORKER"

func TestMain(m *testing.M) {
	if Dispatch() {
		return
	}
	if err := CheckProgram(); err != nil {
		testStatically()
	}
	machine.Serve()
	if dir := os.Getenv(helperEnv); dir != "" {
		helperMain(dir)
		return
	}
	code := m.Run()
	_ = os.RemoveAll(baseStoreDir()) // if a test has made it
	os.Exit(code)
}

// testStatically replaces this test binary, which was built with cgo, by one that was not. The
// race detector needs cgo: `go test -race -ldflags '-linkmode external -extldflags -static'` keeps it.
func testStatically() {
	dir, err := os.MkdirTemp("", "oddish-test-")
	if err == nil {
		program := filepath.Join(dir, "static.test")
		build := exec.Command("go", "test", "-c", "-o", program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err = build.Run(); err == nil {
			// As a child, since somebody has to remove the program.
			again := exec.Command(program, os.Args[1:]...)
			again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
			err = again.Run()
		}
		os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests of the statically linked test binary:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// helperMain is a worker that starts a sandbox, tells its id, and waits to be killed.
func helperMain(dir string) {
	p, err := New(Config{Dir: dir})
	if err == nil {
		var s sandbox.Sandbox
		s, err = p.Start(context.Background(), hostSpec("helper"))
		if err == nil {
			fmt.Println(s.ID())
			_, err = s.Run(context.Background(), sandbox.Process{
				Name: "long", Output: "/logs/agent/out.txt",
				Command: sandbox.Command{Script: "echo begun; sleep 2; echo ended; exit 42"},
			})
		}
	}
	fmt.Println("helper came to its end:", err)
}

func hostSpec(name string) sandbox.Spec {
	return sandbox.Spec{
		Name: name, Owner: "test", Image: sandbox.Image{Host: true},
		Network: sandbox.Network{Mode: sandbox.NetworkNone},
	}
}

// newProvider gives a provider of the test's own, and checks at the end that its sandboxes left nothing.
func newProvider(t testing.TB) *Provider {
	t.Helper()
	p, err := New(Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := filepath.Glob(filepath.Join(p.dir, "*"))
		for _, path := range left {
			if filepath.Base(path) != "probe.json" {
				t.Errorf("left behind: %s", path)
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	return p
}

// start starts a sandbox that the test's end stops.
func start(t testing.TB, p *Provider, change ...func(*sandbox.Spec)) sandbox.Sandbox {
	t.Helper()
	spec := hostSpec(t.Name())
	for _, c := range change {
		c(&spec)
	}
	s, err := p.Start(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopAndCheck(t, s) })
	return s
}

func stopAndCheck(t testing.TB, s sandbox.Sandbox) {
	t.Helper()
	if err := s.Stop(context.Background()); err != nil {
		t.Errorf("stop: %v", err)
	}
	checkGone(t, s.ID())
}

// checkGone fails the test if this machine still has a process, a mount or a control group of the sandbox.
func checkGone(t testing.TB, id string) {
	t.Helper()
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range procs {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(id)) {
			t.Errorf("%s: a process of the sandbox is left: %q", path, b)
		}
	}
	if dirs := cgroupDirs(cgroupName(id)); len(dirs) > 0 {
		t.Errorf("control groups of the sandbox are left: %v", dirs)
	}
	if b, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(b, []byte(id)) {
		t.Errorf("a mount of the sandbox is left (%v)", err)
	}
}

// run runs a script to its end and returns its status and output.
func run(t testing.TB, s sandbox.Sandbox, script string, change ...func(*sandbox.Command)) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := sandbox.Command{Script: script, Stdout: &out, Stderr: &out}
	for _, c := range change {
		c(&cmd)
	}
	code, err := s.Exec(ctx, cmd)
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return code, strings.TrimSpace(out.String())
}

// want runs a script and compares its output.
func want(t testing.TB, s sandbox.Sandbox, script, output string, change ...func(*sandbox.Command)) {
	t.Helper()
	if _, got := run(t, s, script, change...); got != output {
		t.Errorf("%s\n got %q\nwant %q", script, got, output)
	}
}

func as(user string) func(*sandbox.Command) { return func(c *sandbox.Command) { c.User = user } }

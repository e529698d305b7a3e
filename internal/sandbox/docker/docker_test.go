package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/docker"
	"oddish/internal/sandbox/sandboxtest/machine"
)

// baseImage is loaded into the tests' engine by scripts/base-image.sh.
const baseImage = "debian:bookworm-slim"

func TestMain(m *testing.M) {
	if docker.Dispatch() { // this program inside a container
		return
	}
	machine.Serve()
	os.Exit(m.Run())
}

func engineHost() string { return os.Getenv("ODDISH_TEST_DOCKER_HOST") }

func newProvider(t testing.TB) *docker.Provider {
	t.Helper()
	host := engineHost()
	if host == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("ODDISH_TEST_DOCKER_HOST is not set: with CI=true the docker tests must run")
		}
		t.Skip("ODDISH_TEST_DOCKER_HOST is not set: `make test` starts an engine for these tests")
	}
	p, err := docker.New(docker.Config{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// notPodman skips a test of what podman does not do, or does in another way.
func notPodman(t testing.TB, why string) {
	t.Helper()
	if newProvider(t).IsPodman(t.Context()) {
		t.Skip("podman: " + why)
	}
}

func start(t testing.TB, p *docker.Provider, spec sandbox.Spec) sandbox.Sandbox {
	t.Helper()
	if spec.Name == "" {
		spec.Name = t.Name()
	}
	if spec.Image == (sandbox.Image{}) {
		spec.Image.Reference = baseImage
	}
	sb, err := p.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sb.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return sb
}

func sh(t testing.TB, sb sandbox.Sandbox, cmd sandbox.Command) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	code, err := sb.Exec(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	return code, out.String(), errOut.String()
}

func TestCheckSaysWhatToDoWithoutAnEngine(t *testing.T) {
	t.Parallel()
	p, err := docker.New(docker.Config{Host: "unix://" + filepath.Join(t.TempDir(), "none.sock")})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "start it, or use --env builtin") {
		t.Errorf("got %v", err)
	}
}

func TestWhatDockerLacksIsRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	p, err := docker.New(docker.Config{Host: "unix://" + filepath.Join(t.TempDir(), "none.sock")})
	if err != nil {
		t.Fatal(err)
	}
	for name, spec := range map[string]sandbox.Spec{
		"host image": {Image: sandbox.Image{Host: true}},
		"no image":   {},
		"gpus":       {Image: sandbox.Image{Reference: "x"}, Resources: sandbox.Resources{GPUs: 1}},
		"option":     {Image: sandbox.Image{Reference: "x"}, Options: map[string]string{"nonsense": "1"}},
	} {
		if _, err := p.Start(t.Context(), spec); !errors.Is(err, sandbox.ErrUnsupported) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAnAllowlistNeedsAnEngineOnThisMachine(t *testing.T) {
	t.Parallel()
	p, err := docker.New(docker.Config{Host: "tcp://192.0.2.1:2375"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Capabilities().Allowlist {
		t.Error("it is claimed")
	}
	_, err = p.Start(t.Context(), sandbox.Spec{Image: sandbox.Image{Reference: "x"}, Network: sandbox.Network{Mode: sandbox.NetworkAllowlist}})
	if !errors.Is(err, sandbox.ErrUnsupported) || !strings.Contains(err.Error(), "tcp://192.0.2.1:2375") {
		t.Errorf("got %v", err)
	}
}

func TestADockerfileIsBuiltOnceForManyTrials(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	dir := t.TempDir()
	write(t, dir, "Dockerfile", "FROM "+baseImage+"\nCOPY . /app/\nRUN date +%N >/built\nWORKDIR /app\n")
	write(t, dir, "data.txt", "hello")
	write(t, dir, "secret.txt", "no")
	write(t, dir, ".dockerignore", "secret.txt\n")
	spec := sandbox.Spec{Name: "built", Image: sandbox.Image{Context: dir, Digest: fmt.Sprintf("%064x", time.Now().UnixNano())}}

	const trials = 4
	stamps := make([]string, trials)
	var wg sync.WaitGroup
	for i := range trials {
		wg.Go(func() {
			sb, err := p.Start(t.Context(), spec)
			if err != nil {
				t.Error(err)
				return
			}
			defer sb.Stop(context.Background())
			var out bytes.Buffer
			if _, err := sb.Exec(t.Context(), sandbox.Command{Script: "cat /built data.txt; ls secret.txt 2>&1", Stdout: &out}); err != nil {
				t.Error(err)
			}
			stamps[i] = out.String()
		})
	}
	wg.Wait()
	for _, got := range stamps {
		if got != stamps[0] {
			t.Errorf("built more than once: %q", stamps)
		}
		if !strings.Contains(got, "hello") || !strings.Contains(got, "No such file") {
			t.Errorf("the context is wrong: %q", got)
		}
	}
}

func TestABuildThatFailsIsErrBuildAndQuotesTheOutput(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	dir := t.TempDir()
	write(t, dir, "Dockerfile", "FROM "+baseImage+"\nRUN echo the reason is here; exit 3\n")
	_, err := p.Start(t.Context(), sandbox.Spec{Name: "broken", Image: sandbox.Image{Context: dir, Digest: fmt.Sprintf("%064x", time.Now().UnixNano())}})
	if !errors.Is(err, sandbox.ErrBuild) || !strings.Contains(err.Error(), "the reason is here") {
		t.Errorf("got %v", err)
	}
}

func TestACommandThatIsGivenUpDiesInTheContainer(t *testing.T) {
	t.Parallel()
	sb := start(t, newProvider(t), sandbox.Spec{})
	ctx, cancel := context.WithCancel(t.Context())
	r := &signalWriter{seen: make(chan struct{})}
	go func() {
		<-r.seen
		cancel()
	}()
	_, err := sb.Exec(ctx, sandbox.Command{User: "nobody", Script: `trap "" TERM; echo up; sleep 987 & sleep 987`, Stdout: r})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// The kernel may take a moment to end what was killed.
	code, out, _ := sh(t, sb, sandbox.Command{Script: "for i in $(seq 100); do pgrep -xf 'sleep 987' || exit 0; sleep 0.1; done; exit 1"})
	if code != 0 {
		t.Errorf("still there: %s", out)
	}
}

func TestABackgroundProcessDoesNotHoldExec(t *testing.T) {
	t.Parallel()
	sb := start(t, newProvider(t), sandbox.Spec{})
	begun := time.Now()
	code, out, _ := sh(t, sb, sandbox.Command{Script: "echo first; sleep 600 & exit 7"})
	if code != 7 || out != "first\n" {
		t.Errorf("code %d, output %q", code, out)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("held for %v", took)
	}
}

func TestAMemoryKillIsReportedAsSuch(t *testing.T) {
	t.Parallel()
	sb := start(t, newProvider(t), sandbox.Spec{Resources: sandbox.Resources{MemoryBytes: 64 << 20}})
	_, err := sb.Run(t.Context(), sandbox.Process{
		Name:    "agent",
		Command: sandbox.Command{Script: `exec python3 -c "x = b'x' * (300 << 20)"`},
		Output:  "/logs/agent/out.txt",
	})
	if !errors.Is(err, sandbox.ErrOutOfMemory) || !strings.Contains(err.Error(), "MiB were used") {
		t.Errorf("got %v", err)
	}
}

func TestAFileIsBoundedByTheStorageLimit(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	sb := start(t, p, sandbox.Spec{Name: "disk", Image: sandbox.Image{Reference: baseImage}, Resources: sandbox.Resources{StorageBytes: 1 << 20}})
	_, out, _ := sh(t, sb, sandbox.Command{Script: "head -c 1G /dev/zero >/big 2>/dev/null; stat -c %s /big; echo fine >/small; cat /small"})
	if out != "1048576\nfine\n" {
		t.Errorf("got %q", out)
	}
	exit, err := sb.Run(t.Context(), sandbox.Process{
		Command: sandbox.Command{Script: "head -c 2M /dev/zero; exit 3"}, Name: "p", Output: "/logs/agent/out.txt",
	})
	if err != nil || exit.Code != 3 {
		t.Errorf("a command with more output than a file may have: %+v, %v", exit, err)
	}
}

func TestAnUnknownUserIsNamed(t *testing.T) {
	t.Parallel()
	sb := start(t, newProvider(t), sandbox.Spec{})
	_, err := sb.Exec(t.Context(), sandbox.Command{User: "nosuch", Script: "true"})
	if err == nil || !strings.Contains(err.Error(), `no user "nosuch"`) {
		t.Errorf("got %v", err)
	}
}

func TestUploadKeepsTheFolderAsItIs(t *testing.T) {
	t.Parallel()
	sb := start(t, newProvider(t), sandbox.Spec{})
	sh(t, sb, sandbox.Command{Script: "mkdir /data && chown nobody /data && chmod 700 /data"})
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755})
	_ = w.WriteHeader(&tar.Header{Name: "f", Mode: 0o640, Size: 1, Uid: 1000})
	_, _ = w.Write([]byte("x"))
	_ = w.Close()
	for _, dst := range []string{"/data", "/new/deep"} {
		if err := sb.Upload(t.Context(), dst, bytes.NewReader(buf.Bytes())); err != nil {
			t.Fatal(err)
		}
	}
	_, out, _ := sh(t, sb, sandbox.Command{Script: "stat -c '%n %U %a' /data /data/f /new/deep /new/deep/f"})
	want := "/data nobody 700\n/data/f root 640\n/new/deep root 755\n/new/deep/f root 640\n"
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// signalWriter tells the first write.
type signalWriter struct {
	once sync.Once
	seen chan struct{}
}

func (s *signalWriter) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.seen) })
	return len(b), nil
}

package docker_test

import (
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	reference "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"oddish/internal/sandbox"
)

// buildContext writes a build context with a Dockerfile, and gives it as an image.
func buildContext(t *testing.T, digest, text string) sandbox.Image {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"Dockerfile": text, "file": "content\n", "ignored": "x", ".dockerignore": "ignored\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return sandbox.Image{Context: dir, Digest: digest, ForceBuild: true}
}

func TestDockerfilesWithExtensionsAreBuiltByBuildKit(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	sb := start(t, p, sandbox.Spec{Image: buildContext(t, "buildkit-test-1", "FROM "+baseImage+`
RUN --mount=type=cache,target=/cache echo cached >/cache/x && cp /cache/x /from-cache
COPY --chmod=755 file /made
RUN --mount=type=bind,target=/context ls /context >/seen
`)})
	code, out, _ := sh(t, sb, sandbox.Command{Script: "cat /from-cache /seen; stat -c %a /made; ls /cache 2>/dev/null || true"})
	if want := "cached\nDockerfile\nfile\n755\n"; code != 0 || out != want {
		t.Errorf("status %d, %q, want %q", code, out, want)
	}
}

func TestABuildOfBuildKitThatFailsSaysWhatWasSaid(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	image := buildContext(t, "buildkit-test-2", "FROM "+baseImage+"\nRUN --mount=type=cache,target=/c echo what is wrong; exit 7\n")
	_, err := p.Start(t.Context(), sandbox.Spec{Name: t.Name(), Image: image})
	if !errors.Is(err, sandbox.ErrBuild) || !strings.Contains(err.Error(), "what is wrong") || !strings.Contains(err.Error(), "7") {
		t.Errorf("error is %v", err)
	}
	image = buildContext(t, "buildkit-test-3", "FROM "+baseImage+"\nRUN --mount=type=cache,target=/c true\nNONSENSE\n")
	if _, err := p.Start(t.Context(), sandbox.Spec{Name: t.Name(), Image: image}); !errors.Is(err, sandbox.ErrBuild) {
		t.Errorf("error is %v", err)
	}
}

// The builder of the tests' engine is one of 2020, which knows no here-documents.
func TestWhatAnEnginesBuilderDoesNotKnowIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	notPodman(t, "its builder is another")
	p := newProvider(t)
	image := buildContext(t, "buildkit-test-4", "FROM "+baseImage+"\nRUN <<EOF\nfalse-command && exit 1\nEOF\n")
	_, err := p.Start(t.Context(), sandbox.Spec{Name: t.Name(), Image: image})
	if err != nil && strings.Contains(err.Error(), "false-command: ") {
		t.Skip("this engine knows them")
	}
	if !errors.Is(err, sandbox.ErrBuild) || !strings.Contains(err.Error(), "Dockerfile:2: RUN <<E") || !strings.Contains(err.Error(), "--env builtin") {
		t.Errorf("error is %v", err)
	}
}

// privateRegistry is a registry that wants a name and a password, whose credentials are in a docker configuration that the test uses.
func privateRegistry(t *testing.T) string {
	t.Helper()
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ann" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	dir := t.TempDir()
	config := `{"auths": {"` + host + `": {"auth": "` + base64.StdEncoding.EncodeToString([]byte("ann:secret")) + `"}}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	return host
}

// push puts an image with one file, and so without a shell, into a registry.
func push(t *testing.T, name, architecture string) {
	t.Helper()
	ref, err := reference.ParseReference(name)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(64, 1)
	if err == nil {
		image, err = mutate.Config(image, v1.Config{})
	}
	if err == nil {
		var file *v1.ConfigFile
		if file, err = image.ConfigFile(); err == nil {
			file = file.DeepCopy()
			file.Architecture, file.OS = architecture, "linux"
			image, err = mutate.ConfigFile(image, file)
		}
	}
	if err == nil {
		err = remote.Write(ref, image, remote.WithAuth(&authn.Basic{Username: "ann", Password: "secret"}))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPrivateImagesArePulledWithDockersCredentials(t *testing.T) {
	p := newProvider(t)
	notPodman(t, "it wants TLS of registries on this machine, too")
	host := privateRegistry(t)
	push(t, host+"/private:1", runtime.GOARCH)
	push(t, host+"/base:1", runtime.GOARCH)
	push(t, host+"/far:1", "s390x")
	for _, name := range []string{"/tools-a:1", "/tools-b:1", "/late-a:1", "/late-b:1"} {
		push(t, host+name, runtime.GOARCH)
	}
	// Neither image has a shell: that it is missed tells that the image is there.
	for what, image := range map[string]sandbox.Image{
		"a prebuilt image":                  {Reference: host + "/private:1"},
		"a base, classic":                   buildContext(t, "private-test-1", "FROM "+host+"/base:1\nCOPY file /x\n"),
		"a base, with BuildKit":             buildContext(t, "private-test-2", "FROM "+host+"/base:1\nCOPY --chmod=755 file /x\n"),
		"behind an argument, classic":       buildContext(t, "private-test-3", "ARG NAME=late-a\nFROM "+host+"/$NAME:1\nCOPY file /x\n"),
		"behind an argument, with BuildKit": buildContext(t, "private-test-4", "ARG NAME=late-b\nFROM "+host+"/$NAME:1\nCOPY --chmod=755 file /x\n"),
		"copied from, classic":              buildContext(t, "private-test-5", "FROM "+host+"/base:1\nCOPY --from="+host+"/tools-a:1 / /tools\n"),
		"copied from, with BuildKit":        buildContext(t, "private-test-6", "FROM "+host+"/base:1\nCOPY --chmod=755 --from="+host+"/tools-b:1 / /tools\n"),
	} {
		_, err := p.Start(t.Context(), sandbox.Spec{Name: "private", Image: image})
		if err == nil || errors.Is(err, sandbox.ErrBuild) || !strings.Contains(err.Error(), `"sh"`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := p.Start(t.Context(), sandbox.Spec{Name: "private", Image: sandbox.Image{Reference: host + "/far:1"}}); !errors.Is(err, sandbox.ErrBuild) || !strings.Contains(err.Error(), "is for linux/s390x") {
		t.Errorf("an image for other machines: %v", err)
	}
	for range 2 { // also when it is there
		far := buildContext(t, "private-test-7", "FROM "+host+"/far:1\nCOPY file /x\n")
		far.ForceBuild = false
		_, err := p.Start(t.Context(), sandbox.Spec{Name: "private", Image: far})
		if !errors.Is(err, sandbox.ErrBuild) || !strings.Contains(err.Error(), "is for linux/s390x") || !strings.Contains(err.Error(), "FROM") {
			t.Errorf("a Dockerfile for other machines: %v", err)
		}
	}
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	if _, err := p.Start(t.Context(), sandbox.Spec{Name: "private", Image: sandbox.Image{Reference: host + "/other:1"}}); !errors.Is(err, sandbox.ErrBuild) {
		t.Errorf("without credentials: %v", err)
	}
}

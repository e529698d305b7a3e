//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"oddish/internal/image"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/sandboxtest"
	"oddish/internal/sandbox/sandboxtest/machine"
)

// baseImage is an archive with the root file system of a small Debian, as scripts/base-image.sh makes it.
const baseImage = "ODDISH_TEST_BASE_IMAGE"

// baseName is the image of the tests, made of that archive.
const baseName = "debian:bookworm-slim"

// baseStore is a store with the image of the tests, unpacked once for all of them. TestMain removes it.
var baseStore = sync.OnceValues(func() (*image.Store, error) {
	store, err := image.Open(image.Config{Dir: baseStoreDir()})
	if err == nil {
		_, err = store.LoadRoot(context.Background(), os.Getenv(baseImage), baseName)
	}
	return store, err
})

func baseStoreDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("oddish-images-%d", os.Getpid()))
}

// withImages gives a provider, and the name of the tests' image with that configuration.
func withImages(t *testing.T, config v1.Config) (*Provider, string) {
	t.Helper()
	if os.Getenv(baseImage) == "" {
		t.Skip("set " + baseImage + " to the archive that scripts/base-image.sh makes")
	}
	images, err := baseStore()
	if err != nil {
		t.Fatal(err)
	}
	key, err := image.NameKey(baseName)
	if err != nil {
		t.Fatal(err)
	}
	img, err := images.FindNamed(key)
	if err != nil {
		t.Fatal(err)
	}
	name := "tests/" + strings.ToLower(rand.Text()) + ":1"
	if key, err = image.NameKey(name); err != nil {
		t.Fatal(err)
	}
	img.Config, img.Digest = config, image.Digest(name)
	if _, err := images.Put(img, key); err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{Dir: t.TempDir(), Images: images})
	if err != nil {
		t.Fatal(err)
	}
	return p, name
}

func TestConformanceOfImages(t *testing.T) {
	t.Parallel()
	p, ref := withImages(t, v1.Config{})
	public := machine.Other(t)
	sandboxtest.Run(t, sandboxtest.Config{
		Provider: p,
		Image:    sandbox.Image{Reference: ref},
		Other: func(t testing.TB) sandbox.Provider {
			other, err := New(Config{Dir: p.dir, Images: p.images})
			if err != nil {
				t.Fatal(err)
			}
			return other
		},
		PublicAddr: func(testing.TB) string { return public },
		Builds:     true,
	})
}

func TestASandboxIsAsItsImageSays(t *testing.T) {
	t.Parallel()
	p, ref := withImages(t, v1.Config{
		Env: []string{"PATH=/usr/bin:/bin:/mine", "COLOUR=blue", "SHAPE=round"}, WorkingDir: "/srv/work", User: "nobody:daemon",
	})
	s, err := p.Start(t.Context(), sandbox.Spec{Name: "image", Owner: "test", Image: sandbox.Image{Reference: ref}, Env: map[string]string{"COLOUR": "red"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	want(t, s, `echo "$PATH $COLOUR $SHAPE $PWD $(id -un):$(id -gn)"`, "/usr/bin:/bin:/mine red round /srv/work nobody:daemon")
	want(t, s, `. /etc/os-release; echo "$ID"; cat /etc/hostname; [ -e /root/go ] || echo "nothing of this machine"`, "debian\n"+s.ID()+"\nnothing of this machine")
	if err := s.Upload(t.Context(), "/made/here", strings.NewReader(strings.Repeat("\x00", 1024))); err != nil {
		t.Errorf("files are put by root, whoever the image's user is: %v", err)
	}
	var out strings.Builder
	if code, err := s.Exec(t.Context(), sandbox.Command{Script: "rm -rf /etc/passwd /usr/share/doc && echo x >/bin/new && echo changed", User: "0", Stdout: &out}); err != nil || code != 0 || out.String() != "changed\n" {
		t.Fatalf("status %d, %v: %s", code, err, out.String())
	}
	again, err := p.Start(t.Context(), sandbox.Spec{Name: "again", Owner: "test", Image: sandbox.Image{Reference: ref}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := again.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	want(t, again, `[ -e /etc/passwd ] && [ ! -e /bin/new ] && echo untouched`, "untouched")
}

func TestAnEntrypointIsRunBesideTheCommands(t *testing.T) {
	t.Parallel()
	for name, entrypoint := range map[string][]string{
		"one that goes on with its command": {"sh", "-c", `echo "it's $(pwd) $*" > /tmp/said; exec "$@"`, "sh"},
		"one that ends":                     {"sh", "-c", `echo "it's $(pwd) $*" > /tmp/said; exit 3`, "sh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, ref := withImages(t, v1.Config{Entrypoint: entrypoint, Cmd: []string{"not", "this"}, WorkingDir: "/srv"})
			sb, err := p.Start(t.Context(), sandbox.Spec{Name: "entrypoint", Owner: "test", Image: sandbox.Image{Reference: ref}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := sb.Stop(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
			var out strings.Builder
			script := `n=0; until [ -s /tmp/said ] || [ $n = 100 ]; do n=$((n + 1)); sleep 0.1; done; cat /tmp/said`
			if code, err := sb.Exec(t.Context(), sandbox.Command{Script: script, Stdout: &out}); err != nil || code != 0 {
				t.Fatal(code, err)
			}
			if want := "it's /srv sh -c trap"; !strings.HasPrefix(out.String(), want) {
				t.Errorf("got %q, want it to begin with %q", out.String(), want)
			}
		})
	}
}

func TestImagesThatCannotBeHad(t *testing.T) {
	t.Parallel()
	p, ref := withImages(t, v1.Config{})
	empty := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(empty.Close)
	for name, c := range map[string]struct {
		image sandbox.Image
		want  error
	}{
		"missing":       {sandbox.Image{Reference: strings.TrimPrefix(empty.URL, "http://") + "/none:1"}, sandbox.ErrBuild},
		"no Dockerfile": {sandbox.Image{Context: t.TempDir(), Digest: "x"}, sandbox.ErrBuild},
		"both":          {sandbox.Image{Host: true, Reference: ref}, sandbox.ErrUnsupported},
		"none":          {sandbox.Image{}, sandbox.ErrUnsupported},
		"built instead": {sandbox.Image{Reference: ref, Context: t.TempDir(), Digest: "y", ForceBuild: true}, sandbox.ErrBuild},
	} {
		if _, err := p.Start(t.Context(), sandbox.Spec{Name: name, Owner: "test", Image: c.image}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABuiltImageThatIsTakenAgainCountsAsUsed(t *testing.T) {
	t.Parallel()
	images, err := image.Open(image.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{Dir: t.TempDir(), Images: images})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nENV A=b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	take := func() {
		t.Helper()
		if _, err := p.built(t.Context(), sandbox.Image{Context: dir, Digest: "d"}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	take()
	files, err := filepath.Glob(filepath.Join(images.Dir(), "images", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Chtimes(files[0], time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	take()
	list, err := images.List()
	if err != nil || len(list) != 1 || time.Since(list[0].Used) > time.Hour {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestARunOfABuildThatUsesTooMuchMemoryFailsTheBuild(t *testing.T) {
	t.Parallel()
	p, _ := withImages(t, v1.Config{})
	if !p.cgroups {
		t.Skip("there are no control groups here")
	}
	p.buildMemory = 256 << 20
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM debian:bookworm-slim\nRUN head -c 2G /dev/zero | tail -c 1G >/dev/null\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	_, err := p.built(t.Context(), sandbox.Image{Context: dir, Digest: "memory-of-builds"}, &out)
	if !errors.Is(err, sandbox.ErrBuild) || !strings.Contains(err.Error(), "Dockerfile:2") || !strings.Contains(out.String(), "out of memory") {
		t.Errorf("got %v, was told %q", err, out.String())
	}
}

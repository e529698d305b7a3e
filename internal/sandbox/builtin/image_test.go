//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"oddish/internal/image"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/sandboxtest"
)

// baseImage is an archive with the root file system of a small Debian, as scripts/base-image.sh makes it.
const baseImage = "ODDISH_TEST_BASE_IMAGE"

// withImages gives a provider, and the reference of an image in a registry of the test's, which is pulled when it is first used.
func withImages(t *testing.T, config v1.Config) (*Provider, string) {
	t.Helper()
	archive := os.Getenv(baseImage)
	if archive == "" {
		t.Skip("set " + baseImage + " to the archive that scripts/base-image.sh makes")
	}
	layer, err := tarball.LayerFromFile(archive, tarball.WithCompression(compression.None))
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, withConfig(t, img, config))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithBlobHandler(registry.NewDiskBlobHandler(t.TempDir()))))
	t.Cleanup(server.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/tests/base:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	images, err := image.Open(image.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := images.LoadRoot(t.Context(), archive, "debian:bookworm-slim"); err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{Dir: t.TempDir(), Images: images})
	if err != nil {
		t.Fatal(err)
	}
	return p, ref.Name()
}

func withConfig(t *testing.T, img v1.Image, config v1.Config) *v1.ConfigFile {
	t.Helper()
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	f = f.DeepCopy()
	f.OS, f.Architecture, f.Config = "linux", runtime.GOARCH, config
	return f
}

func TestConformanceOfImages(t *testing.T) {
	t.Parallel()
	p, ref := withImages(t, v1.Config{})
	public := otherMachine(t)
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

func TestImagesThatCannotBeHad(t *testing.T) {
	t.Parallel()
	p, ref := withImages(t, v1.Config{})
	for name, c := range map[string]struct {
		image sandbox.Image
		want  error
	}{
		"missing":       {sandbox.Image{Reference: strings.Replace(ref, "base", "none", 1)}, sandbox.ErrBuild},
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

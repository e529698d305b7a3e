package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// entry is a member of a layer: a name that ends in / is a directory.
type entry struct {
	name, content, link string
	kind                byte // 0: a directory or regular file
	mode                int64
	uid                 int
}

func layerOf(t *testing.T, entries ...entry) v1.Layer {
	t.Helper()
	data := packed(t, entries...)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func packed(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.content)), Uid: e.uid}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(e.name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func imageOf(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", strings.TrimPrefix(Platform(), "linux/")
	config.Config.Env, config.Config.WorkingDir = []string{"A=b"}, "/work"
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// serve gives the address of a registry.
func serve(t *testing.T, around func(http.Handler) http.Handler) string {
	t.Helper()
	var h http.Handler = registry.New(registry.Logger(discard()))
	if around != nil {
		h = around(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func push(t *testing.T, ref string, img v1.Image) {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(r, img); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree lists the paths below root with the contents of files and the targets of links.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		switch {
		case e.IsDir():
			all[rel] = "/"
		case e.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			all[rel] = "-> " + to
			return err
		default:
			b, err := os.ReadFile(path)
			all[rel] = string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLayersMakeTheTreeThatTheSpecificationSays(t *testing.T) {
	t.Parallel()
	base := []entry{{name: "etc/"}, {name: "etc/a", content: "1"}, {name: "dir/"}, {name: "dir/old", content: "1"}, {name: "bin", kind: tar.TypeSymlink, link: "/usr/bin"}, {name: "usr/bin/"}}
	for name, c := range map[string]struct {
		layer []entry
		want  map[string]string
	}{
		"a file replaces a file":              {[]entry{{name: "etc/a", content: "2"}}, map[string]string{"etc/a": "2"}},
		"a whiteout removes":                  {[]entry{{name: "etc/.wh.a"}}, map[string]string{"etc/a": ""}},
		"a device 0:0 removes":                {[]entry{{name: "etc/a", kind: tar.TypeChar}}, map[string]string{"etc/a": ""}},
		"an opaque directory is emptied":      {[]entry{{name: "dir/new", content: "n"}, {name: "dir/.wh..wh..opq"}}, map[string]string{"dir/old": "", "dir/new": "n"}},
		"a file replaces a directory":         {[]entry{{name: "dir", content: "f"}}, map[string]string{"dir": "f", "dir/old": ""}},
		"a directory keeps its content":       {[]entry{{name: "dir/", mode: 0o700}}, map[string]string{"dir/old": "1"}},
		"links at the top are followed":       {[]entry{{name: "bin/sh", content: "sh"}}, map[string]string{"usr/bin/sh": "sh", "bin": "-> /usr/bin"}},
		"hard links":                          {[]entry{{name: "hard", kind: tar.TypeLink, link: "/etc/a"}}, map[string]string{"hard": "1"}},
		"missing parents are made":            {[]entry{{name: "x/y/z", content: "z"}}, map[string]string{"x/y/z": "z"}},
		"names that leave stay inside":        {[]entry{{name: "../../up", content: "u"}}, map[string]string{"up": "u"}},
		"a link that leaves is followed here": {[]entry{{name: "out", kind: tar.TypeSymlink, link: "../../../tmp/far"}, {name: "out/f", content: "f"}}, map[string]string{"tmp/far/f": "f"}},
		"devices are left out":                {[]entry{{name: "null", kind: tar.TypeBlock}}, map[string]string{"null": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir())
			below, chain := Digest("below"), Digest("chain")
			for _, step := range []struct {
				below, chain string
				entries      []entry
			}{{"", below, base}, {below, chain, c.layer}} {
				data := packed(t, step.entries...)
				err := s.Extend(t.Context(), step.below, step.chain, func(context.Context) (io.ReadCloser, error) {
					return io.NopCloser(bytes.NewReader(data)), nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			got := tree(t, s.root(chain))
			for path, content := range c.want {
				if got[path] != content {
					t.Errorf("%s is %q, want %q; all: %v", path, got[path], content, got)
				}
			}
			if b := tree(t, s.root(below)); b["etc/a"] != "1" || b["dir/old"] != "1" {
				t.Errorf("the chain below has changed: %v", b)
			}
		})
	}
}

func TestModesAndOwnersAreThoseOfTheLayer(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	data := packed(t, entry{name: "tmp/", mode: 0o1777}, entry{name: "su", mode: 0o4755, uid: 0}, entry{name: "mine", mode: 0o600, uid: 1234})
	chain := Digest("c")
	if err := s.Extend(t.Context(), "", chain, func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"tmp": fs.ModeDir | fs.ModeSticky | 0o777, "su": fs.ModeSetuid | 0o755, "mine": 0o600} {
		info, err := os.Lstat(filepath.Join(s.root(chain), name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has mode %s, want %s", name, info.Mode(), mode)
		}
		if name == "mine" && s.owners && uid(info) != 1234 {
			t.Errorf("%s belongs to %d", name, uid(info))
		}
	}
}

func TestPulledOnceHoweverManyAsk(t *testing.T) {
	t.Parallel()
	var blobs atomic.Int32
	addr := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				blobs.Add(1)
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, addr+"/some/image:1", imageOf(t, layerOf(t, entry{name: "f", content: "hello"})))
	dir := t.TempDir()
	stores := []*Store{open(t, dir), open(t, dir)} // as two processes
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			img, err := stores[i%2].Get(t.Context(), addr+"/some/image:1", Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(filepath.Join(img.Root, "f")); err != nil || string(b) != "hello" {
				t.Errorf("%q, %v", b, err)
			}
			if img.Config.WorkingDir != "/work" || img.Size != 5 {
				t.Errorf("%+v", img)
			}
		})
	}
	wg.Wait()
	if n := blobs.Load(); n > 2 { // the layer and the configuration
		t.Errorf("%d blobs were fetched", n)
	}
	left, err := os.ReadDir(filepath.Join(dir, "blobs"))
	if err != nil || len(left) != 0 {
		t.Errorf("packed layers are left: %v, %v", left, err)
	}
}

func TestAFetchThatBreaksOffGoesOn(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcdef", 1<<14)
	var ranges []string
	var mu sync.Mutex
	addr := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
				h.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, r)
			if strings.HasPrefix(answer.Body.String(), "{") { // the configuration
				h.ServeHTTP(w, r)
				return
			}
			mu.Lock()
			ranges = append(ranges, r.Header.Get("Range"))
			first := len(ranges) == 1
			mu.Unlock()
			if !first {
				h.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Length", "100000")
			w.WriteHeader(http.StatusOK)
			w.Write(answer.Body.Bytes()[:answer.Body.Len()/2]) //nolint:errcheck
			panic(http.ErrAbortHandler)
		})
	})
	push(t, addr+"/big", imageOf(t, layerOf(t, entry{name: "f", content: big}, entry{name: "g", content: randomText(50_000)})))
	img, err := open(t, t.TempDir()).Get(t.Context(), addr+"/big", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(img.Root, "f")); err != nil || string(b) != big {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if len(ranges) != 2 || ranges[0] != "" || !strings.HasPrefix(ranges[1], "bytes=") {
		t.Errorf("asked for %q", ranges)
	}
}

func TestImagesShareWhatTheyHaveInCommon(t *testing.T) {
	t.Parallel()
	addr := serve(t, nil)
	base := layerOf(t, entry{name: "base", content: "base"})
	push(t, addr+"/base", imageOf(t, base))
	push(t, addr+"/above", imageOf(t, base, layerOf(t, entry{name: "above", content: "above"})))
	s := open(t, t.TempDir())
	var infos []fs.FileInfo
	for _, ref := range []string{"/base", "/above"} {
		img, err := s.Get(t.Context(), addr+ref, Options{})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(img.Root, "base"))
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, info)
	}
	if !os.SameFile(infos[0], infos[1]) {
		t.Error("the file of the common layer is there twice")
	}
}

func TestWhatCannotBePulledIsTold(t *testing.T) {
	t.Parallel()
	addr := serve(t, nil)
	other := imageOf(t, layerOf(t, entry{name: "f"}))
	config, err := other.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Architecture = "riscv64"
	if other, err = mutate.ConfigFile(other, config); err != nil {
		t.Fatal(err)
	}
	push(t, addr+"/other", other)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for name, c := range map[string]struct {
		ref, words string
		permanent  bool
	}{
		"missing":          {addr + "/missing:1", "does not exist", true},
		"no name":          {"Not A Name", "no name of an image", true},
		"another platform": {addr + "/other", "riscv64", true},
		"nobody answers":   {strings.TrimPrefix(dead.URL, "http://") + "/x", "refused", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, t.TempDir()).Get(t.Context(), c.ref, Options{})
			if err == nil || !strings.Contains(err.Error(), c.words) || errors.Is(err, ErrUnusable) != c.permanent {
				t.Errorf("%v (permanent: %t)", err, errors.Is(err, ErrUnusable))
			}
		})
	}
}

func TestAMirrorIsAskedFirstAndItsAbsenceIsNoHarm(t *testing.T) {
	t.Parallel()
	mirror, origin := serve(t, nil), serve(t, nil)
	push(t, mirror+"/both", imageOf(t, layerOf(t, entry{name: "from", content: "mirror"})))
	push(t, origin+"/both", imageOf(t, layerOf(t, entry{name: "from", content: "origin"})))
	push(t, origin+"/one", imageOf(t, layerOf(t, entry{name: "from", content: "origin"})))
	s, err := Open(Config{Dir: t.TempDir(), Mirrors: map[string]string{origin: "http://" + mirror}})
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{"/both": "mirror", "/one": "origin"} {
		img, err := s.Get(t.Context(), origin+ref, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(img.Root, "from")); err != nil || string(b) != want {
			t.Errorf("%s came from %q, %v", ref, b, err)
		}
	}
}

func TestArchivesAndLayoutsAreLoaded(t *testing.T) {
	t.Parallel()
	img := imageOf(t, layerOf(t, entry{name: "f", content: "loaded"}))
	archive, folder := filepath.Join(t.TempDir(), "save.tar"), t.TempDir()
	tag, err := name.NewTag("my/image:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		t.Fatal(err)
	}
	p, err := layout.Write(folder, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "my/image:1"})); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{archive, folder} {
		s := open(t, t.TempDir())
		if _, err := s.Load(t.Context(), from); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), "my/image:1", Options{}) // no registry is asked
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(got.Root, "f")); err != nil || string(b) != "loaded" {
			t.Errorf("%q, %v", b, err)
		}
	}
	if _, err := open(t, t.TempDir()).Load(t.Context(), t.TempDir()); !errors.Is(err, ErrUnusable) {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestPruneRemovesTheLongestUnusedAndSparesWhatIsUsed(t *testing.T) {
	t.Parallel()
	addr := serve(t, nil)
	s := open(t, t.TempDir())
	for _, name := range []string{"/a", "/b", "/c"} {
		push(t, addr+name, imageOf(t, layerOf(t, entry{name: name[1:], content: strings.Repeat(name[1:], 1000)})))
	}
	get := func(ref string) Image {
		img, err := s.Get(t.Context(), addr+ref, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	a := get("/a")
	get("/b")
	get("/c")
	removed, err := s.Prune(t.Context(), 2000, func(l Listed) bool { return l.Digest == a.Digest })
	if err != nil {
		t.Fatal(err)
	}
	if len(removed) != 1 || len(removed[0].Names) != 1 || !strings.HasSuffix(removed[0].Names[0], "/b:latest") {
		t.Errorf("removed %+v", removed)
	}
	if _, err := os.Stat(removed[0].Root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its root is there: %v", err)
	}
	left, err := s.List()
	if err != nil || len(left) != 2 {
		t.Errorf("left %+v, %v", left, err)
	}
}

func TestResolveFollowsLinksWithinTheImage(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, step := range []error{
		os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755), os.Symlink("/usr/bin", filepath.Join(root, "bin")),
		os.WriteFile(filepath.Join(root, "usr/bin/bash"), nil, 0o755), os.Symlink("../../../../../etc", filepath.Join(root, "up")),
		os.Symlink("loop", filepath.Join(root, "loop")),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if got, err := Resolve(root, "/bin/bash"); err != nil || got != "usr/bin/bash" {
		t.Errorf("%q, %v", got, err)
	}
	for _, missing := range []string{"/bin/zsh", "/up/passwd"} {
		if got, err := Resolve(root, missing); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %q, %v", missing, got, err)
		}
	}
	if _, err := Resolve(root, "/loop"); !errors.Is(err, errLoop) {
		t.Errorf("%v", err)
	}
}

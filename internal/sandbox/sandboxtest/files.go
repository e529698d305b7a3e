package sandboxtest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"

	"oddish/internal/sandbox"
)

func (s *suite) fileCases() map[string]func(*testing.T) {
	cases := map[string]func(*testing.T){
		"a folder comes back as it went in":             s.roundTrip,
		"one file comes under its base name":            s.oneFile,
		"a path that does not exist is ErrNotFound":     s.notFound,
		"an empty folder is an empty stream":            s.emptyFolder,
		"uploads merge and replace":                     s.merge,
		"names with spaces, quotes and other alphabets": s.oddNames,
		"the log folders are there":                     s.logFolders,
		"a broken stream is an error":                   s.brokenStream,
	}
	if !s.NoProcesses {
		maps.Copy(cases, map[string]func(*testing.T){
			"files belong to root and keep their modes": s.modes,
			"links come as links":                       s.links,
			"64 MB up and down":                         s.large,
			"a folder that is not root's stays so":      s.keepsOwner,
		})
	}
	return cases
}

func (s *suite) upload(t *testing.T, sb sandbox.Sandbox, dst string, files ...file) {
	t.Helper()
	if err := sb.Upload(t.Context(), dst, tarOf(files...)); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) roundTrip(t *testing.T) {
	sb := s.start(t)
	s.upload(t, sb, "/data/in", file{name: "a.txt", body: "a"}, file{name: "sub/", kind: tar.TypeDir, mode: 0o755},
		file{name: "sub/b.txt", body: strings.Repeat("b", 100_000)}, file{name: "empty"})
	want := map[string]string{"a.txt": "a", "sub/b.txt": strings.Repeat("b", 100_000), "empty": ""}
	if got := download(t, sb, "/data/in"); !maps.Equal(got, want) {
		t.Errorf("got %d files: %v", len(got), keys(got))
	}
	if got := download(t, sb, "/data/in/"); !maps.Equal(got, want) {
		t.Errorf("with a slash: %v", keys(got))
	}
}

func keys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

func (s *suite) oneFile(t *testing.T) {
	sb := s.start(t)
	s.upload(t, sb, "/data", file{name: "deep/f.txt", body: "hello"})
	if got := download(t, sb, "/data/deep/f.txt"); len(got) != 1 || got["f.txt"] != "hello" {
		t.Errorf("got %v", got)
	}
}

func (s *suite) notFound(t *testing.T) {
	sb := s.start(t)
	for _, path := range []string{"/no/such/thing", "/logs/agent/none.txt"} {
		if err := sb.Download(t.Context(), path, io.Discard); !errors.Is(err, sandbox.ErrNotFound) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func (s *suite) emptyFolder(t *testing.T) {
	sb := s.start(t)
	if got := download(t, sb, "/logs/artifacts"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func (s *suite) merge(t *testing.T) {
	sb := s.start(t)
	s.upload(t, sb, "/data", file{name: "a", body: "old"}, file{name: "b", body: "b"})
	s.upload(t, sb, "/data", file{name: "a", body: "new"}, file{name: "c", body: "c"})
	if got := download(t, sb, "/data"); !maps.Equal(got, map[string]string{"a": "new", "b": "b", "c": "c"}) {
		t.Errorf("got %v", got)
	}
}

func (s *suite) oddNames(t *testing.T) {
	sb := s.start(t)
	names := []string{"with space", "quo'te\"s", "-rf", "ünï-日本", "$HOME", "a\\b", ".hidden", strings.Repeat("n", 200)}
	var files []file
	for _, n := range names {
		files = append(files, file{name: n, body: n})
	}
	s.upload(t, sb, "/odd 'dir'", files...)
	got := download(t, sb, "/odd 'dir'")
	for _, n := range names {
		if got[n] != n {
			t.Errorf("%q holds %q", n, got[n])
		}
	}
}

func (s *suite) logFolders(t *testing.T) {
	sb := s.start(t)
	for _, dir := range []string{"agent", "verifier", "artifacts"} {
		if err := sb.Download(t.Context(), "/logs/"+dir, io.Discard); err != nil {
			t.Errorf("/logs/%s: %v", dir, err)
		}
	}
}

func (s *suite) brokenStream(t *testing.T) {
	whole := tarOf(file{name: "f", body: strings.Repeat("x", 10_000)}).Bytes()
	if err := s.start(t).Upload(t.Context(), "/data", bytes.NewReader(whole[:5000])); err == nil {
		t.Error("no error")
	}
}

func (s *suite) modes(t *testing.T) {
	sb := s.start(t)
	s.upload(t, sb, "/data", file{name: "x.sh", body: "#!/bin/sh\necho ran\n", mode: 0o755}, file{name: "secret", mode: 0o600})
	if got := sh(t, sb, "stat -c '%U %a' /data/x.sh /data/secret; /data/x.sh"); got != "root 755\nroot 600\nran\n" {
		t.Errorf("got %q", got)
	}
}

func (s *suite) links(t *testing.T) {
	sb := s.start(t)
	sh(t, sb, "mkdir /data; echo secret >/etc/outside; ln -s /etc/outside /data/link; mkfifo /data/fifo; echo x >/data/file")
	var buf bytes.Buffer
	if err := sb.Download(t.Context(), "/data", &buf); err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(&buf)
	for {
		h, err := r.Next()
		if err != nil {
			break
		}
		if strings.HasSuffix(h.Name, "link") && (h.Typeflag != tar.TypeSymlink || h.Linkname != "/etc/outside") {
			t.Errorf("the link came as %c to %q, %d bytes", h.Typeflag, h.Linkname, h.Size)
		}
	}
}

func (s *suite) large(t *testing.T) {
	sb := s.start(t)
	body := strings.Repeat("0123456789abcdef", 4<<20) // 64 MiB
	s.upload(t, sb, "/data", file{name: "big", body: body})
	if got := download(t, sb, "/data")["big"]; got != body {
		t.Errorf("%d bytes came back of %d", len(got), len(body))
	}
}

func (s *suite) keepsOwner(t *testing.T) {
	sb := s.start(t)
	sh(t, sb, "mkdir /data && chown nobody /data && chmod 700 /data")
	s.upload(t, sb, "/data", file{name: "f", body: "x"})
	if got := sh(t, sb, "stat -c '%U %a' /data"); got != "nobody 700\n" {
		t.Errorf("got %q", got)
	}
}

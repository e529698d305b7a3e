package sandboxtest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"path"
	"strings"
	"testing"

	"oddish/internal/sandbox"
)

// treeCases are about trees with everything that a file system may hold.
func (s *suite) treeCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"a tree of odd names, modes and kinds is unchanged": s.oddTree,
		"every user may write the log folders":              s.writeLogs,
		"the reader's and the writer's errors come back":    s.streamErrors,
	}
}

// members reads a tar stream by name; the entry of the folder itself is left out.
func members(t *testing.T, r io.Reader) map[string]file {
	t.Helper()
	got := map[string]file{}
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return got
		} else if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		f := file{name: path.Clean(h.Name), body: string(body), mode: h.Mode & 0o7777, kind: h.Typeflag, link: h.Linkname}
		switch f.kind {
		case tar.TypeDir:
			if f.name == "." {
				continue
			}
			f.name += "/"
		case tar.TypeSymlink:
			f.mode = 0o777
		}
		if _, twice := got[f.name]; twice {
			t.Errorf("%q came twice", f.name)
		}
		got[f.name] = f
	}
}

func (s *suite) oddTree(t *testing.T) {
	files := []file{
		{name: "plain.txt", body: "plain\n"},
		{name: "run.sh", mode: 0o755, body: "#!/bin/sh\n"},
		{name: "secret", mode: 0o600, body: "\x00\xff binary"},
		{name: "read only", mode: 0o444, body: "x"},
		{name: "empty"},
		{name: "-dash", body: "-"},
		{name: "quote'\"$(x)`\\", body: "q"},
		{name: "line\nbreak", body: "n"},
		{name: "ünïcode 日本", body: "u"},
		{name: ".hidden", body: "h"},
		{name: "link", kind: tar.TypeSymlink, mode: 0o777, link: "plain.txt"},
		{name: "dangling", kind: tar.TypeSymlink, mode: 0o777, link: "nowhere/at all"},
		{name: "absolute", kind: tar.TypeSymlink, mode: 0o777, link: "/etc/passwd"},
		{name: "empty folder/", kind: tar.TypeDir, mode: 0o755},
		{name: "private/", kind: tar.TypeDir, mode: 0o700},
		{name: "private/deep/", kind: tar.TypeDir, mode: 0o755},
		{name: "private/deep/er.txt", mode: 0o640, body: "deep"},
		{name: "private/deep/up link", kind: tar.TypeSymlink, mode: 0o777, link: "../../plain.txt"},
	}
	long := ""
	for range 15 {
		long += "long-name/"
		files = append(files, file{name: long, kind: tar.TypeDir, mode: 0o755})
	}
	files = append(files, file{name: long + strings.Repeat("x", 120), body: "long"})

	sb := s.start(t)
	s.upload(t, sb, "/tmp/a folder/tree", files...)
	var buf bytes.Buffer
	if err := sb.Download(soon(t), "/tmp/a folder/tree", &buf); err != nil {
		t.Fatal(err)
	}
	got := members(t, &buf)
	for name, want := range members(t, tarOf(files...)) {
		if got[name] != want {
			t.Errorf("%q: got %+v, want %+v", name, got[name], want)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%q should not be there", name)
	}
	equal(t, "seen inside", sh(t, sb, "cd '/tmp/a folder/tree'; cat link; cat ./-dash; stat -c %a:%u:%g read*"), "plain\n-444:0:0\n")
}

func (s *suite) writeLogs(t *testing.T) {
	sb := s.start(t)
	for _, dir := range []string{sandbox.AgentLogs, sandbox.VerifierLogs, sandbox.Artifacts} {
		r := exec(t, sb, sandbox.Command{User: user, Script: "echo hi >" + dir + "/f && stat -c %u " + dir + "/f"})
		equal(t, dir, r, result{0, "65534\n", ""})
		equal(t, dir, download(t, sb, dir)["f"], "hi\n")
	}
}

// failing fails every read and write.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func (s *suite) streamErrors(t *testing.T) {
	sb := s.start(t)
	cut := errors.New("cut short")
	half := tarOf(file{name: "f", body: strings.Repeat("x", 100_000)}).Bytes()[:50_000]
	if err := sb.Upload(soon(t), "/tmp/broken", io.MultiReader(bytes.NewReader(half), failing{cut})); !errors.Is(err, cut) {
		t.Errorf("upload: got %v, want %v", err, cut)
	}
	sh(t, sb, "head -c 3000000 /dev/urandom >/tmp/f")
	full := errors.New("disk full")
	if err := sb.Download(soon(t), "/tmp/f", failing{full}); !errors.Is(err, full) {
		t.Errorf("download: got %v, want %v", err, full)
	}
	equal(t, "still usable", sh(t, sb, "echo yes"), "yes\n")
}

package tarball

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write makes files below dir; "-> target" makes a link, a name that ends in a slash a folder.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		switch target, isLink := strings.CutPrefix(content, "-> "); {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(p, 0o755)
		case isLink:
			err = os.Symlink(target, p)
		default:
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPackAndUnpackGiveTheSameTree(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"a.txt": "A", "empty/": "", "d/": "", "d/x": "X", "d/link": "-> ../a.txt", "d/dangling": "-> nothing",
		"ünïcode": "U", strings.Repeat("long", 50): "L",
	}
	src := t.TempDir()
	write(t, src, files)
	var b bytes.Buffer
	if err := PackGzip(&b, src, PackOptions{}); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "new")
	if _, err := UnpackGzip(&b, dst, UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dst); !maps.Equal(got, files) {
		t.Errorf("got %v\nwant %v", got, files)
	}
}

func TestPackIsDeterministic(t *testing.T) {
	t.Parallel()
	pack := func(prepare func(dir string)) []byte {
		dir := t.TempDir()
		write(t, dir, map[string]string{"a": "A", "d/b": "B", "d/c": "-> b", "e/": ""})
		if err := os.Chmod(filepath.Join(dir, "a"), 0o755); err != nil {
			t.Fatal(err)
		}
		prepare(dir)
		var b bytes.Buffer
		if err := PackGzip(&b, dir, PackOptions{}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	want := pack(func(string) {})
	changes := map[string]func(dir string){
		"other times": func(dir string) {
			filepath.WalkDir(dir, func(p string, d fs.DirEntry, _ error) error {
				return os.Chtimes(p, time.Unix(1, 0), time.Unix(1, 0))
			})
		},
		"another umask": func(dir string) {
			os.Chmod(filepath.Join(dir, "a"), 0o700)
			os.Chmod(filepath.Join(dir, "d/b"), 0o600)
			os.Chmod(filepath.Join(dir, "d"), 0o700)
		},
		"another order of creation": func(dir string) {
			os.Remove(filepath.Join(dir, "a"))
			os.WriteFile(filepath.Join(dir, "a"), []byte("A"), 0o755)
		},
	}
	for name, change := range changes {
		if got := pack(change); !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes", name)
		}
	}
	if got := pack(func(dir string) { os.Chmod(filepath.Join(dir, "d/b"), 0o755) }); bytes.Equal(got, want) {
		t.Error("an execute bit makes no difference")
	}
}

func TestPackRefusesWhatMustNotLeave(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string) error
		want    string
	}{
		{"a link to the outside", func(t *testing.T, dir string) error {
			return os.Symlink("../secret", filepath.Join(dir, "l"))
		}, "l: link to ../secret, outside of the folder"},
		{"an absolute link", func(t *testing.T, dir string) error {
			return os.Symlink("/etc/passwd", filepath.Join(dir, "l"))
		}, "l: link to the absolute path /etc/passwd"},
		{"a link to a folder outside", func(t *testing.T, dir string) error {
			return os.Symlink("..", filepath.Join(dir, "up"))
		}, "up: link to .., outside"},
		{"a named pipe", func(t *testing.T, dir string) error {
			return syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)
		}, "pipe: a named pipe cannot be packed"},
		{"a socket", func(t *testing.T, dir string) error {
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}, "s: a socket cannot be packed"},
		{"a name with a newline", func(t *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, "a\nb"), nil, 0o600)
		}, "control character"},
		{"a name that is not UTF-8", func(t *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, "a\xff"), nil, 0o600)
		}, "UTF-8"},
		{"no such folder", func(t *testing.T, dir string) error { return os.Remove(dir) }, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, check := jail(t)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := tt.prepare(t, dir); err != nil {
				t.Skipf("cannot be made here: %v", err)
			}
			var b bytes.Buffer
			err := Pack(&b, dir, PackOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if bytes.Contains(b.Bytes(), []byte("secret\x00")) {
				t.Error("the file outside was read")
			}
			os.RemoveAll(dir)
			check()
		})
	}
}

func TestPackMakesOneFileExecutable(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	write(t, src, map[string]string{"run.sh": "a", "other.sh": "b", "sub/real.sh": "c", "link.sh": "-> sub/real.sh"})
	for name, want := range map[string]string{"": "", "run.sh": "run.sh", "link.sh": "sub/real.sh", "missing.sh": ""} {
		var b bytes.Buffer
		if err := Pack(&b, src, PackOptions{Executable: name}); err != nil {
			t.Fatal(err)
		}
		got := ""
		for r := tar.NewReader(&b); ; {
			h, err := r.Next()
			if err != nil {
				break
			}
			if h.Typeflag == tar.TypeReg && h.Mode&0o111 != 0 {
				got += h.Name
			}
		}
		if got != want {
			t.Errorf("of %q %q is executable, want %q", name, got, want)
		}
	}
}

func TestPackAsksWhatToInclude(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"a": "1", "skip/b": "2", "keep/c": "3", "keep/d": "4"})
	if err := os.Symlink("/etc", filepath.Join(dir, "skip/out")); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err := Pack(&b, dir, PackOptions{Include: func(rel string, isDir bool) bool {
		if isDir != (rel == "skip" || rel == "keep") {
			t.Errorf("%s: isDir is %v", rel, isDir)
		}
		return rel != "skip" && rel != "keep/d"
	}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "a keep/ keep/c" {
		t.Errorf("got %s", got)
	}
}

func TestPackPassesOnWriteErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"a": strings.Repeat("x", 100_000)})
	if err := PackGzip(full{}, dir, PackOptions{}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: "x", Err: errFullDisk}
}

var errFullDisk = syscallError("disk full")

type syscallError string

func (e syscallError) Error() string { return string(e) }

func TestLinksCanBePackedThatAreNotThere(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	write(t, src, map[string]string{"d/x": "X"})
	var b bytes.Buffer
	if err := Pack(&b, src, PackOptions{Links: []Link{{"near", "d/x"}, {"d/up", "../near"}, {"new/one", "../d"}}}); err != nil {
		t.Fatal(err)
	}
	dst := t.TempDir()
	if _, err := Unpack(&b, dst, UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"d/": "", "d/x": "X", "near": "-> d/x", "d/up": "-> ../near", "new/": "", "new/one": "-> ../d"}
	if got := tree(t, dst); !maps.Equal(got, want) {
		t.Errorf("unpacked is %v, want %v", got, want)
	}
}

func TestLinksThatLeaveOrStandOnOthersAreNotPacked(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	write(t, src, map[string]string{"d/x": "X"})
	for name, links := range map[string][]Link{
		"out":                     {{"a", "../secret"}},
		"to a whole path":         {{"a", "/etc/passwd"}},
		"out of a folder":         {{"d/a", "../../secret"}},
		"where a file is":         {{"d/x", "y"}},
		"where a folder is":       {{"d", "y"}},
		"below a file":            {{"d/x/y", "z"}},
		"below a link":            {{"l", "."}, {"l/up", ".."}},
		"twice":                   {{"a", "b"}, {"a", "c"}},
		"with a name that leaves": {{"../a", "b"}},
		"with a whole name":       {{"/a", "b"}},
		"in the folder's place":   {{".", "d"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := Pack(io.Discard, src, PackOptions{Links: links}); err == nil {
				t.Error("it was packed")
			}
		})
	}
}

package task

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oddish/internal/tarball"
)

// digestFiles is the task of the vectors below. They were made with shell tools, in a folder with these files:
//
//	for f in $(printf '%s\n' $FILES | LC_ALL=C sort); do
//	  printf '%s\0%s\n' "$f" "$(sha256sum < $f | cut -d' ' -f1)"
//	done | sha256sum
//
// where FILES are those that the digest covers. The packager of Harbor 0.26.0 gives the same for each; scripts/harbor-compat.sh asks the newest one about the
// examples.
var digestFiles = map[string]string{
	"task.toml": "version = \"1.0\"\n", "instruction.md": "Do it.\n", "README.md": "read me\n", "notes.txt": "not covered\n",
	"environment/Dockerfile": "FROM scratch\n", "environment-x/f": "not covered\n",
	"tests/test.sh": "#!/bin/sh\necho 1\n", "tests/a-b/x": "1\n", "tests/a/x": "2\n", "tests/data.pyc": "junk\n", "tests/__pycache__/m": "junk\n",
	"solution/solve.sh": "#!/bin/sh\n", "solution/solve.sh~": "junk\n",
}

// Harbor test list #40
func TestDigestVectors(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, ignore, want string }{
		{"without .gitignore", "absent", vectorDefault},
		{"with a .gitignore, which replaces the default list", "# comment\n*.txt\n/solution/\n!solve.sh\nx\n", vectorIgnore},
		{"with an empty .gitignore", "", vectorEverything},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := maps.Clone(digestFiles)
			files[".gitignore"] = tt.ignore
			got, err := Digest(makeTask(t, files))
			if err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestLegacyHashVector(t *testing.T) {
	t.Parallel()
	got, err := LegacyHash(makeTask(t, digestFiles))
	if err != nil || got != vectorLegacy {
		t.Errorf("got %s, %v, want %s", got, err, vectorLegacy)
	}
}

func TestDigestFollowsLinksToFilesOnly(t *testing.T) {
	t.Parallel()
	dir := makeTask(t, map[string]string{"tests/data/x": "X"})
	plain, err := Digest(makeTask(t, map[string]string{"tests/data/x": "X", "tests/link": "X"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"tests/link": "data/x", "tests/folder": "data", "tests/dangling": "nothing"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Digest(dir); err != nil || got != plain {
		t.Errorf("got %s, %v, want %s", got, err, plain)
	}
	if err := os.Symlink("../../../secret", filepath.Join(dir, "tests/evil")); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(string) (string, error){"Digest": Digest, "LegacyHash": LegacyHash} {
		if _, err := f(dir); err == nil || !strings.Contains(err.Error(), "link tests/evil") {
			t.Errorf("%s of a link to the outside: %v", name, err)
		}
	}
}

func TestPackKeepsTheDigest(t *testing.T) {
	t.Parallel()
	for _, ignore := range []string{"absent", "", "*.bin\n*.txt\n"} {
		files := maps.Clone(digestFiles)
		files[".gitignore"], files["environment/big.bin"] = ignore, "needed by the build"
		dir := makeTask(t, files)
		if err := os.Symlink("Dockerfile", filepath.Join(dir, "environment/link")); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Pack(&b, dir); err != nil {
			t.Fatal(err)
		}
		unpacked := filepath.Join(t.TempDir(), "my-task")
		if _, err := tarball.UnpackGzip(&b, unpacked, tarball.UnpackOptions{}); err != nil {
			t.Fatal(err)
		}
		want, err1 := Digest(dir)
		got, err2 := Digest(unpacked)
		if err1 != nil || err2 != nil || got != want {
			t.Errorf("ignore %q: digest %s, %v, was %s, %v", ignore, got, err2, want, err1)
		}
		if !isFile(filepath.Join(unpacked, "environment/big.bin")) {
			t.Errorf("ignore %q: a file of the build context is missing", ignore)
		}
		if isFile(filepath.Join(unpacked, "notes.txt")) || isFile(filepath.Join(unpacked, "environment-x/f")) {
			t.Errorf("ignore %q: a file that belongs to no part of the task was packed", ignore)
		}
		if _, err := Load(unpacked); err != nil {
			t.Errorf("ignore %q: %v", ignore, err)
		}
		if got, want := isFile(filepath.Join(unpacked, "tests/data.pyc")), ignore != "absent"; got != want {
			t.Errorf("ignore %q: data.pyc packed: %v", ignore, got)
		}
	}
}

func TestEnvironmentDigest(t *testing.T) {
	t.Parallel()
	digest := func(toml string, change func(env string)) string {
		t.Helper()
		dir := makeTask(t, map[string]string{"task.toml": toml, "environment/Dockerfile": "FROM x\n", "environment/a/f": "data"})
		change(filepath.Join(dir, "environment"))
		task, err := LoadUnverified(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := task.EnvironmentDigest()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	same := func(string) {}
	base := digest(minimal, same)
	// printf '\0\0\0\012Dockerfile\0\0\0\007FROM x\n\0\0\0\003a/f\0\0\0\004data' | sha256sum | cut -c-32
	if want := vectorEnvironment; base != want {
		t.Errorf("got %s, want %s", base, want)
	}
	image := "[environment]\ndocker_image = \"img:1\"\n"
	if got := digest(image, same); got != base {
		t.Error("docker_image counts beside files")
	}
	// printf img:1 | sha256sum | cut -c-32
	if got := digest(image, func(env string) { os.RemoveAll(env); os.Mkdir(env, 0o755) }); got != vectorImage {
		t.Errorf("empty folder: %s, want %s", got, vectorImage)
	}
	ignored := func(env string) {
		writeFile(t, filepath.Join(env, ".git/config"), "x")
		writeFile(t, filepath.Join(env, "a/__pycache__/m.pyc"), "x")
		writeFile(t, filepath.Join(env, ".DS_Store"), "x")
	}
	if got := digest(minimal, ignored); got != base {
		t.Error("ignored files count")
	}
	changes := map[string]func(env string){
		"content": func(env string) { writeFile(t, filepath.Join(env, "a/f"), "dat4") },
		"name":    func(env string) { os.Rename(filepath.Join(env, "a/f"), filepath.Join(env, "a/g")) },
		"mode":    func(env string) { os.Chmod(filepath.Join(env, "a/f"), 0o755) },
		"link":    func(env string) { os.Symlink("f", filepath.Join(env, "a/l")) },
	}
	for name, change := range changes {
		if digest(minimal, change) == base {
			t.Errorf("another %s makes no difference", name)
		}
	}
}

func TestIgnoreList(t *testing.T) {
	t.Parallel()
	tests := []struct {
		patterns, ignored, kept string
		notGit                  bool // Harbor's own meaning, which counts
	}{
		{"*.log", "a.log d/b.log .log", "a.log.txt log", false},
		{"/a", "a a/b", "d/a", false},
		{"d/a", "d/a d/a/x", "e/d/a", false},
		{"build/", "build/x d/build/x", "build", false},
		{"**/x", "x d/x d/e/x", "xx", false},
		{"d/**", "d/x d/e/x", "d2/x", false},
		{"d/**/x", "d/x d/e/x d/e/f/x", "x dx e/d/x", false},
		{"a**b", "ab axxb", "a/b", false},
		{"*.log\n!keep.log", "a.log d/a.log", "keep.log d/keep.log", false},
		{"d/\n!d/keep", "d/x d/e/keep", "keep d/keep d/keep/x", true},
		{"d/*", "d/x", "d/e/x x", true},
		{"/*\n!/keep", "x y", "keep keep/x d/x", true},
		{"*\n!*/\n!*.sh", "a", "x.sh d/b d/x.sh", true},
		{"a/**/", "a/b a/b/c", "a", true},
		{"a/*/", "a/b/c", "a/b", false},
		{"d/*\n!d/keep", "d/x", "d/keep", false},
		{"# comment\n\\#file\n\\!neg", "#file !neg", "comment", false},
		{"trail   \nkept\\ ", "trail kept\\s", "kept", false},
		{"a?c", "abc", "ac a/c abbc", false},
		{"[ab].txt\n[!x-z]y\n[[:digit:]]", "a.txt b.txt ay 7", "c.txt xy zy 77", false},
		{"[]]x\n[a\\-c]z", "]x az -z cz", "bz", false},
		{"[unclosed\nok", "ok", "[unclosed u", false},
		{"\\", "", "\\ x", false},
		{"a\\*b", "a*b", "axb", false},
		{"x.y", "x.y", "xzy", false},
		{"crlf\r\nnext\r\n", "crlf next", "crl", false},
		{"\xef\xbb\xbfbom", "bom", "xbom", false},
		{"/", "", "a", false},
		{"dir/name/", "dir/name/x", "dir/name x/dir/name/x", false},
		{"ünï*", "ünïx", "unix", false},
	}
	dir, haveGit := gitRepo(t)
	for _, tt := range tests {
		list := parseIgnore(tt.patterns)
		check := func(names string, want bool) {
			for name := range strings.FieldsSeq(names) {
				name = strings.ReplaceAll(name, "\\s", " ")
				if got := list.ignored(name); got != want {
					t.Errorf("%q: ignored(%s) = %v", tt.patterns, name, got)
				}
				if haveGit && !tt.notGit && gitIgnores(t, dir, tt.patterns, name) != want {
					t.Errorf("%q: git disagrees about %s", tt.patterns, name)
				}
			}
		}
		check(tt.ignored, true)
		check(tt.kept, false)
	}
}

// gitRepo makes a repository to ask git itself, where there is git.
func gitRepo(t *testing.T) (string, bool) {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		return "", false
	}
	dir := t.TempDir()
	if out, err := exec.Command(git, "init", "-q", dir).CombinedOutput(); err != nil {
		t.Logf("git init: %v: %s", err, out)
		return "", false
	}
	return dir, true
}

func gitIgnores(t *testing.T, dir, patterns, name string) bool {
	t.Helper()
	writeFile(t, filepath.Join(dir, ".gitignore"), patterns)
	cmd := exec.Command("git", "check-ignore", "-q", "--no-index", "--", name)
	cmd.Dir = dir
	cmd.Env = slices.Concat(os.Environ(), []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null"})
	err := cmd.Run()
	if err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("git check-ignore %s: %v", name, err)
	}
	return err == nil
}

func FuzzIgnoreList(f *testing.F) {
	f.Add("*.log\n!keep/\n[a-c]?\\x", "d/keep/a.log")
	f.Add("[[:alpha:]", "a")
	f.Fuzz(func(t *testing.T, patterns, name string) {
		parseIgnore(patterns).ignored(name)
	})
}

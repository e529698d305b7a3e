package task

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oddish/internal/tarball"
)

func TestFilesThatHarborignoreNamesAreNoPartOfATask(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"tests/.harborignore": "*.bin\n!keep.bin\n/data/*\n", "tests/deep/.harborignore": "!two.bin\nnotes\n",
		"tests/one.bin": "x", "tests/keep.bin": "x", "tests/data/x": "x", "tests/deep/two.bin": "x", "tests/deep/notes": "x", "tests/deep/three.bin": "x", "tests/notes": "x",
		"solution/.harborignore": "draft/\n", "solution/draft/a": "x", "solution/draft.txt": "x",
		"environment/.harborignore": "*\n", "environment/data.bin": "x",
	}
	left := []string{
		"tests/one.bin", "tests/data/x", "tests/deep/notes", "tests/deep/three.bin", "solution/draft/a",
		"tests/.harborignore", "tests/deep/.harborignore", "solution/.harborignore", "environment/.harborignore",
	}
	dir := makeTask(t, files)
	var b bytes.Buffer
	if err := Pack(&b, dir); err != nil {
		t.Fatal(err)
	}
	unpacked := filepath.Join(t.TempDir(), "task")
	if _, err := tarball.UnpackGzip(&b, unpacked, tarball.UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if there := isFile(filepath.Join(unpacked, name)); there == slices.Contains(left, name) {
			t.Errorf("%s is packed: %v", name, there)
		}
		if slices.Contains(left, name) {
			files[name] = "absent"
		}
	}
	with, err1 := Digest(dir)
	without, err2 := Digest(makeTask(t, files))
	packed, err3 := Digest(unpacked)
	if err1 != nil || err2 != nil || err3 != nil || with != without || packed != with {
		t.Errorf("digests are %s, %s and %s; errors %v, %v, %v", with, without, packed, err1, err2, err3)
	}
}

func TestHarborignoreThatCannotBeMeantIsAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, text, want string }{
		"it leaves out the tests":             {"tests/.harborignore", "*.sh\n", "tests/test.sh is left out by .harborignore"},
		"it leaves out the tests of a step":   {"steps/one/tests/.harborignore", "*\n", "steps/one/tests/test.sh is left out"},
		"it is a link that leaves the folder": {"tests/.harborignore", "-> ../../secret", "escapes"},
		"it is a folder":                      {"tests/.harborignore/x", "", "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"steps/one/instruction.md": "", "steps/one/tests/test.sh": ""}
			target, link := strings.CutPrefix(c.text, "-> ")
			if !link {
				files[c.file] = c.text
			}
			dir := makeTask(t, files)
			if link {
				if err := os.Symlink(target, filepath.Join(dir, c.file)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Digest(dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("digest gives %v, want %q", err, c.want)
			}
			if err := Pack(&bytes.Buffer{}, dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("pack gives %v, want %q", err, c.want)
			}
		})
	}
}

package task

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// harborIgnoreFile names, in a folder with tests or a solution, patterns of files below it that are no part of the task: they are neither in its digest nor in
// sandboxes.
const harborIgnoreFile = ".harborignore"

// harborIgnore decides by such files. They are read as git reads its own: those of deeper folders come after those of higher ones, the last pattern that
// matches decides, and nothing below a folder that is left out can be taken back in.
type harborIgnore struct {
	root  *os.Root
	lists map[string]ignoreList // by folder
	err   error                 // the first one; what was decided after it means nothing
}

func newHarborIgnore(root *os.Root) *harborIgnore {
	return &harborIgnore{root: root, lists: map[string]ignoreList{}}
}

// excluded reports whether a file or folder is left out. It is asked for folders before what is below them, and not for anything below one that is left out.
func (h *harborIgnore) excluded(rel string, isDir bool) bool {
	if path.Base(rel) == harborIgnoreFile {
		return true
	}
	out := false
	for i, r := range rel {
		if r != '/' || !inputs(rel[:i]) {
			continue
		}
		if left, matched := h.list(rel[:i]).verdict(rel[i+1:], isDir); matched {
			out = left
		}
	}
	if out && !isDir && testScript(rel) {
		h.fail(fmt.Errorf("%s is left out by %s, and the task needs it", rel, harborIgnoreFile))
	}
	return out
}

// list gives the patterns of a folder.
func (h *harborIgnore) list(dir string) ignoreList {
	list, known := h.lists[dir]
	if known {
		return list
	}
	data, err := h.root.ReadFile(path.Join(dir, harborIgnoreFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.fail(err)
	}
	list = parseIgnore(string(data))
	h.lists[dir] = list
	return list
}

func (h *harborIgnore) fail(err error) {
	if h.err == nil {
		h.err = err
	}
}

// inputs reports whether a folder is one with tests or a solution, the task's or a step's, or below one.
func inputs(dir string) bool {
	parts := strings.SplitN(dir, "/", 4)
	if parts[0] == StepsDir && len(parts) > 2 {
		parts = parts[2:]
	}
	return parts[0] == TestsDir || parts[0] == SolutionDir
}

// testScript reports whether a file is what runs the tests, of the task or of a step.
func testScript(rel string) bool {
	dir, base := path.Split(rel)
	of := path.Dir(path.Clean(dir))
	return path.Base(dir) == TestsDir && (of == "." || path.Dir(of) == StepsDir) && (base == "test.sh" || base == "test.bat")
}

// verdict is that of the last pattern that matches rel itself, as in git.
func (l ignoreList) verdict(rel string, isDir bool) (ignored, matched bool) {
	for i := len(l) - 1; i >= 0; i-- {
		if p := l[i]; (isDir || !p.dirOnly) && p.match.MatchString(rel) {
			return !p.negate, true
		}
	}
	return false, false
}

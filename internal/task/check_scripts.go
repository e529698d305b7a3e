package task

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// maxScanned is how much of a file is searched.
const maxScanned = 1 << 20

// scripts looks at what is run: the tests, the solution and the setup of steps.
func (c *checker) scripts(dir string) {
	for _, folder := range testFolders(dir) {
		c.rewards(dir, folder)
	}
	for _, pattern := range []string{"tests/test.sh", "solution/solve.sh", "steps/*/tests/test.sh", "steps/*/solution/solve.sh", "steps/*/workdir/setup.sh"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			continue // dir has a bracket in its name
		}
		for _, path := range found {
			rel, _ := filepath.Rel(dir, path)
			c.firstLine(path, filepath.ToSlash(rel))
		}
	}
}

// testFolders are the folders with a test.sh, of the task and its steps.
func testFolders(dir string) []string {
	var out []string
	steps, _ := os.ReadDir(filepath.Join(dir, StepsDir))
	folders := []string{TestsDir}
	for _, s := range steps {
		folders = append(folders, filepath.Join(StepsDir, s.Name(), TestsDir))
	}
	for _, f := range folders {
		if isFile(filepath.Join(dir, f, "test.sh")) {
			out = append(out, f)
		}
	}
	return out
}

// rewards warns of tests none of whose files names what the verifier reads.
func (c *checker) rewards(dir, folder string) {
	said := false
	_ = filepath.WalkDir(filepath.Join(dir, folder), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // unreadable files are reported by files
		}
		text := head(path)
		for _, word := range []string{"reward", "logs/verifier", "VERIFIER"} {
			if bytes.Contains(text, []byte(word)) {
				said = true
				return fs.SkipAll
			}
		}
		return nil
	})
	if !said {
		c.warn(filepath.ToSlash(filepath.Join(folder, "test.sh")), 0, "seems to write no reward: no file in %s/ names /logs/verifier/reward.txt or reward.json", filepath.ToSlash(folder))
	}
}

// head is the beginning of a file; nil if it cannot be read.
func head(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxScanned))
	if err != nil {
		return nil
	}
	return text
}

// firstLine finds scripts that the kernel cannot start.
func (c *checker) firstLine(path, rel string) {
	text := head(path)
	line, _, _ := bytes.Cut(text, []byte("\n"))
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		c.fault(rel, 0, "is empty")
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		c.fault(rel, 1, "begins with a byte order mark, before which #! is not found: save it without")
	case bytes.HasPrefix(line, []byte("#!")) && bytes.HasSuffix(line, []byte("\r")):
		c.fault(rel, 1, "has the line endings of Windows: its interpreter %q is not found", strings.TrimPrefix(string(line), "#!"))
	}
}

// dockerfile looks for lines that cannot be built, since the context is the Dockerfile's own folder.
func (c *checker) dockerfile(dir, context string) {
	text, err := os.ReadFile(filepath.Join(dir, context, Dockerfile))
	if err != nil {
		return // absent, or reported by files
	}
	rel := context + "/" + Dockerfile
	var stages []string
	for _, i := range instructions(string(text)) {
		switch i.word {
		case "FROM":
			stages = append(stages, c.stage(rel, i, stages))
		case "COPY", "ADD":
			c.copied(dir, context, i)
		}
	}
	if len(stages) == 0 {
		c.fault(rel, 0, "has no FROM")
	}
}

// stage looks at what a stage begins with, and gives the stage's name.
func (c *checker) stage(rel string, i instruction, earlier []string) string {
	words := slices.DeleteFunc(slices.Clone(i.args), func(a string) bool { return strings.HasPrefix(a, "--") })
	if len(words) == 0 {
		return ""
	}
	image := words[0]
	if _, err := name.ParseReference(image); err != nil && !strings.Contains(image, "$") && !slices.Contains(earlier, strings.ToLower(image)) {
		c.fault(rel, i.line, "FROM %s: is no name of an image", image)
	}
	if len(words) == 3 && strings.EqualFold(words[1], "as") {
		return strings.ToLower(words[2])
	}
	return ""
}

// instruction is one of a Dockerfile that stands on one line.
type instruction struct {
	line int
	word string
	args []string
}

// instructions gives those of a Dockerfile, without the texts of here-documents. Of one on several lines there is only the word.
func instructions(text string) []instruction {
	var out []instruction
	end, continued := "", false
	for n, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case end != "":
			if trimmed == end {
				end = ""
			}
			continue
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
			continue
		}
		goesOn := strings.HasSuffix(trimmed, `\`)
		words := strings.Fields(trimmed)
		if _, doc, ok := strings.Cut(trimmed, "<<"); ok && !strings.HasPrefix(doc, "<") {
			end = strings.Trim(strings.TrimPrefix(firstWord(doc), "-"), `"'`)
		}
		if !continued {
			i := instruction{line: n + 1, word: strings.ToUpper(words[0])}
			if !goesOn && end == "" {
				i.args = words[1:]
			}
			out = append(out, i)
		}
		continued = goesOn
	}
	return out
}

func firstWord(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return f[0]
	}
	return ""
}

// copied finds sources that are not there. What has variables, patterns or quotes, or comes from elsewhere, is left alone.
func (c *checker) copied(dir, context string, i instruction) {
	var paths []string
	for _, a := range i.args {
		if strings.HasPrefix(a, "--from") || strings.HasPrefix(a, "--parents") {
			return
		}
		if !strings.HasPrefix(a, "--") {
			paths = append(paths, a)
		}
	}
	if len(paths) < 2 {
		return
	}
	for _, p := range paths[:len(paths)-1] {
		if strings.ContainsAny(p, "$*?[]\"'{}\\:@") {
			continue
		}
		// A path that leads out of the context begins at it, as builders have it.
		if clean := filepath.Clean("/" + p); absent(filepath.Join(dir, context, clean)) {
			c.fault(context+"/"+Dockerfile, i.line, "%s %s: there is no %s%s; only what is in %s/ can be copied", i.word, p, context, clean, context)
		}
	}
}

func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

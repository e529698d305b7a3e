package arch

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/harbor-tests.md")

// harborDoc says what holds of Harbor's format, a row for each behaviour.
const harborDoc = "docs/harbor-tests.md"

var (
	proofComment = regexp.MustCompile(`^(?://|#) Harbor test list (.*)$`)
	proofNumbers = regexp.MustCompile(`^#\d+(?:, #\d+)*$`)
	testFunction = regexp.MustCompile(`^func (Test\w+)\(`)
	harborRow    = regexp.MustCompile(`^\| (\d+) \| (.+) \| (.*)\|$`)
)

// Every behaviour that docs/harbor-tests.md claims has a test, and every test that names one is listed there.
func TestHarborsBehavioursAreProved(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	proofs, err := harborProofs(root)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, harborDoc)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	rows := 0
	for line := range strings.Lines(string(data)) {
		row := harborRow.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if row == nil {
			out.WriteString(line)
			continue
		}
		number, _ := strconv.Atoi(row[1])
		if rows++; rows != number {
			t.Errorf("%s: #%d stands in the place of #%d", harborDoc, number, rows)
		}
		tests := proofs[number]
		if len(tests) == 0 {
			t.Errorf("%s claims #%d, which no test names: %s", harborDoc, number, row[2])
		}
		delete(proofs, number)
		slices.Sort(tests)
		fmt.Fprintf(&out, "| %d | %s | %s |\n", number, row[2], strings.Join(tests, ", "))
	}
	for number := range maps.Keys(proofs) {
		t.Errorf("%q name #%d, which %s does not have, or has twice", proofs[number], number, harborDoc)
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if out.String() != string(data) {
		t.Errorf("%s does not name the tests that there are: go test ./internal/arch -run Harbor -update", harborDoc)
	}
}

// harborProofs gives, for each number, the tests that prove the behaviour: functions with their package's folder, and scripts.
func harborProofs(root string) (map[int][]string, error) {
	proofs := map[int][]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != root {
			return fs.SkipDir
		}
		script := strings.HasSuffix(name, ".txt") && filepath.Base(filepath.Dir(name)) == "script"
		if !script && !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		return proofsOf(name, filepath.ToSlash(rel), script, proofs)
	})
	return proofs, err
}

// proofsOf adds what one file proves. In a Go file the test is the function that follows the comment.
func proofsOf(name, rel string, script bool, proofs map[int][]string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	numbers := ""
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, len(data)+1)
	for lines.Scan() {
		line := lines.Text()
		comment := proofComment.FindStringSubmatch(line)
		switch {
		case comment != nil && !proofNumbers.MatchString(comment[1]):
			return fmt.Errorf("%s: %q: want numbers such as #1, #2", rel, line)
		case comment != nil && script:
			addProofs(proofs, comment[1], "`"+rel+"`")
		case comment != nil:
			numbers = comment[1]
		case numbers != "" && testFunction.MatchString(line):
			addProofs(proofs, numbers, "`"+strings.TrimPrefix(filepath.ToSlash(filepath.Dir(rel)), "internal/")+"."+testFunction.FindStringSubmatch(line)[1]+"`")
			numbers = ""
		case numbers != "":
			return fmt.Errorf("%s: the comment that names %s stands above no test", rel, numbers)
		}
	}
	return lines.Err()
}

func addProofs(proofs map[int][]string, numbers, test string) {
	for n := range strings.SplitSeq(numbers, ", ") {
		number, _ := strconv.Atoi(strings.TrimPrefix(n, "#"))
		proofs[number] = append(proofs[number], test)
	}
}

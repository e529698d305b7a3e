package tarball

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// Bounds on the names of members. They are far above what real folders contain
// and below what makes file systems, terminals and URLs misbehave.
const (
	maxNameBytes = 1024 // of a whole relative path
	maxPartBytes = 255  // of one element of it
	maxDepth     = 100  // elements
)

// CheckName says why Unpack would refuse a member of that name; nil for a name that it takes.
func CheckName(name string) error {
	_, err := cleanName(name)
	return err
}

// cleanName gives the canonical form of a member's name: slash-separated, relative,
// without "." elements. The folder itself is ".". Names that could mean a place outside
// of it, on any system, or that would garble a terminal or a log, are errors.
func cleanName(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("empty name")
	case len(name) > maxNameBytes:
		return "", fmt.Errorf("name longer than %d bytes", maxNameBytes)
	case !utf8.ValidString(name):
		return "", errors.New("name is not valid UTF-8")
	case strings.HasPrefix(name, "/"):
		return "", errors.New("absolute name")
	case strings.Contains(name, `\`):
		return "", errors.New("name contains a backslash")
	case strings.ContainsFunc(name, isControl):
		return "", errors.New("name contains a control character")
	}
	clean := path.Clean(name)
	parts := strings.Split(clean, "/")
	if len(parts) > maxDepth {
		return "", fmt.Errorf("name is more than %d folders deep", maxDepth)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", errors.New(`name contains ".."`)
		}
		if len(part) > maxPartBytes {
			return "", fmt.Errorf("an element of the name is longer than %d bytes", maxPartBytes)
		}
	}
	return clean, nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// relative gives the target of the link at name, in the folder that was at the absolute path top, relative to the link if it is an absolute path
// in that folder, else as it is.
func relative(name, target, top string) string {
	below, ok := strings.CutPrefix(target, strings.TrimSuffix(top, "/")+"/")
	if !ok {
		return target
	}
	return strings.Repeat("../", strings.Count(name, "/")) + below
}

// checkLink says why the symbolic link at name (clean, its folders no links themselves) may
// not point to target. Allowed are relative targets that lead up only at their
// beginning and not above the top: since every link in a folder obeys this, no chain of them leaves it
// either, which a target such as "link/../.." could.
func checkLink(name, target string) error {
	if target == "" || len(target) > maxNameBytes || !utf8.ValidString(target) ||
		strings.Contains(target, `\`) || strings.ContainsFunc(target, isControl) {
		return errors.New("link with an unusable target")
	}
	if strings.HasPrefix(target, "/") {
		return fmt.Errorf("link to the absolute path %s", target)
	}
	depth := strings.Count(name, "/") // folders above the link
	descending := false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if descending {
				return fmt.Errorf(`link to %s: ".." is allowed only at the beginning`, target)
			}
			if depth--; depth < 0 {
				return fmt.Errorf("link to %s, outside of the folder", target)
			}
		default:
			descending = true
		}
	}
	return nil
}

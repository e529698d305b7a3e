package server

import (
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// taskIDPattern is what a task id looks like. It is also what keeps ids usable as folder names.
var taskIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// archiveSuffixes are cut from the name of an uploaded task: clients may name the file they packed.
var archiveSuffixes = []string{".tar.gz", ".tgz", ".tar", ".zip"}

// taskName gives the name under which a task is stored: the last element of a path or of an
// org/name, without the suffix of an archive, with everything but letters, digits, dot, dash
// and underscore turned into a dash.
func taskName(given string) (string, error) {
	name := strings.TrimRight(strings.ReplaceAll(strings.TrimSpace(given), `\`, "/"), "/")
	name = name[strings.LastIndexByte(name, '/')+1:]
	for _, suffix := range archiveSuffixes {
		if cut, ok := strings.CutSuffix(name, suffix); ok {
			name = cut
			break
		}
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, name)
	if name = strings.Trim(name, "-._"); name == "" {
		return "", huma.Error400BadRequest("a task's name needs a letter or a digit, which \"" + given + "\" lacks")
	}
	return name, nil
}

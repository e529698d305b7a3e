package cli

import (
	"bytes"
	"os"
	"strings"
	"unicode/utf8"
)

// readExtra gives what --extra-instruction-path and --extra-instruction, or else the file of -c, append to the instructions of tasks: the contents of
// files first.
func (a *App) readExtra(f *runFlags, file *sweepFile) ([]string, error) {
	paths, texts := f.extraPaths, f.extraTexts
	if len(paths) == 0 && len(texts) == 0 {
		paths, texts = file.extraPaths, file.extraTexts
	}
	var extra []string
	for _, p := range paths {
		data, err := os.ReadFile(a.path(p))
		if err != nil {
			return nil, usagef("extra instruction %s: %v", p, err)
		}
		if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
			return nil, usagef("extra instruction %s is not UTF-8 text", p)
		}
		extra = append(extra, string(data))
	}
	extra = append(extra, texts...)
	for _, text := range extra {
		if strings.TrimSpace(text) == "" {
			return nil, usagef("an extra instruction is empty")
		}
	}
	return extra, nil
}

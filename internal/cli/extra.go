package cli

import (
	"bytes"
	"os"
	"strings"
	"unicode/utf8"

	"oddish/api"
	"oddish/internal/composefile"
	"oddish/internal/task"
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

// maxComposeFile is the most bytes that a compose file of a run may have, as the server takes it.
const maxComposeFile = 256 << 10

// readExtraCompose reads the files of --extra-docker-compose, or else those of the file of -c. They are sent by their texts, so that they may read no others.
func (a *App) readExtraCompose(f *runFlags, file *sweepFile) ([]api.ComposeFile, error) {
	paths := f.extraCompose
	if len(paths) == 0 {
		paths = file.extraCompose
	}
	var files []api.ComposeFile
	for _, p := range paths {
		data, err := os.ReadFile(a.path(p))
		if err != nil {
			return nil, usagef("extra compose file %s: %v", p, err)
		}
		if len(data) > maxComposeFile {
			return nil, usagef("extra compose file %s has %d bytes: want at most %d", p, len(data), maxComposeFile)
		}
		parsed, err := composefile.Parse(data)
		if err != nil {
			return nil, usagef("extra compose file %s is no valid YAML: %v", p, err)
		}
		if err := parsed.SelfContained(); err != nil {
			return nil, usagef("extra compose file %s reads another file, which is not sent along: %v", p, err)
		}
		files = append(files, api.ComposeFile{Name: p, Text: string(data)})
	}
	return files, nil
}

// addComposeVars adds the variables of the host that compose files of the run take.
func addComposeVars(by map[string][]string, files []api.ComposeFile, isSet func(string) bool) {
	for _, f := range files {
		parsed, err := composefile.Parse([]byte(f.Text))
		if err != nil {
			continue // told when it was read
		}
		for _, v := range task.ComposeHostVars(parsed, nil) {
			if isSet(v.Name) {
				by[v.Name] = append(by[v.Name], f.Name)
			}
		}
	}
}

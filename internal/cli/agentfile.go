package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// agentFile is a file that describes a program of the user's as an agent: the options of the agent `command`, under a name of its own.
type agentFile struct {
	Name           string            `toml:"name"`
	Version        string            `toml:"version"`
	Install        string            `toml:"install"`
	Run            string            `toml:"run"`
	VersionCommand string            `toml:"version_command"`
	Output         string            `toml:"output"`
	ResultFiles    []string          `toml:"result_files"`
	Trajectory     string            `toml:"trajectory"`
	Env            map[string]string `toml:"env"`
}

// agentFileEnding is that of the names by which -a and sweep files mean an agent file and not an agent.
const agentFileEnding = ".toml"

// readAgentFile puts the file, if the arm's agent is one, in the place of its name. Its content goes with the submission, not its path. Options and
// variables that the arm has already win.
func (a *App) readAgentFile(r *arm) error {
	if !strings.HasSuffix(r.Agent, agentFileEnding) {
		return nil
	}
	path := a.path(r.Agent)
	f, err := parseAgentFile(a.shown(path), path)
	if err != nil {
		return usagef("agent file: %v", err)
	}
	r.Agent, r.Base = f.Name, "command"
	r.Env = merged(f.Env, r.Env)
	kwargs := f.kwargs()
	for k, v := range r.Kwargs {
		kwargs[k] = v
	}
	r.Kwargs = kwargs
	return nil
}

func parseAgentFile(shown, path string) (*agentFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &agentFile{}
	d := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, placedTOMLError(shown, err)
	}
	if f.Name == "" {
		f.Name = strings.TrimSuffix(filepath.Base(path), agentFileEnding)
	}
	if f.Run == "" {
		return nil, fmt.Errorf(`%s: run is missing: want the script that starts the program, such as run = "my-agent {{ prompt_file }}"`, shown)
	}
	for _, file := range f.ResultFiles {
		if strings.ContainsAny(file, " \t\n") {
			return nil, fmt.Errorf("%s: result_files: %q has a space in it", shown, file)
		}
	}
	return f, nil
}

// placedTOMLError says where in the file it is wrong.
func placedTOMLError(path string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		e := unknown.Errors[0]
		line, column := e.Position()
		return fmt.Errorf("%s:%d:%d: %s is no key of an agent file: known are name, version, install, run, version_command, output, result_files, trajectory and env",
			path, line, column, strings.Join(e.Key(), "."))
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, column := wrong.Position()
		return fmt.Errorf("%s:%d:%d: %s", path, line, column, strings.TrimPrefix(wrong.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", path, err)
}

// kwargs are the file as options of the agent `command`; what it does not have is left out.
func (f *agentFile) kwargs() map[string]any {
	kwargs := map[string]any{}
	for name, value := range map[string]string{
		"version": f.Version, "install": f.Install, "run": f.Run, "version_command": f.VersionCommand, "output": f.Output,
		"result_files": strings.Join(f.ResultFiles, " "), "trajectory": f.Trajectory,
	} {
		if value != "" {
			kwargs[name] = value
		}
	}
	return kwargs
}

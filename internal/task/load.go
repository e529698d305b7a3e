package task

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Bounds on what is read into memory.
const (
	maxConfigBytes      = 1 << 20
	maxInstructionBytes = 16 << 20
)

// Load reads and validates the task in dir. What the task's author must mend is an *Error, or several
// joined by errors.Join (errors.As finds the first); other errors are of the file system.
func Load(dir string) (*Task, error) { return load(dir, true) }

// LoadUnverified is Load for a run with verification disabled: the task needs no tests.
func LoadUnverified(dir string) (*Task, error) { return load(dir, false) }

func load(dir string, verified bool) (*Task, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("load task %s: %w", dir, err)
	}
	data, err := readText(abs, ConfigFile, maxConfigBytes)
	if err != nil {
		return nil, missingConfig(abs, err)
	}
	t := &Task{Dir: abs, Name: filepath.Base(abs)}
	t.Config, t.Warnings, err = parseConfig(data)
	if p := t.Config.Package; p != nil && p.Name != "" {
		t.Name = p.Name
	}
	t.ShortName = shortName(t.Name)
	if err := errors.Join(err, t.check(verified)); err != nil {
		return nil, err
	}
	if err := t.readInstructions(); err != nil {
		return nil, err
	}
	return t, nil
}

// readInstructions reads what the agent is told, as a whole or in each step.
func (t *Task) readInstructions() (err error) {
	if len(t.Config.Steps) == 0 {
		t.Instruction, err = readInstruction(t.Dir, InstructionFile)
		return err
	}
	for i := range t.Config.Steps {
		s := &t.Config.Steps[i]
		if s.Instruction, err = readInstruction(t.Dir, filepath.Join(StepsDir, s.Name, InstructionFile)); err != nil {
			return err
		}
	}
	return nil
}

func readInstruction(dir, name string) (string, error) {
	text, err := readText(dir, name, maxInstructionBytes)
	return stripCanary(string(text)), err
}

// missingConfig improves the error for a directory without task.toml.
func missingConfig(dir string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("load task: %w", err)
	}
	if isFile(filepath.Join(dir, "task.yaml")) {
		return &Error{File: ConfigFile, Msg: "is missing; task.yaml is of Terminal-Bench 1, a task must be converted to Harbor's format first"}
	}
	return &Error{File: ConfigFile, Msg: "is missing: a task is a folder with task.toml, instruction.md, environment/ and tests/"}
}

// check validates the directory against the configuration.
func (t *Task) check(verified bool) error {
	var errs []error
	fail := func(file, format string, args ...any) {
		errs = append(errs, &Error{File: file, Msg: fmt.Sprintf(format, args...)})
	}
	if !isDir(t.ContextDir()) {
		fail(EnvironmentDir+"/", "is missing: the folder must exist, even if it is empty")
	} else if !t.hasImage() {
		fail(EnvironmentDir+"/", "has no Dockerfile and no docker-compose.yaml, and task.toml sets no environment.docker_image: give one of them")
	}
	if len(t.Config.Steps) > 0 {
		for _, s := range t.Config.Steps {
			t.checkStep(s, verified, fail)
		}
		return errors.Join(errs...)
	}
	if !isFile(filepath.Join(t.Dir, InstructionFile)) {
		fail(InstructionFile, "is missing")
	}
	if script := filepath.Join(TestsDir, t.TestScript()); verified && t.VerifierMode() == ModeShared && !isFile(filepath.Join(t.Dir, script)) {
		fail(script, "is missing: the verifier runs it and it writes /logs/verifier/reward.txt")
	}
	return errors.Join(errs...)
}

func (t *Task) hasImage() bool {
	return t.Config.Environment.DockerImage != "" || t.HostImage() || t.HasDockerfile() || t.HasCompose()
}

func (t *Task) checkStep(s Step, verified bool, fail func(file, format string, args ...any)) {
	if s.Name == "" {
		return // reported already
	}
	dir := filepath.Join(StepsDir, s.Name)
	if !isDir(filepath.Join(t.Dir, dir)) {
		fail(dir+"/", "is missing: task.toml declares the step")
		return
	}
	if instruction := filepath.Join(dir, InstructionFile); !isFile(filepath.Join(t.Dir, instruction)) {
		fail(instruction, "is missing")
	}
	own, common := filepath.Join(dir, TestsDir, t.TestScript()), filepath.Join(TestsDir, t.TestScript())
	if verified && t.StepVerifierMode(s) == ModeShared && !isFile(filepath.Join(t.Dir, own)) && !isFile(filepath.Join(t.Dir, common)) {
		fail(own, "is missing, and so is %s: the verifier needs one of them", common)
	}
}

// readText reads a file of the task that must be UTF-8 text. A file that is absent is the
// file system's error, wrapped.
func readText(dir, name string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("load task: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, &Error{File: name, Msg: "is not a regular file"}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("load task: %w", err)
	case int64(len(data)) > limit:
		return nil, &Error{File: name, Msg: fmt.Sprintf("is larger than %d MiB", limit>>20)}
	case !utf8.Valid(data):
		return nil, &Error{File: name, Msg: "is not UTF-8 text"}
	}
	return data, nil
}

// canaryLine is a line that is an HTML comment or a # comment and contains the word canary.
var canaryLine = regexp.MustCompile(`(?i)^\s*(<!--.*\bcanary\b.*-->|#.*\bcanary\b.*)\s*$`)

// stripCanary removes the canary lines at the beginning of an instruction, and the blank
// lines directly after them.
func stripCanary(s string) string {
	rest := s
	for {
		line, after, _ := strings.Cut(rest, "\n")
		if !canaryLine.MatchString(line) {
			break
		}
		rest = after
	}
	if rest == s {
		return s
	}
	for {
		line, after, more := strings.Cut(rest, "\n")
		if strings.TrimSpace(line) != "" || !more {
			return rest
		}
		rest = after
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Package task reads Harbor task directories: it parses and validates task.toml, finds
// the tasks of a folder, computes content digests and packs a task for upload.
//
// It runs nothing and does no network I/O. Commands and the server load tasks with it; package
// trial, above, reads a loaded Task to decide what to run. Below it is only package tarball.
//
// Parsing is as permissive as task sets in the wild need it: unknown keys are warnings, the old
// spellings of every schema from 1.0 to 1.4 are understood and turned into the new
// ones. What cannot be understood is an *Error with the place in the file.
package task

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Names inside a task directory.
const (
	ConfigFile      = "task.toml"
	InstructionFile = "instruction.md"
	EnvironmentDir  = "environment"
	TestsDir        = "tests"
	SolutionDir     = "solution"
	StepsDir        = "steps"
	WorkdirDir      = "workdir"             // in the folder of a step
	StepSetupScript = "setup.sh"            // in WorkdirDir
	Dockerfile      = "Dockerfile"          // in EnvironmentDir
	ComposeFile     = "docker-compose.yaml" // in EnvironmentDir
)

// Task is a loaded and valid task directory. It is not changed after Load.
type Task struct {
	// Dir is the absolute path of the task's directory.
	Dir string
	// Name is the full name: [task].name ("org/name"), else the directory's name.
	Name string
	// ShortName is the part of Name after the slash.
	ShortName string
	Config    Config
	// Instruction is instruction.md without its canary lines; empty for a task with steps.
	Instruction string
	// Warnings are what the author should look at, in the order of their lines.
	Warnings []Warning
}

// Warning is something in task.toml that is ignored or outdated.
type Warning struct {
	Line int    // 1-based; 0 if it has no place
	Key  string // dotted path, such as environment.base_image
	Msg  string
}

// String gives "task.toml:LINE: KEY: MSG".
func (w Warning) String() string {
	if w.Line == 0 {
		return fmt.Sprintf("%s: %s: %s", ConfigFile, w.Key, w.Msg)
	}
	return fmt.Sprintf("%s:%d: %s: %s", ConfigFile, w.Line, w.Key, w.Msg)
}

// Error is a task that its author must mend. Its text starts with the place, as compilers do.
type Error struct {
	File   string // path as the user gave it, or relative to it
	Line   int    // 1-based; 0 if the whole file or directory is meant
	Column int    // 1-based; 0 if Line is 0
	Msg    string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Msg)
}

// AgentTimeout is the time the agent has; 0 means no limit.
func (t *Task) AgentTimeout() time.Duration { return seconds(t.Config.Agent.TimeoutSec, 0) }

// VerifierTimeout is the time the verifier has; 600 s unless the task sets it.
func (t *Task) VerifierTimeout() time.Duration {
	return seconds(t.Config.Verifier.TimeoutSec, DefaultVerifierTimeout)
}

// BuildTimeout is the time until the sandbox must have started; 600 s unless the task sets it.
func (t *Task) BuildTimeout() time.Duration {
	return t.Config.Environment.BuildTimeout()
}

// BuildTimeout is the time until a sandbox of this environment must have started; 600 s unless set.
func (e *Environment) BuildTimeout() time.Duration {
	return seconds(e.BuildTimeoutSec, DefaultBuildTimeout)
}

// MissingTimeouts lists the keys of the three timeouts that Oddish wants every task to set itself
// (agent.timeout_sec, verifier.timeout_sec, environment.build_timeout_sec) and that this one does not.
func (t *Task) MissingTimeouts() []string {
	var missing []string
	for _, k := range []struct {
		key   string
		value *float64
	}{
		{"agent.timeout_sec", t.Config.Agent.TimeoutSec},
		{"verifier.timeout_sec", t.Config.Verifier.TimeoutSec},
		{"environment.build_timeout_sec", t.Config.Environment.BuildTimeoutSec},
	} {
		if k.value == nil {
			missing = append(missing, k.key)
		}
	}
	return missing
}

// ContextDir is the absolute path of environment/, the docker build context.
func (t *Task) ContextDir() string { return filepath.Join(t.Dir, EnvironmentDir) }

// TestsDir is the absolute path of tests/, which need not exist.
func (t *Task) TestsDir() string { return filepath.Join(t.Dir, TestsDir) }

// SolutionDir is the absolute path of solution/, which need not exist.
func (t *Task) SolutionDir() string { return filepath.Join(t.Dir, SolutionDir) }

// HasDockerfile reports whether environment/Dockerfile exists.
func (t *Task) HasDockerfile() bool { return isFile(filepath.Join(t.ContextDir(), Dockerfile)) }

// HasCompose reports whether environment/docker-compose.yaml exists.
func (t *Task) HasCompose() bool { return isFile(filepath.Join(t.ContextDir(), ComposeFile)) }

// HostImage reports whether the task allows the machine's own tools in place of an image:
// [environment.oddish] image = "host".
func (t *Task) HostImage() bool { return t.Config.Environment.Oddish.Image == ImageHost }

// TestScript is the name of the test script in tests/: test.sh, or test.bat on windows.
func (t *Task) TestScript() string { return scriptName(t.Config.Environment.OS, "test") }

// SolutionScript is the name of the script in solution/: solve.sh, or solve.bat on windows.
func (t *Task) SolutionScript() string { return scriptName(t.Config.Environment.OS, "solve") }

func scriptName(os, base string) string {
	if os == OSWindows {
		return base + ".bat"
	}
	return base + ".sh"
}

func shortName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func seconds(v *float64, otherwise time.Duration) time.Duration {
	if v == nil {
		return otherwise
	}
	return time.Duration(*v * float64(time.Second))
}

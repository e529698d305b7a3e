package task

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrNoTasks is wrapped by the error of Discover for a folder in which nothing looks like a task.
var ErrNoTasks = errors.New("no tasks found")

// Invalid is a folder that looks like a task and cannot be loaded.
type Invalid struct {
	Dir string // as found below the path given to Discover
	Err error  // as from Load
}

// Discover finds tasks: path is one itself, or a folder with tasks one level down. Both
// lists are sorted by folder name. What looks like a task (it has task.toml, or instruction.md
// and environment/, or is of Terminal-Bench 1) and does not load is in the second list,
// and so is one whose name an earlier one has. Other folders, and those whose names begin with a dot, are
// passed over. If there is neither, the error wraps ErrNoTasks and says what was looked for.
func Discover(path string) ([]*Task, []Invalid, error) { return discover(path, Load) }

// DiscoverUnverified is Discover with LoadUnverified.
func DiscoverUnverified(path string) ([]*Task, []Invalid, error) {
	return discover(path, LoadUnverified)
}

func discover(path string, load func(string) (*Task, error)) ([]*Task, []Invalid, error) {
	dirs, err := Dirs(path)
	if err != nil {
		return nil, nil, err
	}
	var tasks []*Task
	var invalid []Invalid
	named := map[string]string{}
	for _, dir := range dirs {
		t, err := load(dir)
		if err == nil && named[t.Name] != "" {
			err = &Error{File: ConfigFile, Msg: fmt.Sprintf("the task is named %s, as the one in %s: give it another [task] name", t.Name, named[t.Name])}
		}
		if err != nil {
			invalid = append(invalid, Invalid{Dir: dir, Err: err})
			continue
		}
		named[t.Name] = dir
		tasks = append(tasks, t)
	}
	return tasks, invalid, nil
}

// Dirs lists the folders that Discover loads, without looking into them: path itself, or those in it that look like tasks.
func Dirs(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("find tasks: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("find tasks: %s is a file: give the folder of a task, or a folder of tasks", path)
	}
	if looksLikeTask(path) {
		return []string{path}, nil
	}
	return taskDirs(path)
}

// taskDirs lists the folders in path that look like tasks.
func taskDirs(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("find tasks: %w", err)
	}
	var dirs []string
	for _, e := range entries {
		dir := filepath.Join(path, e.Name())
		if !strings.HasPrefix(e.Name(), ".") && isDir(dir) && looksLikeTask(dir) {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("%w in %s: neither it nor a folder in it has task.toml, or instruction.md and environment/", ErrNoTasks, path)
	}
	return dirs, nil
}

func looksLikeTask(dir string) bool {
	in := func(name string) string { return filepath.Join(dir, name) }
	return isFile(in(ConfigFile)) ||
		isFile(in(InstructionFile)) && isDir(in(EnvironmentDir)) ||
		isFile(in("task.yaml")) && isFile(in("run-tests.sh"))
}

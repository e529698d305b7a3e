package worker

import (
	"slices"
	"strings"

	"oddish/internal/llm/upstream"
)

// TaskEnvDefault stands, among the names of Config.TaskEnv, for all variables that are read where nothing is said.
const TaskEnvDefault = "*"

// TaskMayRead reports whether templates of tasks and submissions (${NAME}) are given a variable of the worker, whose environment getenv reads. allowed is
// Config.TaskEnv: the names that the worker's operator allows. Where it is empty, or has TaskEnvDefault in it, these are all others but the keys and addresses
// of model providers, and what is Oddish's own: a submission, or a task that somebody else wrote, would need only to name those to have them.
func TaskMayRead(name string, allowed []string, getenv func(string) (string, bool)) bool {
	lists := func(name string) bool {
		return slices.ContainsFunc(allowed, func(s string) bool { return strings.TrimSpace(s) == name })
	}
	return lists(name) || (len(allowed) == 0 || lists(TaskEnvDefault)) && !heldBack(name, getenv)
}

func heldBack(name string, getenv func(string) (string, bool)) bool {
	if strings.HasPrefix(name, "ODDISH_") || slices.Contains([]string{"DATABASE_URL", "PGPASSWORD"}, name) {
		return true
	}
	if prefix, ok := strings.CutSuffix(name, "_API_KEY"); ok {
		if _, set := getenv(prefix + "_BASE_URL"); set { // its address makes any name a provider's
			return true
		}
	}
	return len(upstream.Strip(map[string]string{name: ""}, "")) == 0
}

// taskGetenv gives what templates of a trial see: the values that came with its submission, and a part of the worker's environment.
func (w *Worker) taskGetenv(given map[string]string) func(name string) (string, bool) {
	return func(name string) (string, bool) {
		if value, has := given[name]; has {
			return value, true
		}
		if !TaskMayRead(name, w.c.TaskEnv, w.c.Getenv) {
			return "", false
		}
		return w.c.Getenv(name)
	}
}

package cli

import (
	"maps"
	"slices"
	"strings"

	"oddish/internal/task"
	"oddish/internal/worker"
)

// confirmHostVars lists the variables of the worker's machine that the tasks read, and asks whether they may: keys may be among them, and what a task
// does with them nobody but its author knows.
func (a *App) confirmHostVars(f *runFlags, p *runPlan, tasks []*task.Task) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	isSet := func(name string) bool { _, set := cfg.Getenv(name); return set }
	oracle := slices.ContainsFunc(p.arms, func(r arm) bool { return r.Agent == "oracle" })
	by := map[string][]string{}
	for _, t := range tasks {
		for _, name := range t.HostVars(oracle, isSet) {
			by[name] = append(by[name], taskName(t))
		}
	}
	if len(by) == 0 || f.yes {
		return nil
	}
	out := a.errPrinter()
	out.line("The tasks read variables of the worker's environment:")
	for _, name := range slices.Sorted(maps.Keys(by)) {
		line := "  " + out.style(styleBold).Render(name) + "  " + someNames(by[name])
		if !worker.TaskMayRead(name, cfg.TaskEnv, cfg.Getenv) {
			line += out.style(styleWarn).Render("  not given to tasks, unless ODDISH_TASK_ENV of the worker names it")
		}
		out.line(line)
	}
	ok, err := a.confirm("May they?", "--yes")
	if err != nil {
		return err
	}
	if !ok {
		return failf("leave the tasks out with --exclude-task-name, or give --yes", "nothing was run: the tasks may not read those variables")
	}
	return nil
}

// someNames lists a few names and counts the others.
func someNames(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " and " + plural(len(names)-most, "more task")
}

package cli

import (
	"maps"
	"slices"
	"strings"

	"oddish/api"
	"oddish/internal/config"
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
	given, err := a.readEnvFile(f.envFile)
	if err != nil {
		return err
	}
	isSet := func(name string) bool {
		_, set := given[name]
		if !set {
			_, set = cfg.Getenv(name)
		}
		return set
	}
	oracle := slices.ContainsFunc(p.arms, func(r arm) bool { return r.Agent == "oracle" })
	by := map[string][]string{}
	for _, t := range tasks {
		for _, name := range t.HostVars(oracle, isSet) {
			by[name] = append(by[name], taskName(t))
		}
	}
	addComposeVars(by, p.compose, isSet)
	p.giveVars(given, by)
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

// readEnvFile reads the file of --env-file.
func (a *App) readEnvFile(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	vars, bad, err := config.ReadDotenv(a.path(path))
	if err != nil {
		return nil, usagef("--env-file: %v", err)
	}
	if len(bad) > 0 {
		return nil, usagef("--env-file: %s", strings.Join(bad, "; "))
	}
	return vars, nil
}

// giveVars sends along those of the given values that tasks, or environments of the run, name, and takes their names from by: whoever gives a value lets it
// be read. The others stay on this machine.
func (p *runPlan) giveVars(given map[string]string, by map[string][]string) {
	used := slices.Collect(maps.Keys(by))
	for _, r := range p.arms {
		used = append(used, task.TemplateVars(func(string) bool { return true }, r.Env)...)
	}
	vars := map[string]string{}
	for _, name := range used {
		if value, has := given[name]; has {
			vars[name] = value
			delete(by, name)
		}
	}
	if len(vars) == 0 {
		return
	}
	if p.sweep.Harbor == nil {
		p.sweep.Harbor = &api.HarborConfig{}
	}
	p.sweep.Harbor.HostEnv = vars
}

// someNames lists a few names and counts the others.
func someNames(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " and " + plural(len(names)-most, "more task")
}

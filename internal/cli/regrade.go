package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oddish/api"
)

type regradeFlags struct {
	api, tasks, experiment, env string
	version                     int
	include                     []string
	background, quiet, json     bool
}

func (a *App) regradeCommand() *cobra.Command {
	f := &regradeFlags{}
	cmd := &cobra.Command{
		Use:     "regrade EXPERIMENT [flags]",
		GroupID: groupUse,
		Short:   "Verify trials again, with another version of their tasks, without running the agents",
		Long: "Verify again what the agents of an experiment have left, with the newest version of each task, another one (--task-version), or the tasks of a folder (--path). " +
			"No agent runs and no model is asked. The trials with the new rewards are an experiment of their own; the old ones stay. It needs a task whose verifier has a sandbox of its own: " +
			"that is handed the artifacts, which are kept, and everything else of the agent's sandbox is gone.",
		Example: "oddish regrade calm-otter-k3f9 -p my-tasks\noddish regrade calm-otter-k3f9 --task-version 3 -t 'net-*'",
		Annotations: map[string]string{notesAnnotation: "With --json the document has: experiment, experiment_id, experiment_url, trials[{id,\nregrade_of, task, agent, model, before, after, error_type}] " +
			"(null: no reward), and left_out[{id,\nreason}].\n\nExit status: 0 done, whatever the rewards; 1 failure; 2 usage; 130 interrupted (the\ntrials go on)."},
		Args: exactArgs("EXPERIMENT"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.regrade(cmd.Context(), f, args[0]) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&f.tasks, "path", "p", "", "`PATH`: task or folder of tasks to verify with")
	fs.IntVar(&f.version, "task-version", 0, "`N`: version of the tasks to verify with (default: the newest)")
	fs.StringArrayVarP(&f.include, "task-name", "t", nil, "`GLOB`: only trials of tasks with such a name; repeatable")
	fs.StringVarP(&f.experiment, "experiment", "E", "", "`NAME` or id of the experiment that the new trials join (default: EXPERIMENT-regrade)")
	fs.StringVarP(&f.env, "env", "e", "", "`KIND`: sandbox, one of "+strings.Join(sandboxKinds(), ", ")+" (default: that of the trial)")
	fs.BoolVarP(&f.background, "background", "b", false, "do not wait until the trials have ended")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, only the outcome")
	fs.BoolVar(&f.json, "json", false, "print one JSON document")
	addAPIFlag(fs, &f.api)
	return cmd
}

// regrading is one `oddish regrade`.
type regrading struct {
	*App
	*regradeFlags
	conn    connection
	from    api.Experiment
	sources map[string]api.Trial // by id
	leftOut []regradeLeftOut
	sub     submission
}

type regradeLeftOut struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func (a *App) regrade(ctx context.Context, f *regradeFlags, idOrName string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	started := time.Now()
	if err := f.check(); err != nil {
		return err
	}
	c, err := a.reach(ctx, f.api)
	if err != nil {
		return err
	}
	r := &regrading{App: a, regradeFlags: f, conn: c, sources: map[string]api.Trial{}, leftOut: []regradeLeftOut{}}
	if r.from, err = c.experiment(ctx, idOrName); err != nil {
		return c.explain(err)
	}
	if err := r.submit(ctx); err != nil {
		return err
	}
	if f.background {
		return r.printQueued()
	}
	if !f.quiet && !f.json {
		a.note("experiment %s: %s to verify again", r.sub.experimentName, plural(len(r.sub.trialIDs), "trial"))
		a.note("%s", experimentURL(c, r.sub.experimentID))
	}
	trials, err := a.follow(ctx, c, watchOptions{
		experiment: r.sub.experimentID, name: r.sub.experimentName, ids: r.sub.trialIDs, fromStart: true, known: r.sub.known, quiet: f.quiet || f.json, started: started,
	})
	if err != nil {
		return err
	}
	return r.print(trials)
}

func (f *regradeFlags) check() error {
	switch {
	case f.tasks != "" && f.version != 0:
		return usagef("both --path and --task-version are given: give one")
	case f.version < 0:
		return usagef("--task-version %d: want 1 or more", f.version)
	case f.env != "" && !slices.Contains(sandboxKinds(), f.env):
		return usagef("--env %s: want one of %s", f.env, strings.Join(sandboxKinds(), ", "))
	}
	return checkGlobs(f.include)
}

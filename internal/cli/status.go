package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/client"
)

type statusFlags struct {
	api, experiment string
	watch, json     bool
	limit           int
}

func (a *App) statusCommand() *cobra.Command {
	f := &statusFlags{}
	cmd := &cobra.Command{
		Use:     "status [TASK|TRIAL] [flags]",
		GroupID: groupUse,
		Short:   "Show what is going on, or one task, experiment or trial",
		Long: "Show the server and the latest experiments; or, with the id of a task or (-e) the id or name of an experiment, its trials; or, with that of a trial, what came of it and of each of its steps. " +
			"A TASK that does not exist is looked up as an experiment, and then as a trial.",
		Example: "oddish status\noddish status hello-world-1a2b3c4d\noddish status hello-world-1a2b3c4d-0\noddish status -e calm-otter-k3f9 --watch",
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.status(cmd.Context(), f, strings.Join(args, ""))
		},
	}
	cmd.Flags().StringVarP(&f.experiment, "experiment", "e", "", "`NAME`: name or id of an experiment")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "show progress until the trials have ended")
	cmd.Flags().IntVar(&f.limit, "limit", 10, "`N`: show so many experiments, the latest")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: {server, daily_budget, experiments[]}, or {task}, or {trial}, or {experiment, trials[]}")
	addAPIFlag(cmd.Flags(), &f.api)
	return cmd
}

func (a *App) status(ctx context.Context, f *statusFlags, taskID string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	if taskID != "" && f.experiment != "" {
		return usagef("both a task and --experiment are given: give one")
	}
	if f.watch && taskID == "" && f.experiment == "" {
		return usagef("--watch needs a task or an experiment to watch")
	}
	if f.limit < 1 {
		return usagef("--limit %d: want 1 or more", f.limit)
	}
	c, err := a.reach(ctx, f.api)
	if err != nil {
		return err
	}
	switch {
	case f.experiment != "":
		return c.explain(a.statusExperiment(ctx, c, f, f.experiment))
	case taskID != "":
		return c.explain(a.statusTask(ctx, c, f, taskID))
	}
	return c.explain(a.statusOverview(ctx, c, f))
}

// statusOverview shows the server and its latest experiments.
func (a *App) statusOverview(ctx context.Context, c connection, f *statusFlags) error {
	h, err := c.client.Health(ctx)
	if err != nil {
		return err
	}
	page, err := c.client.ExperimentsPage(ctx, f.limit, "")
	if err != nil {
		return err
	}
	queue, err := c.client.Queue(ctx)
	if err != nil {
		return err
	}
	if f.json {
		if page.Items == nil {
			page.Items = []api.Experiment{}
		}
		return a.printJSON(map[string]any{"server": map[string]any{
			"url": c.endpoint.url, "status": h.Status, "database": h.Database, "version": h.Version, "pid": h.PID,
		}, "daily_budget": queue.Daily, "experiments": page.Items})
	}
	p := a.outPrinter()
	glyph, style := "✓", styleGood
	if h.Status != "healthy" {
		glyph, style = "✗", styleError
	}
	p.line(fmt.Sprintf("server    %s %s, version %s, process %d", p.style(style).Render(glyph+" "+h.Status), c.endpoint.url, h.Version, h.PID))
	p.line("database  " + h.Database)
	if queue.Daily != nil {
		p.line("today     " + dayWords(queue.Daily, time.Now()))
	}
	p.line("")
	if len(page.Items) == 0 {
		p.line("No experiments yet. Start one: oddish run PATH -a AGENT")
		return nil
	}
	p.line(experimentsTable(p.width, page.Items, time.Now()))
	if page.NextCursor != "" {
		p.line(p.style(styleFaint).Render("older ones: --limit"))
	}
	return nil
}

// statusExperiment shows the trials of an experiment.
func (a *App) statusExperiment(ctx context.Context, c connection, f *statusFlags, idOrName string) error {
	e, err := c.experiment(ctx, idOrName)
	if err != nil {
		return err
	}
	trials, err := a.trialsOf(ctx, c, f, e, nil)
	if err != nil {
		return err
	}
	if f.json {
		if f.watch { // the counts have changed meanwhile
			if e, err = c.client.Experiment(ctx, e.ID); err != nil {
				return err
			}
		}
		return a.printJSON(map[string]any{"experiment": e, "trials": trials})
	}
	p := a.outPrinter()
	p.line(fmt.Sprintf("experiment  %s (%s)", e.Name, e.ID))
	p.line("view        " + experimentURL(c, e.ID))
	if e.ImportedFrom != nil {
		p.line("imported    from a job that " + *e.ImportedFrom + " ran")
	}
	if e.Paused {
		p.line("paused      yes; `oddish resume -e " + e.ID + "` ends it")
	}
	if used := usageWords(e); used != "" {
		p.line("models      " + used)
	}
	if queue, err := c.client.Queue(ctx); err != nil {
		return err
	} else if d := queue.Daily; d != nil && d.Exceeded {
		p.line("today       " + dayWords(d, time.Now()))
	}
	p.line("")
	a.showTrials(trials, f.watch)
	return nil
}

// trialsOf returns an experiment's trials, now or once they have ended; ids, if any, choose among them.
func (a *App) trialsOf(ctx context.Context, c connection, f *statusFlags, e api.Experiment, ids []string) ([]api.Trial, error) {
	if f.watch {
		return a.follow(ctx, c, watchOptions{experiment: e.ID, name: e.Name, ids: ids, started: time.Now()})
	}
	trials, err := c.client.ExperimentTrials(ctx, e.ID)
	if trials == nil {
		trials = []api.Trial{}
	}
	return trials, err
}

// statusTask shows the trials of a task; what is no task is tried as an experiment, and then as a trial.
func (a *App) statusTask(ctx context.Context, c connection, f *statusFlags, id string) error {
	t, err := c.client.Task(ctx, id)
	if client.StatusOf(err) == 404 {
		if _, err := c.client.Experiment(ctx, id); err == nil {
			return a.statusExperiment(ctx, c, f, id)
		}
		if found, err := a.statusTrial(ctx, c, f, id); found {
			return err
		}
		return notFound("`oddish status` lists the experiments, and `oddish status -e EXPERIMENT` their trials", "no task, no trial and no experiment %q", id)
	}
	if err != nil {
		return err
	}
	if f.watch {
		if t, err = a.watchTask(ctx, c, f, t); err != nil {
			return err
		}
	}
	if f.json {
		return a.printJSON(map[string]any{"task": t})
	}
	p := a.outPrinter()
	version := nothing
	if t.CurrentVersion != nil {
		version = fmt.Sprint(*t.CurrentVersion)
	}
	p.line(fmt.Sprintf("task        %s, version %s", t.ID, version))
	if t.ExperimentID != "" {
		p.line(fmt.Sprintf("experiment  %s (%s), the latest", t.ExperimentName, t.ExperimentID))
		p.line("view        " + experimentURL(c, t.ExperimentID))
	}
	p.line("status      " + string(t.Status) + ", " + t.Progress)
	p.line("")
	a.showTrials(t.Trials, f.watch)
	return nil
}

// watchTask follows the task's trials in its latest experiment, and returns the task as it is then.
func (a *App) watchTask(ctx context.Context, c connection, f *statusFlags, t api.Task) (api.Task, error) {
	var ids []string
	for _, tr := range t.Trials {
		if tr.ExperimentID == t.ExperimentID {
			ids = append(ids, tr.ID)
		}
	}
	if len(ids) > 0 {
		if _, err := a.trialsOf(ctx, c, f, api.Experiment{ID: t.ExperimentID, Name: t.ExperimentName}, ids); err != nil {
			return t, err
		}
	}
	return c.client.Task(ctx, t.ID)
}

// showTrials prints trials with their stage, or, once they have been watched to their end, as results.
func (a *App) showTrials(trials []api.Trial, ended bool) {
	p := a.outPrinter()
	switch {
	case len(trials) == 0:
		p.line("No trials.")
	case ended:
		a.showResults(trials)
	default:
		p.line(trialsTable(p.width, trials, time.Now()))
		p.line("")
		errorDetails(p, trials, 5)
		p.line(summarize(trials).line())
		a.noteKept(trials)
	}
}

// experiment finds an experiment by its id or name.
func (c connection) experiment(ctx context.Context, idOrName string) (api.Experiment, error) {
	e, err := c.client.Experiment(ctx, idOrName)
	return e, noExperiment(err, idOrName)
}

// noExperiment makes an error of its own of the server's that it does not know the experiment.
func noExperiment(err error, idOrName string) error {
	if client.StatusOf(err) == 404 {
		return notFound("`oddish status` lists the experiments", "no experiment %q", idOrName)
	}
	return err
}

func notFound(hint, format string, args ...any) error {
	return &cliError{code: exitFailure, kind: "not_found", msg: fmt.Sprintf(format, args...), hint: hint}
}

package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/client"
)

type cancelFlags struct {
	api, experiment, query string
	force, yes, json       bool
}

func (a *App) cancelCommand() *cobra.Command {
	f := &cancelFlags{}
	cmd := &cobra.Command{
		Use:     "cancel [TASK|TRIAL] [flags]",
		GroupID: groupUse,
		Short:   "Stop the trials of a task or an experiment, or one trial",
		Long:    "Stop trials that wait or run. What they have written so far is kept, and trials that have ended stay as they are.",
		Example: "oddish cancel hello-world-1a2b3c4d-0       # one trial\noddish cancel -e calm-otter-k3f9 --yes     # a whole experiment\n" +
			"oddish cancel -q 'status:queued model:gpt-5.2 created:<1h'",
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.cancel(cmd.Context(), f, strings.Join(args, ""))
		},
	}
	cmd.Flags().StringVarP(&f.experiment, "experiment", "e", "", "`NAME`: name or id of an experiment")
	cmd.Flags().StringVarP(&f.query, "query", "q", "", "`QUERY`: the trials that match, see `oddish ls`")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVarP(&f.force, "force", "f", false, "the same as --yes")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: {trials_cancelled, task_ids[], ...}; does not ask")
	addAPIFlag(cmd.Flags(), &f.api)
	return cmd
}

func (a *App) cancel(ctx context.Context, f *cancelFlags, id string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	switch {
	case id != "" && f.experiment != "":
		return usagef("both %q and --experiment are given: give one", id)
	case f.query != "" && (id != "" || f.experiment != ""):
		return usagef("--query is given together with %q: give one", firstNonEmpty(id, f.experiment))
	case id == "" && f.experiment == "" && f.query == "":
		return usagef("nothing to cancel is named: want a task, a trial, -e EXPERIMENT or -q QUERY")
	}
	c, err := a.reach(ctx, f.api)
	if err != nil {
		return err
	}
	what, do, err := a.cancelTarget(ctx, c, f, id)
	if err != nil {
		return c.explain(badQuery(err))
	}
	if !f.yes && !f.force && !f.json {
		ok, err := a.confirm("Cancel "+what+"?", "--yes")
		if err != nil {
			return err
		}
		if !ok {
			return failf("", "nothing was cancelled")
		}
	}
	got, err := do(ctx)
	if err != nil {
		return c.explain(err)
	}
	if f.json {
		return a.printJSON(got)
	}
	switch p := a.outPrinter(); {
	case got.TrialsCancelled == 0:
		p.line("Nothing to cancel: nothing of " + what + " waits or runs.")
	case f.query != "":
		p.line(plural(got.TrialsCancelled, "trial") + " cancelled")
	case strings.HasPrefix(what, "trial "):
		p.line(what + " cancelled")
	default:
		p.line(plural(got.TrialsCancelled, "trial") + " of " + what + " cancelled")
	}
	return nil
}

// cancelTarget finds what an id means: a task, else a trial. It returns its description and what cancels it.
func (a *App) cancelTarget(ctx context.Context, c connection, f *cancelFlags, id string) (string, func(context.Context) (api.Cancelled, error), error) {
	if f.query != "" {
		return cancelMatching(ctx, c, f.query)
	}
	if f.experiment != "" {
		e, err := c.experiment(ctx, f.experiment)
		return fmt.Sprintf("experiment %s (%s)", e.Name, e.ID), func(ctx context.Context) (api.Cancelled, error) {
			return c.client.CancelExperiment(ctx, e.ID)
		}, err
	}
	if t, err := c.client.Task(ctx, id); client.StatusOf(err) != 404 {
		return "task " + id, func(ctx context.Context) (api.Cancelled, error) {
			return c.client.Cancel(ctx, api.Cancel{TaskIDs: []string{t.ID}})
		}, err
	}
	_, err := c.client.Trial(ctx, id)
	if client.StatusOf(err) == 404 {
		return "", nil, notFound("an experiment is named with -e", "no task and no trial %q", id)
	}
	return "trial " + id, func(ctx context.Context) (api.Cancelled, error) { return c.client.CancelTrial(ctx, id) }, err
}

// cancelMatching counts what a query would cancel.
func cancelMatching(ctx context.Context, c connection, query string) (string, func(context.Context) (api.Cancelled, error), error) {
	plan, err := c.client.CancelTrials(ctx, api.CancelTrials{Query: query, DryRun: true})
	what := fmt.Sprintf("%s of %s that match %s", plural(plan.TrialsCancelled, "trial"), plural(plan.TasksFound, "task"), query)
	return what, func(ctx context.Context) (api.Cancelled, error) {
		return c.client.CancelTrials(ctx, api.CancelTrials{Query: query})
	}, err
}

package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/client"
)

type retryFlags struct {
	api, experiment, query string
	reason                 string
	cancelled, dryRun      bool
	yes, watch, json       bool
}

func (a *App) retryCommand() *cobra.Command {
	f := &retryFlags{}
	cmd := &cobra.Command{
		Use:     "retry [TRIAL|TASK]... [flags]",
		GroupID: groupUse,
		Short:   "Run trials again that failed",
		Long: "Queue trials that have ended for another attempt: the named ones, the failed ones of a task or an experiment, or those that match a query. " +
			"Attempts before it are kept with their logs, and a good result is never touched. docs/queries.md describes queries.",
		Example: "oddish retry hello-world-1a2b3c4d-0                 # one trial\n" +
			"oddish retry -e calm-otter-k3f9 --watch             # what failed in an experiment\n" +
			"oddish retry -q 'experiment:x status:failed error:SandboxStart*'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.retry(cmd.Context(), f, args)
		},
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.Flags().StringVarP(&f.experiment, "experiment", "e", "", "`NAME`: name or id of an experiment: its failed trials")
	cmd.Flags().StringVarP(&f.query, "query", "q", "", "`QUERY`: the trials that match, see `oddish ls`")
	cmd.Flags().BoolVar(&f.cancelled, "cancelled", false, "of tasks and experiments also the cancelled trials")
	cmd.Flags().StringVarP(&f.reason, "reason", "r", "", "`TEXT`: why, for the server's log")
	cmd.Flags().BoolVarP(&f.dryRun, "dry-run", "n", false, "only show what would be tried again")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "show progress until the trials have ended")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: {trials_retried, trial_ids[], skipped[], ...}; does not ask")
	addAPIFlag(cmd.Flags(), &f.api)
	return cmd
}

func (a *App) retry(ctx context.Context, f *retryFlags, ids []string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	if err := f.check(ids); err != nil {
		return err
	}
	c, err := a.reach(ctx, f.api)
	if err != nil {
		return err
	}
	requests, err := retryRequests(ctx, c, f, ids)
	if err != nil {
		return c.explain(err)
	}
	if f.json && !f.watch {
		return a.retryJSON(ctx, c, f, requests)
	}
	plan, err := retryAll(ctx, c, requests, true)
	if err != nil {
		return c.explain(badQuery(err))
	}
	if plan.TrialsRetried == 0 {
		return a.nothingToRetry(plan, len(ids) > 0)
	}
	if f.watch && len(plan.ExperimentIDs) > 1 {
		return usagef("--watch shows one experiment, and the trials belong to %d: leave it out, or name one with -e or experiment:", len(plan.ExperimentIDs))
	}
	if !f.json {
		a.showRetryPlan(plan)
	}
	if f.dryRun {
		return nil
	}
	if !f.yes && !f.json {
		if ok, err := a.confirm("Try "+plural(plan.TrialsRetried, "trial")+" again?", "--yes"); err != nil || !ok {
			return cmp.Or(err, failf("", "nothing was tried again"))
		}
	}
	got, err := retryAll(ctx, c, requests, false)
	if err != nil {
		return c.explain(err)
	}
	return a.retried(ctx, c, f, got)
}

func (f *retryFlags) check(ids []string) error {
	given := 0
	for _, is := range []bool{len(ids) > 0, f.experiment != "", f.query != ""} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		return usagef("nothing to try again is named: want trials, tasks, -e EXPERIMENT or -q QUERY")
	case given > 1:
		return usagef("give trials and tasks, or -e EXPERIMENT, or -q QUERY, and only one of them")
	case f.query != "" && f.cancelled:
		return usagef("--cancelled goes with tasks and -e; a query says status:failed,cancelled")
	case f.watch && f.dryRun:
		return usagef("both --watch and --dry-run are given: give one")
	}
	return nil
}

// retryRequests finds what is meant by the ids: one request for all trials, and one for each task.
func retryRequests(ctx context.Context, c connection, f *retryFlags, ids []string) ([]api.RetryTrials, error) {
	common := api.RetryTrials{Cancelled: f.cancelled, Reason: f.reason}
	switch {
	case f.query != "":
		common.Query = f.query
		return []api.RetryTrials{common}, nil
	case f.experiment != "":
		e, err := c.experiment(ctx, f.experiment)
		common.ExperimentID = e.ID
		return []api.RetryTrials{common}, err
	}
	var trials []string
	var requests []api.RetryTrials
	for _, id := range ids {
		_, err := c.client.Trial(ctx, id)
		if err == nil {
			trials = append(trials, id)
			continue
		}
		if client.StatusOf(err) != 404 {
			return nil, err
		}
		t, err := c.client.Task(ctx, id)
		if client.StatusOf(err) == 404 {
			return nil, notFound("an experiment is named with -e", "no task and no trial %q", id)
		}
		if err != nil {
			return nil, err
		}
		of := common
		of.TaskID = t.ID
		requests = append(requests, of)
	}
	if len(trials) > 0 {
		common.TrialIDs = trials
		requests = append(requests, common)
	}
	return requests, nil
}

// retryAll carries the requests out, or only asks what they would do, and gives the answers as one.
func retryAll(ctx context.Context, c connection, requests []api.RetryTrials, dryRun bool) (api.RetriedTrials, error) {
	sum := api.RetriedTrials{TrialIDs: []string{}, ExperimentIDs: []string{}, Errors: map[string]int{}, Skipped: []api.SkippedTrial{}, DryRun: dryRun}
	for _, r := range requests {
		r.DryRun = dryRun
		got, err := c.client.RetryTrials(ctx, r)
		if err != nil {
			if sum.TrialsRetried > 0 {
				err = fmt.Errorf("after %s were queued again: %w", plural(sum.TrialsRetried, "trial"), err)
			}
			return sum, err
		}
		sum.Matched += got.Matched
		sum.TrialsRetried += got.TrialsRetried
		sum.TrialIDs = append(sum.TrialIDs, got.TrialIDs...)
		sum.ExperimentIDs = append(sum.ExperimentIDs, got.ExperimentIDs...)
		sum.Skipped = append(sum.Skipped, got.Skipped...)
		for kind, n := range got.Errors {
			sum.Errors[kind] += n
		}
	}
	slices.Sort(sum.ExperimentIDs)
	sum.ExperimentIDs = slices.Compact(sum.ExperimentIDs)
	return sum, nil
}

func (a *App) retryJSON(ctx context.Context, c connection, f *retryFlags, requests []api.RetryTrials) error {
	got, err := retryAll(ctx, c, requests, f.dryRun)
	if err != nil {
		return c.explain(badQuery(err))
	}
	return a.printJSON(got)
}

// nothingToRetry says why. Where trials were named it is a failure.
func (a *App) nothingToRetry(plan api.RetriedTrials, named bool) error {
	if named && len(plan.Skipped) > 0 {
		s := plan.Skipped[0]
		return failf("", "trial %s is not tried again: %s", s.TrialID, s.Reason)
	}
	p := a.outPrinter()
	p.line("Nothing to try again: " + plural(plan.Matched, "trial") + " found.")
	a.showSkipped(plan)
	return nil
}

// showRetryPlan lists what is about to be tried again, by the errors that it ended with.
func (a *App) showRetryPlan(plan api.RetriedTrials) {
	p := a.outPrinter()
	kinds := slices.SortedFunc(maps.Keys(plan.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(plan.Errors[b], plan.Errors[a]), cmp.Compare(a, b))
	})
	var rows [][]string
	for _, kind := range kinds {
		rows = append(rows, []string{cmp.Or(kind, "no error"), fmt.Sprint(plan.Errors[kind])})
	}
	p.line(renderTable(p.width, []column{{title: "ENDED WITH", least: 12, middle: true}, {title: "TRIALS", right: true}}, rows))
	p.line("")
	line := plural(plan.TrialsRetried, "trial") + " to be tried again"
	if n := len(plan.ExperimentIDs); n > 1 {
		line += fmt.Sprintf(", in %d experiments", n)
	}
	p.line(line)
	a.showSkipped(plan)
}

// showSkipped says what is left as it is, by reason.
func (a *App) showSkipped(plan api.RetriedTrials) {
	reasons := map[string]int{}
	for _, s := range plan.Skipped {
		reasons[s.Reason]++
	}
	p := a.outPrinter()
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		p.line(p.style(styleFaint).Render(plural(reasons[reason], "trial") + " left: " + reason))
	}
}

// retried says what was queued again, and follows it if that is wanted.
func (a *App) retried(ctx context.Context, c connection, f *retryFlags, got api.RetriedTrials) error {
	p := a.outPrinter()
	if !f.json {
		line := plural(got.TrialsRetried, "trial") + " queued again"
		if len(got.ExperimentIDs) == 1 && !f.watch {
			line += "; watch with `oddish status -e " + got.ExperimentIDs[0] + " --watch`"
		}
		p.line(line)
	}
	if !f.watch || len(got.ExperimentIDs) != 1 {
		return nil
	}
	e, err := c.client.Experiment(ctx, got.ExperimentIDs[0])
	if err != nil {
		return c.explain(err)
	}
	var ids []string // more than are listed cannot be told from the rest: then all are shown
	if len(got.TrialIDs) == got.TrialsRetried {
		ids = got.TrialIDs
	}
	trials, err := a.follow(ctx, c, watchOptions{experiment: e.ID, name: e.Name, ids: ids, started: time.Now()})
	if err != nil {
		return c.explain(err)
	}
	if f.json {
		return a.printJSON(map[string]any{"retried": got, "trials": trials})
	}
	p.line("")
	a.showResults(trials)
	return nil
}

// badQuery makes a usage error of the server's refusal of a query.
func badQuery(err error) error {
	return refusedUsage(err, "queries are described in docs/queries.md")
}

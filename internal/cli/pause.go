package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/client"
)

type pauseFlags struct {
	api, experiment string
	json            bool
}

func (a *App) pauseCommand() *cobra.Command {
	f := &pauseFlags{}
	cmd := &cobra.Command{
		Use:     "pause -e EXPERIMENT [flags]",
		GroupID: groupUse,
		Short:   "Start no more trials of an experiment",
		Long: "Start no more trials of an experiment until `oddish resume`, also after a restart of the server. Trials that run go on; those that wait, " +
			"come back for another attempt or are submitted meanwhile are held. They can be cancelled. " +
			"A model, a provider or the whole server is paused with `oddish queue pause`.",
		Example: "oddish pause -e calm-otter-k3f9",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.steerExperiment(cmd.Context(), f, "pause", args, (*client.Client).PauseExperiment)
		},
	}
	f.add(cmd)
	return cmd
}

func (a *App) resumeCommand() *cobra.Command {
	f := &pauseFlags{}
	cmd := &cobra.Command{
		Use:     "resume -e EXPERIMENT [flags]",
		GroupID: groupUse,
		Short:   "End the pause of an experiment",
		Long:    "End the pause of an experiment. What waits is started at once, as far as limits go.",
		Example: "oddish resume -e calm-otter-k3f9",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.steerExperiment(cmd.Context(), f, "resume", args, (*client.Client).ResumeExperiment)
		},
	}
	f.add(cmd)
	return cmd
}

func (f *pauseFlags) add(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs // steerExperiment says what was meant
	cmd.Flags().StringVarP(&f.experiment, "experiment", "e", "", "`NAME`: name or id of the experiment")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: the experiment")
	addAPIFlag(cmd.Flags(), &f.api)
}

// steerExperiment pauses or resumes an experiment and shows what it then is.
func (a *App) steerExperiment(ctx context.Context, f *pauseFlags, verb string, args []string,
	steer func(*client.Client, context.Context, string) (api.Experiment, error)) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	switch {
	case len(args) > 0:
		return usagef("oddish %s takes an experiment as -e %s; a queue key is for `oddish queue %s`", verb, args[0], verb)
	case f.experiment == "":
		return usagef("nothing to %s is named: want -e EXPERIMENT", verb)
	}
	c, err := a.reach(ctx, f.api)
	if err != nil {
		return err
	}
	e, err := steer(c.client, ctx, f.experiment)
	if err != nil {
		return c.explain(noExperiment(err, f.experiment))
	}
	if f.json {
		return a.printJSON(e)
	}
	waiting, running := e.Counts[api.StatusQueued]+e.Counts[api.StatusRetrying], e.Counts[api.StatusRunning]
	line := fmt.Sprintf("experiment %s (%s) goes on: %s wait, %d run", e.Name, e.ID, plural(waiting, "trial"), running)
	if e.Paused {
		line = fmt.Sprintf("experiment %s (%s) is paused: %s held, %d still run", e.Name, e.ID, plural(waiting, "trial"), running)
	}
	a.outPrinter().line(line)
	return nil
}

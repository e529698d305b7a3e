package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/client"
)

type cleanFlags struct {
	api, experiment     string
	stopOnly, yes, json bool
}

func (a *App) cleanCommand() *cobra.Command {
	f := &cleanFlags{}
	cmd := &cobra.Command{
		Use:     "clean [TASK] [flags]",
		GroupID: groupUse,
		Short:   "Stop the local server, and delete its data or a part of it",
		Long: "Without a name: stop the server of the data directory with its sandboxes, and delete the data directory's content " +
			"(only what Oddish made). Data in a PostgreSQL database is not touched.\n\n" +
			"With the id of a task, or with -e: delete that task or experiment on the server, with its trials and files.",
		Example: "oddish clean --stop-only          # stop what `oddish run` started, keep the data\noddish clean --yes                # start anew\noddish clean -e calm-otter-k3f9   # delete one experiment",
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.clean(cmd.Context(), f, strings.Join(args, ""))
		},
	}
	cmd.Flags().BoolVar(&f.stopOnly, "stop-only", false, "stop the server and keep the data")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	cmd.Flags().StringVarP(&f.experiment, "experiment", "e", "", "`NAME`: name or id of the experiment to delete")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: {stopped, sandboxes, deleted}; needs --yes or --stop-only")
	addAPIFlag(cmd.Flags(), &f.api)
	return cmd
}

func (a *App) clean(ctx context.Context, f *cleanFlags, taskID string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	switch {
	case taskID != "" && f.experiment != "":
		return usagef("both a task and --experiment are given: give one")
	case f.stopOnly && (taskID != "" || f.experiment != ""):
		return usagef("--stop-only stops the server: leave out what to delete")
	case f.json && !f.yes && !f.stopOnly:
		return usagef("--json does not ask: give --yes as well")
	case taskID != "" || f.experiment != "":
		return a.cleanOnServer(ctx, f, taskID)
	case f.api != "":
		return usagef("--api names a server to delete a task or an experiment on: name one")
	}
	return a.cleanLocal(ctx, f)
}

// cleanOnServer deletes one task or experiment.
func (a *App) cleanOnServer(ctx context.Context, f *cleanFlags, taskID string) error {
	c, err := a.reach(ctx, f.api)
	if err != nil {
		return err
	}
	what := "task " + taskID
	var do func() (api.Deleted, error)
	if f.experiment != "" {
		e, err := c.experiment(ctx, f.experiment)
		if err != nil {
			return c.explain(err)
		}
		what = fmt.Sprintf("experiment %s (%s) with %s", e.Name, e.ID, plural(e.Total, "trial"))
		do = func() (api.Deleted, error) { return c.client.DeleteExperiment(ctx, e.ID) }
	} else {
		t, err := c.client.Task(ctx, taskID)
		if client.StatusOf(err) == 404 {
			return notFound("an experiment is named with -e", "no task %q", taskID)
		}
		if err != nil {
			return c.explain(err)
		}
		do = func() (api.Deleted, error) { return c.client.DeleteTask(ctx, t.ID) }
	}
	if ok, err := a.sure(f.yes, "Delete "+what+"?", "nothing was deleted"); !ok {
		return err
	}
	got, err := do()
	if err != nil {
		return c.explain(err)
	}
	if f.json {
		return a.printJSON(got)
	}
	a.outPrinter().line("deleted " + what)
	return nil
}

// sure asks unless --yes was given. The error is set when the answer is no, and says what has not happened.
func (a *App) sure(yes bool, question, nothing string) (bool, error) {
	if yes {
		return true, nil
	}
	ok, err := a.confirm(question, "--yes")
	if err == nil && !ok {
		err = failf("", "%s", nothing)
	}
	return ok, err
}

// cleaned is what a local clean did, and the document of --json.
type cleaned struct {
	Stopped   bool     `json:"stopped"`
	Sandboxes int      `json:"sandboxes"`
	Deleted   *string  `json:"deleted"`
	Left      []string `json:"left,omitempty"`
}

func (a *App) cleanLocal(ctx context.Context, f *cleanFlags) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	dir, err := cfg.RequireDataDir()
	if err != nil {
		return err
	}
	if done, err := a.nothingToClean(dir, f); done || err != nil {
		return err
	}
	if !f.stopOnly {
		if ok, err := a.sure(f.yes, fmt.Sprintf("Stop the server and delete all data in %s?", dir), "nothing was deleted"); !ok {
			return err
		}
	}
	var did cleaned
	if did.Stopped, err = stopServer(ctx, dir); err != nil {
		return err
	}
	if did.Sandboxes, err = stopSandboxes(ctx, dir, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		a.warn("sandboxes that a server left could not all be removed: %v", err)
	}
	if !f.stopOnly {
		if did.Left, err = deleteData(dir); err != nil {
			return err
		}
		did.Deleted = &dir
		if url := cfg.DatabaseURL(dir); strings.HasPrefix(url, "postgres") {
			a.warn("the PostgreSQL database is left as it is")
		}
	}
	return a.printCleaned(f, dir, did)
}

// nothingToClean deals with a data directory that is absent, empty or someone else's.
func (a *App) nothingToClean(dir string, f *cleanFlags) (bool, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		if f.json {
			return true, a.printJSON(cleaned{})
		}
		a.outPrinter().line("Nothing to do: there is no data in " + dir)
		return true, nil
	case err != nil:
		return false, dataDirError(dir, err)
	case !looksOurs(dir) && !f.stopOnly:
		return false, failf("check ODDISH_DATA_DIR", "%s does not look like a data directory of Oddish: nothing was deleted", dir)
	}
	return false, nil
}

func (a *App) printCleaned(f *cleanFlags, dir string, did cleaned) error {
	if f.json {
		return a.printJSON(did)
	}
	p := a.outPrinter()
	if did.Stopped {
		p.line("stopped the server")
	} else {
		p.line("no server was running")
	}
	if did.Sandboxes > 0 {
		p.line(fmt.Sprintf("removed sandboxes: %d", did.Sandboxes))
	}
	switch {
	case did.Deleted == nil:
		p.line("the data in " + dir + " is kept")
	case len(did.Left) > 0:
		p.line("deleted the data in " + dir + "; left what is not Oddish's: " + strings.Join(did.Left, ", "))
	default:
		p.line("deleted " + dir)
	}
	return nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oddish/internal/jobdir"
)

type pullFlags struct {
	api, out, tasks string
	json            bool
}

// progressWords is how often, at most, a pull or an import says how far it is.
const progressWords = 2 * time.Second

func (a *App) pullCommand() *cobra.Command {
	f := &pullFlags{}
	cmd := &cobra.Command{
		Use:     "pull EXPERIMENT [flags]",
		GroupID: groupUse,
		Short:   "Write an experiment to a folder as Harbor writes a job",
		Long: "Write the trials of an experiment that have ended, with all their files, to a job directory of the Harbor format, which Harbor's own programs read. " +
			"What is there already stays: typed again, the command goes on where it was interrupted, and brings what has ended since.",
		Example: "oddish pull calm-otter-k3f9\noddish pull calm-otter-k3f9 --out jobs/nightly",
		Args:    exactArgs("EXPERIMENT"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.pull(cmd.Context(), f, args[0]) },
	}
	cmd.Flags().StringVarP(&f.out, "out", "o", "", "`DIR`: the job directory (default: jobs/EXPERIMENT)")
	cmd.Flags().StringVar(&f.tasks, "tasks", "", "`DIR`: folder with the tasks, for `harbor job resume`: paths in the files lead to it")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: {experiment_id, dir, trials, fetched, kept, bytes, unfinished}")
	addAPIFlag(cmd.Flags(), &f.api)
	return cmd
}

func (a *App) pull(ctx context.Context, f *pullFlags, idOrName string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	c, err := a.reach(ctx, f.api)
	if err != nil {
		return err
	}
	e, err := c.experiment(ctx, idOrName)
	if err != nil {
		return c.explain(err)
	}
	if f.tasks != "" {
		f.tasks = a.path(f.tasks)
	}
	dir := f.out
	if dir == "" {
		dir = filepath.Join("jobs", folderName(e.Name, e.ID))
	}
	dir = a.path(dir)
	done, err := jobdir.Pull(ctx, c.client, e, dir, jobdir.Options{Report: a.pullReport(), Tasks: f.tasks})
	if errors.Is(err, jobdir.ErrForeign) {
		return usagef("%v: give another folder with --out", err)
	}
	if err != nil {
		return c.explain(fmt.Errorf("pull experiment %s: %w", e.ID, err))
	}
	if f.json {
		return a.printJSON(struct {
			ExperimentID string `json:"experiment_id"`
			Dir          string `json:"dir"`
			jobdir.Progress
		}{e.ID, dir, done})
	}
	out := a.outPrinter()
	out.line(fmt.Sprintf("%s in %s: %d fetched, %d there already", plural(done.Trials, "trial"), dir, done.Fetched, done.Kept))
	if done.Open > 0 {
		a.warn("left out, because not ended yet: %s; type the command again later", plural(done.Open, "trial"))
	}
	return nil
}

// folderName is the experiment's name if that can be a folder's, else its id.
func folderName(name, id string) string {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `\:`) {
		return id
	}
	return name
}

// pullReport tells how far a pull is, now and then.
func (a *App) pullReport() func(jobdir.Progress) {
	return nowAndThen(func(p jobdir.Progress) {
		a.note("%d of %s, %.1f MB", p.Fetched+p.Kept, plural(p.Trials, "trial"), float64(p.Bytes)/1e6)
	})
}

// nowAndThen calls tell every progressWords at most, and not at once.
func nowAndThen[P any](tell func(P)) func(P) {
	next := time.Now().Add(progressWords)
	return func(p P) {
		if now := time.Now(); now.After(next) {
			next = now.Add(progressWords)
			tell(p)
		}
	}
}

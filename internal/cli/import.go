package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"oddish/internal/jobdir"
)

type importFlags struct {
	api, name    string
	dryRun, json bool
}

func (a *App) importCommand() *cobra.Command {
	f := &importFlags{}
	cmd := &cobra.Command{
		Use:     "import PATH... [flags]",
		GroupID: groupUse,
		Short:   "Make experiments of job folders that Harbor or `oddish pull` wrote",
		Long: "Import the trials of job directories of the Harbor format, with all their files, as experiments. PATH is a job's folder, or a folder with some. " +
			"Typed again, the command brings what has ended or changed since; nothing comes twice. What cannot be used is listed.",
		Example: "oddish import jobs/2026-11-20__09-30-00\noddish import jobs --dry-run",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("want the PATH of a job folder, or of a folder with some")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.importJobs(cmd.Context(), f, args) },
	}
	cmd.Flags().StringVar(&f.name, "name", "", "`NAME` of the experiment, if it is new (default: the job's)")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only read the folders and say what would be imported")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: a list with one entry a job: {dir, program, experiment_id, experiment_name, trials, new, changed, unchanged, left_out, former}")
	addAPIFlag(cmd.Flags(), &f.api)
	return cmd
}

func (a *App) importJobs(ctx context.Context, f *importFlags, paths []string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	jobs, err := a.findJobs(paths)
	if err != nil {
		return err
	}
	if f.name != "" && len(jobs) > 1 {
		return usagef("--name is for one job, and these are %d: import them one after the other", len(jobs))
	}
	options := jobdir.ImportOptions{Name: f.name, DryRun: f.dryRun, Report: a.importReport()}
	var c connection
	if !f.dryRun {
		if c, err = a.connect(f.api, 0); err != nil {
			return err
		}
		if err := a.ensureServer(ctx, c, ensureOptions{quiet: f.json}); err != nil {
			return err
		}
	}
	done := []jobdir.Imported{}
	var failed []error
	for _, j := range jobs {
		d, err := jobdir.Import(ctx, c.client, j, options)
		if ctx.Err() != nil {
			return c.explain(err)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("import %s: %w", j.Dir, err))
		}
		done = append(done, d)
		if !f.json {
			a.printImport(c, d, f.dryRun, err)
		}
	}
	if f.json {
		if err := a.printJSON(done); err != nil {
			return err
		}
	}
	return c.explain(errors.Join(failed...))
}

func (a *App) findJobs(paths []string) ([]jobdir.Job, error) {
	var jobs []jobdir.Job
	for _, path := range paths {
		found, err := jobdir.Find(a.path(path))
		if err != nil {
			return nil, usagef("%v", err)
		}
		jobs = append(jobs, found...)
	}
	return jobs, nil
}

// printImport says what was done of a job, and what of it was not.
func (a *App) printImport(c connection, d jobdir.Imported, dryRun bool, err error) {
	out := a.outPrinter()
	switch {
	case err != nil && d.New+d.Changed+d.Unchanged == 0:
	case d.Native:
		out.line(fmt.Sprintf("%s is experiment %s of this server itself: nothing to import", d.Dir, d.ExperimentName))
	case dryRun:
		out.line(fmt.Sprintf("%s, run by %s: %s to import", d.Dir, d.Program, plural(d.Trials, "trial")))
	default:
		out.line(fmt.Sprintf("%s, run by %s: %s", d.Dir, d.Program, importCounts(d)))
		out.line(fmt.Sprintf("experiment %s (%s): %s", d.ExperimentName, d.ExperimentID, experimentURL(c, d.ExperimentID)))
	}
	for _, l := range d.LeftOut {
		a.note("  left out: %s: %s", shownName(l.Path), l.Reason)
	}
	if len(d.Former) > 0 {
		a.note("  %s, imported before and gone from the folder since, stay in the experiment: %s", plural(len(d.Former), "trial"), strings.Join(d.Former, ", "))
	}
}

func importCounts(d jobdir.Imported) string {
	counts := []string{plural(d.New, "trial") + " imported"}
	if d.Changed > 0 {
		counts = append(counts, strconv.Itoa(d.Changed)+" imported again, since changed")
	}
	if d.Unchanged > 0 {
		counts = append(counts, strconv.Itoa(d.Unchanged)+" there already")
	}
	return strings.Join(counts, ", ")
}

// shownName is a file's name as it can be shown: an agent has chosen it.
func shownName(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// importReport tells how far an import is, now and then.
func (a *App) importReport() func(jobdir.Imported) {
	return nowAndThen(func(d jobdir.Imported) {
		a.note("%d of %s", d.New+d.Changed+d.Unchanged, plural(d.Trials, "trial"))
	})
}

package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"oddish/internal/config"
	"oddish/internal/task"
	"oddish/internal/worker"
)

type checkFlags struct {
	tasks        runFlags // of which only the choice of a data set is used
	strict, json bool
}

func (a *App) checkCommand() *cobra.Command {
	f := &checkFlags{}
	cmd := &cobra.Command{
		Use:     "check [PATH]... [flags]",
		GroupID: groupUse,
		Short:   "Look for mistakes in tasks without running them",
		Long: "Look for mistakes in tasks: what a run would refuse or break at (errors), and what their authors should look at (warnings), with file and line. " +
			"Nothing is run, and no server is needed.\n\nPATH is a task or a folder of tasks; with --dataset or --repo they are fetched.",
		Example: "oddish check my-tasks\n# in CI: warnings count as well\noddish check my-tasks --strict --json",
		Annotations: map[string]string{notesAnnotation: "With --json the document has: tasks[{name, path, digest, bytes, findings[{level,\n" +
			"file, line, column, message}]}], errors, warnings. Exit status: 0 no errors; 1\nerrors, or with --strict warnings; 2 usage."},
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.check(cmd.Context(), f, args)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.tasks.dataset, "dataset", "d", "", "`NAME[@VERSION]`: data set of a registry, as with `oddish run`")
	fs.StringVar(&f.tasks.repo, "repo", "", "`REPO[@REF]`: git repository, as with `oddish run`")
	fs.BoolVar(&f.strict, "strict", false, "exit with status 1 for warnings, too")
	fs.BoolVar(&f.json, "json", false, "print one JSON document")
	return cmd
}

func (a *App) check(ctx context.Context, f *checkFlags, paths []string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	dirs, err := a.checkedDirs(ctx, f, paths)
	if err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	reports, err := checkAll(ctx, dirs, task.CheckOptions{MaxBytes: cfg.MaxTaskUploadMB << 20, Readable: unreadable(cfg)})
	if err != nil {
		return err
	}
	refuseSameNames(reports)
	doc := a.newCheckDocument(reports)
	if f.json {
		err = a.printJSON(doc)
	} else {
		a.printCheck(doc)
	}
	if err != nil || doc.Errors == 0 && (!f.strict || doc.Warnings == 0) {
		return err
	}
	return &cliError{code: exitFailure, kind: "failed"} // everything has been said
}

// checkedDirs are the folders of the tasks that the arguments name, each once.
func (a *App) checkedDirs(ctx context.Context, f *checkFlags, paths []string) ([]string, error) {
	if f.tasks.dataset+f.tasks.repo != "" {
		if len(paths) > 0 {
			return nil, usagef("both a path and a data set are given: give one")
		}
		ref, err := f.tasks.datasetRef(&sweepFile{})
		if err != nil {
			return nil, err
		}
		c, invalid, err := a.loadDataset(ctx, &runPlan{dataset: ref, quiet: f.json})
		if err != nil {
			return nil, err
		}
		var dirs []string
		for _, t := range c.tasks {
			dirs = append(dirs, t.Dir)
		}
		for _, i := range invalid {
			dirs = append(dirs, i.Dir)
		}
		return dirs, nil
	}
	if len(paths) == 0 {
		return nil, usagef("no tasks given: want the path of a task or of a folder of tasks, or a data set (-d)")
	}
	var dirs []string
	seen := map[string]bool{}
	for _, path := range paths {
		found, err := task.Dirs(a.path(path))
		if err != nil {
			return nil, failf("", "%v", err)
		}
		for _, dir := range found {
			if dir = filepath.Clean(dir); !seen[dir] {
				seen[dir] = true
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs, nil
}

// checkAll checks tasks side by side; the reports are in the order of the folders.
func checkAll(ctx context.Context, dirs []string, o task.CheckOptions) ([]task.Report, error) {
	reports := make([]task.Report, len(dirs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.NumCPU())
	for i, dir := range dirs {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			reports[i] = task.Check(dir, o)
			return nil
		})
	}
	return reports, g.Wait()
}

// unreadable says of a variable why a worker on this machine would not give it to a task.
func unreadable(cfg config.Config) func(name string) string {
	return func(name string) string {
		if _, set := cfg.Getenv(name); !set {
			return "which is not set on this machine"
		}
		if !worker.TaskMayRead(name, cfg.TaskEnv, cfg.Getenv) {
			return "which tasks are not given unless its ODDISH_TASK_ENV names it"
		}
		return ""
	}
}

// refuseSameNames adds the error that only all tasks together have.
func refuseSameNames(reports []task.Report) {
	named := map[string]string{}
	for i := range reports {
		r := &reports[i]
		if earlier, taken := named[r.Name]; taken {
			r.Findings = append(r.Findings, task.Finding{Fault: true, File: task.ConfigFile, Msg: fmt.Sprintf("the task is named %s, as the one in %s: give it another [task] name", r.Name, earlier)})
			continue
		}
		named[r.Name] = r.Dir
	}
}

// checkDocument is the JSON of `oddish check`.
type checkDocument struct {
	Tasks    []checkedTask `json:"tasks"`
	Errors   int           `json:"errors"`
	Warnings int           `json:"warnings"`
}

type checkedTask struct {
	Name     string         `json:"name"`
	Path     string         `json:"path"`
	Digest   *string        `json:"digest"`
	Bytes    int64          `json:"bytes"`
	Findings []checkFinding `json:"findings"`
}

type checkFinding struct {
	Level   string `json:"level"` // error or warning
	File    string `json:"file"`
	Line    *int   `json:"line"`
	Column  *int   `json:"column"`
	Message string `json:"message"`
}

func (a *App) newCheckDocument(reports []task.Report) checkDocument {
	d := checkDocument{Tasks: []checkedTask{}}
	for _, r := range reports {
		t := checkedTask{Name: r.Name, Path: a.shown(r.Dir), Bytes: r.Bytes, Findings: []checkFinding{}}
		if r.Digest != "" {
			t.Digest = &r.Digest
		}
		for _, f := range r.Findings {
			level := "warning"
			if f.Fault {
				level = "error"
			}
			t.Findings = append(t.Findings, checkFinding{Level: level, File: f.File, Line: known(f.Line), Column: known(f.Column), Message: f.Msg})
		}
		faults := r.Faults()
		d.Errors += faults
		d.Warnings += len(r.Findings) - faults
		d.Tasks = append(d.Tasks, t)
	}
	return d
}

// known is null for 0.
func known(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// printCheck writes a line for each finding in the form of compilers, which editors understand.
func (a *App) printCheck(d checkDocument) {
	out := a.outPrinter()
	for _, t := range d.Tasks {
		for _, f := range t.Findings {
			place := filepath.Join(t.Path, f.File)
			if f.Line != nil {
				place += fmt.Sprintf(":%d", *f.Line)
			}
			if f.Column != nil {
				place += fmt.Sprintf(":%d", *f.Column)
			}
			style := styleWarn
			if f.Level == "error" {
				style = styleError
			}
			out.line(place + ": " + out.style(style).Render(f.Level+":") + " " + f.Message)
		}
	}
	out.line(fmt.Sprintf("%s: %s, %s", plural(len(d.Tasks), "task"), plural(d.Errors, "error"), plural(d.Warnings, "warning")))
}

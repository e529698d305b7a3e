package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/client"
	"oddish/internal/task"
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
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("want one EXPERIMENT, by id or name")
			}
			return nil
		},
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

// submit queues a trial for each of the experiment's whose agent has done its work.
func (r *regrading) submit(ctx context.Context) error {
	trials, err := r.conn.client.ExperimentTrials(ctx, r.from.ID)
	if err != nil {
		return r.conn.explain(err)
	}
	tasks, err := r.conn.client.Tasks(ctx, client.TasksQuery{ExperimentID: r.from.ID})
	if err != nil {
		return r.conn.explain(err)
	}
	given, err := r.upload(ctx)
	if err != nil {
		return err
	}
	r.sub.experimentName = firstNonEmpty(r.experiment, r.from.Name+"-regrade")
	for _, t := range tasks {
		if len(r.include) > 0 && !matchesAny(r.include, []string{t.Name}) {
			continue
		}
		of := slices.DeleteFunc(slices.Clone(trials), func(x api.Trial) bool { return x.TaskID != t.ID })
		if err := r.submitTask(ctx, t, r.usable(of), given); err != nil {
			return err
		}
	}
	if len(r.sub.trialIDs) == 0 {
		r.tellLeftOut()
		return failf("", "no trial of experiment %s can be verified again", r.from.Name)
	}
	return nil
}

// upload brings the given tasks to the server, by name; nil: none are given.
func (r *regrading) upload(ctx context.Context) (map[string]uploaded, error) {
	if r.tasks == "" {
		return nil, nil
	}
	tasks, invalid, err := task.Discover(r.path(r.tasks))
	if err != nil {
		return nil, failf("", "%v", err)
	}
	r.listInvalid(invalid)
	ups, err := uploadAll(ctx, r.conn, tasks)
	if err != nil {
		return nil, err
	}
	given := map[string]uploaded{}
	for i, t := range tasks {
		given[taskName(t)] = ups[i]
	}
	return given, nil
}

// usable leaves out the trials that have nothing to be verified.
func (r *regrading) usable(trials []api.Trial) []api.Trial {
	return slices.DeleteFunc(trials, func(t api.Trial) bool {
		_, worked := t.PhaseTiming["agent_execution"]
		switch {
		case !t.Status.Terminal():
			r.leaveOut(t.ID, "it has not ended")
		case !worked:
			r.leaveOut(t.ID, "its agent did not come to an end")
		default:
			return false
		}
		return true
	})
}

func (r *regrading) leaveOut(id, reason string) {
	r.leftOut = append(r.leftOut, regradeLeftOut{id, reason})
}

// submitTask queues the trials of one task.
func (r *regrading) submitTask(ctx context.Context, t api.Task, trials []api.Trial, given map[string]uploaded) error {
	up, why, err := r.content(ctx, t, given)
	if err != nil {
		return err
	}
	if why != "" {
		for _, x := range trials {
			r.leaveOut(x.ID, why)
		}
		return nil
	}
	if len(trials) == 0 {
		return nil
	}
	sweep := api.Sweep{User: loginName()}
	for _, x := range trials {
		r.sources[x.ID] = x
		c := api.SweepConfig{Agent: x.Agent, NTrials: 1, AgentConfig: &api.AgentConfig{Regrade: x.ID}, Environment: x.Environment}
		if r.env != "" {
			c.Environment = &r.env
		} else if x.Environment != nil && !slices.Contains(sandboxKinds(), *x.Environment) {
			c.Environment = nil // a kind of elsewhere: the server chooses
		}
		sweep.Configs = append(sweep.Configs, c)
	}
	if err := r.sub.queue(ctx, r.conn, sweep, up); err != nil {
		return r.explainSubmit(r.conn, &r.sub, r.from.TaskCount, err)
	}
	return nil
}

// content decides which content of the task the trials are verified with; why says that there is none.
func (r *regrading) content(ctx context.Context, t api.Task, given map[string]uploaded) (up uploaded, why string, err error) {
	switch {
	case given != nil:
		up, ok := given[t.Name]
		if !ok {
			return up, "there is no task " + t.Name + " in " + r.tasks, nil
		}
		return up, "", nil
	case t.CurrentVersion == nil:
		return up, "the content of task " + t.Name + " is not on the server: give it with --path", nil
	case r.version == 0:
		return uploaded{id: t.ID}, "", nil
	}
	v, err := r.conn.client.TaskVersion(ctx, t.ID, r.version)
	if client.StatusOf(err) == 404 {
		return up, fmt.Sprintf("task %s has no version %d", t.Name, r.version), nil
	}
	return uploaded{id: t.ID, hash: v.ContentHash}, "", r.conn.explain(err)
}

// regradedTrial is a line of the outcome.
type regradedTrial struct {
	ID        string   `json:"id"`
	RegradeOf string   `json:"regrade_of"`
	Task      string   `json:"task"`
	Agent     string   `json:"agent"`
	Model     string   `json:"model"`
	Before    *float64 `json:"before"`
	After     *float64 `json:"after"`
	ErrorType *string  `json:"error_type"`
}

// print shows old and new rewards side by side.
func (r *regrading) print(trials []api.Trial) error {
	names := map[string]string{}
	for _, t := range r.sub.tasks {
		names[t.ID] = t.Name
	}
	list := []regradedTrial{}
	for _, t := range trials {
		of := r.sources[deref(t.RegradeOf)]
		list = append(list, regradedTrial{t.ID, of.ID, names[t.TaskID], t.Agent, t.Model, of.Reward, t.Reward, t.ErrorType})
	}
	if r.json {
		return r.printJSON(map[string]any{
			"experiment": r.sub.experimentName, "experiment_id": r.sub.experimentID, "experiment_url": experimentURL(r.conn, r.sub.experimentID),
			"trials": list, "left_out": r.leftOut,
		})
	}
	columns := []column{
		{title: "TRIAL", least: 16, middle: true}, {title: "AGENT", least: 8}, {title: "MODEL", least: 8, middle: true},
		{title: "BEFORE", right: true}, {title: "AFTER", right: true}, {title: "CHANGE", right: true, optional: true}, {title: "ERROR", least: 10, optional: true},
	}
	var rows [][]string
	changed := 0
	for i, t := range list {
		change := changeCell(t.Before, t.After)
		if change != "" {
			changed++
		}
		rows = append(rows, []string{trials[i].Name, t.Agent, modelCell(t.Model), rewardCell(t.Before), rewardCell(t.After), change, deref(t.ErrorType)})
	}
	out := r.outPrinter()
	out.line(renderTable(out.width, columns, rows))
	out.line("")
	errorDetails(out, trials, 5)
	out.line(fmt.Sprintf("%s verified again: %d changed", plural(len(list), "trial"), changed))
	out.line(experimentURL(r.conn, r.sub.experimentID))
	r.tellLeftOut()
	return nil
}

// changeCell is the difference of two rewards; "" if there is none.
func changeCell(before, after *float64) string {
	switch {
	case before == nil && after == nil:
		return ""
	case before == nil:
		return styleOf(styleGood).Render("new")
	case after == nil:
		return styleOf(styleError).Render("lost")
	case *before == *after:
		return ""
	}
	text := strconv.FormatFloat(*after-*before, 'f', 2, 64)
	if *after > *before {
		return styleOf(styleGood).Render("+" + text)
	}
	return styleOf(styleError).Render(text)
}

// tellLeftOut names the reasons for which trials were left out, each with their number.
func (r *regrading) tellLeftOut() {
	count := map[string]int{}
	var reasons []string
	for _, l := range r.leftOut {
		if count[l.Reason]++; count[l.Reason] == 1 {
			reasons = append(reasons, l.Reason)
		}
	}
	for _, reason := range reasons {
		r.warn("left out: %s: %s", plural(count[reason], "trial"), reason)
	}
}

// printQueued ends a regrade that does not wait.
func (r *regrading) printQueued() error {
	if r.json {
		return r.printJSON(map[string]any{
			"experiment": r.sub.experimentName, "experiment_id": r.sub.experimentID, "experiment_url": experimentURL(r.conn, r.sub.experimentID),
			"trials": []regradedTrial{}, "left_out": r.leftOut,
		})
	}
	r.tellLeftOut()
	return r.printSubmitted(r.conn, &runPlan{quiet: r.quiet}, &r.sub)
}

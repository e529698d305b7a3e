package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oddish/api"
)

func (a *App) validateCommand() *cobra.Command {
	f := &runFlags{priority: "low"}
	cmd := &cobra.Command{
		Use:     "validate [PATH] [flags]",
		GroupID: groupUse,
		Short:   "Run tasks with their solution and with nothing, to see that they judge right",
		Long: "Run each task several times with its own solution (agent oracle), which must have the reward 1, and with an agent that does nothing (nop), which must have 0, " +
			"and show which tasks are wrong or flaky. The trials go through the queue, as those of `oddish run`, and are an experiment of their own.",
		Example: "oddish validate my-tasks\noddish validate -d my-set@1.0 --runs 5 --env docker --json",
		Annotations: map[string]string{notesAnnotation: "With --json the document has: experiment, experiment_id, experiment_url,\n" +
			"runs, invalid (folders that are no valid tasks), tasks[{name, verdict (ok,\nwrong, flaky or error), oracle and nop ({runs, right}), problems[{agent,\ntrial_id, trial_url, reward, error_type, error_message}]}].\n\n" +
			"Exit status: 0 all tasks are right; 1 failure; 2 usage; 7 a task is not right;\n130 interrupted (the trials go on)."},
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				f.path = args[0]
			}
			return a.validate(cmd.Context(), f)
		},
	}
	f.cmd = cmd
	f.defineValidate()
	return cmd
}

func (f *runFlags) defineValidate() {
	fs := f.cmd.Flags()
	fs.SortFlags = false
	fs.IntVar(&f.nTrials, "runs", 3, "`N`: trials of each task with each of the two agents")
	fs.StringVarP(&f.dataset, "dataset", "d", "", "`NAME[@VERSION]`: data set of a registry, instead of a path")
	fs.StringVar(&f.repo, "repo", "", "`REPO[@REF]`: git repository with tasks, or with the registry of --dataset")
	fs.StringArrayVarP(&f.include, "task-name", "t", nil, "`GLOB`: only tasks with such a name; repeatable")
	fs.StringArrayVarP(&f.exclude, "exclude-task-name", "x", nil, "`GLOB`: no tasks with such a name; repeatable")
	fs.IntVarP(&f.nTasks, "n-tasks", "l", 0, "`N`: at most so many tasks, after the filters")
	fs.StringVarP(&f.env, "env", "e", "", "`KIND`: sandbox, one of "+strings.Join(sandboxKinds(), ", ")+" (default: the server chooses)")
	fs.BoolVarP(&f.yes, "yes", "y", false, "let tasks read the variables of the worker that they name, without asking")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, only the outcome")
	fs.BoolVar(&f.json, "json", false, "print one JSON document")
	fs.StringVar(&f.api, "api", "", "`URL`: address of the server (default: ODDISH_API_URL, else http://localhost:8000)")
}

// What validate's two agents must have.
var validateRewards = []struct {
	agent string
	want  float64
}{{"oracle", 1}, {"nop", 0}}

func (a *App) validate(ctx context.Context, f *runFlags) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	started := time.Now()
	if f.nTrials < 1 {
		return usagef("--runs %d: want 1 or more", f.nTrials)
	}
	f.watch = true
	for _, v := range validateRewards {
		f.arms.agents = append(f.arms.agents, armAgent{name: v.agent})
	}
	plan, err := a.planRun(f)
	if err != nil {
		return err
	}
	conn, sub, err := a.startRun(ctx, f, plan)
	if err != nil {
		return err
	}
	trials, err := a.awaitRun(ctx, f, conn, sub, started)
	if err != nil {
		return err
	}
	doc := newValidateDocument(conn, f.nTrials, sub, trials)
	if f.json {
		err = a.printJSON(doc)
	} else {
		a.printValidated(doc)
	}
	if bad := doc.notRight(); err == nil && bad+doc.Invalid > 0 {
		err = &cliError{code: exitCondition, kind: "condition", msg: fmt.Sprintf("%d of %s not right", bad+doc.Invalid, plural(len(doc.Tasks)+doc.Invalid, "task"))}
	}
	return err
}

// validateDocument is the JSON of `oddish validate`.
type validateDocument struct {
	Experiment    string          `json:"experiment"`
	ExperimentID  string          `json:"experiment_id"`
	ExperimentURL string          `json:"experiment_url"`
	Runs          int             `json:"runs"`
	Invalid       int             `json:"invalid"`
	Tasks         []validatedTask `json:"tasks"`
}

// Verdicts on a task.
const (
	verdictOK    = "ok"
	verdictWrong = "wrong" // an agent never had the reward that it must have
	verdictFlaky = "flaky" // it had it in some runs and not in others
	verdictError = "error" // some trial failed or was cancelled
)

type validatedTask struct {
	Name     string            `json:"name"`
	Verdict  string            `json:"verdict"`
	Oracle   validatedRuns     `json:"oracle"`
	Nop      validatedRuns     `json:"nop"`
	Problems []validateProblem `json:"problems"`
}

type validatedRuns struct {
	Runs  int `json:"runs"`
	Right int `json:"right"`
}

type validateProblem struct {
	Agent        string   `json:"agent"`
	TrialID      string   `json:"trial_id"`
	TrialURL     string   `json:"trial_url"`
	Reward       *float64 `json:"reward"`
	ErrorType    *string  `json:"error_type"`
	ErrorMessage *string  `json:"error_message"`
}

func newValidateDocument(c connection, runs int, s *submission, trials []api.Trial) validateDocument {
	d := validateDocument{
		Experiment: s.experimentName, ExperimentID: s.experimentID, ExperimentURL: experimentURL(c, s.experimentID), Runs: runs, Invalid: s.invalid, Tasks: []validatedTask{},
	}
	by := map[string][]api.Trial{}
	for _, t := range trials {
		by[t.TaskID] = append(by[t.TaskID], t)
	}
	for _, t := range s.tasks {
		v := validateTask(by[t.ID], c.endpoint.url+"/t/")
		v.Name = t.Name
		d.Tasks = append(d.Tasks, v)
	}
	return d
}

// validateTask judges a task by its trials. pages is what the id of a trial follows in the address of its page.
func validateTask(trials []api.Trial, pages string) validatedTask {
	v := validatedTask{Verdict: verdictOK, Problems: []validateProblem{}}
	failed := false
	for _, want := range validateRewards {
		into := &v.Oracle
		if want.agent == "nop" {
			into = &v.Nop
		}
		for _, t := range trials {
			if t.Agent != want.agent {
				continue
			}
			into.Runs++
			if t.Status == api.StatusSuccess && rewarded(t, want.want) {
				into.Right++
				continue
			}
			failed = failed || t.Status != api.StatusSuccess
			v.Problems = append(v.Problems, validateProblem{
				Agent: t.Agent, TrialID: t.ID, TrialURL: pages + t.ID, Reward: t.Reward, ErrorType: t.ErrorType, ErrorMessage: t.ErrorMessage,
			})
		}
	}
	never := v.Oracle.Right == 0 || v.Nop.Right == 0
	switch {
	case len(v.Problems) == 0 && !never:
	case failed:
		v.Verdict = verdictError
	case never:
		v.Verdict = verdictWrong
	default:
		v.Verdict = verdictFlaky
	}
	return v
}

// rewarded reports whether a trial has that reward, or each of its rewards is, where none of several is called so.
func rewarded(t api.Trial, want float64) bool {
	if t.Reward != nil {
		return *t.Reward == want
	}
	for _, r := range t.Rewards {
		if r != want {
			return false
		}
	}
	return len(t.Rewards) > 0
}

// notRight counts the tasks with another verdict than ok.
func (d validateDocument) notRight() int {
	n := 0
	for _, t := range d.Tasks {
		if t.Verdict != verdictOK {
			n++
		}
	}
	return n
}

// printValidated shows a table of all tasks, and of each that is not right the first trial that shows it.
func (a *App) printValidated(d validateDocument) {
	out := a.outPrinter()
	var rows [][]string
	for _, t := range d.Tasks {
		look := styleError
		switch t.Verdict {
		case verdictOK:
			look = styleGood
		case verdictFlaky:
			look = styleWarn
		}
		rows = append(rows, []string{t.Name, t.Oracle.cell(), t.Nop.cell(), styleOf(look).Render(t.Verdict), t.problem()})
	}
	out.line(renderTable(out.width, []column{
		{title: "TASK", least: 16, middle: true}, {title: "ORACLE 1", right: true}, {title: "NOP 0", right: true}, {title: "VERDICT"}, {title: "PROBLEM", least: 20, optional: true},
	}, rows))
	out.line("")
	for _, t := range d.Tasks {
		if len(t.Problems) > 0 {
			out.line(out.style(styleError).Render("✗") + " " + t.Name + ": logs at " + t.Problems[0].TrialURL)
		}
	}
	out.line(fmt.Sprintf("%s: %d right, %d not right · %s", plural(len(d.Tasks), "task"), len(d.Tasks)-d.notRight(), d.notRight(), d.ExperimentURL))
}

func (r validatedRuns) cell() string { return fmt.Sprintf("%d/%d", r.Right, r.Runs) }

// problem words the first problem in a line; empty: there is none.
func (t validatedTask) problem() string {
	if len(t.Problems) == 0 {
		return ""
	}
	p := t.Problems[0]
	text := p.Agent + " has reward " + rewardCell(p.Reward)
	if kind := deref(p.ErrorType); kind != "" {
		text = p.Agent + ": " + kind + ": " + firstLine(deref(p.ErrorMessage))
	}
	if more := len(t.Problems) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/internal/task"
)

func (a *App) runCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:     "run [PATH] [flags]",
		GroupID: groupUse,
		Short:   "Run agents on tasks and show the results",
		Long: "Run agents on Harbor tasks and show the results.\n\n" +
			"PATH is a task or a folder of tasks; with --dataset or --repo they are fetched. Tasks that changed are uploaded, trials are queued, and their progress is shown " +
			"until they have ended. Trials that the experiment (--experiment) has already are not made a second time: failed and " +
			"cancelled ones are tried again, and what is missing is added. Where the address of the server is on this machine and nothing answers there, a server is " +
			"started in the background; it stays until `oddish clean --stop-only`.",
		Example: "# try it: every task with its own solution\n" +
			"oddish run -p examples/tasks -a oracle\n" +
			"# two agents, one of them with two models, three trials each\n" +
			"oddish run my-tasks --n-trials 3 \\\n" +
			"  -a claude-code -m anthropic/claude-sonnet-4-5 -m anthropic/claude-opus-4-5 \\\n" +
			"  -a codex -m openai/gpt-5.2\n" +
			"# in CI: one JSON document, and status 7 when something failed\n" +
			"oddish run my-tasks -a oracle --json --watch --fail-on error,reward<1",
		Annotations: map[string]string{notesAnnotation: runNotes},
		Args:        atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if f.path != "" {
					return usagef("both %q and --path %q are given: give one", args[0], f.path)
				}
				f.path = args[0]
			}
			return a.run(cmd.Context(), f)
		},
	}
	f.cmd = cmd
	f.define(cmd.Flags())
	return cmd
}

const runNotes = `With --json the document has: experiment, experiment_id, experiment_url,
public_experiment_url, total_trials (of which new_trials, retried_trials and
existing_trials), tasks[{id, trials_count, url, public_url}];
and with --watch also trials[{id, task_id, task, agent, model, status, reward,
rewards, error_type, error_message, environment, seconds, input_tokens,
cache_tokens, output_tokens, cost_usd, model_calls}]. What is unknown is null.
Errors are JSON on standard error.

Exit status: 0 done, whatever the rewards; 1 failure; 2 usage; 7 a condition of
--fail-on is true; 130 interrupted (the trials go on).
Settings and .env: docs/configuration.md.`

// run carries out `oddish run`.
func (a *App) run(ctx context.Context, f *runFlags) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	started := time.Now()
	plan, err := a.planRun(f)
	if err != nil {
		return err
	}
	conn, sub, err := a.startRun(ctx, f, plan)
	if err != nil {
		return err
	}
	if !f.waits() {
		return a.printSubmitted(conn, plan, sub)
	}
	trials, err := a.awaitRun(ctx, f, conn, sub, started)
	if err != nil {
		return err
	}
	if err := a.printResults(conn, plan, sub, trials); err != nil {
		return err
	}
	return conditionError(plan.conditions, summarize(trials))
}

// startRun queues the trials of a plan, on a server that it starts if need be.
func (a *App) startRun(ctx context.Context, f *runFlags, plan *runPlan) (connection, *submission, error) {
	tasks, err := a.findTasks(ctx, plan)
	if err != nil {
		return connection{}, nil, err
	}
	if err := a.confirmHostVars(f, plan, tasks.tasks); err != nil {
		return connection{}, nil, err
	}
	if _, err := queueLimits(nil, f.nConcurrent.m); err != nil {
		return connection{}, nil, err
	}
	conn, err := a.connect(f.api, f.port)
	if err != nil {
		return connection{}, nil, err
	}
	err = a.ensureServer(ctx, conn, ensureOptions{fresh: f.fresh, nConcurrent: f.nConcurrent.m, quiet: f.quiet})
	if err != nil {
		return connection{}, nil, err
	}
	a.warnDocker(ctx, conn, plan)
	sub, err := a.submit(ctx, conn, plan, tasks)
	if err != nil {
		return connection{}, nil, err
	}
	sub.invalid = tasks.invalid
	return conn, sub, nil
}

// awaitRun shows the progress of what was queued until it has ended.
func (a *App) awaitRun(ctx context.Context, f *runFlags, conn connection, sub *submission, started time.Time) ([]api.Trial, error) {
	if !f.quiet {
		a.note("experiment %s: %s of %s", sub.experimentName, plural(len(sub.trialIDs), "trial"), plural(len(sub.tasks), "task"))
		a.note("%s", experimentURL(conn, sub.experimentID))
		if counts := sub.counts(); counts != "" {
			a.note("%s", counts)
		}
	}
	return a.follow(ctx, conn, watchOptions{
		experiment: sub.experimentID, name: sub.experimentName, ids: sub.trialIDs, fromStart: true, known: sub.known, quiet: f.quiet, started: started,
	})
}

// listInvalid names the folders that look like tasks and are none, each with its reasons.
func (a *App) listInvalid(invalid []task.Invalid) {
	p := a.errPrinter()
	for _, i := range invalid {
		p.line(p.style(styleError).Render("✗") + " " + a.shown(i.Dir))
		for reason := range strings.SplitSeq(i.Err.Error(), "\n") {
			p.line("    " + reason)
		}
	}
}

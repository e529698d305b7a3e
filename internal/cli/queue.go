package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/client"
)

type queueFlags struct {
	api  string
	json bool
}

func (a *App) queueCommand() *cobra.Command {
	f := &queueFlags{}
	cmd := &cobra.Command{
		Use:     "queue [KEY] [flags]",
		GroupID: groupServe,
		Short:   "Show what waits and runs under each limit, change limits, pause",
		Long: "Show every queue key with its limit and what runs and waits under it; or one KEY, with what was changed of it. " +
			"A key is a model, such as openai/gpt-5.2, or `local` for the agents that need none. " +
			"A pattern such as 'openai/*' stands for all keys of a provider together; its limit holds on top of theirs. " +
			"A key whose provider limits the rate is held for a while and goes on with a lower limit, EFFECTIVE, that grows again with success. " +
			"HELD trials belong to paused experiments (`oddish pause`).",
		Example: "oddish queue\noddish queue openai/gpt-5.2                # with the history of its limit\n" +
			"oddish queue limit openai/gpt-5.2 16 --reason \"more quota\"\noddish queue limit 'openai/*' 40\noddish queue pause 'openai/*'",
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.queue(cmd.Context(), f, strings.Join(args, ""))
		},
	}
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: {queue_keys[], daily_budget, timestamp}, or the key with changes[]")
	addAPIFlag(cmd.Flags(), &f.api)
	cmd.AddCommand(a.queueLimitCommand(), a.queuePauseCommand(), a.queueResumeCommand())
	return cmd
}

func (a *App) queue(ctx context.Context, f *queueFlags, key string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	c, err := a.reach(ctx, f.api)
	if err != nil {
		return err
	}
	if key != "" {
		return c.explain(a.queueKey(ctx, c, f, key))
	}
	q, err := c.client.Queue(ctx)
	if err != nil {
		return c.explain(err)
	}
	if f.json {
		return a.printJSON(q)
	}
	p := a.outPrinter()
	if q.Daily != nil {
		p.line("daily budget  " + dayWords(q.Daily, time.Now()))
		p.line("")
	}
	if len(q.Keys) == 0 {
		p.line("No queue keys yet: each comes with the first trial of its model.")
		return nil
	}
	p.line(queueTable(p.width, q.Keys, time.Local))
	return nil
}

// queueKey shows one key and its history.
func (a *App) queueKey(ctx context.Context, c connection, f *queueFlags, key string) error {
	k, err := c.client.QueueKey(ctx, key)
	if client.StatusOf(err) == 404 {
		return notFound("`oddish queue` lists the keys", "queue key %q never had a trial or a change", key)
	}
	if err != nil {
		return queueUsage(err)
	}
	if f.json {
		return a.printJSON(k)
	}
	p := a.outPrinter()
	p.line(queueKeyText(k.QueueKey, time.Local))
	if len(k.Changes) > 0 {
		p.line("")
		p.line(changesTable(p.width, k.Changes, time.Local))
	}
	return nil
}

// changeFlags are those of the commands that change a queue key.
type changeFlags struct {
	queueFlags
	reason, user string
}

func (f *changeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.reason, "reason", "r", "", "`TEXT`: why, for the history that `oddish queue KEY` shows")
	cmd.Flags().StringVarP(&f.user, "user", "u", "", "`NAME`: who changes it (default: your login name)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: the key with changes[]")
	addAPIFlag(cmd.Flags(), &f.api)
}

func (f *changeFlags) why() api.QueueReason {
	return api.QueueReason{Reason: f.reason, By: firstNonEmpty(f.user, loginName())}
}

// changeQueue carries out one change and shows the key as it then is.
func (a *App) changeQueue(ctx context.Context, f *changeFlags, change func(context.Context, *client.Client) (api.QueueKeyHistory, error)) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	c, err := a.reach(ctx, f.api)
	if err != nil {
		return err
	}
	k, err := change(ctx, c.client)
	if err != nil {
		return c.explain(queueUsage(err))
	}
	if f.json {
		return a.printJSON(k)
	}
	a.outPrinter().line(queueKeyText(k.QueueKey, time.Local))
	return nil
}

// queueUsage makes a usage error of the server's refusal of a key or a value.
func queueUsage(err error) error {
	return refusedUsage(err, "")
}

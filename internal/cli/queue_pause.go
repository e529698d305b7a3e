package cli

import (
	"context"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/client"
)

func (a *App) queuePauseCommand() *cobra.Command {
	f := &pauseQueueFlags{}
	cmd := &cobra.Command{
		Use:   "pause KEY | --all [flags]",
		Short: "Start no more trials of a queue key, or of any",
		Long: "Start no more trials of a queue key, of all keys of a provider ('openai/*'), or of any (--all, which is the key '*'), until " +
			"`oddish queue resume`, also after a restart of the server. Trials that run go on, and new ones can be submitted. " +
			"An experiment is paused with `oddish pause`.",
		Example: "oddish queue pause openai/gpt-5.2 --reason \"outage at the provider\"\noddish queue pause 'openai/*'\noddish queue pause --all",
		Args:    f.oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeQueue(cmd.Context(), &f.changeFlags, func(ctx context.Context, c *client.Client) (api.QueueKeyHistory, error) {
				return c.PauseQueue(ctx, f.key(args), f.why())
			})
		},
	}
	f.add(cmd)
	return cmd
}

func (a *App) queueResumeCommand() *cobra.Command {
	f := &pauseQueueFlags{}
	cmd := &cobra.Command{
		Use:   "resume KEY | --all [flags]",
		Short: "End the pause of a queue key",
		Long: "End the pause of a queue key, of a provider ('openai/*'), or of the whole server (--all, which is the key '*'). What waits is started at " +
			"once, as far as limits go. A key stays paused as long as its provider or the server is. " +
			"A key that is held because its provider limits the rate goes on at once too.",
		Example: "oddish queue resume openai/gpt-5.2\noddish queue resume --all",
		Args:    f.oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeQueue(cmd.Context(), &f.changeFlags, func(ctx context.Context, c *client.Client) (api.QueueKeyHistory, error) {
				return c.ResumeQueue(ctx, f.key(args), f.why())
			})
		},
	}
	f.add(cmd)
	return cmd
}

// pauseQueueFlags are those of the commands that also take all keys together.
type pauseQueueFlags struct {
	changeFlags
	all bool
}

func (f *pauseQueueFlags) add(cmd *cobra.Command) {
	f.changeFlags.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "the whole server; what is paused by itself stays so")
}

// oneKey wants a queue key or --all.
func (f *pauseQueueFlags) oneKey(cmd *cobra.Command, args []string) error {
	if f.all && len(args) > 0 {
		return usagef("both %q and --all are given: give one", args[0])
	}
	if f.all {
		return nil
	}
	return exactly(1, "a queue key, or --all")(cmd, args)
}

func (f *pauseQueueFlags) key(args []string) string {
	if f.all {
		return "*"
	}
	return args[0]
}

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/client"
)

func (a *App) queuePauseCommand() *cobra.Command {
	f := &changeFlags{}
	cmd := &cobra.Command{
		Use:   "pause KEY [flags]",
		Short: "Start no more trials of a queue key",
		Long: "Start no more trials of a queue key, or of all keys of a provider ('openai/*'), until `oddish queue resume`, also after a restart of " +
			"the server. Trials that run go on, and new ones can be submitted.",
		Example: "oddish queue pause openai/gpt-5.2 --reason \"outage at the provider\"\noddish queue pause 'openai/*'",
		Args:    exactly(1, "a queue key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeQueue(cmd.Context(), f, func(ctx context.Context, c *client.Client) (api.QueueKeyHistory, error) {
				return c.PauseQueue(ctx, args[0], f.why())
			})
		},
	}
	f.add(cmd)
	return cmd
}

func (a *App) queueResumeCommand() *cobra.Command {
	f := &changeFlags{}
	cmd := &cobra.Command{
		Use:   "resume KEY [flags]",
		Short: "End the pause of a queue key",
		Long: "End the pause of a queue key, or of a provider ('openai/*'). What waits is started at once, as far as limits go. " +
			"A key stays paused as long as its provider is.",
		Example: "oddish queue resume openai/gpt-5.2",
		Args:    exactly(1, "a queue key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeQueue(cmd.Context(), f, func(ctx context.Context, c *client.Client) (api.QueueKeyHistory, error) {
				return c.ResumeQueue(ctx, args[0], f.why())
			})
		},
	}
	f.add(cmd)
	return cmd
}

package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"oddish/api"
	"oddish/client"
)

func (a *App) queueLimitCommand() *cobra.Command {
	f := &changeFlags{}
	cmd := &cobra.Command{
		Use:   "limit KEY N [flags]",
		Short: "Change how many trials of a queue key may run at once",
		Long: "Change how many trials of a queue key, or of all keys of a provider together ('openai/*'), may run at once. It holds from now on, also after " +
			"a restart of the server; N = `default` goes back to the configured limit, and 0 stops the key. " +
			"Trials that already run above a lower limit are left alone.",
		Example: "oddish queue limit openai/gpt-5.2 16 --reason \"more quota\"\noddish queue limit 'openai/*' 40\noddish queue limit openai/gpt-5.2 default",
		Args:    exactly(2, "a queue key and a number, or `default`"),
		RunE: func(cmd *cobra.Command, args []string) error {
			limit := api.QueueLimit{QueueReason: f.why()}
			var err error
			if limit.Limit, err = parseLimit(args[1]); err != nil {
				return err
			}
			return a.changeQueue(cmd.Context(), f, func(ctx context.Context, c *client.Client) (api.QueueKeyHistory, error) {
				return c.SetQueueLimit(ctx, args[0], limit)
			})
		},
	}
	f.add(cmd)
	return cmd
}

// parseLimit reads a limit; nil for the configured one.
func parseLimit(text string) (*int, error) {
	if text == "default" {
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return nil, usagef("limit %q: want a number, 0 or more, or `default` for the configured limit", text)
	}
	return &n, nil
}

// exactly refuses any other number of arguments.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %s, but was given %s", cmd.CommandPath(), what, plural(len(args), "argument"))
		}
		return nil
	}
}

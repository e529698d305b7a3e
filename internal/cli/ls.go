package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oddish/api"
)

type listFlags struct {
	api, query string
	limit      int
	ids, json  bool
}

func (a *App) lsCommand() *cobra.Command {
	f := &listFlags{}
	cmd := &cobra.Command{
		Use:     "ls [QUERY] [flags]",
		GroupID: groupUse,
		Short:   "List the trials that match a query",
		Long: "List trials, the newest first: all, or those that match a QUERY of terms such as status:failed, which must all hold; one that begins with - is given with -q. " +
			"docs/queries.md describes it; `oddish retry` and `oddish cancel` take the same.",
		Example: "oddish ls\noddish ls status:failed 'error:SandboxStart*' 'created:<2d'\noddish ls experiment:calm-otter-k3f9 'reward:<1' --ids",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ls(cmd.Context(), f, args)
		},
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.Flags().StringVarP(&f.query, "query", "q", "", "`QUERY`: the same as the arguments")
	cmd.Flags().IntVar(&f.limit, "limit", 50, "`N`: list so many trials at most")
	cmd.Flags().BoolVar(&f.ids, "ids", false, "print only the ids, a line each")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: {trials[], next_cursor}")
	addAPIFlag(cmd.Flags(), &f.api)
	return cmd
}

func (a *App) ls(ctx context.Context, f *listFlags, args []string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	switch {
	case f.limit < 1:
		return usagef("--limit %d: want 1 or more", f.limit)
	case f.ids && f.json:
		return usagef("both --ids and --json are given: give one")
	}
	c, err := a.reach(ctx, f.api)
	if err != nil {
		return err
	}
	query := strings.TrimSpace(strings.Join(append(args, f.query), " "))
	trials, next, err := matching(ctx, c, query, f.limit)
	if err != nil {
		return c.explain(badQuery(err))
	}
	p := a.outPrinter()
	switch {
	case f.json:
		return a.printJSON(map[string]any{"trials": trials, "next_cursor": next})
	case f.ids:
		for _, t := range trials {
			p.line(t.ID)
		}
	case len(trials) == 0 && query == "":
		p.line("No trials yet.")
	case len(trials) == 0:
		p.line("No trial matches " + query)
	default:
		p.line(trialsTable(p.width, trials, time.Now()))
		if next != "" {
			p.line(p.style(styleFaint).Render("there are more: --limit"))
		}
	}
	return nil
}

// matching lists trials up to a limit; next is where a further list would begin, empty at the end.
func matching(ctx context.Context, c connection, query string, limit int) (trials []api.Trial, next string, err error) {
	const most = 1000 // on a page
	trials = []api.Trial{}
	for {
		page, err := c.client.TrialsPage(ctx, query, min(most, limit-len(trials)), next)
		if err != nil {
			return nil, "", err
		}
		trials, next = append(trials, page.Items...), page.NextCursor
		if next == "" || len(trials) >= limit {
			return trials, next, nil
		}
	}
}

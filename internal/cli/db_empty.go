package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"oddish/internal/store"
)

// emptied is the document of `db reset --json` and `db purge --json`.
type emptied struct {
	Database string `json:"database"`
	Rows     int64  `json:"rows"`    // deleted
	Version  int64  `json:"version"` // of the tables now
}

func (a *App) dbResetCommand() *cobra.Command {
	yes, asJSON := false, false
	cmd := &cobra.Command{
		Use:   "reset [flags]",
		Short: "Drop all tables and make them anew",
		Long: "Drop all tables of Oddish, of whatever version they are, and make them anew. Artifacts stay; `oddish clean` deletes those as well. " +
			"It is refused while a server runs on the data directory.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.dbEmpty(cmd.Context(), true, yes, asJSON)
		},
	}
	addEmptyFlags(cmd, &yes, &asJSON)
	return cmd
}

func (a *App) dbPurgeCommand() *cobra.Command {
	yes, asJSON := false, false
	cmd := &cobra.Command{
		Use:   "purge [flags]",
		Short: "Delete all rows and keep the tables",
		Long: "Delete every row of every table, in one transaction. Artifacts stay; `oddish clean` deletes those as well. " +
			"It is refused while a server runs on the data directory.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.dbEmpty(cmd.Context(), false, yes, asJSON)
		},
	}
	addEmptyFlags(cmd, &yes, &asJSON)
	return cmd
}

func addEmptyFlags(cmd *cobra.Command, yes, asJSON *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON: {database, rows, version}; needs --yes")
}

func (a *App) dbEmpty(ctx context.Context, reset, yes, asJSON bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	if asJSON && !yes {
		return usagef("--json does not ask: give --yes as well")
	}
	d, err := a.dbTarget()
	if err != nil {
		return err
	}
	db, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	a.warnOfOthers(d.url)
	shown := withoutPassword(d.url)
	question, verb := "Delete all rows of the database %s?", "purged"
	if reset {
		question, verb = "Drop all tables of the database %s and make them anew?", "reset"
	}
	if ok, err := a.sure(yes, fmt.Sprintf(question, shown), "nothing was deleted"); !ok {
		return err
	}
	did, err := empty(ctx, db, reset)
	if err != nil {
		return err
	}
	did.Database = shown
	if asJSON {
		return a.printJSON(did)
	}
	a.outPrinter().line(fmt.Sprintf("%s %s: %d rows are gone; its tables have version %d", verb, shown, did.Rows, did.Version))
	return nil
}

// empty deletes the rows, or drops the tables.
func empty(ctx context.Context, db *store.DB, reset bool) (did emptied, err error) {
	var counts []store.TableCount
	if reset {
		counts, err = db.Reset(ctx)
	} else {
		counts, err = db.Purge(ctx)
	}
	if err != nil {
		return did, err
	}
	for _, c := range counts {
		did.Rows += c.Rows
	}
	did.Version, _, err = db.SchemaVersion(ctx)
	return did, err
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"oddish/internal/store"
)

func (a *App) dbCopyCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "copy FROM TO [flags]",
		Short: "Move to another database: SQLite to PostgreSQL, or back",
		Long: "Copy everything in the database FROM into the database TO, which must be empty: rows, counters, the version of the tables. Both are " +
			"URLs. It is one transaction, and the rows are counted afterwards.\n\n" +
			"Artifacts and secret.key stay in the data directory, which is used with the new database as with the old one. Stop the server first: " +
			"what it writes meanwhile would be missing.",
		Example: "oddish db copy sqlite:////srv/oddish/oddish.db postgresql://oddish:…@localhost/oddish",
		Args:    exactArgs("FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.dbCopy(cmd.Context(), args[0], args[1], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: {from, to, rows, tables: [{table, rows}]}")
	return cmd
}

// copied is the document of `db copy --json`.
type copied struct {
	From   string             `json:"from"`
	To     string             `json:"to"`
	Rows   int64              `json:"rows"`
	Tables []store.TableCount `json:"tables"`
}

func (a *App) dbCopy(ctx context.Context, fromURL, toURL string, asJSON bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	unlock, err := lockForCopy(fromURL, toURL)
	if err != nil {
		return err
	}
	defer unlock()
	a.warnOfOthers(fromURL, toURL)
	from, err := openExisting(ctx, fromURL)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	defer from.Close()
	to, err := openMigrated(ctx, toURL, store.Options{})
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	defer to.Close()
	tables, err := store.Copy(ctx, from, to, store.CopyOptions{})
	if errors.Is(err, store.ErrConflict) {
		return failf("name an empty database, or empty this one with `oddish db purge`", "%v", err)
	}
	if err != nil {
		return err
	}
	return a.printCopied(copied{From: withoutPassword(fromURL), To: withoutPassword(toURL), Tables: tables}, asJSON)
}

// lockForCopy keeps servers from both databases.
func lockForCopy(fromURL, toURL string) (unlock func(), err error) {
	from, isFile := store.SQLitePath(fromURL)
	to, toIsFile := store.SQLitePath(toURL)
	if fromURL == toURL || isFile && toIsFile && sameFile(from, to) {
		return nil, usagef("FROM and TO are the same database")
	}
	var dirs []string
	if isFile {
		dirs = append(dirs, filepath.Dir(from))
	}
	if toIsFile {
		dirs = append(dirs, filepath.Dir(to))
	}
	return lockServers(looksOurs, dirs...)
}

func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

func (a *App) printCopied(did copied, asJSON bool) error {
	for _, t := range did.Tables {
		did.Rows += t.Rows
	}
	if asJSON {
		return a.printJSON(did)
	}
	p := a.outPrinter()
	for _, t := range did.Tables {
		p.line(fmt.Sprintf("%-20s %10d", t.Table, t.Rows))
	}
	p.line(fmt.Sprintf("copied %d rows from %s to %s", did.Rows, did.From, did.To))
	a.note("set DATABASE_URL to the new database and start the server with the same data directory")
	return nil
}

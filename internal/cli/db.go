package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"oddish/internal/config"
	"oddish/internal/store"
)

func (a *App) dbCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "db",
		GroupID: groupServe,
		Short:   "Set up, back up, move or empty the database",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.dbSetupCommand(), a.dbStatusCommand(), a.dbBackupCommand(), a.dbRestoreCommand(), a.dbCopyCommand(), a.dbPurgeCommand(), a.dbResetCommand())
	return cmd
}

// databaseState is the document of `db setup --json` and `db status --json`.
type databaseState struct {
	Database string `json:"database"`
	Version  int64  `json:"version"`
	Latest   int64  `json:"latest"`
	Current  bool   `json:"current"`
}

func (a *App) dbSetupCommand() *cobra.Command {
	asJSON, adopt := false, false
	cmd := &cobra.Command{
		Use:   "setup [flags]",
		Short: "Create the tables, or bring them up to date",
		Long: "Create the tables, or bring them up to date. `oddish api` does the same when it starts. It may be repeated. " +
			"A PostgreSQL that takes no connections yet is waited for, up to 30 s.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.setUp(cmd.Context(), adopt, asJSON)
		},
	}
	cmd.Flags().BoolVar(&adopt, "adopt", false, "take the secret key and the artifacts here for those of the database, whose own are lost: secrets of waiting trials and older files stay behind")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: {database, version, latest, current}")
	return cmd
}

func (a *App) dbStatusCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Show which database is used and the version of its tables",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.database(cmd.Context(), false, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: {database, version, latest, current}")
	return cmd
}

func (a *App) setUp(ctx context.Context, adopt, asJSON bool) error {
	if adopt {
		if err := a.adopt(ctx); err != nil {
			return err
		}
	}
	return a.database(ctx, true, asJSON)
}

// adopt makes the key and artifacts of this data directory those of the database.
func (a *App) adopt(ctx context.Context) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	d, err := a.dbTarget()
	if err != nil {
		return err
	}
	if err := prepareDataDir(d.dir); err != nil {
		return err
	}
	own, err := openIdentity(d.cfg, d.dir)
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, d.cfg, d.dir, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	return own.adopt(ctx, db)
}

func (a *App) database(ctx context.Context, setup, asJSON bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	cfg, err := a.config()
	if err != nil {
		return err
	}
	var state databaseState
	look := func() (err error) {
		state, err = readDatabase(ctx, cfg, setup)
		return err
	}
	if setup {
		err = a.untilReady(ctx, look)
	} else {
		err = look()
	}
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(state)
	}
	p := a.outPrinter()
	p.line("database  " + state.Database)
	switch {
	case state.Version == 0:
		p.line("tables    none yet: `oddish db setup` creates them")
	case state.Current:
		p.line(fmt.Sprintf("tables    version %d, up to date", state.Version))
	default:
		p.line(fmt.Sprintf("tables    version %d of %d: `oddish db setup` updates them", state.Version, state.Latest))
	}
	return nil
}

// readDatabase looks at the database, after setting it up if that is wanted. Looking does not create a file.
func readDatabase(ctx context.Context, cfg config.Config, setup bool) (databaseState, error) {
	dir := ""
	if cfg.OddishDatabaseURL == "" && cfg.PlainDatabaseURL == "" {
		var err error
		if dir, err = cfg.RequireDataDir(); err != nil {
			return databaseState{}, err
		}
	}
	dsn := cfg.DatabaseURL(dir)
	state := databaseState{Database: withoutPassword(dsn)}
	if path, ok := store.SQLitePath(dsn); ok && !setup {
		if _, err := os.Stat(path); os.IsNotExist(err) {
			return state, nil
		}
	}
	if setup && dir != "" {
		if err := prepareDataDir(dir); err != nil {
			return state, err
		}
	}
	log := slog.New(slog.DiscardHandler)
	open := store.Open
	if setup {
		open = func(ctx context.Context, _ string, log *slog.Logger) (*store.DB, error) {
			return openDatabase(ctx, cfg, dir, log)
		}
	}
	db, err := open(ctx, dsn, log)
	if err != nil {
		return state, err
	}
	defer db.Close()
	if state.Version, state.Latest, err = db.SchemaVersion(ctx); err != nil {
		return state, err
	}
	state.Current = state.Version == state.Latest
	return state, nil
}

// withoutPassword is a database URL fit to be shown.
func withoutPassword(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		scheme, _, _ := strings.Cut(raw, "://")
		return scheme + "://…"
	}
	return u.Redacted()
}

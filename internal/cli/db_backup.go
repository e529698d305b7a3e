package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"oddish/internal/backup"
	"oddish/internal/blob"
	"oddish/internal/store"
)

func (a *App) dbBackupCommand() *cobra.Command {
	databaseOnly, asJSON := false, false
	cmd := &cobra.Command{
		Use:   "backup FILE [flags]",
		Short: "Write the database and all artifacts into one file",
		Long: "Write the database, secret.key and all artifacts into FILE, a tar, gzipped if its name ends in .gz or .tgz. A server may " +
			"run on them meanwhile. A FILE that exists is replaced once the new one is whole.\n\n" +
			"FILE holds the key that secrets of waiting trials are sealed with: keep it as you keep them.",
		Example: "oddish db backup oddish.tar.gz\noddish db backup rows.tar --no-artifacts",
		Args:    exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.dbBackup(cmd.Context(), args[0], databaseOnly, asJSON)
		},
	}
	cmd.Flags().BoolVar(&databaseOnly, "no-artifacts", false, "the database alone, without artifacts and secret.key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: {file, bytes, created_at, schema, artifacts, key, blobs, blob_bytes, missing, left_out}")
	return cmd
}

func (a *App) dbBackup(ctx context.Context, file string, databaseOnly, asJSON bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	d, err := a.dbTarget()
	if err != nil {
		return err
	}
	db, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	src := backup.Source{
		DB: db, Program: Version(), DatabaseOnly: databaseOnly, KeyFile: filepath.Join(d.dir, store.KeyFile),
	}
	blobs, err := d.cfg.Artifacts(d.dir)
	if err != nil {
		return err
	}
	if exists(blobs) {
		if src.Blobs, err = blob.NewLocal(blobs); err != nil {
			return err
		}
	}
	did, err := backup.Write(ctx, a.path(file), src)
	if err != nil {
		return err
	}
	a.warnOfBackup(d, did)
	if asJSON {
		return a.printJSON(did)
	}
	what := "the database alone"
	if did.Artifacts {
		what = fmt.Sprintf("the database and %s (%s)", plural(did.Blobs, "artifact"), sizeText(did.BlobBytes))
	}
	a.outPrinter().line(fmt.Sprintf("wrote %s (%s): %s", file, sizeText(did.Bytes), what))
	return nil
}

func (a *App) warnOfBackup(d dbTarget, did backup.Summary) {
	if did.Artifacts && d.cfg.SecretKey != "" {
		a.warn("ODDISH_SECRET_KEY is not in the backup: keep it as well")
	}
	if n := len(did.Missing); n > 0 {
		a.warn("not stored, though the database names them: %s, such as %s", plural(n, "task archive"), did.Missing[0])
	}
	if n := len(did.LeftOut); n > 0 {
		a.warn("left out, because an archive cannot hold their names: %s, such as %q", plural(n, "artifact"), did.LeftOut[0])
	}
}

// restored is the document of `db restore --json`.
type restored struct {
	File     string `json:"file"`
	Database string `json:"database"`
	backup.Manifest
}

func (a *App) dbRestoreCommand() *cobra.Command {
	yes, asJSON := false, false
	cmd := &cobra.Command{
		Use:   "restore FILE [flags]",
		Short: "Put back what `oddish db backup` wrote",
		Long: "Replace the database, secret.key and the artifacts by those in FILE. A backup of SQLite can be restored into PostgreSQL and the other way " +
			"round: DATABASE_URL says into which.\n\n" +
			"Nothing is replaced before everything has been unpacked and verified. It is refused while a server runs on the data directory.",
		Example: "oddish db restore oddish.tar.gz\nODDISH_DATA_DIR=/srv/oddish oddish db restore oddish.tar.gz",
		Args:    exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.dbRestore(cmd.Context(), args[0], yes, asJSON)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask before something is replaced")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: {file, database, created_at, program, schema, artifacts}; to replace something it needs --yes")
	return cmd
}

func (a *App) dbRestore(ctx context.Context, file string, yes, asJSON bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	d, err := a.dbTarget()
	if err != nil {
		return err
	}
	m, err := backup.Read(a.path(file))
	if err != nil {
		return err
	}
	if m.Artifacts && d.cfg.ArtifactsDir != "" {
		return failf("unset it, restore, and move the folder blobs from the data directory to its place",
			"artifacts are restored into the data directory, and ODDISH_ARTIFACTS_DIR is set to %s", d.cfg.ArtifactsDir)
	}
	if err := prepareDataDir(d.dir); err != nil {
		return err
	}
	unlock, err := d.lockNew()
	if err != nil {
		return err
	}
	defer unlock()
	target, replaces, err := d.restoreTarget(ctx)
	if err != nil {
		return err
	}
	if target.Postgres != nil {
		defer target.Postgres.Close()
		a.warnOfOthers(d.url)
	}
	if replaces {
		if asJSON && !yes {
			return usagef("--json does not ask: give --yes as well")
		}
		question := fmt.Sprintf("Replace %s by the backup of %s?", d.replaced(m), m.CreatedAt.Format("2006-01-02 15:04 MST"))
		if ok, err := a.sure(yes, question, "nothing was changed"); !ok {
			return err
		}
	}
	if m, err = backup.Restore(ctx, a.path(file), target); err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(restored{File: file, Database: withoutPassword(d.url), Manifest: m})
	}
	a.outPrinter().line(fmt.Sprintf("restored %s as of %s", d.replaced(m), m.CreatedAt.Format("2006-01-02 15:04 MST")))
	return nil
}

// replaced names what a backup takes the place of.
func (d dbTarget) replaced(m backup.Manifest) string {
	what := "the database " + withoutPassword(d.url)
	if m.Artifacts {
		what += " and the artifacts in " + d.dir
	}
	return what
}

// restoreTarget gives where a backup goes, and reports whether something is in it or in the database.
func (d dbTarget) restoreTarget(ctx context.Context) (t backup.Target, replaces bool, err error) {
	t = backup.Target{Dir: d.dir, Database: d.file}
	replaces = exists(filepath.Join(d.dir, "blobs")) || exists(filepath.Join(d.dir, store.KeyFile))
	if d.file != "" {
		return t, replaces || exists(d.file), os.MkdirAll(filepath.Dir(d.file), 0o700)
	}
	if t.Postgres, err = openDatabase(ctx, d.cfg, d.dir, nil); err != nil {
		return t, false, err
	}
	empty, err := t.Postgres.Empty(ctx)
	if err != nil {
		return t, false, errors.Join(err, t.Postgres.Close())
	}
	return t, replaces || !empty, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// sizeText gives a number of bytes for people.
func sizeText(n int64) string {
	size, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, next
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", size), ".0") + " " + unit
}

// exactArgs wants the arguments that are named.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usagef("%s wants %s, and was given %s", cmd.CommandPath(), strings.Join(names, " and "), plural(len(args), "argument"))
		}
		return nil
	}
}

package cli

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/store/storetest"
)

// runJSON runs a command that prints JSON, and decodes it into out.
func runJSON(t *testing.T, env []string, out any, args ...string) {
	t.Helper()
	a, stdout, stderr := testApp(t, env...)
	if code := a.Run(t.Context(), append(args, "--json")); code != exitOK {
		t.Fatalf("oddish %s: exit status %d: %s", strings.Join(args, " "), code, stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		t.Fatalf("oddish %s: %v: %s", strings.Join(args, " "), err, stdout)
	}
}

func addExperiment(t *testing.T, url string) {
	t.Helper()
	db := storetest.OpenURL(t, url)
	err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO experiments (id, name, created_at, last_activity) VALUES ('e', 'e', 1, 1)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDatabaseCommandsOnPostgres(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		t.Skip(storetest.PostgresEnv + " is not set")
	}
	dir := t.TempDir()
	file, archive := filepath.Join(dir, "oddish.db"), filepath.Join(dir, "b.tar.gz")
	pgURL, liteURL := storetest.URL(t), "sqlite:///"+file
	pg := []string{"ODDISH_DATA_DIR=" + dir, "DATABASE_URL=" + pgURL}
	lite := []string{"ODDISH_DATA_DIR=" + dir}
	addExperiment(t, pgURL)

	var summary struct{ Bytes, Schema int64 }
	if runJSON(t, pg, &summary, "db", "backup", archive); summary.Schema == 0 || summary.Bytes == 0 {
		t.Errorf("backup: %+v", summary)
	}
	var did emptied
	if runJSON(t, pg, &did, "db", "purge", "--yes"); did.Rows != 1 {
		t.Errorf("purge: %+v", did)
	}
	var back restored
	if runJSON(t, pg, &back, "db", "restore", archive); back.Schema != summary.Schema {
		t.Errorf("restore into the empty database: %+v", back)
	}
	if runJSON(t, pg, &did, "db", "reset", "--yes"); did.Rows != 1 {
		t.Errorf("reset: %+v", did)
	}
	runJSON(t, lite, &back, "db", "restore", archive)
	var moved copied
	if runJSON(t, lite, &moved, "db", "copy", liteURL, pgURL); moved.Rows < 2 || strings.Contains(moved.To, "sqlite") {
		t.Errorf("copy: %+v", moved)
	}

	// What holds something is not replaced without a word.
	for _, args := range [][]string{{"db", "restore", archive}, {"db", "copy", liteURL, pgURL}} {
		a, _, stderr := testApp(t, pg...)
		if code := a.Run(t.Context(), args); code == exitOK || !strings.Contains(stderr.String(), "cannot be seen from here") {
			t.Errorf("oddish %s: exit status %d: %s", strings.Join(args, " "), code, stderr)
		}
	}
}

func TestASizeIsShortAndReadable(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 5 << 30: "5 GiB", 3 << 50: "3072 TiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

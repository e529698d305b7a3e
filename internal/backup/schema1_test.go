package backup

import (
	"path/filepath"
	"testing"

	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

func TestABackupOfTheFirstSchemaIsMigratedWhenItIsRestored(t *testing.T) {
	t.Parallel()
	url := "sqlite:///" + filepath.Join(t.TempDir(), databaseName)
	storetest.LoadSchema1(t, url)
	from, err := store.Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b.tar")
	s, err := Write(t.Context(), file, Source{DB: from, Program: "0.1.0", DatabaseOnly: true})
	if err != nil || s.Schema != 1 {
		t.Fatalf("the backup is %+v, %v, want one of schema 1", s, err)
	}
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	to := Target{Dir: dir, Database: filepath.Join(dir, databaseName)}
	if storetest.Postgres() {
		to = Target{Dir: dir, Postgres: storetest.Open(t)}
	}
	if _, err := Restore(t.Context(), file, to); err != nil {
		t.Fatal(err)
	}
	db := to.Postgres
	if db == nil {
		db = storetest.OpenURL(t, "sqlite:///"+to.Database)
	}
	current, latest, err := db.SchemaVersion(t.Context())
	if err != nil || current != latest {
		t.Errorf("schema is %d, %v, want %d", current, err, latest)
	}
	for table, want := range map[string]int{"trials": 6, "attempts": 4, "events": 15, "queue_changes": 2} {
		if n := count(t, db, table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
}

package cli_test

import (
	"database/sql"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdNewerDB makes a SQLite database one of a schema that no program knows yet: newerdb FILE.
func cmdNewerDB(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: newerdb FILE")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)")
	ts.Check(err)
}

package storetest

import (
	"embed"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/*.sql
var schemas embed.FS

// Schema1Time is the present of the rows that LoadSchema1 makes.
func Schema1Time() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC) }

// LoadSchema1 fills the empty database at a URL of this package with what the first version of the tables held: an
// experiment e0000001 whose trials hello-00000001-0 to -5 are queued, running (by worker w under lease-1), retrying, success, failed and
// cancelled, and some rows of every other table.
func LoadSchema1(t testing.TB, url string) {
	t.Helper()
	driver, dsn, name := "pgx", url, "postgres"
	if path, found := strings.CutPrefix(url, "sqlite:///"); found {
		driver, dsn, name = "sqlite", path, "sqlite"
	}
	text, err := schemas.ReadFile("testdata/schema-00001." + name + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	run(t, driver, dsn, string(text))
}

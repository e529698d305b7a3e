package store

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oddish/internal/predicate"
)

// The plans are SQLite's; PostgreSQL has the same indexes, but chooses by statistics.
func TestUsualQueriesOfTrialsScanNoTable(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "oddish.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.write.ExecContext(t.Context(), "INSERT INTO experiments (id, name, created_at, last_activity) VALUES ('e1', 'x', 1, 1)"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ query, index string }{
		{"", "trials_created"}, // in the order of the list
		{"created:<2h", "trials_created"},
		{"experiment:x", "trials_experiment"},
		{"experiment:x status:failed error:SandboxStart*", "trials_experiment"},
		{"trial:a,b", "sqlite_autoindex_trials_1"},
		{"status:active", "jobs_ready"},
		{"status:running", "jobs_"},
		{"status:failed", "jobs_failed"},
		{"status:cancelled agent:codex", "jobs_stopped"},
		{"status:failed error:SandboxStart*", "attempts_errors"},
		{"error:any", "attempts_errors"},
	} {
		q, err := predicate.Parse(tc.query)
		if err != nil {
			t.Fatal(err)
		}
		m, err := db.Match(t.Context(), q, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var args Args
		after := &Position{Created: time.Now(), TaskID: "t"}
		plan := planOf(t, db, matchingQuery(m, after, 50, &args), args.Values)
		if text := strings.Join(plan, "\n"); !strings.Contains(text, tc.index) {
			t.Errorf("%q does not use %s:\n%s", tc.query, tc.index, text)
		}
		for _, step := range plan {
			// An index of only such rows, and the trials in their order up to the limit, may be scanned.
			ordered := strings.Contains(step, "trials_created") && tc.index == "trials_created"
			partial := strings.Contains(step, "INDEX jobs_") || strings.Contains(step, "INDEX attempts_errors")
			if strings.HasPrefix(step, "SCAN") && !ordered && !partial {
				t.Errorf("%q: %s in\n%s", tc.query, step, strings.Join(plan, "\n"))
			}
		}
	}
}

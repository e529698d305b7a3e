package store

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestNoListScansTrialsOrJobs(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "oddish.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var experiments, tasks, tasksOf, trials Args
	experimentTrials, err := trialsQuery(TrialFilter{ExperimentID: "e", Limit: 100}, &trials)
	if err != nil {
		t.Fatal(err)
	}
	lists := []struct {
		name, query string
		args        []any
	}{
		{"experiments", experimentsQuery(experimentsPage + experiments.page(25, 0)), nil},
		{"tasks", tasksQuery(tasksPage(TaskFilter{User: "ann"}, &tasks), &tasks, ""), nil},
		{"tasks of an experiment", tasksQuery(tasksPage(TaskFilter{ExperimentID: "e"}, &tasksOf), &tasksOf, "e"), nil},
		{"trials of an experiment", experimentTrials, nil},
	}
	for i, args := range []Args{experiments, tasks, tasksOf, trials} {
		lists[i].args = args.Values
	}
	for _, list := range lists {
		plan := planOf(t, db, list.query, list.args)
		for _, step := range plan {
			// A scan of the page, of an index in its order, or of what is grouped is no scan of a table.
			scan, table := strings.HasPrefix(step, "SCAN "), strings.TrimPrefix(step, "SCAN ")
			if scan && table != "k" && table != "e" && !strings.Contains(step, "USING INDEX") && !strings.Contains(step, "USING COVERING INDEX") {
				t.Errorf("%s: %s in\n%s", list.name, step, strings.Join(plan, "\n"))
			}
			if strings.Contains(step, "AUTOMATIC") {
				t.Errorf("%s builds an index: %s in\n%s", list.name, step, strings.Join(plan, "\n"))
			}
		}
		if joined := strings.Join(plan, "\n"); !strings.HasPrefix(list.name, "trials") && (strings.Contains(joined, "jobs") || strings.Contains(joined, "trials")) {
			t.Errorf("%s reads trials:\n%s", list.name, joined)
		}
	}
}

// planOf gives the steps of a query's plan.
func planOf(t *testing.T, db *DB, query string, args []any) []string {
	t.Helper()
	type step struct {
		id, parent, unused int
		detail             string
	}
	steps, err := Collect(t.Context(), db.read, "EXPLAIN QUERY PLAN "+query, args, func(s *step) []any {
		return []any{&s.id, &s.parent, &s.unused, &s.detail}
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var plan []string
	for _, s := range steps {
		plan = append(plan, s.detail)
	}
	return plan
}

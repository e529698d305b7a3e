package chaos

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"oddish/api"
)

// limits are those at the beginning, by queue key and pattern. The pattern is below the sum of its keys.
func limits() map[string]int {
	return map[string]int{
		"openai/large": 6, "openai/small": 5, "openai/*": 8,
		"anthropic/large": 6, "google/large": 4, "mistral/large": 2, "local": 3,
	}
}

// shares are the parts of the trials that each key gets: what its limits let run.
func shares() map[string]int {
	return map[string]int{"openai/large": 4, "openai/small": 4, "anthropic/large": 6, "google/large": 4, "mistral/large": 2, "local": 3}
}

// queueKeys are the keys that trials are spread over.
func queueKeys() []string { return slices.Sorted(maps.Keys(shares())) }

// atOnce is how many trials the limits let run at once.
const atOnce = 4 + 4 + 6 + 4 + 2 + 3

// secret is a value that must not be found anywhere once trials have ended.
const secret = "chaos-secret-5fd1"

// load is what was submitted at the beginning.
type load struct {
	experiments map[string]string // id by name
	trials      []string          // ids
	tasks       []string          // ids of tasks to which more may be added
}

// taskScripts are the tasks with what the fake sandbox does in them. Together they keep the limits busy for about the time that things are
// broken, were nothing broken.
func taskScripts(trials int, t time.Duration) map[string]string {
	mean := atOnce * t.Seconds() / float64(trials) * 0.6
	agent := func(factor float64) string { return fmt.Sprintf("duration = %.2f\n", max(mean*factor, 0.05)) }
	return map[string]string{
		"short":  agent(0.3),
		"usual":  agent(1),
		"long":   agent(2) + "start_duration = 0.2\nverify_duration = 0.2\n",
		"flaky":  agent(1) + "start_error = \"scripted trouble\"\nfail_attempts = 1\n",
		"judged": agent(0.7) + "reward = \"none\"\n",
	}
}

func writeTasks(t *testing.T, dir string, scripts map[string]string) {
	t.Helper()
	for name, script := range scripts {
		files := map[string]string{
			"task.toml": "schema_version = \"1.4\"\n[task]\nname = \"chaos/" + name + "\"\n[agent]\ntimeout_sec = 600\n[verifier]\ntimeout_sec = 600\n" +
				"[environment.oddish]\nimage = \"host\"\n[environment.oddish.fake]\n" + script,
			"instruction.md":         "Go on.\n",
			"environment/Dockerfile": "FROM scratch\n",
			"solution/solve.sh":      "true\n",
			"tests/test.sh":          "true\n",
		}
		for file, text := range files {
			path := filepath.Join(dir, name, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// submit sets the limits and submits two experiments with all tasks: one without secrets, whose trials can be tried again, and one
// with. Then the trials are spread over the keys. No worker may run.
func (in *installation) submit(trials int, t time.Duration) load {
	in.t.Helper()
	for key, n := range limits() {
		in.must(http.MethodPut, "/queue/limit?key="+url.QueryEscape(key), api.QueueLimit{Limit: &n}, nil)
	}
	scripts := taskScripts(trials, t)
	tasks := filepath.Join(in.dir, "tasks")
	writeTasks(in.t, tasks, scripts)
	each := strconv.Itoa(max(1, trials/len(scripts)/2))
	l := load{experiments: map[string]string{}}
	for name, further := range map[string][]string{"open": nil, "sealed": {"--ae", "TOKEN=" + secret}} {
		var queued struct {
			ExperimentID string `json:"experiment_id"`
		}
		args := []string{"run", "-p", tasks, "-a", "oracle", "--env", "fake", "-E", name, "--n-trials", each, "--max-attempts", "2", "--background", "--json"}
		in.command(&queued, append(args, further...)...)
		l.experiments[name] = queued.ExperimentID
	}
	l.trials = in.texts("SELECT id FROM jobs ORDER BY id")
	l.tasks = in.texts("SELECT id FROM tasks WHERE name LIKE '%short' ORDER BY id")
	if len(l.tasks) != 1 {
		in.t.Fatalf("the task to add trials to: %q", l.tasks)
	}
	in.spread(l.trials)
	return l
}

// spread gives each key its share of the trials, by turns. The order inside a key stays.
func (in *installation) spread(trials []string) {
	in.t.Helper()
	var turns []string
	for round := range atOnce {
		for _, key := range queueKeys() {
			if round < shares()[key] {
				turns = append(turns, key)
			}
		}
	}
	tx, err := in.engine.db.BeginTx(in.t.Context(), nil)
	if err != nil {
		in.t.Fatal(err)
	}
	defer tx.Rollback()
	for i, id := range trials {
		if _, err := tx.ExecContext(in.t.Context(), "UPDATE jobs SET queue_key = $1 WHERE id = $2", turns[i%len(turns)], id); err != nil {
			in.t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		in.t.Fatal(err)
	}
}

// texts gives the one column of a query.
func (in *installation) texts(query string, args ...any) []string {
	in.t.Helper()
	rows, err := in.engine.db.QueryContext(in.t.Context(), query, args...)
	if err != nil {
		in.t.Fatalf("%s: %v", strings.TrimSpace(query), err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			in.t.Fatal(err)
		}
		list = append(list, text)
	}
	if err := rows.Err(); err != nil {
		in.t.Fatal(err)
	}
	return list
}

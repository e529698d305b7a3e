package e2e

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oddish/api"
)

// What was pulled imports to an equal experiment, on a server that has never seen it.
func TestWhatWasPulledIsImportedAsItWas(t *testing.T) {
	t.Parallel()
	tasks := t.TempDir()
	recipe{}.write(t, tasks, "passes")
	recipe{test: `echo '{"speed": 0.25, "style": 1}' >/logs/verifier/reward.json` + "\n"}.write(t, tasks, "rewards")
	recipe{test: "exit 3\n"}.write(t, tasks, "no-reward")
	recipe{solve: "sleep 60\n", agentTimeout: 0.5}.write(t, tasks, "slow")
	recipe{further: "[[steps]]\nname = \"one\"\n"}.write(t, tasks, "steps")
	put(t, filepath.Join(tasks, "steps"), map[string]string{"steps/one/instruction.md": "Do.\n", "steps/one/tests/test.sh": passes})
	from := newHome(t, "builtin")
	from.runTasks(tasks, "oracle", "-E", "nightly", "--n-trials", "2")
	jobs := t.TempDir()
	from.ok("pull", "nightly", "--out", filepath.Join(jobs, "nightly"))
	from.prints("nothing to import", "import", jobs)

	to := newHome(t, "builtin")
	to.prints("10 trials imported", "import", jobs)
	to.prints("0 trials imported, 10 there already", "import", jobs)
	before, after := from.experiment("nightly"), to.experiment("nightly")
	compareTrials(t, before.Trials, after.Trials)
	if b, a := before.Experiment, after.Experiment; b.RewardSum != a.RewardSum || b.RewardPassed != a.RewardPassed || !b.CreatedAt.Equal(a.CreatedAt) {
		t.Errorf("experiment is %+v, was %+v", a, b)
	}
	again := t.TempDir()
	to.ok("pull", "nightly", "--out", filepath.Join(again, "nightly"))
	compareJobs(t, jobs, again)
	to.run("retry", after.Trials[0].ID).exits(t, 1).says(t, "imported")
	// With the task at hand the experiment goes on here.
	to.ok("run", "-p", filepath.Join(tasks, "passes"), "-a", "oracle", "-E", "nightly", "--watch", "--quiet")
	if e := to.experiment("nightly"); e.Experiment.Total != 11 || e.Experiment.Completed != 11 {
		t.Errorf("experiment is %+v", e.Experiment)
	}
}

// prints runs the program and wants a text on standard output.
func (h *home) prints(text string, args ...string) {
	h.t.Helper()
	if out := h.ok(args...).stdout; !strings.Contains(out, text) {
		h.t.Errorf("oddish %v: %q is not in %q", args, text, out)
	}
}

// compareTrials compares all that a trial tells but for names of the server.
func compareTrials(t *testing.T, before, after []api.Trial) {
	t.Helper()
	texts := func(trials []api.Trial) []string {
		var texts []string
		for _, x := range trials {
			x.ID, x.TaskID, x.ExperimentID, x.TaskPath, x.TaskVersion, x.TaskVersionID = "", "", "", nil, nil, nil
			x.Origin, x.CreatedAt, x.MaxAttempts = "", time.Time{}, 0
			text, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		slices.Sort(texts)
		return texts
	}
	b, a := texts(before), texts(after)
	if len(b) != 10 || len(a) != 10 {
		t.Fatalf("%d trials became %d", len(b), len(a))
	}
	for i := range b {
		if a[i] != b[i] {
			t.Errorf("a trial is\n%s, was\n%s", a[i], b[i])
		}
	}
}

// compareJobs compares folders of jobs byte by byte, but for where they are, the server's names in the mark, and the time of the last change.
func compareJobs(t *testing.T, before, after string) {
	t.Helper()
	n := 0
	err := fs.WalkDir(os.DirFS(before), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(name) == "oddish.json" {
			return err
		}
		n++
		b, a := []byte(fileOf(t, before, name)), []byte(fileOf(t, after, name))
		a = bytes.ReplaceAll(a, []byte(after), []byte(before))
		if name == "nightly/result.json" {
			b, a = withoutLines(b, "updated_at", "finished_at"), withoutLines(a, "updated_at", "finished_at")
		}
		if !bytes.Equal(b, a) {
			t.Errorf("%s is\n%s\nwas\n%s", name, a, b)
		}
		return nil
	})
	if err != nil || n < 60 {
		t.Errorf("%d files, %v", n, err)
	}
}

func withoutLines(text []byte, names ...string) []byte {
	var kept []string
	for line := range strings.Lines(string(text)) {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(line, `"`+name+`"`) }) {
			kept = append(kept, line)
		}
	}
	return []byte(strings.Join(kept, ""))
}

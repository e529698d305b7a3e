package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASandboxIsKeptAfterAFailureAndLookedInto(t *testing.T) {
	t.Parallel()
	tasks := t.TempDir()
	recipe{}.write(t, tasks, "passes")
	recipe{solve: "mkdir -p /app/d; echo left >/app/d/it; ln -s /etc/passwd /app/d/link\n", test: "echo 0 >/logs/verifier/reward.txt\n"}.write(t, tasks, "fails")
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		d := h.runTasks(tasks, "oracle", "--keep-on-failure")
		if len(d.Trials) != 2 {
			t.Fatalf("trials are %+v", d.Trials)
		}
		id := d.Trials[0].ID
		if d.Trials[0].Task == "passes" {
			id = d.Trials[1].ID
		}
		var list struct {
			Sandboxes []struct {
				Kind    string  `json:"kind"`
				ID      string  `json:"id"`
				Name    string  `json:"name"`
				Trial   string  `json:"trial_id"`
				State   string  `json:"state"`
				Created string  `json:"created_at"`
				Kept    *string `json:"kept_until"`
			} `json:"sandboxes"`
		}
		h.ok("sandbox", "list", "--json").decode(t, &list)
		if len(list.Sandboxes) != 1 || list.Sandboxes[0].Trial != id || list.Sandboxes[0].State != "kept" || list.Sandboxes[0].Kept == nil {
			t.Fatalf("sandboxes are %+v", list.Sandboxes)
		}
		if out := h.run("sandbox", "shell", id, "--", "sh", "-c", "cat d/it; exit 3").exits(t, 3); out.stdout != "left\n" {
			t.Errorf("the command said %q", out.stdout)
		}
		out := t.TempDir()
		h.ok("sandbox", "cp", id+":/app/d", out).says(t, "link: symbolic link")
		if text := fileOf(t, out, "it"); text != "left\n" {
			t.Errorf("the file is %q", text)
		}
		if err := os.WriteFile(filepath.Join(out, "mine"), []byte("mine\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		h.ok("sandbox", "cp", filepath.Join(out, "mine"), id+":/app/yours")
		h.prints("mine\n", "sandbox", "shell", id, "--", "cat", "/app/yours")
		h.run("sandbox", "cp", id+":/nothing", out).exits(t, 1).says(t, "there is no /nothing in the sandbox")
		h.prints("removed ", "sandbox", "rm", "--orphans")
		h.prints("No sandboxes.", "sandbox", "list")
		h.run("sandbox", "shell", id).exits(t, 1).says(t, "no sandbox here is of "+id)
	})
}

func TestAPersonInARunningTrialIsNoted(t *testing.T) {
	t.Parallel()
	h := newHome(t, "builtin")
	r := recipe{solve: "while [ ! -e /app/go ]; do sleep 0.1; done\n"}
	p := h.start("run", "-p", r.folder(t, "waits"), "-a", "oracle", "-E", "e", "--watch", "--quiet")
	trial := h.waitStage("e", "agent_running")
	h.ok("sandbox", "shell", trial.ID, "--", "touch", "/app/go").says(t, "that you were there is noted in its entered.jsonl")
	p.wait().exits(t, 0)
	dir := h.trialDir(h.experiment("e").Experiment.ID, "waits")
	if text := fileOf(t, dir, "entered.jsonl"); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"touch"`) {
		t.Errorf("noted is %q", text)
	}
}

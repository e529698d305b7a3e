package trial

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/api"
	"oddish/internal/result"
)

// leaves is a solution that leaves an artifact, and takes its time over it.
const leaves = "#!/bin/bash\nmkdir -p /app/out; echo 41 >/app/out/answer; echo worked\n"

// gradedTask is a task with a verifier of its own that wants an answer.
func gradedTask(t *testing.T, toml, want string) string {
	t.Helper()
	return separateTask(t, toml, map[string]string{
		"tests/Dockerfile": "FROM scratch\n", "solution/solve.sh!": leaves,
		"tests/test.sh!": "#!/bin/bash\n[ $(cat /app/out/answer) = " + want + " ] && echo 1 >/logs/verifier/reward.txt || echo 0 >/logs/verifier/reward.txt\n",
	})
}

// regrade verifies a trial directory again by another task.
func regrade(t *testing.T, source, task string, change func(*Config)) (Outcome, *local) {
	t.Helper()
	p := newLocal(t)
	c := config(t, p, task)
	c.Source, c.Spec.AgentConfig.Regrade = source, "demo-1234abcd-0"
	if change != nil {
		change(&c)
	}
	return Run(t.Context(), c), p
}

const outArtifact = "artifacts = [\"/app/out\"]\n"

func TestWhatAnAgentLeftIsVerifiedAgainWithoutIt(t *testing.T) {
	t.Parallel()
	first := Run(t.Context(), config(t, newLocal(t), gradedTask(t, outArtifact, "42")))
	wantReward(t, first.Finish, map[string]float64{"reward": 0})
	second, p := regrade(t, first.Dir, gradedTask(t, outArtifact, "41"), func(c *Config) { c.Spec.Agent = "somebody-elses" })
	wantFinish(t, second.Finish, api.StatusSuccess, "", "")
	wantReward(t, second.Finish, map[string]float64{"reward": 1})
	if len(p.boxes) != 1 || p.boxes[0].spec.Name != "demo__AbCdEfG-verifier" {
		t.Errorf("sandboxes are %+v", p.boxes)
	}
	before, after := readTrial(t, first), readTrial(t, second)
	if after.AgentInfo != before.AgentInfo || after.AgentExecution == nil || !after.AgentExecution.StartedAt.Equal(*before.AgentExecution.StartedAt) {
		t.Errorf("the agent is %+v, was %+v", after.AgentInfo, before.AgentInfo)
	}
	if s := after.Config.SourceTrial; s == nil || s.Action != "regrade" || s.Path != "demo-1234abcd-0" {
		t.Errorf("its source is %+v", s)
	}
	if text := readFile(t, second, "agent/oracle.txt"); text != "worked\n" {
		t.Errorf("the agent's log is %q", text)
	}
	// And that one again.
	third, _ := regrade(t, second.Dir, gradedTask(t, outArtifact, "42"), nil)
	wantReward(t, third.Finish, map[string]float64{"reward": 0})
}

func TestWhatWasNotThereIsMissingForTheVerifierToo(t *testing.T) {
	t.Parallel()
	c := config(t, newLocal(t), gradedTask(t, outArtifact, "41"))
	c.Spec.Agent = "nop"
	first := Run(t.Context(), c)
	if err := os.RemoveAll(filepath.Join(first.Dir, result.ArtifactsDir, "logs")); err != nil { // an empty folder, which no store keeps
		t.Fatal(err)
	}
	o, _ := regrade(t, first.Dir, gradedTask(t, outArtifact, "42"), nil)
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	wantReward(t, o.Finish, map[string]float64{"reward": 0})
}

func TestLinksAndProgramsAreThereWhenVerifiedAgain(t *testing.T) {
	t.Parallel()
	task := linkedTask(t)
	first := Run(t.Context(), config(t, newLocal(t), task))
	for _, name := range []string{"app/out/lib/run", "app/tool"} { // what keeps files keeps no modes
		if err := os.Chmod(filepath.Join(first.Dir, result.ArtifactsDir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o, p := regrade(t, first.Dir, task, nil)
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	if got := strings.ReplaceAll(readFile(t, o, "verifier/test-stdout.txt"), p.boxes[0].root, ""); got != linksFound {
		t.Errorf("the tests found\n%s\nwant\n%s", got, linksFound)
	}
}

func TestWhatTheAgentUsedAndItsOwnErrorStay(t *testing.T) {
	t.Parallel()
	first := Run(t.Context(), config(t, newLocal(t), gradedTask(t, outArtifact, "41")))
	doc := readTrial(t, first)
	tokens, cost := int64(12), 0.5
	doc.AgentResult = &result.AgentResult{InputTokens: &tokens, CostUSD: &cost}
	doc.ExceptionInfo = &result.ExceptionInfo{Type: result.AgentTimeoutError, Message: "late"}
	if err := result.WriteJSON(filepath.Join(first.Dir, result.ResultFile), doc); err != nil {
		t.Fatal(err)
	}
	o, _ := regrade(t, first.Dir, gradedTask(t, outArtifact, "41"), nil)
	wantFinish(t, o.Finish, api.StatusSuccess, result.AgentTimeoutError, api.ClassResult)
	if f := o.Finish; f.InputTokens == nil || *f.InputTokens != 12 || *f.CostUSD != 0.5 || f.CostSource != api.CostFromRegrade {
		t.Errorf("finish is %+v", f)
	}
}

func TestWhatCannotBeVerifiedAgainIsRefused(t *testing.T) {
	t.Parallel()
	first := Run(t.Context(), config(t, newLocal(t), gradedTask(t, outArtifact, "41")))
	without := t.TempDir()
	if err := os.CopyFS(without, os.DirFS(first.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(without, result.ArtifactsDir)); err != nil {
		t.Fatal(err)
	}
	hostile := t.TempDir()
	if err := os.CopyFS(hostile, os.DirFS(first.Dir)); err != nil {
		t.Fatal(err)
	}
	list := `[{"source": "/app/out", "destination": "../../../../../../etc/passwd", "type": "file", "status": "ok"}]`
	if err := os.WriteFile(filepath.Join(hostile, result.ArtifactsDir, result.ManifestFile), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	hostileMode := t.TempDir()
	if err := os.CopyFS(hostileMode, os.DirFS(first.Dir)); err != nil {
		t.Fatal(err)
	}
	list = `[{"source": "/app/out", "destination": "artifacts/app/out", "type": "directory", "status": "ok", "executable": ["../../../../x"]}]`
	if err := os.WriteFile(filepath.Join(hostileMode, result.ArtifactsDir, result.ManifestFile), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	disable := func(c *Config) {
		yes := true
		c.Spec.Harbor.Verifier = &api.VerifierConfig{Disable: &yes}
	}
	for name, c := range map[string]struct {
		source, task, words string
		change              func(*Config)
	}{
		"a shared verifier":        {first.Dir, writeTask(t, taskFiles(nil)), "works in the agent's sandbox", nil},
		"steps":                    {first.Dir, stepsTask(t, "", "", "", nil), "has steps", nil},
		"no verification":          {first.Dir, gradedTask(t, outArtifact, "41"), "verification is disabled", disable},
		"an artifact that is new":  {first.Dir, gradedTask(t, "artifacts = [\"/app/out\", \"/app/more\"]\n", "41"), "artifact /app/more, which the task now hands to its verifier, was not collected", nil},
		"a list that leads out":    {hostile, gradedTask(t, outArtifact, "41"), "no path in its folder", nil},
		"a mode that leads out":    {hostileMode, gradedTask(t, outArtifact, "41"), "path escapes", nil},
		"a trial without a list":   {without, gradedTask(t, outArtifact, "41"), "no list of its artifacts", nil},
		"a trial without a result": {t.TempDir(), gradedTask(t, outArtifact, "41"), "result.json", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, p := regrade(t, c.source, c.task, c.change)
			wantFinish(t, o.Finish, api.StatusFailed, result.RegradeError, api.ClassPermanent)
			if !strings.Contains(o.Finish.ErrorMessage, c.words) || len(p.boxes) != 0 {
				t.Errorf("%d sandboxes, error %q", len(p.boxes), o.Finish.ErrorMessage)
			}
		})
	}
}

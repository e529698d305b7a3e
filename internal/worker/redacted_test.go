package worker

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/internal/redact"
	"oddish/internal/trial"
)

func TestSecretsOfATrialDoNotLeaveTheWorkerInItsFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const secret, stranger = "sk-0123456789", "sk-of-another-trial"
		log := strings.Repeat("x", 16<<10) + secret + " and " + stranger + "\n"
		binary := "\x00\x01" + secret
		halfway := make(chan struct{})
		r := newRig(t, 1, func(ctx context.Context, c trial.Config) trial.Outcome {
			c.Secret(secret)
			dir := filepath.Join(c.Dir, c.Spec.TrialName)
			write(filepath.Join(dir, "agent", "codex.txt"), log)
			write(filepath.Join(dir, "trial.log"), "the key is sk-0123")
			write(filepath.Join(dir, "artifacts", "memory.bin"), binary)
			<-halfway
			write(filepath.Join(dir, "trial.log"), "456789, as said")
			time.Sleep(1500 * time.Millisecond)
			return trial.Outcome{Finish: api.Finish{
				Outcome: api.StatusFailed, ErrorType: "NonZeroAgentExitCodeError", ErrorMessage: "refused: " + secret, ErrorClass: api.ClassResult,
			}}
		})
		r.start()
		r.enqueue("a")
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		early := r.server.job("a").files
		if got := string(early["trial.log"]); got != "the key is " {
			t.Errorf("while half of the secret is there the log is %q", got)
		}
		masked := strings.ReplaceAll(log, secret, redact.Mark+"***")
		if got := string(early["agent/codex.txt"]); got != masked {
			t.Errorf("the growing log ends with %q", got[len(got)-60:])
		}
		close(halfway)
		j := r.finished("a")
		for name, want := range map[string]string{
			"agent/codex.txt":      strings.ReplaceAll(log, secret, redact.Mark),
			"trial.log":            "the key is " + redact.Mark + ", as said",
			"artifacts/memory.bin": binary,
		} {
			if got := string(j.files[name]); got != want {
				t.Errorf("%s is %d bytes, want %d: it ends with %q", name, len(got), len(want), got[max(len(got)-60, 0):])
			}
		}
		if got := j.outcome(t).ErrorMessage; got != "refused: "+redact.Mark {
			t.Errorf("the error says %q", got)
		}
		r.finish()
	})
}

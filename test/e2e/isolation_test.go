package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A task that looks for what is this machine's, and that leaves links to it where its outputs are
// collected, sees nothing and gets nothing into its trial directory.
func TestNothingOfTheMachineGetsIntoATrial(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		const token = "token-7f3ac9e2-that-nobody-may-see"
		outside := t.TempDir()
		if err := os.WriteFile(filepath.Join(outside, "secret"), []byte(token+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		h := newHome(t, kind, "ANTHROPIC_API_KEY="+token)
		prying := recipe{
			solve: fmt.Sprintf(`
{
	ls -A /root /home
	ls -A %[2]s
	cat %[1]s/secret %[2]s/secret.key
	env
	cat /proc/[0-9]*/environ
} >/logs/artifacts/seen.txt 2>&1
mkdir /logs/artifacts/deep
for dir in /logs/agent /logs/artifacts /logs/artifacts/deep; do
	ln -s /etc/shadow $dir/shadow
	ln -s %[1]s/secret $dir/secret
	ln -s %[1]s $dir/outside
	ln -s / $dir/root
	ln -s ../../../../../../../../../../../../%[1]s $dir/climbing
	mkfifo $dir/pipe
done
echo kept >/logs/agent/plain.txt
`, outside, h.dir),
			test: fmt.Sprintf("ln -s /etc/shadow /logs/verifier/shadow\nln -s %s/secret /logs/verifier/secret\n%s", outside, passes),
		}
		d, trial := h.runOne(prying.folder(t, "prying"), "oracle")
		passed().check(t, trial)

		dir := h.trialDir(d.ExperimentID, "prying")
		if got := readFile(t, filepath.Join(dir, "agent", "plain.txt")); got != "kept\n" {
			t.Errorf("agent/plain.txt: %q", got)
		}
		onlyPlainFiles(t, dir)
		noFileHolds(t, h.dir, token)
		seen := readFile(t, filepath.Join(dir, "artifacts", "logs", "artifacts", "seen.txt"))
		if n := strings.Count(seen, "No such file or directory"); n != 3 {
			t.Errorf("%d of 3 places of this machine are absent in the sandbox:\n%s", n, seen)
		}
		if kind == kindBuiltin && !strings.HasPrefix(seen, "/home:\n\n/root:\nls: ") {
			t.Errorf("the sandbox shows homes:\n%s", seen)
		}
		if log := readFile(t, filepath.Join(dir, "trial.log")); !strings.Contains(log, "file left out") {
			t.Error("trial.log does not tell that links were left out")
		}
		h.noSandboxLeft()
	})
}

// onlyPlainFiles wants that nothing below dir is a link or a special file.
func onlyPlainFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !e.Type().IsRegular() {
			t.Errorf("%s is no plain file: %s", path, e.Type())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// noFileHolds wants that the text is in no file below dir.
func noFileHolds(t *testing.T, dir, text string) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // removed meanwhile
		}
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(text)) {
			t.Errorf("%s holds what nobody may see", path)
		}
		return nil
	})
}

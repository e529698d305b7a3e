package sandboxtest

import (
	"os"
	"path/filepath"
	"testing"

	"oddish/internal/sandbox"
)

// programCases are about the folder of programs.
func (s *suite) programCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"it is shown, with what is added to it later":  s.programs,
		"nobody inside can change it":                  s.programsStay,
		"it is there for a process that attaches":      s.programsAttached,
		"without one there is nothing where it is not": s.noPrograms,
	}
}

// program puts a program into a folder, as package agent does: under another name first.
func program(t *testing.T, dir, name, says string) {
	t.Helper()
	made := filepath.Join(dir, ".new-"+name)
	if err := os.MkdirAll(filepath.Join(made, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(made, "bin", "say")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho "+says+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(made, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// withPrograms starts a sandbox that shows a folder with the program one in it.
func (s *suite) withPrograms(t *testing.T) (sandbox.Sandbox, string) {
	t.Helper()
	if !s.Provider.Capabilities().Programs {
		t.Skip("not claimed")
	}
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) { // for an engine that runs as another user
		if err := os.Chmod(d, 0o755); err != nil {
			break
		}
	}
	program(t, dir, "one", "first")
	return s.start(t, func(spec *sandbox.Spec) { spec.Programs = dir }), dir
}

func (s *suite) programs(t *testing.T) {
	sb, dir := s.withPrograms(t)
	for _, user := range []string{"0", "nobody"} {
		if got := exec(t, sb, sandbox.Command{Script: sandbox.ProgramsDir + "/one/bin/say", User: user}); got.stdout != "first\n" {
			t.Errorf("as %s: %+v", user, got)
		}
	}
	if got := exec(t, sb, sandbox.Command{Script: sandbox.ProgramsDir + "/two/bin/say"}); got.code == 0 {
		t.Errorf("before it is there: %+v", got)
	}
	program(t, dir, "two", "second")
	if got := sh(t, sb, sandbox.ProgramsDir+"/two/bin/say; ls "+sandbox.ProgramsDir); got != "second\none\ntwo\n" {
		t.Errorf("after it was added: %q", got)
	}
}

func (s *suite) programsStay(t *testing.T) {
	sb, dir := s.withPrograms(t)
	script := "cd " + sandbox.ProgramsDir + ` && for try in "touch new" "rm -rf one" "mv one two" "cp /bin/sh one/bin/say" "chmod 777 one" "chown nobody one" "ln -s x y" "mount -o remount,rw ."; do
	$try 2>/dev/null && echo "$try worked"
done
echo x 2>/dev/null >>one/bin/say && echo "writing worked"; true`
	if got := exec(t, sb, sandbox.Command{Script: script, User: "0"}); got.stdout != "" {
		t.Errorf("root: %s", got.stdout)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("on this machine there is %v, %v", entries, err)
	}
	if body, err := os.ReadFile(filepath.Join(dir, "one", "bin", "say")); err != nil || string(body) != "#!/bin/sh\necho first\n" {
		t.Errorf("the program is %q, %v", body, err)
	}
}

func (s *suite) programsAttached(t *testing.T) {
	sb, dir := s.withPrograms(t)
	again, err := s.another(t).Attach(t.Context(), sb.ID())
	if err != nil {
		t.Fatal(err)
	}
	program(t, dir, "two", "second")
	if got := sh(t, again, sandbox.ProgramsDir+"/one/bin/say; "+sandbox.ProgramsDir+"/two/bin/say"); got != "first\nsecond\n" {
		t.Errorf("got %q", got)
	}
}

func (s *suite) noPrograms(t *testing.T) {
	sb := s.start(t)
	if got := sh(t, sb, "ls -A "+sandbox.ProgramsDir+" 2>/dev/null; true"); got != "" {
		t.Errorf("there is %q", got)
	}
}

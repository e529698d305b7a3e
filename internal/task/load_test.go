package task

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := makeTask(t, map[string]string{
		"task.toml":      "[task]\nname = \"acme/words\"\n[environment]\nbase = 1\n",
		"instruction.md": "<!-- canary GUID 1234 -->\n\nCount.\n",
	})
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Dir != dir || got.Name != "acme/words" || got.ShortName != "words" || got.Instruction != "Count.\n" || !got.HasDockerfile() || got.HasCompose() || got.HostImage() {
		t.Errorf("got %+v", got)
	}
	if len(got.Warnings) != 1 || got.Warnings[0] != (Warning{4, "environment.base", "unknown key, ignored"}) {
		t.Errorf("warnings %v", got.Warnings)
	}
	if got.ContextDir() != filepath.Join(dir, "environment") || got.TestScript() != "test.sh" || got.SolutionScript() != "solve.sh" {
		t.Errorf("paths %s %s %s", got.ContextDir(), got.TestScript(), got.SolutionScript())
	}
}

func TestLoadNamesATaskAfterItsFolder(t *testing.T) {
	t.Parallel()
	dir := makeTask(t, nil)
	for _, path := range []string{dir, dir + "/", dir + "/tests/.."} {
		got, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.Name != "my-task" || got.ShortName != "my-task" {
			t.Errorf("%s: name %q", path, got.Name)
		}
	}
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	steps := "[[steps]]\nname = \"one\"\n"
	tests := []struct {
		name  string
		files map[string]string
		want  []string // the beginnings of all errors; none: the task is valid
	}{
		{"task.toml", map[string]string{"task.toml": "absent"}, []string{"task.toml: is missing: a task is a folder with"}},
		{"a Terminal-Bench 1 task", map[string]string{"task.toml": "absent", "task.yaml": "x"}, []string{"task.toml: is missing; task.yaml is of Terminal-Bench 1"}},
		{"instruction.md", map[string]string{"instruction.md": "absent"}, []string{"instruction.md: is missing"}},
		{"tests/test.sh", map[string]string{"tests/test.sh": "absent"}, []string{"tests/test.sh: is missing"}},
		{"test.bat on windows", map[string]string{"task.toml": "[environment]\nos = \"windows\""}, []string{"tests/test.bat: is missing"}},
		{"no tests with a separate verifier", map[string]string{"tests/test.sh": "absent", "task.toml": "[verifier]\nenvironment_mode = \"separate\""}, nil},
		{"environment/", map[string]string{"environment/Dockerfile": "absent"}, []string{"environment/: is missing"}},
		{"any image", map[string]string{"environment/Dockerfile": "absent", "environment/": ""}, []string{"environment/: has no Dockerfile"}},
		{"a Dockerfile, with docker_image", map[string]string{"environment/Dockerfile": "absent", "environment/": "", "task.toml": "[environment]\ndocker_image = \"x\""}, nil},
		{"a Dockerfile, with the host image", map[string]string{"environment/Dockerfile": "absent", "environment/": "", "task.toml": "[environment.oddish]\nimage = \"host\""}, nil},
		{"a Dockerfile, with compose", map[string]string{"environment/Dockerfile": "absent", "environment/docker-compose.yaml": "x"}, nil},
		{"everything", map[string]string{"environment/Dockerfile": "absent", "instruction.md": "absent", "tests/test.sh": "absent", "task.toml": "[agent]\nuser = 1.5\n"},
			[]string{"task.toml:2:1: agent.user", "environment/: is missing", "instruction.md: is missing", "tests/test.sh: is missing"}},
		{"a step's folder", map[string]string{"task.toml": steps}, []string{"steps/one/: is missing"}},
		{"a step's instruction", map[string]string{"task.toml": steps, "steps/one/x": ""}, []string{"steps/one/instruction.md: is missing"}},
		{"a step's tests", map[string]string{"task.toml": steps, "steps/one/instruction.md": "", "tests/test.sh": "absent"}, []string{"steps/one/tests/test.sh: is missing, and so is tests/test.sh"}},
		{"the root's tests of a step that has its own", map[string]string{"task.toml": steps, "steps/one/instruction.md": "", "steps/one/tests/test.sh": "", "tests/test.sh": "absent"}, nil},
		{"the root's instruction with steps", map[string]string{"task.toml": steps, "steps/one/instruction.md": "", "instruction.md": "absent"}, nil},
		{"text in instruction.md", map[string]string{"instruction.md": "\xff\xfe"}, []string{"instruction.md: is not UTF-8 text"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(makeTask(t, tt.files))
			got := allErrors(err)
			if len(got) != len(tt.want) {
				t.Fatalf("got %q\nwant %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}

func TestLoadUnverifiedNeedsNoTests(t *testing.T) {
	t.Parallel()
	if _, err := LoadUnverified(makeTask(t, map[string]string{"tests/test.sh": "absent"})); err != nil {
		t.Error(err)
	}
}

func TestLoadOfNoFolder(t *testing.T) {
	t.Parallel()
	_, err := Load(filepath.Join(t.TempDir(), "nothing"))
	var e *Error
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
}

func TestLoadRefusesStrangeFiles(t *testing.T) {
	t.Parallel()
	t.Run("a huge task.toml", func(t *testing.T) {
		t.Parallel()
		_, err := Load(makeTask(t, map[string]string{"task.toml": strings.Repeat("# comment\n", 200_000)}))
		if got := allErrors(err); len(got) != 1 || got[0] != "task.toml: is larger than 1 MiB" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a folder as task.toml", func(t *testing.T) {
		t.Parallel()
		_, err := Load(makeTask(t, map[string]string{"task.toml": "absent", "task.toml/": ""}))
		if got := allErrors(err); len(got) != 1 || got[0] != "task.toml: is not a regular file" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a pipe as instruction", func(t *testing.T) {
		t.Parallel()
		dir := makeTask(t, map[string]string{"instruction.md": "absent"})
		if err := syscall.Mkfifo(filepath.Join(dir, "instruction.md"), 0o600); err != nil {
			t.Skip(err)
		}
		if _, err := Load(dir); err == nil {
			t.Error("no error")
		}
	})
}

// Harbor test list #37
func TestStripCanary(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"none", "\n\nDo it.\n", "\n\nDo it.\n"},
		{"an HTML comment", "<!-- harbor-canary GUID x -->\n\n\nDo it.\n", "Do it.\n"},
		{"a hash comment", "# Canary: x\nDo it.\n", "Do it.\n"},
		{"several", "<!-- CANARY -->\n# canary\n\nDo it.\n# canary stays\n", "Do it.\n# canary stays\n"},
		{"indented with a carriage return", "  <!-- canary -->  \r\n\r\nDo it.\r\n", "Do it.\r\n"},
		{"a heading without the word", "# Task\n<!-- canary -->\n", "# Task\n<!-- canary -->\n"},
		{"a comment with text after it", "<!-- canary --> Do it.\n", "<!-- canary --> Do it.\n"},
		{"nothing else", "# canary", ""},
		{"nothing at all", "", ""},
	}
	for _, tt := range tests {
		if got := stripCanary(tt.in); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	tests := []struct {
		toml  string
		files map[string]string
		want  []string
	}{
		{toml: minimal},
		{toml: "artifacts = [\"/app\"]\n[environment]\nnetwork_mode = \"no-network\"\nmemory_mb = 5\ngpus = 0\n[agent]\nnetwork_mode = \"no-network\""},
		{toml: "[[steps]]\nname = \"a\"", files: map[string]string{"steps/a/instruction.md": ""}},
		{toml: "[verifier.environment]\n[[verifier.collect]]\ncommand = \"x\""},
		{toml: "[[verifier.collect]]\ncommand = \"x\"\nservice = \"db\"", want: []string{"[[verifier.collect]] in another service than main without environment/docker-compose.yaml"}},
		{toml: "[verifier.environment]\nos = \"windows\"\ngpus = 1", want: []string{`verifier.environment.os = "windows"`}},
		{toml: "[verifier.environment]", files: map[string]string{"tests/docker-compose.yaml": ""}},
		{
			toml:  "[[steps]]\nname = \"a\"\nartifacts = [{source = \"/a\", service = \"db\"}]\n[steps.agent]\nnetwork_mode = \"allowlist\"\n[steps.verifier.environment]\ntpu = {type = \"a\", topology = \"1\"}",
			files: map[string]string{"steps/a/instruction.md": ""},
			want:  []string{"artifacts of another service than main without environment/docker-compose.yaml", "steps.a.verifier.environment.tpu"},
		},
		{toml: minimal, files: map[string]string{"environment/docker-compose.yaml": ""}},
		{toml: "artifacts = [{source = \"/a\", service = \"db\"}]", files: map[string]string{"environment/docker-compose.yaml": ""}},
		{toml: "[environment]\nos = \"windows\"", files: map[string]string{"tests/test.bat": ""}, want: []string{`environment.os = "windows"`}},
		{toml: "[environment]\ngpus = 1\ntpu = {type = \"a\", topology = \"1\"}", want: []string{"environment.tpu"}},
		{toml: "artifacts = [{source = \"/a\", service = \"db\"}]", want: []string{"artifacts of another service than main without environment/docker-compose.yaml"}},
		{toml: "[environment]\nnetwork_mode = \"allowlist\""},
		{toml: "[agent]\nnetwork_mode = \"no-network\""},
		{toml: "[verifier]\nnetwork_mode = \"allowlist\"\n[environment]\nnetwork_mode = \"no-network\""},
	}
	for _, tt := range tests {
		files := map[string]string{"task.toml": tt.toml}
		for k, v := range tt.files {
			files[k] = v
		}
		task, err := Load(makeTask(t, files))
		if err != nil {
			t.Errorf("%q: %v", tt.toml, err)
			continue
		}
		if got := task.Unsupported(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.toml, got, tt.want)
		}
	}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	good := makeTask(t, nil)
	for _, name := range []string{"b", "a", "Z", ".hidden"} {
		if err := os.CopyFS(filepath.Join(top, name), os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(top, "b"), filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"broken/task.toml": "a = ", "no-toml/instruction.md": "x", "no-toml/environment/Dockerfile": "x",
		"tb1/task.yaml": "x", "tb1/run-tests.sh": "x", "docs/readme.md": "x", "README.md": "x",
		"deep/down/task.toml": minimal,
		"same1/task.toml":     "[task]\nname = \"a/same\"\n", "same1/instruction.md": "x", "same1/environment/Dockerfile": "x", "same1/tests/test.sh": "x",
		"same2/task.toml": "[task]\nname = \"a/same\"\n", "same2/instruction.md": "x", "same2/environment/Dockerfile": "x", "same2/tests/test.sh": "x",
	} {
		writeFile(t, filepath.Join(top, name), content)
	}
	tasks, invalid, err := Discover(top)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, task := range tasks {
		names = append(names, task.Name)
	}
	if got := strings.Join(names, " "); got != "Z a b link a/same" {
		t.Errorf("tasks %s", got)
	}
	var reasons []string
	for _, i := range invalid {
		reasons = append(reasons, filepath.Base(i.Dir)+" "+i.Err.Error())
	}
	for i, want := range []string{
		"broken task.toml:1:", "no-toml task.toml: is missing: a task is", "same2 task.toml: the task is named a/same, as the one in " + filepath.Join(top, "same1"),
		"tb1 task.toml: is missing; task.yaml",
	} {
		if i >= len(reasons) || !strings.HasPrefix(reasons[i], want) {
			t.Errorf("invalid %q, want %q", reasons, want)
		}
	}
	if len(reasons) != 4 {
		t.Errorf("invalid %q", reasons)
	}
}

func TestDiscoverOfOneTask(t *testing.T) {
	t.Parallel()
	tasks, invalid, err := Discover(makeTask(t, nil))
	if err != nil || len(tasks) != 1 || len(invalid) != 0 || tasks[0].Name != "my-task" {
		t.Errorf("got %v, %v, %v", tasks, invalid, err)
	}
	tasks, invalid, err = Discover(makeTask(t, map[string]string{"tests/test.sh": "absent"}))
	if err != nil || len(tasks) != 0 || len(invalid) != 1 {
		t.Errorf("invalid task: got %v, %v, %v", tasks, invalid, err)
	}
	tasks, _, err = DiscoverUnverified(makeTask(t, map[string]string{"tests/test.sh": "absent"}))
	if err != nil || len(tasks) != 1 {
		t.Errorf("unverified: got %v, %v", tasks, err)
	}
}

func TestDiscoverOfNothing(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	_, _, err := Discover(empty)
	want := "no tasks found in " + empty + ": neither it nor a folder in it has task.toml, or instruction.md and environment/"
	if !errors.Is(err, ErrNoTasks) || err.Error() != want {
		t.Errorf("empty folder: %v", err)
	}
	if _, _, err := Discover(filepath.Join(empty, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	writeFile(t, filepath.Join(empty, "file"), "x")
	if _, _, err := Discover(filepath.Join(empty, "file")); err == nil || !strings.Contains(err.Error(), "is a file") {
		t.Errorf("file: %v", err)
	}
}

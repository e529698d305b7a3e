package dataset

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// source is a git repository with tasks.
type source struct {
	t   *testing.T
	dir string
}

func newSource(t *testing.T) *source {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	s := &source{t, t.TempDir()}
	s.git("init", "--quiet", "--initial-branch=main")
	// As on the sites where such repositories are.
	s.git("config", "uploadpack.allowFilter", "true")
	s.git("config", "uploadpack.allowAnySHA1InWant", "true")
	return s
}

func (s *source) git(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", s.dir, "-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (s *source) write(name, text string) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// task writes a task whose instruction is the text.
func (s *source) task(dir, text string) {
	s.t.Helper()
	s.write(dir+"/task.toml", "version = \"1.0\"\n")
	s.write(dir+"/instruction.md", text)
	s.write(dir+"/environment/Dockerfile", "FROM scratch\n")
}

// commit gives its id in full.
func (s *source) commit() string {
	s.t.Helper()
	s.git("add", "-A")
	s.git("commit", "--quiet", "-m", "change")
	return s.git("rev-parse", "HEAD")
}

func (s *source) url() string { return "file://" + s.dir }

func newResolver(t *testing.T) *Resolver {
	t.Helper()
	return &Resolver{
		Cache: t.TempDir(), Client: http.DefaultClient, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Progress: func(line string) { t.Log(line) },
	}
}

// fetched resolves and fetches, and gives the instructions by name.
func fetched(t *testing.T, r *Resolver, ref Ref) map[string]string {
	t.Helper()
	set, err := r.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return instructions(t, r, set.Tasks)
}

func instructions(t *testing.T, r *Resolver, items []Item) map[string]string {
	t.Helper()
	list, err := r.Fetch(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range list {
		data, err := os.ReadFile(filepath.Join(f.Dir, "instruction.md"))
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(f.Dir)] = string(data)
	}
	return got
}

func want(t *testing.T, got map[string]string, pairs ...string) {
	t.Helper()
	if len(got) != len(pairs)/2 {
		t.Errorf("got %v, want %v", got, pairs)
	}
	for i := 0; i < len(pairs); i += 2 {
		if got[pairs[i]] != pairs[i+1] {
			t.Errorf("%s is %q, want %q", pairs[i], got[pairs[i]], pairs[i+1])
		}
	}
}

// registryOf writes a registry with two versions of one data set, whose tasks are at the commits.
func registryOf(t *testing.T, url string, old, latest string) string {
	t.Helper()
	text := fmt.Sprintf(`[
		{"name": "words", "version": "1.0", "description": "", "tasks": [{"name": "a", "git_url": %[1]q, "git_commit_id": %[2]q, "path": "tasks/a"}]},
		{"name": "words", "version": "1.10", "description": "", "metrics": [{"type": "max"}],
		 "tasks": [{"name": "org/a", "git_url": %[1]q, "git_commit_id": %[3]q, "path": "tasks/a"}, {"git_url": %[1]q, "git_commit_id": %[3]q, "path": "tasks/b"}]},
		{"name": "words", "version": "1.9", "description": "", "tasks": [{"name": "a", "path": "tasks/a"}]}
	]`, url, old, latest)
	file := filepath.Join(t.TempDir(), registryFile)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// Harbor test list #39
func TestADataSetOfARegistryIsFetchedAtItsCommits(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	s.task("tasks/a", "old a")
	old := s.commit()
	s.task("tasks/a", "new a")
	s.task("tasks/b", "b")
	s.write("big/file", strings.Repeat("x", 1<<20))
	latest := s.commit()
	r := newResolver(t)
	registry := registryOf(t, s.url(), old, latest)

	want(t, fetched(t, r, Ref{Name: "words", Version: "1.0", Registry: registry}), "a", "old a")
	want(t, fetched(t, r, Ref{Name: "words", Registry: filepath.Dir(registry)}), "a", "new a", "b", "b")
	set, err := r.Resolve(t.Context(), Ref{Name: "words", Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	if set.Label() != "words@1.10" || len(set.Metrics) != 1 || set.Metrics[0].Type != "max" {
		t.Errorf("it is %s with metrics %v", set.Label(), set.Metrics)
	}
	if _, err := os.Stat(filepath.Join(r.cached("repos", s.url()), "big")); err == nil {
		t.Error("what no task asked for was checked out")
	}
	// From the cache, since nothing else is left.
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	want(t, instructions(t, r, set.Tasks), "a", "new a", "b", "b")
}

func TestWhatARegistryDoesNotHaveIsSaid(t *testing.T) {
	t.Parallel()
	r := newResolver(t)
	registry := registryOf(t, "https://example.invalid/x.git", strings.Repeat("1", 40), strings.Repeat("2", 40))
	for _, c := range []struct {
		ref  Ref
		says string
	}{
		{Ref{Name: "word", Registry: registry}, "did you mean words?"},
		{Ref{Name: "words", Version: "2.0", Registry: registry}, "only 1.0, 1.10, 1.9"},
	} {
		if _, err := r.Resolve(t.Context(), c.ref); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v gives %v, want one that says %q", c.ref, err, c.says)
		}
	}
	if _, err := r.Resolve(t.Context(), Ref{Name: "x", Registry: filepath.Join(t.TempDir(), "none.json")}); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("a registry that is not there gives %v", err)
	}
}

func TestTasksOfALocalRegistryLieBesideIt(t *testing.T) {
	t.Parallel()
	r := newResolver(t)
	registry := registryOf(t, "https://example.invalid/x.git", "", "")
	set, err := r.Resolve(t.Context(), Ref{Name: "words", Version: "1.9", Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	if wanted := filepath.Join(filepath.Dir(registry), "tasks/a"); set.Tasks[0].Path != wanted || set.Tasks[0].URL != "" {
		t.Errorf("the task is %+v, want it in %s", set.Tasks[0], wanted)
	}
}

func TestARegistryFromElsewhereCannotNameFilesOfThisMachine(t *testing.T) {
	t.Parallel()
	for _, task := range []string{
		`{"name": "a", "path": "/etc"}`,
		`{"name": "a", "git_url": "file:///root/secret", "path": "a"}`,
		`{"name": "a", "git_url": "/root/secret", "path": "a"}`,
		`{"name": "a", "git_url": "--upload-pack=touch /tmp/x", "path": "a"}`,
		`{"name": "a", "git_url": "ext::sh -c touch% /tmp/x", "path": "a"}`,
		`{"name": "a", "git_url": "https://example.org/x.git", "path": "../../a"}`,
		`{"name": "a", "git_url": "https://example.org/x.git", "git_commit_id": "--output=/tmp/x", "path": "a"}`,
	} {
		list, err := readRegistry([]byte(`[{"name": "x", "tasks": [` + task + `]}]`))
		if err != nil {
			t.Fatal(err)
		}
		if set, err := list[0].set(origin{}); err == nil {
			t.Errorf("%s gives %+v", task, set)
		}
	}
}

func TestARegistryIsAskedForAgainOnlyIfItChangedAndServesWhenItsServerIsGone(t *testing.T) {
	t.Parallel()
	var whole, unchanged atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("If-None-Match") == `"1"` {
			unchanged.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		whole.Add(1)
		w.Header().Set("ETag", `"1"`)
		fmt.Fprint(w, `[{"name": "x", "version": "1", "tasks": [{"name": "a", "git_url": "https://example.org/x.git", "path": "a"}]}]`)
	}))
	r := newResolver(t)
	r.Registry = server.URL + "/registry.json"
	for range 2 {
		if _, err := r.Resolve(t.Context(), Ref{Name: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if whole.Load() != 1 || unchanged.Load() != 1 {
		t.Errorf("it was sent %d times and said to be unchanged %d times", whole.Load(), unchanged.Load())
	}
	server.Close()
	if _, err := r.Resolve(t.Context(), Ref{Name: "x"}); err != nil {
		t.Error(err)
	}
	r.Registry = server.URL + "/other.json"
	if _, err := r.Resolve(t.Context(), Ref{Name: "x"}); err == nil || !strings.Contains(err.Error(), "get the registry") {
		t.Errorf("a registry that cannot be reached gives %v", err)
	}
}

func TestARepositoryWithoutARegistryIsADataSetOfAllItsTasks(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	s.task("tasks/deep/a", "a")
	s.task("tasks/b", "b")
	s.task("other/c", "c")
	s.write("tasks/no-task/task.toml", "")
	tagged := s.commit()
	s.git("tag", "-a", "v1", "-m", "one")
	s.task("tasks/b", "newer b")
	s.commit()
	r := newResolver(t)
	want(t, fetched(t, r, Ref{Repo: s.url(), Path: "tasks"}), "a", "a", "b", "newer b")
	want(t, fetched(t, r, Ref{Repo: s.url(), RepoRef: "v1", Path: "tasks/"}), "a", "a", "b", "b")
	want(t, fetched(t, r, Ref{Repo: s.url(), RepoRef: tagged}), "a", "a", "b", "b", "c", "c")
	set, err := r.Resolve(t.Context(), Ref{Repo: s.url(), RepoRef: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	if set.Tasks[0].Commit != tagged {
		t.Errorf("the tasks are at %s, want the tag's commit %s", set.Tasks[0].Commit, tagged)
	}
	for ref, says := range map[Ref]string{
		{Repo: s.url(), RepoRef: "v2"}:     `no branch or tag "v2"`,
		{Repo: s.url(), Path: "none"}:      "no task below none",
		{Repo: s.url(), Path: "../x"}:      "leaves the repository",
		{Repo: s.url(), Name: "words"}:     "has no registry",
		{Repo: "file://" + t.TempDir()}:    "does not appear to be a git repository",
		{Repo: s.url(), RepoRef: "abc123"}: "in full",
	} {
		if _, err := r.Resolve(t.Context(), ref); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v gives %v, want one that says %q", ref, err, says)
		}
	}
}

func TestARegistryInARepositoryMeansItsOwnTasksAtTheSameCommit(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	s.task("tasks/a", "a")
	s.write(registryFile, `[{"name": "mine", "version": "head", "tasks": [{"name": "a", "path": "tasks/a"}]}]`)
	s.commit()
	s.git("tag", "v1")
	s.task("tasks/a", "newer a")
	s.commit()
	r := newResolver(t)
	want(t, fetched(t, r, Ref{Repo: s.url(), RepoRef: "v1", Name: "mine"}), "a", "a")
}

func TestAServerThatGivesNoCommitByItsIdIsAskedForEverything(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	s.task("a", "a")
	old := s.commit()
	s.task("a", "newer")
	s.commit()
	s.git("config", "uploadpack.allowAnySHA1InWant", "false")
	s.git("config", "uploadpack.allowFilter", "false")
	r := newResolver(t)
	want(t, instructions(t, r, []Item{{Name: "a", URL: s.url(), Commit: old, Path: "a"}}), "a", "a")
	if _, err := r.Fetch(t.Context(), []Item{{Name: "a", URL: s.url(), Commit: strings.Repeat("1", 40), Path: "a"}}); err == nil || !strings.Contains(err.Error(), "has no commit 1111") {
		t.Errorf("a commit that there is not gives %v", err)
	}
}

func TestATaskWithoutACommitIsFetchedAtTheNewest(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	s.task("a", "a")
	s.commit()
	r := newResolver(t)
	items := []Item{{Name: "a", URL: s.url(), Path: "a"}}
	want(t, instructions(t, r, items), "a", "a")
	s.task("a", "newer")
	latest := s.commit()
	want(t, instructions(t, r, items), "a", "newer")
	list, err := r.Fetch(t.Context(), items)
	if err != nil || list[0].Commit != latest {
		t.Errorf("it says %+v, %v; want commit %s", list, err, latest)
	}
}

func TestManyCommandsFetchAtOnce(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	for i := range 5 {
		s.task(fmt.Sprintf("t%d", i), fmt.Sprint(i))
	}
	commit := s.commit()
	cache := t.TempDir()
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			r := &Resolver{Cache: cache, Log: slog.New(slog.DiscardHandler)}
			var items []Item
			for j := range 5 {
				name := fmt.Sprintf("t%d", (i+j)%5)
				items = append(items, Item{Name: name, URL: s.url(), Commit: commit, Path: name})
			}
			list, err := r.Fetch(t.Context(), items)
			if err != nil {
				t.Error(err)
			}
			for _, f := range list {
				if _, err := os.Stat(filepath.Join(f.Dir, "environment/Dockerfile")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestACloneInDisorderIsMadeAnew(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	s.task("a", "a")
	first := s.commit()
	r := newResolver(t)
	want(t, instructions(t, r, []Item{{Name: "a", URL: s.url(), Commit: first, Path: "a"}}), "a", "a")
	s.task("a", "newer")
	second := s.commit()
	// What a command leaves that was killed in the middle.
	for _, file := range []string{"index.lock", "shallow.lock"} {
		if err := os.WriteFile(filepath.Join(r.cached("repos", s.url()), ".git", file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want(t, instructions(t, r, []Item{{Name: "a", URL: s.url(), Commit: second, Path: "a"}}), "a", "newer")
}

func TestAFetchThatIsInterruptedLeavesNoHalfTask(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	s.task("a", "a")
	commit := s.commit()
	r := newResolver(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	items := []Item{{Name: "a", URL: s.url(), Commit: commit, Path: "a"}}
	if _, err := r.Fetch(ctx, items); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if found, _ := filepath.Glob(filepath.Join(r.Cache, "tasks", "*", "*")); len(found) > 0 {
		t.Errorf("there is %v", found)
	}
	want(t, instructions(t, r, items), "a", "a")
}

func TestAPointerOfGitLFSIsNotTakenForTheFile(t *testing.T) {
	t.Parallel()
	if exec.Command("git", "lfs", "version").Run() == nil {
		t.Skip("git-lfs is installed here, and would ask the server")
	}
	s := newSource(t)
	s.task("a", "a")
	s.write("a/environment/data.bin", pointerStart+"oid sha256:"+strings.Repeat("0", 64)+"\nsize 12345\n")
	commit := s.commit()
	r := newResolver(t)
	_, err := r.Fetch(t.Context(), []Item{{Name: "a", URL: s.url(), Commit: commit, Path: "a"}})
	if err == nil || !strings.Contains(err.Error(), "a/environment/data.bin") || !strings.Contains(err.Error(), "install git-lfs") {
		t.Errorf("it ended with %v", err)
	}
}

func TestTwoTasksOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	_, err := newResolver(t).Fetch(t.Context(), []Item{{Name: "x/a", Path: "/one"}, {Name: "a", Path: "/two"}})
	if err == nil || !strings.Contains(err.Error(), "two tasks are named a") {
		t.Errorf("it ended with %v", err)
	}
}

// Harbor test list #38
func TestTasksAreChosenByNameInTheirOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter Filter
		want   string
	}{
		{Filter{}, "net-1 org/net-2 net-gpu file"},
		{Filter{Include: []string{"net-*"}}, "net-1 org/net-2 net-gpu"},
		{Filter{Include: []string{"net-*"}, Exclude: []string{"*-gpu"}}, "net-1 org/net-2"},
		{Filter{Include: []string{"org/*", "file"}}, "org/net-2 file"},
		{Filter{Exclude: []string{"net-1"}, Limit: 2}, "org/net-2 net-gpu"},
	} {
		set := &Set{Name: "s", Tasks: []Item{{Name: "net-1"}, {Name: "org/net-2"}, {Name: "net-gpu"}, {Name: "file"}}}
		if err := set.Select(c.filter); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, i := range set.Tasks {
			names = append(names, i.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v chooses %s, want %s", c.filter, got, c.want)
		}
	}
	set := &Set{Name: "s", Version: "2", Tasks: []Item{{Name: "net-1"}}}
	if err := set.Select(Filter{Include: []string{"web-*"}}); !errors.Is(err, ErrNoMatch) || !strings.Contains(err.Error(), "s@2, which has 1, such as net-1") {
		t.Errorf("nothing chosen gives %v", err)
	}
}

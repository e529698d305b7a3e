package dataset

import "testing"

func TestDataSetsAreNamedAsUsersWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Ref{
		"terminal-bench@2.0":               {Name: "terminal-bench", Version: "2.0"},
		"hello-world":                      {Name: "hello-world"},
		"./registry.json#mine":             {Name: "mine", Registry: "./registry.json"},
		"https://example.org/r.json#m@1.0": {Name: "m", Version: "1.0", Registry: "https://example.org/r.json"},
	} {
		if got, err := ParseName(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "@1", "x@", "#x", "file#", "org/name@latest"} {
		if got, err := ParseName(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestRepositoriesAreNamedAsUsersWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"org/tasks":                             {"https://github.com/org/tasks", ""},
		"org/tasks@v2":                          {"https://github.com/org/tasks", "v2"},
		"https://example.org/tasks.git@v2":      {"https://example.org/tasks.git", "v2"},
		"https://user@example.org/tasks":        {"https://user@example.org/tasks", ""},
		"git@example.org:org/tasks.git":         {"git@example.org:org/tasks.git", ""},
		"git@example.org:org/tasks.git@main":    {"git@example.org:org/tasks.git", "main"},
		"ssh://git@example.org/org/tasks":       {"ssh://git@example.org/org/tasks", ""},
		"file:///srv/tasks@abc":                 {"file:///srv/tasks", "abc"},
		"../tasks":                              {"../tasks", ""},
		"https://example.org/a/tasks@feature-1": {"https://example.org/a/tasks", "feature-1"},
	} {
		repo, ref, err := ParseRepo(text)
		if err != nil || repo != want[0] || ref != want[1] {
			t.Errorf("%s is %q at %q, %v; want %q", text, repo, ref, err, want)
		}
	}
	for _, text := range []string{"", "tasks", "--upload-pack=x/y", "ext::sh -c x/y", "ftp://example.org/x", "org/x@", "org/x@-v"} {
		if repo, ref, err := ParseRepo(text); err == nil {
			t.Errorf("%q is %q at %q", text, repo, ref)
		}
	}
}

package dataset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheManifestOfADataSetIsRead(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("ab", 32)
	dir := t.TempDir()
	if m, err := ReadManifest(dir); m != nil || err != nil {
		t.Errorf("a folder without one gives %v, %v", m, err)
	}
	text := `# kept
schema_version = "1.0"
[dataset]
name = "acme/words"
version = "2"
authors = [{name = "A", email = "a@example.org"}]
[[tasks]]
name = "acme/a"
digest = "sha256:` + digest + `"
[[files]]
path = "metric.py"
`
	if err := os.WriteFile(filepath.Join(dir, ManifestFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, has := m.Files["metric.py"]; m.Name != "acme/words" || m.Version != "2" || m.Digests["acme/a"] != digest || !has {
		t.Errorf("it is %+v", m)
	}
}

func TestAManifestThatIsWrongIsRefusedWithThePlace(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"[dataset]\nname = 3":         "line 2",
		"[dataset]\nname = \"words\"": "want ORG/NAME",
		"[dataset]\nname = \"a/b\"\n[[tasks]]\nname = \"a/c\"\ndigest = \"md5:1\"": "tasks[0].digest",
		"[dataset]\nname = \"a/b\"\n[[tasks]]\nname = \"c\"":                       "tasks[0].name",
		"[dataset]\nname = \"a/b\"\n[[files]]\npath = \"../x\"":                    "files[0].path",
	} {
		if _, err := parseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q gives %v, want one that says %q", text, err, says)
		}
	}
}

func FuzzReaders(f *testing.F) {
	f.Add([]byte(`[{"name": "x", "version": "1", "tasks": [{"name": "a", "git_url": "https://example.org/x.git", "path": "a"}]}]`))
	f.Add([]byte("[dataset]\nname = \"a/b\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if list, err := readRegistry(data); err == nil {
			for i := range list {
				if set, err := list[i].set(origin{}); err == nil {
					for _, item := range set.Tasks {
						if item.URL == "" || strings.HasPrefix(item.Path, "..") || filepath.IsAbs(item.Path) || strings.HasPrefix(item.URL, "-") {
							t.Errorf("%+v came through", item)
						}
					}
				}
			}
		}
		if m, err := parseManifest(data); err == nil && m.Name == "" {
			t.Error("a manifest without a name")
		}
	})
}

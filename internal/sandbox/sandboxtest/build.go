package sandboxtest

import (
	"embed"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"oddish/internal/image"
	"oddish/internal/sandbox"
)

// dockerfiles are Dockerfiles as tasks have them, each with its files and a script that looks, in a sandbox of the image, whether all is as it should be.
//
//go:embed dockerfiles
var dockerfiles embed.FS

// needsBuildKit begins the names of those in BuildKit's extension of the language.
const needsBuildKit = "buildkit-"

// buildCases are a case for each Dockerfile.
func (s *suite) buildCases() map[string]func(*testing.T) {
	entries, err := dockerfiles.ReadDir("dockerfiles")
	if err != nil || !s.Builds {
		return nil
	}
	cases := map[string]func(*testing.T){}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		if s.NoBuildKit && strings.HasPrefix(name, needsBuildKit) {
			continue
		}
		cases[name] = func(t *testing.T) { s.dockerfile(t, e.Name()) }
	}
	return cases
}

func (s *suite) dockerfile(t *testing.T, name string) {
	data, err := dockerfiles.ReadFile("dockerfiles/" + name)
	if err != nil {
		t.Fatal(err)
	}
	dir, check := t.TempDir(), ""
	for _, f := range txtar.Parse(data).Files {
		if f.Name == "check.sh" {
			check = string(f.Data)
			continue
		}
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sb := s.start(t, func(spec *sandbox.Spec) {
		spec.Image = sandbox.Image{Context: dir, Digest: strings.TrimPrefix(image.Digest(string(data)), "sha256:")}
	})
	if r := exec(t, sb, sandbox.Command{Script: "set -x\n" + check}); r.code != 0 {
		t.Errorf("the image is not as it should be: status %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

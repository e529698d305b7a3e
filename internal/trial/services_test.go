package trial

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/api"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// composed is local with one more folder for the service db of each sandbox.
type composed struct {
	*local
	specs chan sandbox.Spec
}

func newComposed(t *testing.T) *composed {
	l := newLocal(t)
	l.caps.Compose = true
	return &composed{l, make(chan sandbox.Spec, 2)}
}

func (c *composed) Start(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	c.specs <- s
	main, err := c.local.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	db, err := c.local.Start(ctx, sandbox.Spec{})
	return &composedBox{main.(*localBox), db}, err
}

type composedBox struct {
	*localBox
	db sandbox.Sandbox
}

var _ sandbox.Services = (*composedBox)(nil)

func (b *composedBox) Services(context.Context) ([]string, error) { return []string{"db", "main"}, nil }

func (b *composedBox) Service(_ context.Context, name string) (sandbox.Sandbox, error) {
	if name != "db" {
		return nil, sandbox.ErrNotFound
	}
	return b.db, nil
}

func (b *composedBox) ServiceLog(_ context.Context, name string, to io.Writer) error {
	if name == "db" {
		_, err := io.WriteString(to, "db was here\n")
		return err
	}
	return nil
}

// composeTask has the service db, of which a file is collected.
func composeTask(t *testing.T, changes map[string]string) string {
	t.Helper()
	files := map[string]string{
		"task.toml": `artifacts = [{source = "/app/dump", destination = "dump.txt", service = "db"}, {source = "/app/x", service = "gone"}]
[environment.env]
WORD = "hello"
[[verifier.collect]]
command = "echo dumped >/app/dump"
service = "db"
`,
		"environment/docker-compose.yaml": "services:\n  db: {image: \"${WORD}${GIVEN}${HELD}\"}\n",
	}
	maps.Copy(files, changes)
	return writeTask(t, files)
}

// verifierServices is a task with services for its verifier alone; environment stands in [verifier.environment].
func verifierServices(environment string) map[string]string {
	return map[string]string{
		"environment/docker-compose.yaml": "", "task.toml": taskFiles(nil)["task.toml"] + "[verifier.environment]\n" + environment,
		"tests/docker-compose.yaml": "services: {db: {image: x}}\n",
	}
}

// Harbor test list #31
func TestWhatServicesLeaveIsCollected(t *testing.T) {
	t.Parallel()
	p := newComposed(t)
	c := config(t, p, composeTask(t, nil))
	c.Getenv = func(name string) (string, bool) { return "value", name == "GIVEN" }
	o := Run(t.Context(), c)
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	if got := readFile(t, o, "artifacts/dump.txt"); got != "dumped\n" {
		t.Errorf("the artifact is %q", got)
	}
	if got := readFile(t, o, "services/db.log"); got != "db was here\n" {
		t.Errorf("the log is %q", got)
	}
	if exists(o, "services/main.log") {
		t.Error("a service that said nothing has a log")
	}
	var manifest []manifestEntry
	if err := json.Unmarshal([]byte(readFile(t, o, "artifacts/manifest.json")), &manifest); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ service, status string }{{"", statusEmpty}, {"db", statusOK}, {"gone", statusFailed}} {
		service := ""
		if s := manifest[i].Service; s != nil {
			service = *s
		}
		if service != want.service || manifest[i].Status != want.status {
			t.Errorf("entry %d is %+v of %q, want %+v", i, manifest[i], service, want)
		}
	}
	spec := <-p.specs
	if got := spec.Compose.Env; len(got) != 2 || got["WORD"] != "hello" || got["GIVEN"] != "value" {
		t.Errorf("the compose file sees %v", got)
	}
	if want := filepath.Join(c.TaskDir, "environment"); spec.Compose.Dir != want || spec.Image.Context != want || spec.Compose.Digest == "" {
		t.Errorf("spec %+v, %+v", spec.Compose, spec.Image)
	}
	if log := readFile(t, o, "trial.log"); !strings.Contains(log, "HELD") {
		t.Errorf("the log does not tell of the variable that is not set: %s", log)
	}
}

func TestComposeFilesOfTheRunAreLaidOverTheTasks(t *testing.T) {
	t.Parallel()
	const first, second = "services: {cache: {image: \"${GIVEN}${WORD}\"}}\n", "services: {db: {image: y}}\n"
	for name, tt := range map[string]struct {
		changes map[string]string
		own     int // compose files of the task
		env     int // variables
	}{
		"that have one":    {nil, 1, 2},
		"that have none":   {map[string]string{"environment/docker-compose.yaml": "", "task.toml": taskFiles(nil)["task.toml"]}, 0, 1},
		"that have images": {map[string]string{"environment/docker-compose.yaml": "", "environment/Dockerfile": "", "environment/data": "x", "task.toml": "[environment]\ndocker_image = \"i\"\n"}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newComposed(t)
			c := config(t, p, composeTask(t, tt.changes))
			c.Getenv = func(name string) (string, bool) { return "value", name == "GIVEN" }
			c.Spec.Harbor.Environment = &api.EnvironmentConfig{ExtraCompose: []api.ComposeFile{{Name: "a.yaml", Text: first}, {Name: "b.yaml", Text: second}}}
			c.Spec.Harbor.Artifacts = []api.Artifact{{Source: "/app", Destination: "more", Service: "db"}}
			o := Run(t.Context(), c)
			wantFinish(t, o.Finish, api.StatusSuccess, "", "")
			spec := <-p.specs
			got := spec.Compose
			if got == nil || len(got.Files) != tt.own+2 || len(got.Env) != tt.env || got.Env["GIVEN"] != "value" || got.Dir != filepath.Join(c.TaskDir, "environment") {
				t.Fatalf("compose is %+v", got)
			}
			for i, want := range []string{first, second} {
				if data, err := os.ReadFile(got.Files[tt.own+i]); err != nil || string(data) != want {
					t.Errorf("file %d is %q, %v", i, data, err)
				}
			}
			if text := readFile(t, o, "config.json"); !strings.Contains(text, "\"a.yaml\",\n") {
				t.Errorf("config.json does not name the files: %s", text)
			}
			if text := readFile(t, o, "lock.json"); !strings.Contains(text, fmt.Sprintf("%x", sha256.Sum256([]byte(first)))) {
				t.Errorf("lock.json does not tell their digests: %s", text)
			}
			if _, err := os.Stat(p.boxes[0].host("/app/data")); (err == nil) != (spec.Image.Reference != "") {
				t.Errorf("files of environment/ in the sandbox: %v", err)
			}
		})
	}
}

func TestASeparateVerifierHasServicesOfItsOwn(t *testing.T) {
	t.Parallel()
	p := newComposed(t)
	dir := writeTask(t, map[string]string{
		"task.toml":                 taskFiles(nil)["task.toml"] + "[verifier.environment]\nworkdir = \"/app\"\nenv = {WORD = \"hello\"}\n",
		"tests/Dockerfile":          "FROM scratch\n",
		"tests/docker-compose.yaml": "services:\n  db: {image: \"${WORD}${GIVEN}${HELD}\"}\n",
		"solution/solve.sh!":        "#!/bin/bash\necho made >/logs/artifacts/made\n",
	})
	c := config(t, p, dir)
	c.Getenv = func(name string) (string, bool) { return "value", name == "GIVEN" }
	o := Run(t.Context(), c)
	wantFinish(t, o.Finish, api.StatusFailed, result.FileNotFoundError, api.ClassPermanent) // its image brings no tests here
	agents, verifiers := <-p.specs, <-p.specs
	if agents.Compose != nil {
		t.Errorf("the agent's sandbox has %+v", agents.Compose)
	}
	want := filepath.Join(dir, "tests")
	got := verifiers.Compose
	if got == nil || got.Dir != want || len(got.Files) != 1 || got.Files[0] != filepath.Join(want, "docker-compose.yaml") || got.Digest == "" || verifiers.Image.Context != want {
		t.Fatalf("the verifier's sandbox is %+v of %+v", got, verifiers.Image)
	}
	if len(got.Env) != 2 || got.Env["WORD"] != "hello" || got.Env["GIVEN"] != "value" {
		t.Errorf("its compose file sees %v", got.Env)
	}
	if text := readFile(t, o, "verifier/services/db.log"); text != "db was here\n" {
		t.Errorf("the log of its service is %q", text)
	}
}

func TestServicesAreRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		able    bool
		changes map[string]string
		want    string
		extra   string // a compose file of the run
	}{
		"where the sandbox has none":                {false, nil, "use --env docker", ""},
		"of a verifier, where the sandbox has none": {false, verifierServices(""), "the separate verifier has tests/docker-compose.yaml: use --env docker", ""},
		"of a verifier, in a file that is broken":   {true, map[string]string{"environment/docker-compose.yaml": "", "task.toml": taskFiles(nil)["task.toml"] + "[verifier.environment]\n", "tests/docker-compose.yaml": "services: [\n"}, "tests/docker-compose.yaml", ""},
		"with a file that is broken":                {true, map[string]string{"environment/docker-compose.yaml": "services: [\n"}, "docker-compose.yaml", ""},
		"of the run, where the sandbox has none":    {false, map[string]string{"environment/docker-compose.yaml": "", "task.toml": taskFiles(nil)["task.toml"]}, "the run brings a compose file: use --env docker", "services: {}"},
		"of the run, in a file that is broken":      {true, nil, "extra compose file x.yaml", "services: ["},
		"of the run, in a file that reads others":   {true, nil, "services.db.env_file secrets.env", "services: {db: {env_file: secrets.env}}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newComposed(t)
			p.caps.Compose = tt.able
			c := config(t, p, composeTask(t, tt.changes))
			if tt.extra != "" {
				c.Spec.Harbor.Environment = &api.EnvironmentConfig{ExtraCompose: []api.ComposeFile{{Name: "x.yaml", Text: tt.extra}}}
			}
			o := Run(t.Context(), c)
			if o.Finish.ErrorMessage == "" || !strings.Contains(o.Finish.ErrorMessage, tt.want) || len(p.boxes) > 0 {
				t.Errorf("error %q, %d sandboxes", o.Finish.ErrorMessage, len(p.boxes))
			}
			if o.Finish.ErrorType != result.UnsupportedTaskError && o.Finish.ErrorType != result.ValueError {
				t.Errorf("error type %s", o.Finish.ErrorType)
			}
		})
	}
}

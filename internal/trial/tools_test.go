package trial

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/tarball"
	"oddish/internal/task"
)

func TestToolServersOfTheRunComeBesideTheTasks(t *testing.T) {
	t.Parallel()
	ofTask := []task.MCPServer{{Name: "a", Transport: "sse", URL: "http://task"}, {Name: "b", Transport: "stdio", Command: "b"}}
	given := []api.MCPServer{{Name: "a", Transport: "stdio", Command: "mine", Args: []string{"x"}}}
	want := []agent.MCPServer{{Name: "b", Transport: "stdio", Command: "b"}, {Name: "a", Transport: "stdio", Command: "mine", Args: []string{"x"}}}
	if got := mcpServers(ofTask, given); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// skill packs a skill with that text.
func skill(t *testing.T, name, text string) api.Skill {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "SKILL.md"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if err := tarball.Pack(z, dir, tarball.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return api.Skill{Name: name, Archive: packed.Bytes()}
}

func TestSkillsOfTheRunAreInTheSandboxBeforeTheAgent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		toml  string
		skill api.Skill
		dir   string
		want  string // name of the error
	}{
		"a task without skills":   {"", skill(t, "first", "Do it."), "/harbor/skills", ""},
		"a task with its own":     {"skills_dir = \"/task/skills\"\n", skill(t, "first", "Do it."), "/task/skills", ""},
		"a task that says it odd": {"skills_dir = \"skills\"\n", skill(t, "first", "Do it."), "", result.ValueError},
		"no archive":              {"", api.Skill{Name: "first", Archive: []byte("x")}, "", result.ValueError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf, _ := faked(t, nil)
			conf.TaskDir = writeTask(t, map[string]string{"task.toml": "[environment]\nworkdir = \"/app\"\n" + c.toml + "[environment.oddish]\nimage = \"host\"\n"})
			conf.Spec.Agent, conf.Spec.AgentConfig.Skills = "caller", []api.Skill{c.skill}
			r := newRun(conf)
			r.newAgent = func(string, agent.Options) (agent.Agent, error) {
				return caller{run: func(env agent.Env) error {
					if env.Skills != c.dir {
						t.Errorf("skills are in %q", env.Skills)
					}
					var tar bytes.Buffer
					if err := env.Box.Download(t.Context(), c.dir+"/first/SKILL.md", &tar); err != nil || !bytes.Contains(tar.Bytes(), []byte("Do it.")) {
						t.Errorf("the skill is %q, %v", tar.String(), err)
					}
					return nil
				}}, nil
			}
			if o := r.run(t.Context()); o.Finish.ErrorType != c.want {
				t.Errorf("finish is %+v", o.Finish)
			}
		})
	}
}

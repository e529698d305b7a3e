package compose

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/sandbox"
)

// folder is a task's environment/ with some files in it.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestVetRefusesWhatReachesBeyondTheSandbox(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"data/x": "", "db/Dockerfile": "FROM scratch"})
	if err := os.Symlink("/etc", filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		project string
		want    string // empty: it is taken
	}{
		"an ordinary service":           {`{"services": {"db": {"image": "x", "command": ["a"], "x-note": "n", "cap_add": ["SYS_PTRACE"], "volumes": [{"type": "volume", "source": "v"}]}}}`, ""},
		"a folder of the task":          {`{"services": {"db": {"volumes": [{"type": "bind", "source": "DIR/data"}]}}}`, ""},
		"a build in the task":           {`{"services": {"db": {"build": {"context": "DIR/db", "dockerfile": "Dockerfile"}}}}`, ""},
		"the namespace of a service":    {`{"services": {"db": {"network_mode": "service:main", "pid": "service:main"}}}`, ""},
		"a folder of the machine":       {`{"services": {"db": {"volumes": [{"type": "bind", "source": "/etc"}]}}}`, "services.db.volumes /etc, which is not in the folder of the compose file"},
		"a link out of the task":        {`{"services": {"db": {"volumes": [{"type": "bind", "source": "DIR/etc"}]}}}`, "is not in the folder of the compose file"},
		"a parent of the task":          {`{"services": {"db": {"volumes": [{"type": "bind", "source": "DIR/.."}]}}}`, "is not in the folder of the compose file"},
		"a named pipe":                  {`{"services": {"db": {"volumes": [{"type": "npipe", "source": "p"}]}}}`, "services.db.volumes of type npipe"},
		"privileges":                    {`{"services": {"db": {"privileged": true}}}`, "services.db.privileged"},
		"devices":                       {`{"services": {"db": {"devices": [{"source": "/dev/kvm"}]}}}`, "services.db.devices"},
		"a key that is not known":       {`{"services": {"db": {"use_api_socket": true}}}`, "services.db.use_api_socket"},
		"a program of the machine":      {`{"services": {"db": {"provider": {"type": "x"}}}}`, "services.db.provider"},
		"the machine's network":         {`{"services": {"db": {"network_mode": "host"}}}`, "services.db.network_mode: host"},
		"another container's namespace": {`{"services": {"db": {"pid": "container:x"}}}`, "services.db.pid: container:x"},
		"a capability":                  {`{"services": {"db": {"cap_add": ["NET_ADMIN", "CAP_SYS_ADMIN"]}}}`, "services.db.cap_add: CAP_SYS_ADMIN\nservices.db.cap_add: NET_ADMIN"},
		"no seccomp":                    {`{"services": {"db": {"security_opt": ["seccomp:unconfined"]}}}`, "services.db.security_opt: seccomp:unconfined"},
		"a graphics card":               {`{"services": {"db": {"deploy": {"resources": {"reservations": {"devices": [{}]}}}}}}`, "services.db.deploy.resources.reservations.devices"},
		"a privileged hook":             {`{"services": {"db": {"post_start": [{"command": ["x"], "privileged": true}]}}}`, "services.db.post_start.privileged"},
		"a build elsewhere":             {`{"services": {"db": {"build": {"context": "/"}}}}`, "services.db.build.context /"},
		"keys for a build":              {`{"services": {"db": {"build": {"context": "DIR/db", "ssh": ["default"]}}}}`, "services.db.build.ssh"},
		"another's network":             {`{"services": {}, "networks": {"n": {"external": true}}}`, "networks.n.external"},
		"a network that is no bridge":   {`{"services": {}, "networks": {"n": {"driver": "macvlan"}}}`, "networks.n.driver: macvlan"},
		"a volume of a folder":          {`{"services": {}, "volumes": {"v": {"driver_opts": {"o": "bind"}}}}`, "volumes.v.driver_opts"},
		"a secret of the machine":       {`{"services": {}, "secrets": {"s": {"file": "/etc/hostname"}}}`, "secrets.s.file /etc/hostname"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := parse([]byte(strings.ReplaceAll(tt.project, "DIR", dir)))
			if err != nil {
				t.Fatal(err)
			}
			err = p.Vet(dir)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.Is(err, sandbox.ErrUnsupported) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestVetTellsWhatATaskDoesNotHaveFromWhatIsRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"Dockerfile": "FROM scratch"})
	missing := strings.ReplaceAll(`{"services": {"db": {"build": {"context": "DIR", "dockerfile": "environment/Dockerfile"}, "volumes": [{"type": "bind", "source": "DIR/seed"}]}}}`, "DIR", dir)
	refused := strings.Replace(missing, `"volumes"`, `"privileged": true, "volumes"`, 1)
	for project, want := range map[string]struct {
		err  error
		text string
	}{
		missing: {sandbox.ErrBuild, "services.db.build.dockerfile: environment/Dockerfile\nservices.db.volumes: seed"},
		refused: {sandbox.ErrUnsupported, "services.db.privileged"},
	} {
		p, err := parse([]byte(project))
		if err != nil {
			t.Fatal(err)
		}
		err = p.Vet(dir)
		if !errors.Is(err, want.err) || !strings.Contains(err.Error(), want.text) {
			t.Errorf("got %v, want %v with %s", err, want.err, want.text)
		}
		if unsafe := strings.Contains(err.Error(), "ODDISH_COMPOSE_UNSAFE"); unsafe != (want.err == sandbox.ErrUnsupported) {
			t.Errorf("the error names the operator's switch: %v: %v", unsafe, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "c.yaml"), []byte("services: {db: {env_file: none.env}}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := VetFiles(dir, []string{filepath.Join(dir, "c.yaml")}); !errors.Is(err, sandbox.ErrBuild) || !strings.Contains(err.Error(), "services.db.env_file: none.env") {
		t.Errorf("got %v, want ErrBuild with the missing file", err)
	}
}

func TestVetFilesRefusesFilesThatThePluginWouldRead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ file, want string }{
		"a file of the task":       {"services: {db: {env_file: a.env, extends: {file: base.yaml, service: s}}}", ""},
		"a file of the machine":    {"services: {db: {env_file: [/etc/hostname]}}", "services.db.env_file /etc/hostname"},
		"a parent's":               {"services: {db: {label_file: ../x}}", "services.db.label_file ../x"},
		"a variable in a name":     {"services: {db: {env_file: '${X:-/etc/hostname}'}}", "has a variable in its name"},
		"included files":           {"include: [a.yaml]", "include"},
		"a second document":        {"services: {}\n---\nservices: {db: {env_file: /etc/hostname}}", "services.db.env_file"},
		"a file that another uses": {"services: {db: {extends: {file: evil.yaml, service: s}}}", "services.s.env_file"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, map[string]string{
				"docker-compose.yaml": tt.file, "a.env": "", "base.yaml": "services: {s: {}}", "evil.yaml": "services: {s: {env_file: /etc/hostname}}",
			})
			err := VetFiles(dir, []string{filepath.Join(dir, "docker-compose.yaml")})
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.Is(err, sandbox.ErrUnsupported) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestCloseMakesAProjectPrivate(t *testing.T) {
	t.Parallel()
	const dir = "/task/environment"
	p, err := parse([]byte(`{"name": "x", "services": {
		"main": {"build": {"context": "/task/environment", "dockerfile": "Dockerfile"}, "image": "oddish/task:aa", "networks": {"default": null},
			"volumes": [{"type": "bind", "source": "/oddish/host/oddish-agent-logs", "target": "/logs/agent"}]},
		"db": {"build": {"context": "/task/environment/db"}, "container_name": "database", "ports": [{"target": 80}], "pids_limit": 7,
			"networks": {"back": {"aliases": ["b"]}}, "volumes": [{"type": "bind", "source": "/task/environment/seed", "target": "/seed"}]},
		"none": {"image": "y", "network_mode": "none"}},
		"networks": {"default": {"name": "x_default"}, "back": {"name": "shared"}}, "volumes": {"v": {"name": "x_v"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	c := Closing{
		Base: Base{Spec: sandbox.Spec{
			Image: sandbox.Image{Context: dir, Digest: "aa"}, Compose: &sandbox.Compose{Dir: dir, Digest: "aa"},
		}, Image: "oddish/task:aa"},
		Project: "p", Labels: map[string]string{"owner": "me"}, Pids: 100, DigestLabel: "digest",
		Subnet: func() string { return "198.18.0.32/27" }, Mounts: []Mount{{"/programs", "/oddish/programs"}}, ImageTag: func(d string) string { return "oddish/task:" + d },
	}
	c.Claim(p)
	notes, err := p.Close(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) != 2 || !strings.Contains(notes[0], "ports of the service db") || !strings.Contains(notes[1], "/seed is read-only") {
		t.Errorf("notes %q", notes)
	}
	got, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "closed.json", got)
}

func TestBaseFilesSayWhatTheTaskDoes(t *testing.T) {
	t.Parallel()
	b := Base{
		Spec: sandbox.Spec{
			Image: sandbox.Image{Context: "/task/environment", Digest: "aa"}, Compose: &sandbox.Compose{Dir: "/task/environment", Env: map[string]string{"CPUS": "9", "X": "y"}},
			Env: map[string]string{"PRICE": "5$"}, Workdir: "/app", Resources: sandbox.Resources{CPUs: 1.5, MemoryBytes: 2 << 30, StorageBytes: 1 << 30},
		},
		Command: []string{"sh", "-c", "wait $!"}, Image: "oddish/task:aa", Shm: 2 << 30,
	}
	before, err := b.Before()
	if err != nil {
		t.Fatal(err)
	}
	after, err := b.After()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "before.json", before)
	golden(t, "after.json", after)
	golden(t, "variables", Environment(b.Variables()))
}

func TestVariablesThatThePluginHeedsAreLeftOut(t *testing.T) {
	t.Parallel()
	got := string(Environment(map[string]string{"DOCKER_CONFIG": "x", "COMPOSE_FILE": "y", "A B": "z", "OK": "a\"b$c\\\n"}))
	if want := `OK="a\"b\$c\\\n"` + "\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Harbor test list #41
func TestProjectNamesAreLegalAndReadable(t *testing.T) {
	t.Parallel()
	got := ProjectName("Fix It!__AbC.9")
	if !strings.HasPrefix(got, "oddish-fix-it-__abc-9-") || len(got) > 63 || got == ProjectName("Fix It!__AbC.9") {
		t.Errorf("name %q", got)
	}
}

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file of testdata, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
	if filepath.Ext(name) == ".json" && !json.Valid(got) {
		t.Errorf("%s is no JSON", name)
	}
}

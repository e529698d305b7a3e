package task

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseReadsEveryKey(t *testing.T) {
	t.Parallel()
	got, warnings := parse(t, `
schema_version = "1.4"
source = "made up"
multi_step_reward_strategy = "final"
artifacts = ["/app/a", {source = "/app/b", destination = "b/c", exclude = ["*.log"], service = "main"}]

[task]
name = "acme/word-report"
version = "2"
description = "Count words."
authors = [{name = "A", email = "a@example.org"}, {name = "B"}]
keywords = ["k"]

[metadata]
difficulty = "easy"
tags = ["text"]
[metadata.deep.deeper]
n = 1

[agent]
timeout_sec = 300.5
user = "nobody"
network_mode = "allowlist"
allowed_hosts = ["*.Example.org.", "10.0.0.0/8"]

[verifier]
timeout_sec = 60
user = 0
environment_mode = "separate"
network_mode = "no-network"
[verifier.env]
KEY = "${KEY:-none}"
[verifier.environment]
docker_image = "verifier:1"
os = "Linux"
[[verifier.collect]]
command = "git diff > /logs/artifacts/p"
[[verifier.collect]]
command = "dump"
service = "db"
timeout_sec = 5
user = "postgres"

[solution.env]
S = "1"

[environment]
build_timeout_sec = 120
docker_image = "img:1"
os = "LINUX"
cpus = 2
memory_mb = 512
storage_mb = 1024
gpus = 1
gpu_types = ["H100"]
tpu = {type = "v5e", topology = "2x4"}
skills_dir = "/skills"
workdir = "/app"
network_mode = "no-network"
mcp_servers = [
  {name = "a", url = "http://a/sse"},
  {name = "b", transport = "http", url = "http://b"},
  {name = "c", transport = "stdio", command = "c", args = ["-x"]},
]
[environment.env]
E = "${E}"
[environment.healthcheck]
command = "true"
interval_sec = 1
timeout_sec = 2
start_period_sec = 3
start_interval_sec = 4
retries = 5
[environment.oddish]
image = "host"
[environment.oddish.fake]
duration = "1s"
reward = 0.5
fail = true
n = 3

[[steps]]
name = "one"
min_reward = 0.5
artifacts = ["/app/one"]
[steps.agent]
timeout_sec = 10
[steps.verifier]
timeout_sec = 20
[steps.healthcheck]
command = "ready"
[[steps]]
name = "two"
min_reward = {quality = 1, reward = 0.25}
`)
	if len(warnings) != 0 {
		t.Errorf("warnings:\n%s", warningTexts(warnings))
	}
	want := Config{
		SchemaVersion: "1.4", Source: "made up", MultiStepRewardStrategy: StrategyFinal,
		Artifacts: []Artifact{{Source: "/app/a"}, {Source: "/app/b", Destination: "b/c", Exclude: []string{"*.log"}, Service: "main"}},
		Package: &Package{
			Name: "acme/word-report", Version: "2", Description: "Count words.",
			Authors: []Author{{"A", "a@example.org"}, {Name: "B"}}, Keywords: []string{"k"},
		},
		Metadata: map[string]any{
			"difficulty": "easy", "tags": []any{"text"}, "deep": map[string]any{"deeper": map[string]any{"n": int64(1)}},
		},
		Agent: Agent{
			TimeoutSec: ptr(300.5), User: "nobody",
			Network: NetworkPolicy{Mode: NetworkAllowlist, AllowedHosts: []string{"*.example.org", "10.0.0.0/8"}},
		},
		Verifier: Verifier{
			TimeoutSec: ptr(60.0), User: "0", EnvironmentMode: ModeSeparate, Env: map[string]string{"KEY": "${KEY:-none}"},
			Network:     NetworkPolicy{Mode: NetworkNone},
			Environment: &Environment{DockerImage: "verifier:1", OS: OSLinux, Network: NetworkPolicy{Mode: NetworkPublic}},
			Collect: []Collect{
				{Command: "git diff > /logs/artifacts/p", Service: "main"},
				{Command: "dump", Service: "db", TimeoutSec: ptr(5.0), User: "postgres"},
			},
		},
		Solution: Solution{Env: map[string]string{"S": "1"}},
		Environment: Environment{
			BuildTimeoutSec: ptr(120.0), DockerImage: "img:1", OS: OSLinux, CPUs: ptr(2), MemoryMB: ptr(512), StorageMB: ptr(1024),
			GPUs: ptr(1), GPUTypes: []string{"H100"}, TPU: &TPU{"v5e", "2x4"}, SkillsDir: "/skills", Workdir: "/app",
			Network: NetworkPolicy{Mode: NetworkNone}, Env: map[string]string{"E": "${E}"},
			MCPServers: []MCPServer{
				{Name: "a", Transport: TransportSSE, URL: "http://a/sse"},
				{Name: "b", Transport: TransportHTTP, URL: "http://b"},
				{Name: "c", Transport: TransportStdio, Command: "c", Args: []string{"-x"}},
			},
			Healthcheck: &Healthcheck{Command: "true", IntervalSec: 1, TimeoutSec: 2, StartPeriodSec: 3, StartIntervalSec: 4, Retries: 5},
			Oddish: Oddish{Image: ImageHost, Fake: map[string]string{
				"duration": "1s", "reward": "0.5", "fail": "true", "n": "3",
			}},
		},
		Steps: []Step{
			{
				Name: "one", MinReward: map[string]float64{"reward": 0.5}, Artifacts: []Artifact{{Source: "/app/one"}},
				Agent: Agent{TimeoutSec: ptr(10.0)}, Verifier: Verifier{TimeoutSec: ptr(20.0)},
				Healthcheck: &Healthcheck{Command: "ready", IntervalSec: 5, TimeoutSec: 30, StartIntervalSec: 5, Retries: 3},
			},
			{Name: "two", MinReward: map[string]float64{"quality": 1, "reward": 0.25}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseFillsDefaults(t *testing.T) {
	t.Parallel()
	for _, toml := range []string{"", "artifacts = []\n[verifier.env]\n[solution.env]\n[environment.env]\n[environment]\nmcp_servers = []\n"} {
		c, warnings := parse(t, toml)
		if c.SchemaVersion != "1.4" || c.MultiStepRewardStrategy != StrategyMean || c.Environment.OS != OSLinux ||
			c.Environment.Network.Mode != NetworkPublic || len(warnings) != 0 {
			t.Errorf("%q: got %+v, warnings %v", toml, c, warnings)
		}
		task := Task{Config: c}
		if task.AgentTimeout() != 0 || task.VerifierTimeout() != 10*time.Minute || task.BuildTimeout() != 10*time.Minute || task.VerifierMode() != ModeShared {
			t.Errorf("%q: timeouts %v %v %v", toml, task.AgentTimeout(), task.VerifierTimeout(), task.BuildTimeout())
		}
		if got := strings.Join(task.MissingTimeouts(), " "); got != "agent.timeout_sec verifier.timeout_sec environment.build_timeout_sec" {
			t.Errorf("missing timeouts: %s", got)
		}
	}
}

// Harbor test list #24, #25
func TestParseUnderstandsOldForms(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, toml string
		check      func(Config) bool
		warning    string
	}{
		{"version", `version = "1.0"`, func(c Config) bool { return c.SchemaVersion == "1.0" }, ""},
		{"version as a number", `version = 1.1`, func(c Config) bool { return c.SchemaVersion == "1.1" }, ""},
		{"schema_version beside version", "version = \"1.0\"\nschema_version = \"1.2\"", func(c Config) bool { return c.SchemaVersion == "1.2" }, ""},
		{"memory in G", "[environment]\nmemory = \"2G\"", func(c Config) bool { return *c.Environment.MemoryMB == 2048 },
			"task.toml:2: environment.memory: outdated; write memory_mb = 2048"},
		{"memory in M", "[environment]\nmemory = \"512m\"", func(c Config) bool { return *c.Environment.MemoryMB == 512 }, "memory_mb = 512"},
		{"memory in K", "[environment]\nmemory = \"2048K\"", func(c Config) bool { return *c.Environment.MemoryMB == 2 }, "memory_mb = 2"},
		{"memory with a fraction", "[environment]\nmemory = \"1.5G\"", func(c Config) bool { return *c.Environment.MemoryMB == 1536 }, "memory_mb = 1536"},
		{"storage", "[environment]\nstorage = \"10G\"", func(c Config) bool { return *c.Environment.StorageMB == 10240 }, "storage_mb = 10240"},
		{"allow_internet = false", "[environment]\nallow_internet = false", func(c Config) bool { return c.Environment.Network.Mode == NetworkNone },
			`write network_mode = "no-network"`},
		{"allow_internet = true", "[environment]\nallow_internet = true", func(c Config) bool { return c.Environment.Network.Mode == NetworkPublic },
			`write network_mode = "public"`},
		{"allow_internet beside network_mode", "[environment]\nallow_internet = true\nnetwork_mode = \"no-network\"",
			func(c Config) bool { return c.Environment.Network.Mode == NetworkNone }, "outdated"},
		{"a number in quotes", "[agent]\ntimeout_sec = \"30\"", func(c Config) bool { return *c.Agent.TimeoutSec == 30 },
			"task.toml:2: agent.timeout_sec: number in quotes; write 30"},
		{"a whole number as a fraction", "[environment]\ncpus = 2.0", func(c Config) bool { return *c.Environment.CPUs == 2 }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, warnings := parse(t, tt.toml)
			if !tt.check(c) {
				t.Errorf("got %+v", c)
			}
			if got := warningTexts(warnings); (tt.warning == "") != (got == "") || !strings.Contains(got, tt.warning) {
				t.Errorf("warnings %q, want %q", got, tt.warning)
			}
		})
	}
}

func TestParseWarnsOfUnknownKeys(t *testing.T) {
	t.Parallel()
	_, warnings := parse(t, `schema_version = "1.3"
odd = 1
[task]
name = "a/b"
artifacts = ["/x"]
[agent]
timeout_secs = 3
[environment]
base_image = "x"
[environment.healthcheck]
command = "true"
retrys = 3
[environment.oddish]
imag = "host"
[metadata]
anything = 1
[[steps]]
name = "one"
[[steps]]
name = "two"
"un known" = 1
[steps.verifier]
timeout = 1
[unknown.sub]
x = 1
`)
	want := `task.toml:2: odd: unknown key, ignored
task.toml:5: task.artifacts: unknown key, ignored; it belongs before the first [table] of the file
task.toml:7: agent.timeout_secs: unknown key, ignored; did you mean timeout_sec?
task.toml:9: environment.base_image: unknown key, ignored
task.toml:12: environment.healthcheck.retrys: unknown key, ignored; did you mean retries?
task.toml:14: environment.oddish.imag: unknown key, ignored; did you mean image?
task.toml:21: steps[1]."un known": unknown key, ignored
task.toml:23: steps[1].verifier.timeout: unknown key, ignored; did you mean timeout_sec?
task.toml:24: unknown: unknown key, ignored`
	if got := warningTexts(warnings); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Harbor test list #24
func TestParseErrorsNameThePlace(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, toml, want string }{
		{"broken TOML", "[agent]\ntimeout_sec = \n", "task.toml:2:15: not valid TOML: "},
		{"an open table header", "a = 1\nb = 2\n\n[agent\n", "task.toml:4:7: not valid TOML: "},
		{"a key twice", "[agent]\nuser = \"a\"\nuser = \"b\"\n", "task.toml:3:1: not valid TOML: "},
		{"not text", "a = \"\xff\"", "task.toml: is not UTF-8 text"},
		{"a string for a time", "[agent]\ntimeout_sec = \"soon\"", `task.toml:2:1: agent.timeout_sec must be a number, not "soon"`},
		{"true for a time", "[agent]\n  timeout_sec = true", "task.toml:2:3: agent.timeout_sec must be a number, not true"},
		{"no time", "[verifier]\ntimeout_sec = 0", "task.toml:2:1: verifier.timeout_sec must be more than 0 seconds, not 0"},
		{"a negative time", "[environment]\nbuild_timeout_sec = -1.5", "task.toml:2:1: environment.build_timeout_sec must be more than 0 seconds, not -1.5"},
		{"a time that is no number", "[agent]\ntimeout_sec = nan", "task.toml:2:1: agent.timeout_sec must be a finite number"},
		{"an infinite time", "[agent]\ntimeout_sec = inf", "task.toml:2:1: agent.timeout_sec must be a finite number"},
		{"half a CPU", "[environment]\ncpus = 0.5", "task.toml:2:1: environment.cpus must be a whole number of at least 1, not 0.5"},
		{"a table as text", "agent = \"oracle\"", "task.toml:1:1: agent must be a table, not a string"},
		{"a list as text", "artifacts = \"/app\"", "task.toml:1:1: artifacts must be a list, not a string"},
		{"a number as name", "[task]\nname = 3", "task.toml:2:1: task.name must be a string, not the number 3"},
		{"a date", "source = 2026-01-01", "task.toml:1:1: source must be a string, not a date or time"},
		{"no task name", "[task]\nversion = \"1\"", "task.toml:1:2: task needs a name"},
		{"a task name without organisation", "[task]\nname = \"hello\"", `task.toml:2:1: task.name must look like org/name, of letters, digits, dots, underscores and hyphens, not "hello"`},
		{"a task name with dots", "[task]\nname = \"a/b..c\"", "task.toml:2:1: task.name must look like org/name"},
		{"a task name that leads up", "[task]\nname = \"a/../b\"", "task.toml:2:1: task.name must look like org/name"},
		{"an empty version", "[task]\nname = \"a/b\"\nversion = \"\"", "task.toml:3:1: task.version must not be empty"},
		{"both memory forms", "[environment]\nmemory_mb = 1\nmemory = \"1G\"", "task.toml:3:1: environment.memory and memory_mb are both given: keep memory_mb"},
		{"a memory without suffix", "[environment]\nmemory = \"2048\"", `task.toml:2:1: environment.memory must be a size such as "512M" or "2G", not "2048"`},
		{"a memory of 2GB", "[environment]\nmemory = \"2GB\"", `not "2GB"`},
		{"a memory number in the old key", "[environment]\nmemory = 2048", "task.toml:2:1: environment.memory must be a string, not the number 2048"},
		{"shared mode with an environment", "[verifier]\nenvironment_mode = \"shared\"\n[verifier.environment]\ncpus = 1",
			`task.toml:2:1: verifier.environment_mode is "shared", but [verifier.environment] gives`},
		{"an unknown mode", "[verifier]\nenvironment_mode = \"both\"", `task.toml:2:1: verifier.environment_mode must be "shared" or "separate", not "both"`},
		{"an unknown system", "[environment]\nos = \"macos\"", `task.toml:2:1: environment.os must be "linux" or "windows", not "macos"`},
		{"an unknown network mode", "[environment]\nnetwork_mode = \"none\"", `environment.network_mode must be "public", "no-network" or "allowlist", not "none"`},
		{"hosts without allowlist", "[environment]\nallowed_hosts = [\"a.org\"]", `task.toml:2:1: environment.allowed_hosts needs network_mode = "allowlist" beside it`},
		{"a URL as host", "[environment]\nnetwork_mode = \"allowlist\"\nallowed_hosts = [\n  \"ok.org\",\n  \"https://a.org\",\n]",
			`task.toml:5:3: environment.allowed_hosts[1] "https://a.org" is no host`},
		{"a relative workdir", "[environment]\nworkdir = \"app\"", "task.toml:2:1: environment.workdir must be an absolute path"},
		{"a number as variable", "[environment.env]\nPORT = 8080", "task.toml:2:1: environment.env.PORT must be a string, not the number 8080: put it in quotes"},
		{"a bad variable name", "[verifier.env]\n\"A=B\" = \"x\"", `task.toml:2:1: verifier.env."A=B" is no name of an environment variable`},
		{"a healthcheck without command", "[environment.healthcheck]\nretries = 1", "task.toml:1:14: environment.healthcheck needs a command"},
		{"no retries", "[environment.healthcheck]\ncommand = \"x\"\nretries = 0", "task.toml:3:1: environment.healthcheck.retries must be a whole number of at least 1, not 0"},
		{"a collect without command", "[[verifier.collect]]\nuser = 1\n", "task.toml:1:12: verifier.collect[0] needs a command"},
		{"an artifact that leads up", "artifacts = [\"/ok\", \"/app/../etc\"]", `task.toml:1:21: artifacts[1] source "/app/../etc" must not contain ".."`},
		{"an artifact without source", "artifacts = [{destination = \"x\"}]", "artifacts[0] needs a source"},
		{"an absolute destination", "artifacts = [{source = \"/a\", destination = \"/b\"}]", `artifacts[0] destination "/b" must be a relative path`},
		{"a destination that leads up", "artifacts = [{source = \"/a\", destination = \"b/../../c\"}]", "must be a relative path"},
		{"a destination with a backslash", "artifacts = [{source = \"/a\", destination = 'b\\c'}]", "must be a relative path"},
		{"a destination in place of the manifest", "artifacts = [{source = \"/a\", destination = \"./manifest.json\"}]", "is not free"},
		{"a relative sidecar source", "artifacts = [{source = \"a\", service = \"db\"}]", "must be an absolute path"},
		{"an artifact that is a number", "artifacts = [1]", "task.toml:1:14: artifacts[0] must be a path or a table with a source, not the number 1"},
		{"an MCP server without url", "[[environment.mcp_servers]]\nname = \"a\"", `environment.mcp_servers[0] needs a url, since its transport is "sse"`},
		{"an MCP server without command", "[[environment.mcp_servers]]\nname = \"a\"\ntransport = \"stdio\"", "needs a command"},
		{"a bad topology", "[environment.tpu]\ntype = \"v5e\"\ntopology = \"2 by 4\"", "must look like 2x4"},
		{"a user with a space", "[agent]\nuser = \"no body\"", `task.toml:2:1: agent.user must be a user name or a user id, not "no body"`},
		{"a user like an option", "[agent]\nuser = \"-x\"", "must be a user name"},
		{"a negative user", "[agent]\nuser = -1", "must be a user name or a user id, not -1"},
		{"a step without name", "[[steps]]\nmin_reward = 1", "task.toml:1:3: steps[0] needs a name"},
		{"a step that leads up", "[[steps]]\nname = \"../x\"", "steps[0].name must be the name of a folder in steps/"},
		{"two steps of one name", "[[steps]]\nname = \"a\"\n[[steps]]\nname = \"a\"", `task.toml:4:1: steps[1].name is "a", as that of an earlier step`},
		{"a gate that is text", "[[steps]]\nname = \"a\"\nmin_reward = \"high\"", `task.toml:3:1: steps[0].min_reward must be a number, not "high"`},
		{"an unknown image", "[environment.oddish]\nimage = \"ubuntu\"", `environment.oddish.image must be "host", not "ubuntu"`},
		{"a fake script with a list", "[environment.oddish.fake]\nx = [1]", "environment.oddish.fake.x must be a string, a number, true or false, not a list"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := parseConfig([]byte(tt.toml))
			got := allErrors(err)
			if len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestParseReportsAllErrorsInOrder(t *testing.T) {
	t.Parallel()
	_, _, err := parseConfig([]byte("source = 1\n[environment]\ncpus = 0\n[agent]\ntimeout_sec = true\n"))
	want := []string{
		"task.toml:1:1: source must be a string, not the number 1",
		"task.toml:3:1: environment.cpus must be a whole number of at least 1, not 0",
		"task.toml:5:1: agent.timeout_sec must be a number, not true",
	}
	if got := allErrors(err); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestVerifierMode(t *testing.T) {
	t.Parallel()
	tests := []struct{ toml, task, step string }{
		{"[[steps]]\nname = \"a\"", ModeShared, ModeShared},
		{"[verifier]\nenvironment_mode = \"separate\"\n[[steps]]\nname = \"a\"", ModeSeparate, ModeSeparate},
		{"[verifier.environment]\n[[steps]]\nname = \"a\"", ModeSeparate, ModeSeparate},
		{"[[steps]]\nname = \"a\"\n[steps.verifier.environment]\ncpus = 1", ModeShared, ModeSeparate},
		{"[verifier.environment]\n[[steps]]\nname = \"a\"\n[steps.verifier]\nenvironment_mode = \"shared\"", ModeSeparate, ModeShared},
	}
	for _, tt := range tests {
		c, _ := parse(t, tt.toml)
		task := Task{Config: c}
		if got, step := task.VerifierMode(), task.StepVerifierMode(c.Steps[0]); got != tt.task || step != tt.step {
			t.Errorf("%q: got %s and %s", tt.toml, got, step)
		}
	}
}

func TestNormalizeHost(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"Example.ORG": "example.org", "example.org.": "example.org", "*.Example.org": "*.example.org", "localhost": "localhost",
		"10.1.2.3": "10.1.2.3", "2001:DB8::1": "2001:db8::1", "10.0.0.0/8": "10.0.0.0/8", "2001:db8::/32": "2001:db8::/32",
		"a_b.example.org": "a_b.example.org", "xn--bcher-kva.example": "xn--bcher-kva.example",
	}
	for in, want := range good {
		if got, err := NormalizeHost(in); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", " ", "https://a.org", "a.org:443", "a.org/path", "[::1]", "fe80::1%eth0", "a.*.org", "*", "*.", "**.org", "*.*.org", "*.10.0.0.1", "*.::1",
		"10.0.0.1/8", "10.0.0.0/33", "1.2.3", "256.1.1.1", "-a.org", "a-.org", "a..org", "a b.org", "bücher.example", strings.Repeat("a", 64) + ".org", strings.Repeat("a.", 130) + "org",
	} {
		if got, err := NormalizeHost(in); err == nil {
			t.Errorf("%q: got %q, want an error", in, got)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{
		"", minimal, "[task]\nname = \"a/b\"\n", "artifacts = [{source = \"/a\"}, 1]\n", "[[steps]]\nname=\"a\"\n[steps.agent]\nx=1\n[[steps]]\nname=\"b\"\n",
		"[environment]\nmemory = \"2G\"\n[environment.oddish.fake]\na = 1\n", "a.b.c = {d = [1, {e = 2}]}\n", "[[a]]\n[[a.b]]\n[a.b.c]\nd = 1\n[[a.b]]\n", "\"\" = 1\n'x.y' = 2",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, warnings, err := parseConfig(data)
		for _, text := range allErrors(err) {
			if strings.HasPrefix(text, "no *Error") || !strings.HasPrefix(text, "task.toml:") {
				t.Errorf("error without a place: %s", text)
			}
		}
		for _, w := range warnings {
			if w.Line < 1 || w.Line > strings.Count(string(data), "\n")+1 {
				t.Errorf("warning out of the file: %v", w)
			}
		}
		if err == nil && (c.Environment.OS == "" || c.Environment.Network.Mode == "") {
			t.Errorf("defaults are missing: %+v", c)
		}
	})
}

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oddish/api"
)

// dialogue is a compose task: a database-like service that keeps what it is told, and tests that ask for it by its name. The service waits for a
// file to appear, so that the task needs no packets between containers, which some machines drop: both share a volume.
func dialogue(t *testing.T, solve string) string {
	t.Helper()
	tasks := recipe{
		solve: solve,
		test:  "[ -e /begun ] && [ \"$(cat /shared/answer)\" = 'got: hello' ] && getent hosts db && echo 1 >/logs/verifier/reward.txt || echo 0 >/logs/verifier/reward.txt\n",
		environment: `network_mode = "no-network"
[environment.env]
GREETING = "hello"
`,
		further: `[[artifacts]]
source = "/var/db"
destination = "db"
service = "db"
[[verifier.collect]]
command = "echo dumped >/var/db/dump"
service = "db"
`,
	}.folder(t, "dialogue")
	file := `services:
  main:
    command: [bash, -c, "touch /begun; exec sleep infinity"]
    volumes: [shared:/shared]
    depends_on: {db: {condition: service_healthy}}
  db:
    build: {context: db, args: {WORD: "got:"}}
    environment: {EXPECTED: "${GREETING}"}
    volumes: [shared:/shared]
    healthcheck: {test: [CMD, test, -d, /var/db], interval: 200ms, retries: 50}
volumes: {shared: }
`
	script := `#!/bin/bash
mkdir -p /var/db
echo "db waits for $EXPECTED"
until [ -s /shared/question ]; do sleep 0.1; done
cp /shared/question /var/db/question
echo "$WORD $(cat /shared/question)" >/shared/answer.new && mv /shared/answer.new /shared/answer
sleep infinity
`
	for name, text := range map[string]string{
		"docker-compose.yaml": file,
		"db/serve.sh":         script,
		"db/Dockerfile":       "FROM debian:bookworm-slim\nARG WORD\nENV WORD=$WORD\nCOPY serve.sh /serve.sh\nCMD [\"bash\", \"/serve.sh\"]\n",
	} {
		path := filepath.Join(tasks, "dialogue", "environment", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return tasks
}

// ask is the solution of dialogue.
const ask = "echo \"$GREETING\" >/shared/question\nuntil [ -s /shared/answer ]; do sleep 0.1; done\n"

// needCompose skips the test where compose tasks cannot be run.
func needCompose(t *testing.T) (vars []string) {
	t.Helper()
	needKind(t, kindDocker)
	if err := exec.CommandContext(t.Context(), "docker", "compose", "version").Run(); err != nil {
		cannot(t, "docker compose is not there: scripts/compose-plugin.sh builds it")
	}
	return []string{"DOCKER_CONFIG=" + os.Getenv("DOCKER_CONFIG")}
}

// noServicesLeft wants that neither containers nor networks nor volumes of the installation are left.
func (h *home) noServicesLeft() {
	h.t.Helper()
	host := os.Getenv("ODDISH_TEST_DOCKER_HOST")
	eventually(h.t, "services to be removed", func() bool {
		label := "label=oddish.owner=" + h.owner()
		return len(h.containers()) == 0 && docker(h.t, host, "network", "ls", "-q", "--filter", label) == "" && docker(h.t, host, "volume", "ls", "-q", "--filter", label) == ""
	})
}

// Harbor test list #30, #31
func TestAComposeTaskRunsWithItsServices(t *testing.T) {
	t.Parallel()
	h := newHome(t, kindDocker, needCompose(t)...)
	run, trial := h.runOne(dialogue(t, ask), "oracle")
	if trial.Reward == nil || *trial.Reward != 1 {
		t.Fatalf("reward %v, error %q", deref(trial.Reward), trial.errorType())
	}
	dir := h.trialDir(run.ExperimentID, "dialogue")
	for name, want := range map[string]string{
		"artifacts/db/question": "hello\n", "artifacts/db/dump": "dumped\n", "services/db.log": "db waits for hello\n",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	var manifest []struct {
		Source  string
		Service *string
	}
	data, err := os.ReadFile(filepath.Join(dir, "artifacts", "manifest.json"))
	if err == nil {
		err = json.Unmarshal(data, &manifest)
	}
	if err != nil || len(manifest) != 2 || manifest[0].Service != nil || manifest[1].Service == nil || *manifest[1].Service != "db" {
		t.Errorf("manifest %s, %v", data, err)
	}
	h.noServicesLeft()
}

// The verifier's own services are there while the tests run, with what the agent left, and the agent knows nothing of them.
func TestASeparateVerifierRunsWithItsServices(t *testing.T) {
	t.Parallel()
	h := newHome(t, kindDocker, needCompose(t)...)
	tasks := recipe{
		solve:   "getent hosts judge && exit 1\necho work >/logs/artifacts/work\n",
		test:    "cp /logs/artifacts/work /shared/question\nuntil [ -s /shared/answer ]; do sleep 0.1; done\ngetent hosts judge >/dev/null && cat /shared/answer >/logs/verifier/reward.txt\n",
		further: "[verifier.environment]\nnetwork_mode = \"no-network\"\nenv = {REWARD = \"0.5\"}\n",
	}.folder(t, "judged")
	put(t, filepath.Join(tasks, "judged"), map[string]string{
		"tests/Dockerfile": "FROM debian:bookworm-slim\nCOPY . /tests/\n",
		"tests/docker-compose.yaml": `services:
  main: {volumes: [shared:/shared], depends_on: [judge]}
  judge:
    image: debian:bookworm-slim
    environment: {REWARD: "${REWARD}"}
    volumes: [shared:/shared]
    command:
      - bash
      - -c
      - |
        echo the judge waits
        until [ "$$(cat /shared/question 2>/dev/null)" = work ]; do sleep 0.1; done
        echo $$REWARD >/shared/new && mv /shared/new /shared/answer
        exec sleep infinity
volumes: {shared: }
`,
	})
	run, trial := h.runOne(tasks, "oracle", "--max-attempts", "1")
	scored(0.5).check(t, trial)
	dir := h.trialDir(run.ExperimentID, "judged")
	if got := fileOf(t, dir, "verifier/services/judge.log"); !strings.HasPrefix(got, "the judge waits\n") {
		t.Errorf("the log of the service is %q", got)
	}
	if got := fileOf(t, dir, "agent/oracle.txt"); got != "" {
		t.Errorf("the agent said %q", got)
	}
	h.noServicesLeft()
}

// A run gives services to tasks that have none, and what they may do is looked at as if they were the task's.
func TestComposeFilesOfARun(t *testing.T) {
	t.Parallel()
	h := newHome(t, kindDocker, needCompose(t)...)
	tasks := recipe{
		solve: "until [ -s /shared/said ]; do sleep 0.1; done\ncp /shared/said /logs/artifacts/said\n",
		test:  "getent hosts cache >/dev/null && " + passes,
	}.folder(t, "plain")
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"cache.yaml": `services:
  main: {volumes: [shared:/shared]}
  cache:
    image: debian:bookworm-slim
    volumes: [shared:/shared]
    command: [bash, -c, "echo cached >/shared/said; exec sleep infinity"]
volumes: {shared: }
`,
		"bad.yaml": "services: {main: {volumes: ['/etc:/host']}}\n",
	})
	run, trial := h.runOne(tasks, "oracle", "--extra-docker-compose", filepath.Join(dir, "cache.yaml"))
	passed().check(t, trial)
	if got := fileOf(t, h.trialDir(run.ExperimentID, "plain"), "artifacts/logs/artifacts/said"); got != "cached\n" {
		t.Errorf("the service said %q", got)
	}
	_, trial = h.runOne(tasks, "oracle", "--extra-docker-compose", filepath.Join(dir, "bad.yaml"))
	failed("UnsupportedTaskError").check(t, trial)
	h.noServicesLeft()
}

func TestAKilledWorkerGoesOnWithAComposeTask(t *testing.T) {
	t.Parallel()
	for name, stage := range map[string]api.Stage{"while services start": api.StageEnvironment, "during the agent": api.StageAgentRunning} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, kindDocker, append(needCompose(t), "ODDISH_AUTO_START_WORKERS=false")...)
			server := h.start("api")
			h.waitServer()
			worker := h.start("worker", "--env", kindDocker)
			h.ok("run", "-p", dialogue(t, "sleep 5\n"+ask), "-a", "oracle", "-E", "e", "--background")
			h.waitTrial("e", stage)
			worker.signal(syscall.SIGKILL)
			worker.wait()
			worker = h.start("worker", "--env", kindDocker)
			worker.waitSays(`"resumed":1`)
			var e experiment
			h.ok("status", "-e", "e", "--watch", "--json").decode(t, &e)
			if len(e.Trials) != 1 || e.Trials[0].Reward == nil || *e.Trials[0].Reward != 1 || e.Trials[0].Attempts != 1 {
				t.Errorf("trials %+v, want one with reward 1 after 1 attempt", e.Trials)
			}
			h.noServicesLeft()
			worker.signal(syscall.SIGTERM)
			worker.wait().exits(t, 0)
			server.signal(syscall.SIGTERM)
			server.wait().exits(t, 0)
			h.noProcessLeft()
		})
	}
}

func TestAComposeTaskIsRefusedWhereThereAreNoServices(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	h := newHome(t, kindBuiltin)
	_, trial := h.runOne(dialogue(t, ask), "oracle")
	if trial.errorType() != "UnsupportedTaskError" {
		t.Errorf("error %q", trial.errorType())
	}
}

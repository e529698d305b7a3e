package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// onlyDockerfile is the task.toml of a task that has nothing but a Dockerfile.
const onlyDockerfile = `schema_version = "1.4"
[task]
name = "e2e/built"
[agent]
timeout_sec = 60
[verifier]
timeout_sec = 60
`

// A task with nothing but a Dockerfile runs the same with and without a container engine, and its separate verifier has an image of its own.
func TestATaskWithADockerfile(t *testing.T) {
	t.Parallel()
	task := filepath.Join(recipe{
		solve: "id -un >made; cat /opt/tool >>made; echo \"$KIND\" >>made; [ ! -e /tests ] && cp made /logs/artifacts/made\n",
		test:  "diff /tests/want /logs/artifacts/made && echo 1 >/logs/verifier/reward.txt\n",
	}.folder(t, "built"), "built")
	put(t, task, map[string]string{
		"task.toml": onlyDockerfile + "environment_mode = \"separate\"\n",
		"environment/Dockerfile": "FROM debian:bookworm-slim AS tools\nRUN echo tool >/tool\nFROM debian:bookworm-slim\nRUN useradd -m worker\n" +
			"COPY --from=tools --chown=worker /tool /opt/\nENV KIND=built\nUSER worker\nWORKDIR /home/worker/work\nRUN [ -w /home/worker ]\nUSER root\nRUN chown worker .\nUSER worker\n",
		"tests/Dockerfile": "FROM debian:bookworm-slim\nCOPY . /tests/\n",
		"tests/want":       "worker\ntool\nbuilt\n",
	})
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		h.baseImage(kind)
		_, trial := h.runOne(task, "oracle", "--max-attempts", "1")
		passed().check(t, trial)
		h.noSandboxLeft()
	})
}

// A Dockerfile that does not build is the task's fault: the trial says why, and is not tried again.
func TestADockerfileThatDoesNotBuild(t *testing.T) {
	t.Parallel()
	task := filepath.Join(recipe{}.folder(t, "built"), "built")
	put(t, task, map[string]string{
		"task.toml":              onlyDockerfile,
		"environment/Dockerfile": "FROM debian:bookworm-slim\nRUN echo the reason is here; exit 7\n",
	})
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind)
		h.baseImage(kind)
		_, trial := h.runOne(task, "oracle", "--max-attempts", "3")
		failed("SandboxBuildFailedError").check(t, trial)
		if m := trial.ErrorMessage; m == nil || !strings.Contains(*m, "the reason is here") || !strings.Contains(*m, "exit 7") {
			t.Errorf("the trial says %v", m)
		}
		h.noSandboxLeft()
	})
}

// baseImage makes debian:bookworm-slim known to builtin sandboxes; docker's tests have it in their engine.
func (h *home) baseImage(kind string) {
	h.t.Helper()
	if kind != kindBuiltin {
		return
	}
	archive := os.Getenv("ODDISH_TEST_BASE_IMAGE")
	if archive == "" {
		cannot(h.t, "no base image: ODDISH_TEST_BASE_IMAGE is not set (scripts/base-image.sh makes one)")
	}
	h.ok("image", "load", "--root", "debian:bookworm-slim", archive)
}

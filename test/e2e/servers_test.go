package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store/storetest"
)

// sharedKey is the secret key of servers that share a database.
const sharedKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// pair is two servers on one PostgreSQL, each with a data directory of its own.
type pair struct {
	a, b        *home
	serverA     *process
	environment []string // of both
}

// newPair starts both at the same moment on a database. The workers are started by the test.
func newPair(t *testing.T, database string) *pair {
	t.Helper()
	p := &pair{}
	p.environment = []string{
		"DATABASE_URL=" + database, "ODDISH_SECRET_KEY=" + sharedKey, "ODDISH_ARTIFACTS_DIR=" + t.TempDir(), "ODDISH_AUTO_START_WORKERS=false",
	}
	p.a, p.b = newHome(t, kindBuiltin, p.environment...), newHome(t, kindBuiltin, p.environment...)
	p.serverA = p.a.start("api")
	p.b.start("api")
	p.a.waitServer()
	p.b.waitServer()
	return p
}

func needPostgres(t *testing.T) {
	t.Helper()
	if !storetest.Postgres() {
		t.Skip(storetest.PostgresEnv + " is not set")
	}
}

func TestServersStartAtOnceOnTheFirstSchema(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	url := storetest.URL(t)
	storetest.LoadSchema1(t, url)
	p := newPair(t, url)
	for _, h := range []*home{p.a, p.b} {
		if e := h.experiment("nightly"); len(e.Trials) != 6 {
			t.Errorf("%s has %d trials, want 6", h.url, len(e.Trials))
		}
	}
}

// A worker of one server runs at once what another server was given, and stops at once what is cancelled there.
func TestServersShareTheirWorkers(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	needKind(t, kindBuiltin)
	p := newPair(t, storetest.URL(t))
	p.a.start("worker")
	began := time.Now()
	var d document
	p.b.start("run", "-p", recipe{}.folder(t, "plain"), "-a", "oracle", "--json", "--watch").wait().exits(t, 0).decode(t, &d)
	if took := time.Since(began); took > slowPoll*2/3 {
		t.Errorf("the trial took %s: its worker was not woken", took)
	}
	passed().check(t, d.Trials[0])

	p.b.ok("run", "-p", recipe{solve: "sleep 100\n"}.folder(t, "long"), "-a", "oracle", "-E", "stopped", "--background")
	p.b.waitStage("stopped", api.StageAgentRunning)
	began = time.Now()
	p.b.ok("cancel", "-e", "stopped", "--yes")
	eventually(t, "the cancelled trial's end", func() bool {
		return p.a.experiment("stopped").Experiment.Counts[api.StatusCancelled] == 1
	})
	if took := time.Since(began); took > slowPoll*2/3 {
		t.Errorf("the cancel took %s: its worker was not told", took)
	}
}

// slowPoll is how often servers look by themselves for what another has done.
const slowPoll = 30 * time.Second

func TestServersThatAreKilledFindTheirWorkersAgain(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	needKind(t, kindBuiltin)
	p := newPair(t, storetest.URL(t))
	p.a.start("worker")
	p.b.ok("run", "-p", slow().folder(t, "slow"), "-a", "oracle", "-E", "kept", "--background")
	p.b.waitStage("kept", api.StageAgentRunning)
	p.serverA.signal(syscall.SIGKILL)
	<-p.serverA.ended
	p.a.start("api")
	var e experiment
	p.b.ok("status", "-e", "kept", "--watch", "--json").decode(t, &e)
	if len(e.Trials) != 1 || e.Trials[0].Status != api.StatusSuccess || e.Trials[0].Attempts != 1 {
		t.Errorf("trials are %+v, want a success in the first attempt", e.Trials)
	}
}

func TestServersOfOtherKeysOrArtifactsAreRefused(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	p := newPair(t, storetest.URL(t))
	tests := map[string]string{
		"ODDISH_SECRET_KEY=" + strings.Repeat("ab", 32): "sealed with another key",
		"ODDISH_ARTIFACTS_DIR=" + t.TempDir():           "the artifacts of the database are in another folder",
	}
	for variable, text := range tests {
		newHome(t, kindBuiltin, append(p.environment, variable)...).run("api").exits(t, 1).says(t, text)
	}
}

// A server outlives its database: it answers 503 meanwhile, and the trial that runs succeeds.
func TestServersOutliveTheirDatabase(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	needKind(t, kindBuiltin)
	dir, err := os.MkdirTemp("", "oddish-pg-") // short, for the socket in it
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user
		t.Fatal(err)
	}
	t.Cleanup(func() {
		postgres(t, "stop", dir)
		os.RemoveAll(dir)
	})
	h := newHome(t, kindBuiltin, "DATABASE_URL="+postgres(t, "start", dir))
	h.start("api")
	h.waitServer()
	h.ok("run", "-p", recipe{solve: "sleep 10\n"}.folder(t, "long"), "-a", "oracle", "-E", "kept", "--background")
	h.waitStage("kept", api.StageAgentRunning)
	postgres(t, "stop", dir)
	if status := h.getStatus("/experiments"); status != http.StatusServiceUnavailable {
		t.Errorf("without its database the server answers %d, want 503", status)
	}
	postgres(t, "start", dir)
	var e experiment
	h.ok("status", "-e", "kept", "--watch", "--json").decode(t, &e)
	if len(e.Trials) != 1 || e.Trials[0].Status != api.StatusSuccess || e.Trials[0].Attempts != 1 {
		t.Errorf("trials are %+v, want a success in the first attempt", e.Trials)
	}
}

// postgres starts or stops a PostgreSQL in a folder and returns what the script says: its URL.
func postgres(t *testing.T, verb, dir string) string {
	t.Helper()
	out, err := exec.Command(filepath.Join(repository(), "scripts", "postgres.sh"), verb, dir).Output()
	if err != nil {
		t.Fatalf("%s the database: %v", verb, err)
	}
	return strings.TrimSpace(string(out))
}

func (h *home) getStatus(path string) int {
	h.t.Helper()
	res, err := http.Get(h.url + path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// lease is short, so that a run sees many end.
	lease = 3 * time.Second
	// patience bounds every single thing that is waited for.
	patience = time.Minute
	// workerSlots are more than the limits let run, so that limits decide.
	workerSlots = 16
)

// installation is servers and workers on one database, all in one folder.
type installation struct {
	t       *testing.T
	dir     string
	engine  engine
	servers []*member
	workers []*member
	urls    []string // of the servers
}

// install makes the folders of nServers servers and nWorkers workers. Nothing is started. What still runs when the test ends is
// killed; the folder is kept if the test failed.
func install(t *testing.T, dir string, e engine, nServers, nWorkers int) *installation {
	t.Helper()
	in := &installation{t: t, dir: dir, engine: e}
	for _, folder := range []string{"blobs", "logs"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for n := range nServers {
		in.addServer(n)
	}
	for n := range nWorkers {
		in.addWorker(n)
	}
	t.Cleanup(func() {
		for _, m := range in.members() {
			m.kill()
		}
	})
	return in
}

// workDir is a folder that is kept if the test fails.
func workDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "oddish-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs, journal and files are kept in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (in *installation) members() []*member {
	return append(append([]*member{}, in.servers...), in.workers...)
}

func (in *installation) addServer(n int) {
	name := "server-" + strconv.Itoa(n)
	port := freePort(in.t)
	in.urls = append(in.urls, "http://127.0.0.1:"+strconv.Itoa(port))
	vars := in.vars(name, "ODDISH_API_PORT="+strconv.Itoa(port), "ODDISH_DATABASE_URL="+in.engine.url,
		"ODDISH_SECRET_KEY="+strings.Repeat("c4", 32), "ODDISH_LEASE="+lease.String(), "ODDISH_AUTO_START_WORKERS=false",
		"ODDISH_DEFAULT_ENVIRONMENT=fake")
	// Servers on one database share their artifacts too.
	if err := os.Symlink(filepath.Join(in.dir, "blobs"), filepath.Join(in.dir, name, "blobs")); err != nil {
		in.t.Fatal(err)
	}
	in.servers = append(in.servers, in.member(name, vars, "api"))
}

func (in *installation) addWorker(n int) {
	name := "worker-" + strconv.Itoa(n)
	vars := in.vars(name, "ODDISH_API_URL="+in.urls[n%len(in.urls)], "ODDISH_FAKE_JOURNAL="+in.journal())
	in.workers = append(in.workers, in.member(name, vars, "worker", "--env", "fake", "--slots", strconv.Itoa(workerSlots)))
}

func (in *installation) journal() string { return filepath.Join(in.dir, "journal.jsonl") }

func (in *installation) member(name string, vars []string, args ...string) *member {
	return &member{name: name, args: args, vars: vars, log: filepath.Join(in.dir, "logs", name+".log")}
}

func (in *installation) vars(name string, further ...string) []string {
	data := filepath.Join(in.dir, name)
	if err := os.Mkdir(data, 0o700); err != nil {
		in.t.Fatal(err)
	}
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + data, "TMPDIR=" + data, "ODDISH_DATA_DIR=" + data, "DOCKER_HOST=unix://" + data + "/none",
	}, further...)
}

// command runs the program as a user of the first server, and reads the document that it prints.
func (in *installation) command(into any, args ...string) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + in.dir, "ODDISH_DATA_DIR=" + filepath.Join(in.dir, "user"), "ODDISH_API_URL=" + in.urls[0]}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		in.t.Fatalf("oddish %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
		in.t.Fatalf("oddish %s: %v\n%s", strings.Join(args, " "), err, stdout.String())
	}
}

// errAway is the error of a request that no answer came to, or one that blames the server: what it asked for may be done or not.
var errAway = errors.New("no answer")

// call sends a request, with headers by name and value, and reads the answer. An answer that blames the request is an error of its own.
func call(ctx context.Context, method, url string, body, into any, headers ...string) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errAway, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errAway, err)
	case resp.StatusCode >= 500:
		return fmt.Errorf("%w: %s %s: status %d: %s", errAway, method, url, resp.StatusCode, answer)
	case resp.StatusCode >= 300:
		return &statusError{resp.StatusCode, fmt.Sprintf("%s %s: status %d: %s", method, url, resp.StatusCode, answer)}
	case into == nil:
		return nil
	}
	return json.Unmarshal(answer, into)
}

type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

// must is call to the first server for what has to succeed, while nothing is broken.
func (in *installation) must(method, path string, body, into any) {
	in.t.Helper()
	if err := call(in.t.Context(), method, in.urls[0]+path, body, into); err != nil {
		in.t.Fatal(err)
	}
}

// eventually asks until the answer is yes.
func (in *installation) eventually(what string, patience time.Duration, yes func() bool) {
	in.t.Helper()
	for deadline := time.Now().Add(patience); !yes(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			in.t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// startServers starts all servers at once.
func (in *installation) startServers() {
	in.t.Helper()
	for _, m := range in.servers {
		if err := m.start(); err != nil {
			in.t.Fatal(err)
		}
	}
}

// waitServers waits until all servers answer.
func (in *installation) waitServers() {
	in.t.Helper()
	for _, url := range in.urls {
		in.eventually("a server at "+url, patience, func() bool { return call(in.t.Context(), http.MethodGet, url+"/health", nil, nil) == nil })
	}
}

// Ports are taken from a range of which the kernel gives none to connections. The first depends on the process, so that two runs of
// tests seldom meet.
const (
	firstPort = 14_000
	portCount = 5_000
)

var nextPort atomic.Int64

func freePort(t *testing.T) int {
	t.Helper()
	for range portCount {
		port := firstPort + (os.Getpid()*89+int(nextPort.Add(1)))%portCount
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

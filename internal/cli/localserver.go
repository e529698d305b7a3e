package cli

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
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"oddish/api"
	"oddish/client"
)

// startPatience is how long a server may take until it answers.
const startPatience = 30 * time.Second

// maxServerLog is the size at which server.log is put aside before a start, in bytes.
const maxServerLog = 8 << 20

// ensureOptions say what to do about the local server.
type ensureOptions struct {
	fresh       bool
	nConcurrent map[string]int
	quiet       bool
}

// ensureServer makes sure that a server answers: one that does is used; otherwise, at an address of this machine, one is
// started in the background.
func (a *App) ensureServer(ctx context.Context, c connection, o ensureOptions) error {
	if o.fresh && !c.endpoint.local {
		return usagef("--fresh restarts the server of this machine, and the address is %s", c.endpoint.url)
	}
	if o.fresh {
		if err := a.stopForFresh(ctx, c); err != nil {
			return err
		}
	}
	health, err := probe(ctx, c.endpoint)
	switch {
	case err == nil:
		return a.useServer(c, health, o)
	case !c.endpoint.local:
		return c.explain(err)
	case !errors.Is(err, errNobody):
		return err
	}
	return a.startServer(ctx, c, o)
}

// useServer checks that the server which answers is one to work with, and says what is odd about it.
func (a *App) useServer(c connection, h api.Health, o ensureOptions) error {
	if len(o.nConcurrent) > 0 {
		return usagef("--n-concurrent is for a server that this command starts, and one runs at %s: add --fresh to restart it", c.endpoint.url)
	}
	if h.Status != "healthy" {
		a.warn("the server at %s is %s (database %s)", c.endpoint.url, h.Status, h.Database)
	}
	if o.quiet {
		return nil
	}
	if c.endpoint.local {
		if dir, err := c.cfg.RequireDataDir(); err == nil {
			if s, ok := liveServer(dir); !ok || s.PID != h.PID {
				a.note("using the server at %s, which does not keep its data in %s", c.endpoint.url, dir)
			}
		}
	}
	if v := Version(); h.Version != "" && h.Version != v {
		hint := ""
		if c.endpoint.local {
			hint = "; `--fresh` restarts it"
		}
		a.warn("the server at %s is version %s, this program is %s%s", c.endpoint.url, h.Version, v, hint)
	}
	return nil
}

// stopForFresh ends the server of the data directory. One at the address that belongs to something else is left alone.
func (a *App) stopForFresh(ctx context.Context, c connection) error {
	dir, err := c.cfg.RequireDataDir()
	if err != nil {
		return err
	}
	if _, err := stopServer(ctx, dir); err != nil {
		return err
	}
	if h, err := probe(ctx, c.endpoint); err == nil {
		return failf("stop it where it was started, or use --port to have one beside it",
			"the server at %s (process %d) does not keep its data in %s and cannot be restarted from here", c.endpoint.url, h.PID, dir)
	}
	return nil
}

// errNobody: nothing listens at the address.
var errNobody = errors.New("nothing listens there")

// probe asks who is at the address: a server of ours, nobody (errNobody), or something else.
func probe(ctx context.Context, e endpoint) (api.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/health", nil)
	if err != nil {
		return api.Health{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return api.Health{}, errNobody
		}
		if e.local && ctx.Err() == nil {
			return api.Health{}, portTaken(e)
		}
		return api.Health{}, &client.TransportError{Method: req.Method, URL: e.url + "/health", Err: err}
	}
	defer resp.Body.Close()
	var h api.Health
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	// Servers of the Python system do not name the service.
	if err != nil || resp.StatusCode != http.StatusOK || h.Database == "" || (h.Service != "" && h.Service != "oddish") {
		if e.local {
			return api.Health{}, portTaken(e)
		}
		return api.Health{}, failf("check the address", "what answers at %s is no Oddish server", e.url)
	}
	return h, nil
}

func portTaken(e endpoint) error {
	return failf("choose another port: --port "+strconv.Itoa(freePortNear(e.port))+", or set ODDISH_API_URL",
		"port %d of this machine is taken by another program", e.port)
}

// freePortNear suggests a port: the first one above that can be listened on now.
func freePortNear(port int) int {
	for p := port + 1; p < min(port+100, 65536); p++ {
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p))); err == nil {
			_ = l.Close()
			return p
		}
	}
	return port + 1
}

// startServer starts `oddish api` in the background, in a session of its own, and waits until it answers.
func (a *App) startServer(ctx context.Context, c connection, o ensureOptions) error {
	dir, err := c.cfg.RequireDataDir()
	if err != nil {
		return err
	}
	if err := prepareDataDir(dir); err != nil {
		return err
	}
	if s, ok := liveServer(dir); ok && !sameAddress(s.URL, c.endpoint) {
		return failf(fmt.Sprintf("use it with ODDISH_API_URL=%s, or restart it at the new address with --fresh", s.URL),
			"a server runs on the data directory %s already, at %s", dir, s.URL)
	}
	logPath := filepath.Join(dir, "server.log")
	from, err := rotateLog(logPath)
	if err != nil {
		return dataDirError(dir, err)
	}
	exited, err := a.spawnServer(c, dir, logPath, o)
	if err != nil {
		return err
	}
	if err := waitForServer(ctx, c.endpoint, dir, exited); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return startFailure(err, logPath, from)
	}
	if !o.quiet {
		a.note("started a server at %s (data in %s)", c.endpoint.url, dir)
	}
	return nil
}

// rotateLog puts a large log aside and returns the size of what remains.
func rotateLog(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if info.Size() < maxServerLog {
		return info.Size(), nil
	}
	return 0, os.Rename(path, path+".old")
}

// spawnServer starts the process. The channel is closed when it ends.
func (a *App) spawnServer(c connection, dir, logPath string, o ensureOptions) (<-chan struct{}, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, dataDirError(dir, err)
	}
	defer log.Close()
	args := []string{"api", "--host", c.endpoint.host, "--port", strconv.Itoa(c.endpoint.port)}
	if len(o.nConcurrent) > 0 {
		limits, err := json.Marshal(o.nConcurrent)
		if err != nil {
			return nil, err
		}
		args = append(args, "--n-concurrent", string(limits))
	}
	cmd := exec.Command(a.Exe, args...)
	cmd.Env = serverEnv(c.cfg.Env, dir, c.endpoint.url)
	cmd.Dir = dir // not the user's folder, which may go away
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what went wrong is in its log
		close(exited)
	}()
	return exited, nil
}

// serverEnv is the environment with what .env added, and with the data directory and address made absolute, since the server works
// in another folder.
func serverEnv(vars map[string]string, dir, url string) []string {
	env := make([]string, 0, len(vars)+3)
	for k, v := range vars {
		switch k {
		case "ODDISH_DATA_DIR", "ODDISH_API_URL", "ODDISH_API_HOST", "ODDISH_API_PORT", "PWD":
		default:
			env = append(env, k+"="+v)
		}
	}
	sort.Strings(env)
	env = append(env, "ODDISH_DATA_DIR="+dir, "ODDISH_API_URL="+url)
	if vars["ODDISH_LOG_FORMAT"] == "" {
		env = append(env, "ODDISH_LOG_FORMAT=text")
	}
	return env
}

var errServerEnded = errors.New("the server ended")

// waitForServer waits until a server answers. One that ended at once may have found another that is starting, which will do as well.
func waitForServer(ctx context.Context, e endpoint, dir string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("the server does not answer after %s", startPatience))
	defer cancel()
	wait := 5 * time.Millisecond
	for {
		if _, err := probe(ctx, e); err == nil {
			return nil
		}
		select {
		case <-exited:
			if !isLocked(dir) {
				return errServerEnded
			}
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if wait = min(wait*3/2, 100*time.Millisecond); isDone(exited) {
			if err := pause(ctx, wait); err != nil {
				return context.Cause(ctx)
			}
		}
	}
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// startFailure shows the end of what the server wrote.
func startFailure(err error, logPath string, from int64) error {
	lines := lastLines(logPath, from, 8)
	msg := err.Error()
	if len(lines) > 0 {
		msg += "; its last words:\n  " + strings.Join(lines, "\n  ")
	}
	return failf("the whole log is in "+logPath, "%s", msg)
}

// lastLines returns the last n lines that were written to a file after an offset.
func lastLines(path string, from int64, n int) []string {
	data, err := os.ReadFile(path)
	if err != nil || int64(len(data)) <= from {
		return nil
	}
	text := strings.TrimSpace(string(bytes.ToValidUTF8(data[from:], nil)))
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}

// Package agenttest is the suite that every installed agent passes: the real program, from its registry, in a sandbox, against a
// scripted provider of models.
//
// The programs are installed once into a folder of the user's cache, from which later runs take them. Where npm is missing the tests
// skip, since nothing else can bring the programs.
package agenttest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oddish/internal/agent"
	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
)

// Config says which agent is tested, and where.
type Config struct {
	Agent string
	Model string
	// Dialect is what the agent speaks with that model.
	Dialect llm.Dialect
	Kwargs  map[string]any
	// Provider of sandboxes that reach Spec.ServiceSocket, and the image to use.
	Provider sandbox.Provider
	Image    sandbox.Image
	// Stubborn: the program tries again for minutes when it is asked to wait or out of money, so that those cases are left out.
	Stubborn bool
	// Compacts: told that the conversation is too long the program shortens it and asks again, for as long as it is told so; that case is left out.
	Compacts bool
	// Usage: what the agent itself reports is compared with what the provider told. False for agents that report none.
	Usage bool
	// End is the command by which the agent's model ends its work; empty: it says nothing more.
	End string
	// Prepare is run as root in the sandbox before the agent is brought into it; empty: nothing is.
	Prepare string
}

// script is the default one with the agent's way to end.
func (c Config) script() fakellm.Script {
	s := fakellm.Default()
	s.Turns[1].Command = c.End
	return s
}

// Run runs the suite.
func Run(t *testing.T, c Config) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed, and brings the program of the agent")
	}
	for _, s := range []struct {
		name string
		f    func(*testing.T, Config)
		slow bool // with a program that is stubborn
		long bool // with a program that compacts
	}{
		{"it works and tells what it did", success, false, false},
		{"a wrong key is an error of its own", wrongKey, false, false},
		{"a rate limit that ends is survived", rateLimit, true, false},
		{"an unknown model is an error of its own", unknownModel, false, false},
		{"no money is an error of its own", noMoney, true, false},
		{"a conversation too long for the model is an error of its own", tooLong, false, true},
		{"at the timeout what was done remains", timeout, false, false},
	} {
		if s.slow && c.Stubborn || s.long && c.Compacts {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.f(t, c)
		})
	}
}

// rig is one run of an agent.
type rig struct {
	fake  *fakellm.Server
	box   sandbox.Sandbox
	agent agent.Agent
	env   agent.Env

	options agent.Options // of agent
}

const workdir = "/app"

// newRig starts a sandbox with the agent in it and a provider of models beside it that answers by the script.
func newRig(t *testing.T, c Config, script fakellm.Script) *rig {
	t.Helper()
	socket := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{fake: fakellm.New(script)}
	programs, err := packages(t).Shown()
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r.fake}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	r.box, err = c.Provider.Start(t.Context(), sandbox.Spec{
		Name: c.Agent + "-" + result.NewUUID(), Owner: "agenttest", Image: c.Image, Workdir: workdir,
		ServiceSocket: socket, Programs: programs, Network: sandbox.Network{Mode: sandbox.NetworkNone},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.box.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if c.Prepare != "" {
		var out strings.Builder
		if code, err := r.box.Exec(t.Context(), sandbox.Command{Script: c.Prepare, User: "0", Dir: "/", Stdout: &out, Stderr: &out}); err != nil || code != 0 {
			t.Fatalf("prepare the sandbox: status %d, %v: %s", code, err, out.String())
		}
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	r.options = agent.Options{Model: c.Model, Kwargs: c.Kwargs, Log: log, Packages: packages(t), State: t.TempDir()}
	if r.agent, err = agent.New(c.Agent, r.options); err != nil {
		t.Fatal(err)
	}
	r.env = agent.Env{
		Box: r.box, Dir: t.TempDir(), Log: log, Programs: true,
		Model: &agent.Endpoint{
			BaseURL: "http://" + c.Provider.Capabilities().ServiceAddr + "", Token: "odt_token-of-this-trial",
			Dialects: []llm.Dialect{c.Dialect},
			Dial: func(ctx context.Context) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", socket)
			},
		},
	}
	if err := r.agent.Setup(t.Context(), r.env); err != nil {
		if os.Getenv("CI") == "" && strings.Contains(err.Error(), "npm install") {
			t.Skipf("the program of the agent cannot be had here: %v", err)
		}
		t.Fatalf("setup: %v", err)
	}
	if v := r.agent.Version(); v == "" || v == "unknown" {
		t.Errorf("version is %q after the setup", v)
	}
	return r
}

// shortDir is a folder whose path is short enough for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "oat")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// packages keeps the programs between runs of the tests.
func packages(t *testing.T) *agent.Packages {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("there is no folder to keep the agent's program in: %v", err)
	}
	return &agent.Packages{Dir: filepath.Join(cache, "oddish-test", "agents")}
}

// run lets the agent work, fetches its logs and gives the error with which it ended.
func (r *rig) run(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	err := r.agent.Run(ctx, r.env, "Write hello to out.txt.")
	var tar bytes.Buffer
	if e := r.box.Download(t.Context(), agent.LogsDir, &tar); e != nil {
		t.Fatal(e)
	}
	if _, e := tarball.Unpack(&tar, r.env.Dir, tarball.UnpackOptions{Lenient: true}); e != nil {
		t.Fatal(e)
	}
	return err
}

// report gives what the agent's logs tell, with a trajectory that is valid.
func (r *rig) report(t *testing.T) *agent.Log {
	t.Helper()
	log, err := r.agent.(agent.Reporter).Report(r.env.Dir, r.agent.Version(), "Write hello to out.txt.")
	if err != nil {
		t.Fatal(err)
	}
	if log.Trajectory == nil {
		t.Fatal("there is no trajectory")
	}
	if log.Trajectory.SessionID == "" {
		log.Trajectory.SessionID = "trial"
	}
	if err := atif.Write(filepath.Join(t.TempDir(), atif.FileName), log.Trajectory); err != nil {
		t.Fatal(err)
	}
	return log
}

// file gives a file of the sandbox; "" if there is none.
func (r *rig) file(t *testing.T, path string) string {
	t.Helper()
	var out strings.Builder
	if _, err := r.box.Exec(t.Context(), sandbox.Command{Script: "cat " + sandbox.Quote(path), Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// wantHello looks at what the agent was asked to do.
func (r *rig) wantHello(t *testing.T) {
	t.Helper()
	if got := r.file(t, path.Join(workdir, "out.txt")); got != "hello\n" {
		t.Errorf("out.txt is %q", got)
	}
}

// noProgramLeft wants that nothing of the agent's own program runs any more: what it has started for its user may, but the tests are nothing for it to see.
func (r *rig) noProgramLeft(t *testing.T) {
	t.Helper()
	var out strings.Builder
	script := `for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline 2>/dev/null; readlink $p/exe; done | grep -e ` + sandbox.ProgramsDir + ` -e /opt/oddish/agents | grep -v grep`
	if _, err := r.box.Exec(t.Context(), sandbox.Command{Script: script, User: "0", Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 0 {
		t.Errorf("still there is:\n%s", out.String())
	}
}

// wantError fails the test unless err has one of these names.
func wantError(t *testing.T, r *rig, err error, names ...string) {
	t.Helper()
	var e *result.Error
	if errors.As(err, &e) {
		for _, name := range names {
			if e.Type == name {
				return
			}
		}
	}
	t.Errorf("it ended with %v, want one of %s; calls: %+v", err, names, statuses(r))
}

func statuses(r *rig) (list []int) {
	for _, c := range r.fake.Calls() {
		list = append(list, c.Status)
	}
	return list
}

package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/fake"
	"oddish/internal/tarball"
)

func TestNewKnowsWhatKnownLists(t *testing.T) {
	t.Parallel()
	var names []string
	for _, info := range Known() {
		names = append(names, info.Name)
		kwargs := map[string]any{}
		if info.Name == "command" {
			kwargs["run"] = "true"
		}
		a, err := New(info.Name, Options{Kwargs: kwargs})
		if err != nil {
			t.Fatal(err)
		}
		if a.Name() != info.Name || a.Version() == "" || info.Description == "" {
			t.Errorf("agent %s calls itself %s %s: %s", info.Name, a.Name(), a.Version(), info.Description)
		}
		if _, err := New(info.Name, Options{Kwargs: map[string]any{"speed": 1}}); err == nil || !strings.Contains(err.Error(), "speed") {
			t.Errorf("an unknown option gives %v", err)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("agents are not sorted: %v", names)
	}
	_, err := New("human", Options{})
	for _, name := range names {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error for an unknown agent is %v", err)
		}
	}
}

func TestUnknownOptionListsTheKnown(t *testing.T) {
	t.Parallel()
	err := refuseKwargs("a", map[string]any{"x": 1, "y": 2}, "y", "z")
	if err == nil || err.Error() != `agent a has no option "x": known are y, z` {
		t.Errorf("error is %v", err)
	}
	if err := refuseKwargs("a", map[string]any{"y": 2}, "y"); err != nil {
		t.Error(err)
	}
}

// newEnv gives the environment of an agent in a fake sandbox.
func newEnv(t *testing.T, options map[string]string) (Env, *fake.Box) {
	t.Helper()
	box, err := fake.New().Start(t.Context(), sandbox.Spec{Options: options})
	if err != nil {
		t.Fatal(err)
	}
	return Env{
		Box: box, User: "worker", Vars: map[string]string{"A": "agent", "B": "agent"}, Dir: t.TempDir(),
		SolutionScript: "solve.sh", Solution: t.TempDir(), SolutionVars: map[string]string{"B": "solution"},
		Log: slog.New(slog.DiscardHandler),
	}, box.(*fake.Box)
}

func TestOracleUploadsAndRunsTheSolution(t *testing.T) {
	t.Parallel()
	env, box := newEnv(t, map[string]string{"agent_exit": "4"})
	var live bytes.Buffer
	env.Live = func(name string) io.Writer {
		if name != "oracle.txt" {
			t.Errorf("live file is %s", name)
		}
		return &live
	}
	if err := os.WriteFile(filepath.Join(env.Solution, "solve.sh"), []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := New("oracle", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context(), env, ""); err != nil {
		t.Fatal(err)
	}
	if _, ok := box.File("/solution/solve.sh"); !ok {
		t.Error("the solution was not uploaded")
	}
	commands := box.Commands()
	if len(commands) != 1 {
		t.Fatalf("commands are %+v", commands)
	}
	run := commands[0]
	if run.User != "worker" || run.Env["A"] != "agent" || run.Env["B"] != "solution" || run.Env["DEBIAN_FRONTEND"] != "noninteractive" {
		t.Errorf("the solution ran as %q with %v", run.User, run.Env)
	}
	if data, err := os.ReadFile(filepath.Join(env.Dir, "exit-code.txt")); err != nil || string(data) != "4" {
		t.Errorf("exit-code.txt is %q, %v", data, err)
	}
	if live.Len() == 0 {
		t.Error("nothing was shown while it ran")
	}
}

func TestOracleErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options map[string]string
		script  bool
		timeout time.Duration
		want    string
	}{
		"no solution":   {nil, false, 0, result.FileNotFoundError},
		"timeout":       {map[string]string{"agent_hangs": "true"}, true, time.Millisecond, result.AgentTimeoutError},
		"out of memory": {map[string]string{"oom": "agent"}, true, 0, result.OutOfMemoryError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, _ := newEnv(t, c.options)
			env.Timeout = c.timeout
			if c.script {
				if err := os.WriteFile(filepath.Join(env.Solution, "solve.sh"), nil, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			a, err := New("oracle", Options{})
			if err != nil {
				t.Fatal(err)
			}
			var e *result.Error
			if err := a.Run(t.Context(), env, ""); !errors.As(err, &e) || e.Type != c.want {
				t.Errorf("error is %v, want a %s", err, c.want)
			}
		})
	}
	t.Run("a lost sandbox stays one", func(t *testing.T) {
		t.Parallel()
		env, box := newEnv(t, nil)
		if err := os.WriteFile(filepath.Join(env.Solution, "solve.sh"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
		box.Stop(t.Context())
		a, err := New("oracle", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Run(t.Context(), env, ""); !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestEnvExecAddsUserAndVariables(t *testing.T) {
	t.Parallel()
	env, box := newEnv(t, nil)
	for _, cmd := range []sandbox.Command{{Script: "a", Env: map[string]string{"B": "command"}}, {Script: "b", User: "0"}} {
		if _, err := env.Exec(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}
	got := box.Commands()
	if got[0].User != "worker" || got[0].Env["A"] != "agent" || got[0].Env["B"] != "command" || got[1].User != "0" {
		t.Errorf("commands are %+v", got)
	}
	if env.Vars["B"] != "agent" {
		t.Error("the agent's variables were changed")
	}
}

// deaf is a box whose uploads fail before they have read anything.
type deaf struct{ Box }

func (deaf) Upload(context.Context, string, io.Reader) error { return sandbox.ErrLost }

func TestUploadDirEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := UploadDir(t.Context(), deaf{}, dir, "/x", tarball.PackOptions{}); !errors.Is(err, sandbox.ErrLost) {
		t.Errorf("error of an upload that fails is %v", err)
	}
	env, _ := newEnv(t, nil)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := UploadDir(t.Context(), env.Box, dir, "/x", tarball.PackOptions{}); err == nil || !strings.Contains(err.Error(), "link") {
		t.Errorf("error of a folder that cannot be packed is %v", err)
	}
}

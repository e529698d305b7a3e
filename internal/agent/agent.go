// Package agent holds the contract between a trial and the agent that works in it, and the
// agents themselves, one file for each.
//
// An agent acts on a sandbox through its Env and knows nothing of the queue, the task's
// directory or the verifier. Package trial, above it, decides when it runs and for how long;
// package sandbox, below, is where it runs.
package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"oddish/internal/sandbox"
)

// Paths inside every sandbox.
const (
	LogsDir      = "/logs/agent"     // fetched after the run, writable by every user
	ArtifactsDir = "/logs/artifacts" // likewise
	SolutionDir  = "/solution"
)

// Agent is one agent, made for one trial. The trial calls Setup once, then Run once, from one goroutine. In a task of several steps each has an
// Agent of its own; that of the first is set up for all, and of the others only Run is called.
//
// A worker that was killed is followed by another that takes the trial up with an Agent of its own: it calls Setup
// again if that was under way, or, without Setup, Run if that was. So what they do in the sandbox can be done twice, what
// they learn of it is looked up again, and long work is done by Env.Run, which waits for a process that was begun before.
//
// Both end soon after ctx does. Errors that are *result.Error keep their name in the trial's
// result; others become RuntimeError. An error of Run for which result.AgentFailed holds (the agent
// ran out of time, or ended badly) does not keep the trial from being verified; any other
// error of Run, and every error of Setup, ends the trial.
type Agent interface {
	// Name is the name under which New knows it.
	Name() string
	// Version is that of the agent's program; "unknown" until Setup has found it out.
	Version() string
	// Setup prepares the sandbox: installs programs, writes configuration. It runs under the setup timeout.
	Setup(ctx context.Context, env Env) error
	// Run works on the instruction until it is done or env.Timeout has passed. It
	// ends its own work at the timeout (for a process, Env.Run does that inside the sandbox) and
	// then returns AgentTimeoutError; ctx ends a little later, for what went wrong with that.
	Run(ctx context.Context, env Env, instruction string) error
}

// Box is the part of a sandbox that an agent may use; see sandbox.Sandbox for what the methods promise.
type Box interface {
	Exec(ctx context.Context, cmd sandbox.Command) (int, error)
	Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error)
	Upload(ctx context.Context, dst string, tar io.Reader) error
	Download(ctx context.Context, src string, tar io.Writer) error
}

// Env is what a trial gives to its agent.
type Env struct {
	Box Box
	// User is whom the agent's commands run as; empty: the image's user.
	User string
	// Vars is the agent's environment with its templates resolved, on top of the sandbox's own. Exec and
	// Run of Env add it; it may hold secrets and is not written anywhere.
	Vars map[string]string
	// Timeout is how long Run may take, from its call; zero: no limit.
	Timeout time.Duration
	// Solution is the task's reference solution on this machine, a folder with SolutionScript in
	// it, and SolutionVars its environment. Only the oracle may look at it.
	Solution       string
	SolutionScript string
	SolutionVars   map[string]string
	// Dir is the trial's agent folder on this machine. The content of LogsDir is put into it after the run.
	Dir string
	// Live opens a file of Dir that grows while a process runs, for Process.Live. It is
	// replaced by the file of that name in LogsDir, once that is fetched. Nil: none is kept.
	Live func(name string) io.Writer
	// Begun tells whether a worker that is gone has begun the process of that name (see Run). What was put
	// into the sandbox for it must then be left alone. Nil: none was begun.
	Begun func(process string) bool
	// Programs: the sandbox shows the folder that Packages.Shown gives.
	Programs bool
	// MCP are the tool servers that the task offers, Skills is the folder in the sandbox with its skills; empty: there are none.
	MCP    []MCPServer
	Skills string
	// Model is where the agent reaches its model; nil for agents without one. Facts tells what became of its calls; nil without Model.
	Model *Endpoint
	Facts func() Facts
	Log   *slog.Logger
}

// Exec runs a short command as the agent's user, unless cmd names another, in its environment.
func (e Env) Exec(ctx context.Context, cmd sandbox.Command) (int, error) {
	return e.Box.Exec(ctx, e.command(cmd))
}

func (e Env) command(cmd sandbox.Command) sandbox.Command {
	if cmd.User == "" {
		cmd.User = e.User
	}
	vars := maps.Clone(e.Vars)
	if vars == nil {
		vars = map[string]string{}
	}
	maps.Copy(vars, cmd.Env)
	cmd.Env = vars
	return cmd
}

// Options are what the user chose for an agent.
type Options struct {
	// Model is the model's id; empty: the agent's own choice, or none.
	Model string
	// Base is the agent that this one is under a name of the user's, which can only be "command"; empty: it is the one of its name.
	Base string
	// Kwargs are the agent's own options (--ak key=value). One that the agent does not know is an error.
	Kwargs map[string]any
	// Packages are the programs of agents on this machine; nil: each sandbox gets its own.
	Packages *Packages
	// State is a folder of this machine for what an agent that works in this process must remember, made when it is needed. It outlives
	// the process, and is no part of the trial's results. Empty: nothing is remembered.
	State string
	// Log is where the agent tells what it does; nil: nowhere.
	Log *slog.Logger
}

type entry struct {
	Info
	make func(Options) (Agent, error)
}

func entries() []entry {
	list := []entry{
		{Info{Name: "nop", Description: "does nothing; a sane task gives it reward 0"}, newNop},
		{Info{Name: "oracle", Description: "runs the task's own solution; a sane task gives it reward 1"}, newOracle},
		{terminusInfo(), newTerminus},
	}
	for _, d := range definitions() {
		list = append(list, entry{
			d.info(),
			func(o Options) (Agent, error) { return newInstalled(d, o) },
		})
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Known lists the agents by name.
func Known() []Info {
	var list []Info
	for _, e := range entries() {
		list = append(list, e.Info)
	}
	return list
}

// New makes the agent of that name for one trial. An unknown name and an unknown option are errors that list the known ones.
func New(name string, o Options) (Agent, error) {
	if o.Base != "" {
		return newNamed(name, o)
	}
	for _, e := range entries() {
		if e.Name == name {
			return e.make(o)
		}
	}
	return nil, UnknownError(name)
}

// refuseKwargs is an error if kwargs has a key that is not among the known.
func refuseKwargs(agent string, kwargs map[string]any, known ...string) error {
	for _, key := range slices.Sorted(maps.Keys(kwargs)) {
		if slices.Contains(known, key) {
			continue
		}
		if len(known) == 0 {
			return fmt.Errorf("agent %s has no option %q: it takes none", agent, key)
		}
		return fmt.Errorf("agent %s has no option %q: known are %s", agent, key, strings.Join(known, ", "))
	}
	return nil
}

package agent

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"oddish/internal/agent/terminus"
	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/model"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

const terminusName = "terminus-2"

// Files of terminus-2: its state on this machine, and what its terminal printed and showed, in LogsDir.
const (
	terminusState     = "terminus-2.json"
	terminusPane      = "terminus_2.pane"
	terminusRecording = "recording.cast"
)

// terminusAgent is the agent that works in this process; see package terminus.
type terminusAgent struct {
	options  terminusOptions
	model    string
	provider string
	state    string // folder; empty: nothing is kept
	session  string
}

var (
	_ Agent    = (*terminusAgent)(nil)
	_ Reporter = (*terminusAgent)(nil)
)

func terminusInfo() Info {
	return Info{
		Name: terminusName, NeedsModel: true, Version: terminus.Version,
		Description: "types a model's answers into a terminal (tmux); works in the worker, so that nothing is installed but tmux",
		Dialects:    llm.Dialects(), Tells: Tells{Tokens: true}, Trajectory: true, MCP: true, Skills: true,
		Options: terminusKwargs(),
	}
}

func newTerminus(o Options) (Agent, error) {
	options, err := readTerminusOptions(o.Kwargs)
	if err != nil {
		return nil, err
	}
	a := &terminusAgent{options: options, model: o.Model, provider: model.Provider(terminusName, o.Model), state: o.State, session: options.loop.SessionID}
	return a, nil
}

func (a *terminusAgent) Name() string    { return terminusName }
func (a *terminusAgent) Version() string { return terminus.Version }

// Setup sees to it that tmux is there and opens the terminal, so that what is wrong with it is an error of the setup.
func (a *terminusAgent) Setup(ctx context.Context, env Env) error {
	t, err := a.terminal(ctx, env)
	if err != nil {
		return err
	}
	if err := t.Open(ctx, true); err != nil {
		return result.Errorf(result.AgentInstallError, "agent %s: %w", terminusName, err)
	}
	return a.record(ctx, env, t)
}

// terminal finds tmux, or installs it.
func (a *terminusAgent) terminal(ctx context.Context, env Env) (*terminus.Tmux, error) {
	program, err := findTmux(ctx, env)
	if err != nil {
		return nil, err
	}
	return &terminus.Tmux{Box: env, Program: program, Width: a.options.width, Height: a.options.height, Log: path.Join(LogsDir, terminusPane)}, nil
}

// findTmux gives the program tmux of the sandbox. An image without it gets it from its package manager.
func findTmux(ctx context.Context, env Env) (string, error) {
	const look = `command -v tmux`
	out := &sandbox.Tail{Most: 1000}
	code, err := env.Exec(ctx, sandbox.Command{Label: "look-for-tmux", Script: look, Dir: "/", Stdout: out})
	if err == nil && code != 0 {
		script := needScript() + "need tmux >/dev/null && " + look
		out = &sandbox.Tail{Most: 1000}
		code, err = env.Exec(ctx, sandbox.Command{Label: "install-tmux", Script: script, Dir: "/", User: "0", Stdout: out, Stderr: out})
		env.Log.Info("tmux installed", "exit_code", code)
	}
	if err != nil {
		return "", fmt.Errorf("look for tmux: %w", err)
	}
	said := strings.TrimSpace(string(out.Data))
	if code != 0 {
		return "", result.Errorf(result.AgentInstallError,
			"agent %s needs tmux, which the image has not, and installing it failed (a sandbox without network needs an image with it): %s", terminusName, said)
	}
	return said[strings.LastIndexByte(said, '\n')+1:], nil
}

// record begins a recording of the terminal, if that is wanted and the image has the program for it.
func (a *terminusAgent) record(ctx context.Context, env Env, t *terminus.Tmux) error {
	if !a.options.record {
		return nil
	}
	code, err := env.Exec(ctx, sandbox.Command{Label: "look-for-asciinema", Script: "command -v asciinema", Dir: "/"})
	if err != nil {
		return fmt.Errorf("look for asciinema: %w", err)
	}
	if code != 0 {
		env.Log.Debug("terminal is not recorded: the image has no asciinema")
		return nil
	}
	for _, keys := range []string{"asciinema rec --stdin -q " + path.Join(LogsDir, terminusRecording) + "\n", "clear\n"} {
		if err := t.Send(ctx, keys); err != nil {
			return err
		}
	}
	return nil
}

// Run goes through the loop, or on with the one that a former process has begun.
func (a *terminusAgent) Run(ctx context.Context, env Env, instruction string) error {
	t, err := a.terminal(ctx, env)
	if err != nil {
		return err
	}
	client, err := a.client(env)
	if err != nil {
		return err
	}
	defer client.HTTP.CloseIdleConnections()
	var servers []string
	for _, s := range env.MCP {
		servers = append(servers, strings.TrimSpace(s.Name+": "+cmp.Or(s.URL, strings.Join(append([]string{s.Command}, s.Args...), " "))))
	}
	c := terminus.Config{
		Model: client, Terminal: t, Options: a.options.loop, ModelName: a.model, Timeout: env.Timeout, Log: env.Log,
		ContextTokens: cmp.Or(a.options.contextTokens, env.Model.ContextTokens),
		Instruction:   a.options.prompt(instruction) + terminus.Toolbox(servers, env.Skills),
	}
	if a.state != "" {
		c.Snapshot = filepath.Join(a.state, terminusState)
	}
	c.Wrote = func(r *terminus.Record) {
		if err := atif.Write(filepath.Join(env.Dir, atif.FileName), a.trajectory(r)); err != nil {
			env.Log.Warn("agent's trajectory could not be written", "error", err)
		}
	}
	err = terminus.Run(ctx, c)
	if failed, named := budgetError(env, err); named {
		return failed
	}
	return err
}

// budgetError tells the end of a budget, which is no error of the model's.
func budgetError(env Env, err error) (error, bool) {
	if err == nil || env.Facts == nil {
		return nil, false
	}
	if b := env.Facts().BudgetExceeded; b != "" {
		return result.Errorf(result.BudgetExceeded, "the agent was stopped: the budget %s is used up", b), true
	}
	return nil, false
}

// client speaks to the model through the gateway.
func (a *terminusAgent) client(env Env) (*terminus.Client, error) {
	if env.Model == nil || env.Model.Dial == nil {
		return nil, result.Errorf(result.ValueError, "agent %s has no way to its model", terminusName)
	}
	dialect, err := a.dialect(env.Model.Dialects)
	if err != nil {
		return nil, err
	}
	_, name, found := strings.Cut(a.model, "/")
	if !found {
		name = a.model
	}
	o := a.options
	c := &terminus.Client{
		HTTP: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return env.Model.Dial(ctx) },
		}},
		Dialect: dialect, BaseURL: env.Model.BaseURL, Token: env.Model.Token, Model: name,
		Effort: o.effort, ThinkingTokens: o.thinking, Temperature: o.temperature, Interleave: o.loop.Interleave,
		MaxOutput: o.maxOutput, Body: o.body, Classify: errorOfCall,
	}
	if c.MaxOutput == 0 && dialect == llm.Anthropic { // which demands one
		c.MaxOutput = min(env.Model.MaxOutput, mostOutput)
	}
	if a.session != "" {
		c.Header = map[string]string{"X-Session-ID": a.session}
	}
	return c, nil
}

// mostOutput bounds answers that do not stream, in tokens.
const mostOutput = 32_000

// errorOfCall names the error of a call.
func errorOfCall(status int, message string) string {
	return orName(errorOfStatus(status, message), errorOfText(message), result.UnknownAPIError)
}

// dialect chooses among those that are served.
func (a *terminusAgent) dialect(served []llm.Dialect) (llm.Dialect, error) {
	want := []llm.Dialect{llm.Chat, llm.Anthropic, llm.Responses, llm.Gemini}
	switch {
	case a.options.responses:
		want = []llm.Dialect{llm.Responses}
	case a.provider == "anthropic":
		want = []llm.Dialect{llm.Anthropic, llm.Chat}
	}
	for _, d := range want {
		if slices.Contains(served, d) {
			return d, nil
		}
	}
	return "", result.Errorf(result.ValueError, "agent %s cannot speak to model %s: its provider serves %v, and it would use %v", terminusName, a.model, served, want)
}

// Report gives what the loop has written down, also in a former process. What the sandbox has left under the name of its trajectory counts for nothing.
func (a *terminusAgent) Report(string, string, string) (*Log, error) {
	log := &Log{Own: true}
	if a.state == "" {
		return log, nil
	}
	r, err := terminus.Load(filepath.Join(a.state, terminusState))
	if r == nil || err != nil {
		return log, err
	}
	log.Usage, log.Answered, log.Trajectory = r.Usage, len(r.Calls) > 0, a.trajectory(r)
	log.Metadata = map[string]any{"n_episodes": r.Episodes, "api_request_times_msec": r.Calls, "summarization_count": r.Compactions}
	return log, nil
}

func (a *terminusAgent) trajectory(r *terminus.Record) *atif.Trajectory {
	t := r.Trajectory(a.model, a.session, a.options.extra())
	if t != nil {
		t.Tidy()
	}
	return t
}

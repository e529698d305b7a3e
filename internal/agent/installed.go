package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
)

// promptFile is where the instruction lies while the agent works: in a file it may be of any length.
const promptFile = "/tmp/oddish-agent/prompt.txt"

// afterTimeout bounds what is done when the agent has ended.
const afterTimeout = time.Minute

// installed is a program that works in the sandbox, as its Definition says.
type installed struct {
	*Definition
	settings settings
	model    string
	packages *Packages
	version  string
}

var (
	_ Agent    = (*installed)(nil)
	_ Reporter = (*installed)(nil)
)

// Reporter is an Agent that can tell from its logs what it did.
type Reporter interface {
	// Report reads a folder with the content of LogsDir. Version is the agent's, and instruction what it was told. What
	// it does not find is nil in the Log.
	Report(dir, version, instruction string) (*Log, error)
}

func newInstalled(d *Definition, o Options) (Agent, error) {
	s, err := newSettings(d, o.Kwargs)
	if err != nil {
		return nil, err
	}
	a := &installed{Definition: d, settings: s, model: o.Model, packages: o.Packages, version: "unknown"}
	if a.ownProgram() {
		return newCommand(a)
	}
	return a, nil
}

func (a *installed) Name() string    { return a.Definition.Name }
func (a *installed) Version() string { return a.version }

// Run starts the program, waits for it, and finds out how it ended.
func (a *installed) Run(ctx context.Context, env Env, instruction string) error {
	launch, err := a.launch(env)
	if err != nil {
		return err
	}
	if env.Begun == nil || !env.Begun(agentProcess) {
		if err := a.place(ctx, env, launch, instruction); err != nil {
			return err
		}
	}
	exit, err := env.Run(ctx, a.process(env, launch))
	if lost := err != nil && !result.AgentFailed(errorType(err)); lost || errors.Is(err, sandbox.ErrLost) {
		return err
	}
	a.after(ctx, env, launch)
	if err != nil {
		return err
	}
	return a.verdict(ctx, env, exit)
}

func errorType(err error) string {
	var e *result.Error
	if errors.As(err, &e) {
		return e.Type
	}
	return ""
}

// launch says how the program is started.
func (a *installed) launch(env Env) (Launch, error) {
	r := Request{
		Options: a.settings.options, Flags: a.settings.flags, Program: sandbox.Quote(a.starter()), Prompt: sandbox.Quote(promptFile),
		MCP: env.MCP, Skills: env.Skills,
	}
	r.Provider, r.Model = splitModel(a.model)
	if len(env.MCP) > 0 && !a.MCP {
		return Launch{}, result.Errorf(result.ValueError, "agent %s cannot use tool servers (environment.mcp_servers, --mcp-config)", a.Definition.Name)
	}
	if err := a.reachModel(env, &r); err != nil {
		return Launch{}, err
	}
	l, err := a.Launch(r)
	if err != nil {
		return Launch{}, err
	}
	vars := maps.Clone(a.settings.env)
	maps.Copy(vars, l.Env)
	for name := range env.Vars { // the user knows better
		delete(vars, name)
	}
	l.Env = vars
	return l, nil
}

// reachModel fills in how the program reaches its model.
func (a *installed) reachModel(env Env, r *Request) error {
	if a.model == "" && !a.NoModel {
		return result.Errorf(result.ValueError, "agent %s needs a model: name one with -m", a.Definition.Name)
	}
	if a.OwnKey != "" || a.NoModel && (env.Model == nil || a.model == "") {
		return nil
	}
	d, err := env.Model.choose(a.Definition.Name, a.model, a.Dialects(r.Provider))
	if err != nil {
		return err
	}
	r.Dialect, r.BaseURL, r.Token = d, strings.TrimRight(env.Model.BaseURL, "/"), env.Model.Token
	return nil
}

// place writes the instruction and the agent's files into the sandbox, as its user.
func (a *installed) place(ctx context.Context, env Env, l Launch, instruction string) error {
	for _, f := range append([]File{{promptFile, a.settings.prompt(instruction)}}, l.Files...) {
		target := sandbox.Quote(f.Path)
		if rest, home := strings.CutPrefix(f.Path, "~/"); home {
			target = `"$HOME"/` + sandbox.Quote(rest)
		}
		out := &sandbox.Tail{Most: 500}
		code, err := env.Exec(ctx, sandbox.Command{
			Label: "agent-setup", Dir: "/", Stdin: strings.NewReader(f.Content), Stdout: out, Stderr: out,
			Script: fmt.Sprintf("umask 077; f=%s; mkdir -p \"$(dirname \"$f\")\" && cat > \"$f\"", target),
		})
		if err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
		if code != 0 {
			return result.Errorf(result.AgentInstallError, "write %s as the agent's user: exit status %d: %s", f.Path, code, lastWords(out.Data, 500))
		}
	}
	return nil
}

func (a *installed) process(env Env, l Launch) sandbox.Process {
	p := sandbox.Process{
		Command: sandbox.Command{Label: "agent", Script: "(set -o pipefail) 2>/dev/null && set -o pipefail\n" + l.Script, Env: l.Env},
		Name:    agentProcess,
		Output:  path.Join(LogsDir, a.Output),
	}
	if env.Live != nil {
		p.Live = env.Live(a.Output)
	}
	return p
}

// after brings the agent's records into LogsDir. That it fails is told and harms nothing else.
func (a *installed) after(ctx context.Context, env Env, l Launch) {
	if l.After == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, afterTimeout)
	defer cancel()
	out := &sandbox.Tail{Most: 500}
	code, err := env.Exec(ctx, sandbox.Command{Label: "agent-after", Script: l.After, Env: l.Env, Dir: "/", Stdout: out, Stderr: out})
	if err != nil || code != 0 {
		env.Log.Warn("agent's records could not be kept", "exit_code", code, "error", err, "output", lastWords(out.Data, 500))
	}
}

// verdict looks at what the program printed for how it ended.
func (a *installed) verdict(ctx context.Context, env Env, exit sandbox.Exit) error {
	dir, err := os.MkdirTemp("", "oddish-agent-")
	if err != nil {
		return result.Errorf(result.OSError, "read the agent's output: %w", err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{a.Output, a.Record} {
		if err := fetchLog(ctx, env.Box, name, dir); err != nil {
			return fmt.Errorf("read the agent's output: %w", err)
		}
	}
	var log *Log
	if a.Read != nil {
		if log, err = a.Read(dir); err != nil {
			return result.Errorf(result.OSError, "read the agent's output: %w", err)
		}
	}
	var facts *Facts
	if env.Facts != nil {
		f := env.Facts()
		facts = &f
	}
	env.Log.Info("agent ended", "agent", a.Definition.Name, "exit_code", exit.Code, "output_truncated", exit.Truncated)
	return judge(a.Definition, log, exit, facts, endOf(filepath.Join(dir, path.Base(a.Output)), 1500))
}

// fetchLog copies a file of LogsDir to the same place in a folder. That there is none is no error.
func fetchLog(ctx context.Context, box Box, name, dir string) error {
	if name == "" {
		return nil
	}
	to := filepath.Join(dir, filepath.FromSlash(path.Dir(name)))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	if err := download(ctx, box, path.Join(LogsDir, name), to); err != nil && !errors.Is(err, sandbox.ErrNotFound) {
		return err
	}
	return nil
}

// download copies one file of the sandbox into a folder.
func download(ctx context.Context, box Box, src, dir string) error {
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := box.Download(ctx, src, w)
		w.CloseWithError(err)
		sent <- err
	}()
	_, err := tarball.Unpack(r, dir, tarball.UnpackOptions{Lenient: true})
	r.CloseWithError(io.ErrClosedPipe)
	if e := <-sent; e != nil && !errors.Is(e, io.ErrClosedPipe) {
		return e
	}
	return err
}

// endOf gives the last bytes of a file; "" if there is none.
func endOf(file string, most int64) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return ""
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return ""
	}
	return lastWords(data, int(most))
}

// Report reads the logs, and completes the trajectory with what the trial knows.
func (a *installed) Report(dir, version, instruction string) (*Log, error) {
	if a.Read == nil {
		return readLeft(dir)
	}
	log, err := a.Read(dir)
	if err != nil {
		return nil, err
	}
	if u := log.Usage; deref(u.InputTotal) < 0 || deref(u.OutputTotal) < 0 || deref(u.CacheRead) < 0 {
		log.Usage = usage.Usage{} // a log that counts so has not counted
	}
	if log.Trajectory == nil {
		return log, nil
	}
	t := log.Trajectory
	t.SchemaVersion = atif.Version
	t.SetAgent(a.Definition.Name, version)
	if t.Agent.ModelName == "" {
		t.Agent.ModelName = a.model
	}
	first := slices.IndexFunc(t.Steps, func(s atif.Step) bool { return s.Source != atif.SourceSystem })
	if first < 0 || t.Steps[first].Source != atif.SourceUser { // the log does not tell what it was told
		t.Steps = slices.Insert(t.Steps, max(first, 0), atif.Step{Source: atif.SourceUser, Message: atif.Text(instruction)})
	}
	t.Tidy()
	steps := len(t.Steps)
	t.FinalMetrics = &atif.FinalMetrics{
		TotalPromptTokens: log.Usage.InputTotal, TotalCompletionTokens: log.Usage.OutputTotal, TotalCachedTokens: log.Usage.CacheRead,
		TotalCostUSD: log.CostUSD, TotalSteps: &steps,
	}
	return log, nil
}

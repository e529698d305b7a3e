package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// programsDir is the folder of sandboxes that programs of agents are put into.
const programsDir = "/opt/oddish/agents"

// prefix is the folder of the agent's program in a sandbox, and starter the script in it by which the program is started, wherever it is.
func (d *Definition) prefix() string  { return path.Join(programsDir, d.Name) }
func (d *Definition) starter() string { return path.Join(d.prefix(), "start") }

// found is what a sandbox's image brings.
type found struct {
	platform
	version string // of the agent; empty: it has none
	node    string // version of Node; empty: it has none
	python  string // program of the platform's Python; empty: it has none that fits
}

// Setup sees to it that the program is in the sandbox, in the wanted version.
func (a *installed) Setup(ctx context.Context, env Env) error {
	if a.ownProgram() {
		return a.setUpCommand(ctx, env)
	}
	has, err := a.look(ctx, env)
	if err != nil {
		return err
	}
	start, err := a.provide(ctx, env, has)
	if err != nil {
		return err
	}
	script := fmt.Sprintf("mkdir -p %s && cat > %s && chmod 0755 %[2]s", sandbox.Quote(a.prefix()), sandbox.Quote(a.starter()))
	if err := a.root(ctx, env, "write the agent's starter", script, "#!/bin/sh\n"+start+"\n"); err != nil {
		return err
	}
	return a.confirm(ctx, env)
}

// ownProgram: the user says how it is installed and started.
func (a *installed) ownProgram() bool {
	return a.Package.NPM == "" && a.Package.PyPI == "" && a.Package.Vendor == nil
}

// look finds out what the sandbox has.
func (a *installed) look(ctx context.Context, env Env) (found, error) {
	var out bytes.Buffer
	script := `echo "arch=$(uname -m)"; if ls /lib/ld-musl-* >/dev/null 2>&1; then echo libc=musl; else echo libc=glibc; fi; ` +
		`command -v node >/dev/null 2>&1 && echo "node=$(node --version 2>/dev/null)"; `
	if a.Package.PyPI != "" {
		script += `for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do ` +
			`v=$($p -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) && echo "python=$p $v"; done; `
	}
	if c := a.Package.Command; c != "" {
		script += fmt.Sprintf(`command -v %s >/dev/null 2>&1 && echo "version=$(%[1]s %s </dev/null 2>/dev/null | head -n 1)"; `, c, a.versionFlag())
	}
	code, err := env.Exec(ctx, sandbox.Command{Label: "agent-setup", Script: script + "true", Dir: "/", Stdout: &out})
	if err != nil {
		return found{}, fmt.Errorf("look for agent %s: %w", a.Definition.Name, err)
	}
	values := map[string]string{}
	var has found
	for line := range strings.Lines(out.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
		if program, version, _ := strings.Cut(value, " "); name == "python" && has.python == "" && a.Package.runsOn(version) {
			has.python, has.Python = program, version
		}
	}
	has.Arch, has.Libc, has.version, has.node = values["arch"], values["libc"], firstVersion(values["version"]), firstVersion(values["node"])
	if code != 0 || has.Arch == "" {
		return found{}, result.Errorf(result.AgentInstallError, "the image cannot run a shell as the agent's user: exit status %d", code)
	}
	return has, nil
}

// runsOn reports whether a version of Python, such as 3.12, is among those that the package runs on.
func (p *Package) runsOn(version string) bool {
	minor, err := strconv.Atoi(strings.TrimPrefix(version, "3."))
	return err == nil && minor >= p.Python[0] && (p.Python[1] == 0 || minor <= p.Python[1])
}

func (a *installed) versionFlag() string { return cmp.Or(a.Package.VersionFlag, "--version") }

// firstVersion gives the first x.y.z in a text.
func firstVersion(text string) string {
	return regexp.MustCompile(`\d+\.\d+(\.\d+)?[0-9A-Za-z.+-]*`).FindString(text)
}

// provide brings the program into the sandbox if it is not there in the right version, and gives the shell line that starts it.
func (a *installed) provide(ctx context.Context, env Env, has found) (string, error) {
	p := &a.Package
	if has.version != "" && (a.settings.version == "" || a.settings.version == has.version) {
		env.Log.Info("agent is in the image", "agent", a.Definition.Name, "version", has.version)
		return `exec ` + p.Command + ` "$@"`, nil
	}
	version := cmp.Or(a.settings.version, p.Version)
	prefix, err := a.bring(ctx, env, version, has)
	switch {
	case errors.Is(err, errNotHere):
		env.Log.Info("agent is installed in the sandbox", "agent", a.Definition.Name, "version", version, "reason", err)
		if err := a.root(ctx, env, "install agent "+a.Definition.Name+" "+version, a.installScript(version, has.platform), ""); err != nil {
			return "", err
		}
		has.python = "" // it is in an environment of its own
		return a.startLine(has, a.prefix()), nil
	case err != nil && ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", err
	}
	return a.startLine(has, prefix), nil
}

// bring brings the program from this machine, and gives its folder in the sandbox: where that shows this machine's programs nothing is to be done there.
func (a *installed) bring(ctx context.Context, env Env, version string, has found) (string, error) {
	where := func(err error) error {
		if err == nil || errors.Is(err, errNotHere) {
			return err
		}
		return result.Errorf(result.AgentInstallError, "%w; without a network, put %s into the folder that ODDISH_AGENT_PACKAGES names",
			err, programName(a.Definition.Name, version, has.platform)+archiveEnding)
	}
	if env.Programs {
		name, err := a.packages.unpacked(ctx, a.Definition, version, has.platform)
		env.Log.Debug("agent is among the worker's programs", "agent", a.Definition.Name, "version", version, "error", err)
		return path.Join(sandbox.ProgramsDir, name), where(err)
	}
	archive, err := a.packages.archive(ctx, a.Definition, version, has.platform)
	if err != nil {
		return "", where(err)
	}
	env.Log.Info("agent is unpacked from the worker's archive", "agent", a.Definition.Name, "version", version)
	if err = upload(ctx, env.Box, archive, a.prefix()); err != nil && !errors.Is(err, sandbox.ErrLost) {
		err = result.Errorf(result.AgentInstallError, "unpack agent %s into the sandbox: %w", a.Definition.Name, err)
	}
	return a.prefix(), err
}

// startLine gives the line that starts a program below prefix.
func (a *installed) startLine(has found, prefix string) string {
	p := &a.Package
	switch {
	case p.Native != "":
		line := ""
		if p.Tools != "" {
			line = fmt.Sprintf("PATH=%s:\"$PATH\"\n", sandbox.Quote(path.Join(prefix, has.fill(p.Tools))))
		}
		return line + "exec " + sandbox.Quote(path.Join(prefix, has.fill(p.Native))) + ` "$@"`
	case p.Vendor != nil:
		return "exec " + sandbox.Quote(path.Join(prefix, p.Vendor.Program)) + ` "$@"`
	case p.Script != "":
		own := sandbox.Quote(path.Join(prefix, "node_modules/node-linux-"+has.cpu()+"/bin/node"))
		return fmt.Sprintf("node=%s\n[ -x \"$node\" ] || node=node\nexec \"$node\" %s \"$@\"", own, sandbox.Quote(path.Join(prefix, p.Script)))
	}
	if has.python != "" {
		return "exec " + has.python + " -c " + sandbox.Quote(fmt.Sprintf(moduleRunner, path.Join(prefix, siteFolder), p.Command)) + ` "$@"`
	}
	return "exec " + sandbox.Quote(path.Join(prefix, "venv/bin", p.Command)) + ` "$@"`
}

// moduleRunner starts a program of a folder of Python modules. The folder is known to this process alone, so that what the agent runs finds the
// image's modules and not the agent's.
const moduleRunner = `import sys
sys.path.insert(0, %q)
from importlib.metadata import entry_points
name = %q
sys.argv[0] = name
sys.exit(next(e for e in entry_points(group="console_scripts") if e.name == name).load()())`

// fill puts the platform's words into a path.
func (p platform) fill(pattern string) string {
	libc, musl := "", ""
	if p.Libc == "musl" {
		libc, musl = "-musl", "musl"
	}
	return strings.NewReplacer("{cpu}", p.cpu(), "{libc}", libc, "{musl}", musl, "{arch}", p.Arch).Replace(pattern)
}

// needScript defines need, which installs packages by the image's package manager.
func needScript() string {
	return `need() { if command -v apt-get >/dev/null 2>&1; then DEBIAN_FRONTEND=noninteractive apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"
elif command -v apk >/dev/null 2>&1; then apk add --no-cache "$@"
elif command -v dnf >/dev/null 2>&1; then dnf install -y -q "$@"
elif command -v zypper >/dev/null 2>&1; then zypper --non-interactive --quiet install "$@"
elif command -v pacman >/dev/null 2>&1; then pacman -Sy --noconfirm --noprogressbar "$@"
elif command -v yum >/dev/null 2>&1; then yum install -y -q "$@"
else echo "the image has no package manager that is known, and lacks: $*" >&2; return 1; fi; }
`
}

// installScript installs the program inside a sandbox, with the image's package manager for what is missing.
func (a *installed) installScript(version string, on platform) string {
	need := needScript()
	prefix := sandbox.Quote(a.prefix())
	if v := a.Package.Vendor; v != nil {
		return need + vendorScript(v, a.prefix(), version, on)
	}
	if a.Package.NPM != "" {
		var list []string
		for _, p := range a.npmPackages(version, on) {
			list = append(list, sandbox.Quote(p))
		}
		return need + fmt.Sprintf("command -v npm >/dev/null 2>&1 || need nodejs npm || exit 1\nmkdir -p %s && cd %[1]s && "+
			"npm install --prefix . --ignore-scripts --no-audit --no-fund --no-save --loglevel=error %s", prefix, strings.Join(list, " "))
	}
	return need + fmt.Sprintf(`command -v python3 >/dev/null 2>&1 || need python3 || exit 1
python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv || exit 1
mkdir -p %s && cd %[1]s && python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check %s`,
		prefix, sandbox.Quote(a.Package.PyPI+"=="+version))
}

// root runs a script of the setup as root; its failure is an AgentInstallError with its last words.
func (a *installed) root(ctx context.Context, env Env, what, script, stdin string) error {
	out := &sandbox.Tail{Most: 2000}
	code, err := env.Exec(ctx, sandbox.Command{
		Label: "agent-setup", Script: script, Dir: "/", User: "0", Stdin: strings.NewReader(stdin), Stdout: out, Stderr: out,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if code != 0 {
		return result.Errorf(result.AgentInstallError, "%s: exit status %d: %s", what, code, lastWords(out.Data, 800))
	}
	return nil
}

// confirm asks the program for its version, which shows that it runs and is the one that was asked for.
func (a *installed) confirm(ctx context.Context, env Env) error {
	version, code, words, err := a.ask(ctx, env, sandbox.Quote(a.starter())+" "+a.versionFlag())
	if err != nil {
		return err
	}
	switch {
	case code != 0 || version == "":
		return result.Errorf(result.AgentInstallError, "agent %s is installed and does not run: exit status %d: %s", a.Definition.Name, code, words)
	case a.settings.version != "" && version != a.settings.version && (a.Package.Vendor == nil || !a.Package.Vendor.Ref):
		return result.Errorf(result.AgentInstallError, "agent %s %s was asked for and is %s", a.Definition.Name, a.settings.version, version)
	}
	a.version = version
	return nil
}

// ask runs a command that prints the program's version, and gives that with its exit status and last words.
func (a *installed) ask(ctx context.Context, env Env, command string) (version string, code int, words string, err error) {
	out := &sandbox.Tail{Most: 64 << 10} // some print much below it
	code, err = env.Exec(ctx, sandbox.Command{Label: "agent-setup", Script: command + " </dev/null", Dir: "/", Stdout: out, Stderr: out})
	if err != nil {
		return "", 0, "", fmt.Errorf("ask agent %s for its version: %w", a.Definition.Name, err)
	}
	return firstVersion(string(out.Data)), code, lastWords(out.Data, 800), nil
}

// Package cli is the command line of Oddish: one file a command.
//
// It parses flags, prints, and puts the parts together: `oddish api` is where database, queue, blobs, server
// and worker meet, and sandboxes.go where the sandbox kinds do. What a trial is or when it
// is retried is decided below it. Everything that it needs of the surroundings is in App, so that tests run commands
// in their own process; only cmd/oddish is above it.
//
// Results go to standard output; progress, notes, questions and errors to standard error. With --json
// standard output holds one document and nothing else.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"oddish/internal/config"
)

// App is what one run of the program sees of its surroundings. The zero value is not useful; see Main.
type App struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Env    []string // KEY=VALUE
	Dir    string   // working directory
	Exe    string   // path of this program, to start a server with
}

// Main runs the command line of this process and returns its exit status.
func Main() int {
	dir, err := os.Getwd()
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: working directory: %v\n", err)
		return exitFailure
	}
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	a := &App{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Environ(), Dir: dir, Exe: exe}
	return a.Run(context.Background(), os.Args[1:])
}

// Run executes one command line and returns the exit status.
func (a *App) Run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	return a.report(cmd, err)
}

func (a *App) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "oddish",
		Short: "Evaluate AI agents: tasks × agents × attempts, in sandboxes",
		Long: "Oddish runs Harbor tasks with AI agents in sandboxes, several times each, checks the outcome " +
			"and keeps everything that happened.",
		Example: "# run every task of a folder with its own solution, on this machine\n" +
			"oddish run -p examples/tasks -a oracle\n" +
			"# see what is going on\n" +
			"oddish status",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       Version(),
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SetVersionTemplate("oddish {{.Version}}\n")
	root.SetHelpFunc(a.help)
	root.SetUsageFunc(func(cmd *cobra.Command) error { a.help(cmd, nil); return nil })
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	root.Flags().BoolP("version", "v", false, "print the version")
	root.AddGroup(&cobra.Group{ID: groupUse, Title: "Evaluate"}, &cobra.Group{ID: groupServe, Title: "Serve"})
	root.AddCommand(
		a.runCommand(), a.checkCommand(), a.validateCommand(), a.statusCommand(), a.lsCommand(), a.pullCommand(), a.importCommand(), a.regradeCommand(), a.retryCommand(), a.cancelCommand(), a.pauseCommand(), a.resumeCommand(), a.cleanCommand(),
		a.apiCommand(), a.workerCommand(), a.queueCommand(), a.imageCommand(), a.sandboxCommand(), a.doctorCommand(), a.dbCommand(), a.versionCommand(),
		a.agentsCommand(), a.modelsCommand(), a.devCommand(),
	)
	return root
}

// Groups of commands in the help.
const (
	groupUse   = "use"
	groupServe = "serve"
)

// unknownCommand suggests the command that was meant.
func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	if s := cmd.SuggestionsFor(name); len(s) > 0 {
		return usagef("unknown command %q: did you mean %s?", name, strings.Join(s, " or "))
	}
	return usagef("unknown command %q", name)
}

// config reads the settings and says on standard error what was wrong with .env.
func (a *App) config() (config.Config, error) {
	c, err := config.Load(a.Dir, a.Env)
	for _, w := range c.Warnings {
		a.warn("%s", w)
	}
	var bad *config.Error
	if errors.As(err, &bad) {
		err = &cliError{code: exitUsage, kind: "usage", msg: bad.Error(), hint: "settings are described in docs/configuration.md"}
	}
	return c, err
}

// interruptible returns a context that ends at the first SIGINT or SIGTERM; the second one kills the process.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func (a *App) getenv(name string) string {
	value := ""
	for _, kv := range a.Env {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			value = v // the last one counts, as for a process
		}
	}
	return value
}

// Version is the program's version: the module's, else "dev" with the commit it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = "-" + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-modified"
		}
	}
	return "dev" + commit + dirty
}

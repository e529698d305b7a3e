package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"oddish/internal/result"
	"oddish/internal/sandbox"
)

func (a *App) sandboxShellCommand() *cobra.Command {
	user := ""
	cmd := &cobra.Command{
		Use: "shell SANDBOX|TRIAL [flags] [-- COMMAND...]", Aliases: []string{"exec"}, Short: "Work in a sandbox: a shell, or a command",
		Long: "Run a shell, or the command after --, in the sandbox of a trial that runs or is kept. At a terminal it has one of its own, with Ctrl-C; otherwise input and output are passed through. " +
			"Its exit status is the command's. A running trial notes that somebody was there: its result may not be the agent's alone.",
		Example: "oddish sandbox shell hello-world-1a2b3c4d-0\noddish sandbox shell hello-world-1a2b3c4d-0 --user 0 -- cat /etc/passwd",
		Args: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); len(args) == 0 || n == 0 || n < 0 && len(args) > 1 {
				return usagef("want one sandbox or trial, and a command, if any, after --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sandboxShell(cmd.Context(), args[0], user, args[1:])
		},
	}
	cmd.Flags().StringVarP(&user, "user", "u", "", "`USER`: name or number (default: the image's)")
	return cmd
}

func (a *App) sandboxShell(ctx context.Context, name, user string, command []string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	b, err := a.findBox(ctx, name)
	if err != nil {
		return err
	}
	box, err := b.attach(ctx)
	if err != nil {
		return err
	}
	if err := a.noteEntry(&b, command); err != nil {
		return err
	}
	c := sandbox.Command{Label: "a shell", User: user, Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr, Env: map[string]string{}}
	if t := a.getenv("TERM"); t != "" {
		c.Env["TERM"] = t
	}
	if len(command) > 0 {
		quoted := make([]string, len(command))
		for i, word := range command {
			quoted[i] = sandbox.Quote(word)
		}
		c.Label, c.Script = command[0], "exec "+strings.Join(quoted, " ")
	}
	code, err := a.interact(ctx, box, c)
	if err != nil {
		return err
	}
	if code != 0 {
		return &cliError{code: code} // its own words are enough
	}
	return nil
}

// interact runs the command, or a shell if there is none, at a terminal if there is one here.
func (a *App) interact(ctx context.Context, box sandbox.Sandbox, c sandbox.Command) (int, error) {
	in, isFile := a.Stdin.(*os.File)
	terminal, can := sandbox.As[sandbox.Terminal](box)
	if !isFile || !can || !a.isTerminal(a.Stdin) || !a.isTerminal(a.Stdout) {
		if c.Script == "" {
			c.Script = "command -v bash >/dev/null 2>&1 && exec bash; exec sh"
		}
		return box.Exec(ctx, c)
	}
	if c.Script == "" {
		c.Script = sandbox.Shell
	}
	before, err := term.MakeRaw(in.Fd())
	if err != nil {
		return 0, fmt.Errorf("prepare the terminal: %w", err)
	}
	defer term.Restore(in.Fd(), before) //nolint:errcheck // nothing can be done about it
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	defer signal.Stop(changed)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sizes := make(chan sandbox.TerminalSize)
	changed <- unix.SIGWINCH // the first size is news as well
	go func() {
		for {
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
			w, h, err := term.GetSize(in.Fd())
			if err != nil {
				continue
			}
			select {
			case sizes <- sandbox.TerminalSize{Rows: uint16(h), Columns: uint16(w)}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return terminal.Terminal(ctx, c, sizes)
}

// noteEntry writes into the folder of a running trial that somebody enters its sandbox. A trial that has ended has no folder here, and nothing to note.
func (a *App) noteEntry(b *foundBox, command []string) error {
	m, err := a.machine()
	if err != nil {
		return err
	}
	folders, err := filepath.Glob(filepath.Join(workDir(m.dataDir), "w*", "jobs", "*", strings.TrimSuffix(b.Name, "-verifier")))
	if err != nil || len(folders) == 0 {
		return err
	}
	line, err := json.Marshal(map[string]any{"at": time.Now().UTC(), "user": loginName(), "sandbox": b.ID, "command": command})
	if err != nil {
		return err
	}
	for _, dir := range folders {
		f, err := os.OpenFile(filepath.Join(dir, result.EnteredFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.Write(append(line, '\n'))
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return fmt.Errorf("note in the trial that somebody was there: %w", err)
		}
	}
	a.note("the trial is running: that you were there is noted in its %s", result.EnteredFile)
	return nil
}

//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/boot"

	"oddish/internal/sandbox"
)

// terminalName is argv[0] of processes that lead a terminal's session.
const terminalName = "oddish-terminal"

// deadlineNow is a moment that leaves a reader just the time to take what is there.
func deadlineNow() time.Time { return time.Now().Add(100 * time.Millisecond) }

// terminalMain is the process that leads a terminal's session. args is the state folder of the sandbox; the terminal is its standard input.
func terminalMain(args []string) int {
	failure := os.NewFile(terminalFailureFD, "failure")
	unix.CloseOnExec(terminalFailureFD)
	unix.CloseOnExec(terminalRequestFD)
	code, err := leadTerminal(args)
	if err != nil {
		fmt.Fprintln(failure, err)
		return 1
	}
	return code
}

func leadTerminal(args []string) (int, error) {
	if len(args) != 1 {
		return 0, fmt.Errorf("this process is started by a command, not by hand")
	}
	// The signals are there before anything can be typed. SIGHUP ends the work, with this process.
	typed := make(chan os.Signal, 16)
	signal.Notify(typed, unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP, unix.SIGWINCH)
	signal.Ignore(unix.SIGTTOU, unix.SIGTTIN)
	ctx, hungUp := signal.NotifyContext(context.Background(), unix.SIGHUP, unix.SIGTERM)
	defer hungUp()
	var r terminalRequest
	if err := json.NewDecoder(os.NewFile(terminalRequestFD, "request")).Decode(&r); err != nil {
		return 0, fmt.Errorf("read what to run: %w", err)
	}
	p := &Provider{dir: filepath.Dir(args[0]), log: slog.New(slog.DiscardHandler)}
	attached, err := p.Attach(ctx, filepath.Base(args[0]))
	if err != nil {
		return 0, err
	}
	s := attached.(*box)
	pid, err := s.executeAtTerminal(ctx, sandbox.Command{Script: r.Script, Env: r.Env, Dir: r.Dir, User: r.User}, os.Stdin)
	if err != nil {
		return 0, err
	}
	go func() {
		for sig := range typed {
			s.toForeground(ctx, pid, sig)
		}
	}()
	return s.await(ctx, pid, nil)
}

// executeAtTerminal starts a command whose streams are all the terminal, as the leader of a session inside.
func (s *box) executeAtTerminal(ctx context.Context, cmd sandbox.Command, terminal *os.File) (int32, error) {
	name := cmd.User
	if name == "" {
		name = s.rec.User
	}
	who, err := s.lookUp(ctx, name)
	if err != nil {
		return 0, err
	}
	args := s.execArgs(cmd, who, []*os.File{terminal, terminal, terminal})
	args.StdioIsPty = true
	return s.execute(ctx, args, func() {})
}

// toForeground passes a signal on to what the user of the terminal sees. That there is nothing of the kind at the moment is no trouble.
func (s *box) toForeground(ctx context.Context, pid int32, sig os.Signal) {
	number, ok := sig.(unix.Signal)
	if !ok {
		return
	}
	args := &boot.SignalArgs{CID: s.ID(), PID: pid, Signo: int32(number), Mode: boot.DeliverToForegroundProcessGroup}
	_ = s.call(ctx, boot.ContMgrSignal, args, nil)
}

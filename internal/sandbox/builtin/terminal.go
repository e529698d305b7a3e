//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"oddish/internal/sandbox"
)

var _ sandbox.Terminal = (*box)(nil)

// Terminal runs a command at a terminal of this machine that the sandbox's kernel is handed. The process that hands it over is the leader of the
// terminal's session, so that Ctrl-C and its like come to it as signals: it passes them on to whatever is in the foreground inside.
func (s *box) Terminal(ctx context.Context, cmd sandbox.Command, sizes <-chan sandbox.TerminalSize) (int, error) {
	code, err := s.terminal(ctx, cmd, sizes)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("run %s at a terminal in sandbox %s: %w", label(cmd), s.ID(), err)
	}
	return code, nil
}

// File descriptors that the leader of a terminal is started with, besides the terminal.
const (
	terminalRequestFD = 3
	terminalFailureFD = 4 // takes the words of an error
)

// terminalRequest is what the leader of a terminal is to run.
type terminalRequest struct {
	Script string            `json:"script"`
	Env    map[string]string `json:"env"`
	Dir    string            `json:"dir"`
	User   string            `json:"user"`
}

func (s *box) terminal(ctx context.Context, cmd sandbox.Command, sizes <-chan sandbox.TerminalSize) (int, error) {
	ours, theirs, err := openTerminal()
	if err != nil {
		return 0, fmt.Errorf("make a terminal: %w", err)
	}
	defer ours.Close()
	leader, failure, err := s.startLeader(ctx, cmd, theirs)
	theirs.Close()
	if err != nil {
		return 0, err
	}
	if cmd.Stdin != nil {
		go func() { _, _ = io.Copy(ours, cmd.Stdin) }()
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		if cmd.Stdout != nil {
			_, _ = io.Copy(cmd.Stdout, ours) // ends with an error when nobody has the terminal any more
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- leader.Wait() }()
	for {
		select {
		case size := <-sizes:
			resize(ours, size)
		case err := <-ended:
			return leaderEnd(ours, shown, failure, err)
		}
	}
}

// openTerminal makes a terminal, and our end of it one whose reads can be given up.
func openTerminal() (ours, theirs *os.File, err error) {
	blocking, theirs, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	defer blocking.Close()
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return os.NewFile(uintptr(fd), "terminal"), theirs, nil
}

// resize tells the leader as well, by a signal. What uses the file's own descriptor would make its reads block.
func resize(terminal *os.File, size sandbox.TerminalSize) {
	if conn, err := terminal.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) {
			_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
		})
	}
}

// leaderEnd waits for what was shown last, and tells how the command ended.
func leaderEnd(ours *os.File, shown <-chan struct{}, failure io.ReadCloser, err error) (int, error) {
	defer failure.Close()
	words, readErr := io.ReadAll(failure)
	if len(words) > 0 || readErr != nil {
		return 0, errors.Join(errors.New(strings.TrimSpace(string(words))), readErr)
	}
	// What the sandbox left in the background may hold the terminal: what is there now is shown, and no more waited for.
	_ = ours.SetReadDeadline(deadlineNow())
	<-shown
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// startLeader starts the process that has theirs as its controlling terminal.
func (s *box) startLeader(ctx context.Context, cmd sandbox.Command, theirs *os.File) (*exec.Cmd, io.ReadCloser, error) {
	asked, ask, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer asked.Close()
	failure, fail, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, ask.Close())
	}
	defer fail.Close()
	leader := exec.CommandContext(ctx, "/proc/self/exe", "")
	leader.Args = []string{terminalName, string(s.dir)}
	leader.Stdin, leader.Stdout, leader.Stderr = theirs, theirs, theirs
	leader.ExtraFiles = []*os.File{asked, fail}
	leader.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	leader.Cancel = func() error { return leader.Process.Signal(unix.SIGHUP) }
	if err := leader.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start a process for the terminal: %w", err), ask.Close(), failure.Close())
	}
	err = json.NewEncoder(ask).Encode(terminalRequest{cmd.Script, cmd.Env, cmd.Dir, cmd.User})
	if err = errors.Join(err, ask.Close()); err != nil {
		return nil, nil, errors.Join(err, leader.Process.Kill(), leader.Wait(), failure.Close())
	}
	return leader, failure, nil
}

//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/boot"

	"oddish/internal/sandbox"
)

// await returns the exit status of a process. If ctx ends or broken fires before, the
// process's group is killed.
func (s *box) await(ctx context.Context, pid int32, broken <-chan struct{}) (int, error) {
	waiting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	got := make(chan waited, 1)
	go func() { got <- s.waitPID(waiting, pid) }()
	select {
	case w := <-got:
		return s.outcome(ctx, w)
	case <-ctx.Done():
	case <-broken:
	}
	s.killGroup(ctx, pid)
	select {
	case w := <-got:
		if ctx.Err() == nil {
			return s.outcome(ctx, w)
		}
	case <-time.After(killTimeout):
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return 0, fmt.Errorf("it could not be killed within %s: %w", killTimeout, sandbox.ErrLost)
}

// waited is the end of a process, or why it is not known.
type waited struct {
	ws  unix.WaitStatus
	err error
}

func (s *box) waitPID(ctx context.Context, pid int32) waited {
	var w waited
	w.err = s.call(ctx, boot.ContMgrWaitPID, &boot.WaitPIDArgs{PID: pid, CID: s.ID()}, &w.ws)
	return w
}

// outcome turns the end of a process into what Exec returns. One that was killed
// may have died with the whole sandbox, which is another thing.
func (s *box) outcome(ctx context.Context, w waited) (int, error) {
	if w.err == nil && w.ws.Signaled() && w.ws.Signal() == unix.SIGKILL {
		w.err = s.ping(ctx)
	}
	if w.err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, s.death(ctx, w.err)
	}
	return exitCode(w.ws), nil
}

// ping fails if the sandbox is dead or dying.
func (s *box) ping(ctx context.Context) error {
	id, state := s.ID(), boot.RuntimeStateInvalid
	if err := s.call(ctx, boot.ContMgrContainerRuntimeState, &id, &state); err != nil {
		return err
	}
	if state != boot.RuntimeStateRunning {
		return errors.New("its first process is gone")
	}
	return nil
}

func exitCode(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// killTimeout bounds the time for which a command that was given up is waited for.
const killTimeout = 5 * time.Second

// killGroup kills the process group in the sandbox that pid leads, as every
// executed command does: its children too, and those that outlived it.
func (s *box) killGroup(ctx context.Context, pid int32) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	err := s.killGroupBy(ctx, pid)
	if err == nil {
		return
	}
	// The kernel itself reaches the leader only.
	args := &boot.SignalArgs{CID: s.ID(), PID: pid, Signo: int32(unix.SIGKILL), Mode: boot.DeliverToProcess}
	again, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	if err2 := s.call(again, boot.ContMgrSignal, args, nil); err2 != nil {
		s.log.Warn("command not killed", "sandbox", s.ID(), "pid", pid, "error", errors.Join(err, err2))
	}
}

// killGroupBy kills the group by a shell in the sandbox that only uses builtins.
func (s *box) killGroupBy(ctx context.Context, pid int32) error {
	std, err := newStdio(sandbox.Command{})
	if err != nil {
		return err
	}
	// Again and again: what was being forked at the first time is not reached by it.
	script := "i=0; while kill -KILL -- -" + strconv.Itoa(int(pid)) + " 2>/dev/null && [ $i -lt 500 ]; do i=$((i + 1)); done"
	kill := sandbox.Command{Script: script, Dir: "/"}
	killer, err := s.execute(ctx, s.execArgs(kill, root(), std.guest()), std.closeGuest)
	if err != nil {
		return err
	}
	return s.waitPID(ctx, killer).err
}

//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/errors/linuxerr"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/sentry/kernel/auth"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/specutils"

	"oddish/internal/sandbox"
)

// Exec runs a short command to its end.
//
// Background processes that it leaves behind may hold its output open: Exec returns
// all the same, with what had been written by then; what they write later is discarded.
func (s *box) Exec(ctx context.Context, cmd sandbox.Command) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	code, err := s.exec(ctx, cmd)
	if err != nil && ctx.Err() == nil {
		return 0, fmt.Errorf("run %s in sandbox %s: %w", label(cmd), s.ID(), err)
	}
	return code, err
}

// Run runs a long command by the supervisor that all providers of this machine share.
func (s *box) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	return sandbox.Supervise(ctx, s.Exec, p)
}

func label(cmd sandbox.Command) string {
	if cmd.Label != "" {
		return cmd.Label
	}
	return "a command"
}

func (s *box) exec(ctx context.Context, cmd sandbox.Command) (int, error) {
	who, err := s.lookUp(ctx, cmd.User)
	if err != nil {
		return 0, err
	}
	std, err := newStdio(cmd)
	if err != nil {
		return 0, err
	}
	pid, err := s.execute(ctx, s.execArgs(cmd, who, std.guest()))
	std.closeGuest()
	if err != nil {
		std.abandon()
		return 0, err
	}
	std.start()
	ws, err := s.await(ctx, pid, std.broken)
	if err != nil {
		std.abandon()
		return 0, err
	}
	if err := std.finish(); err != nil {
		return 0, err
	}
	return ws, nil
}

func (s *box) execArgs(cmd sandbox.Command, who user, files []*os.File) *control.ExecArgs {
	env := slices.Clone(s.rec.Env)
	if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		env = append(env, "HOME="+who.home)
	}
	for _, k := range slices.Sorted(maps.Keys(cmd.Env)) {
		env = setenv(env, k, cmd.Env[k])
	}
	dir := cmd.Dir
	if dir == "" {
		dir = s.rec.Workdir
	}
	return &control.ExecArgs{
		Argv:             []string{s.status.Shell, "-c", cmd.Script},
		Envv:             env,
		WorkingDirectory: dir,
		KUID:             auth.KUID(who.uid),
		KGID:             auth.KGID(who.gid),
		ExtraKGIDs:       who.groups,
		Capabilities:     who.capabilities(),
		ContainerID:      s.ID(),
		FilePayload: control.FilePayload{
			FilePayload: urpc.FilePayload{Files: files},
			GuestFDs:    []int{0, 1, 2},
		},
	}
}

// execute starts a process in the sandbox and returns its id there.
func (s *box) execute(ctx context.Context, args *control.ExecArgs) (int32, error) {
	// Not cut when ctx ends: the process would be there and nobody would know it.
	ctx = context.WithoutCancel(ctx)
	var pid int32
	err := s.call(ctx, boot.ContMgrExecuteAsync, args, &pid)
	if processLimit(err) && args.KUID == 0 {
		// The sandbox is full of processes. Whoever comes to clean up has to get in.
		args.Capabilities = privileged(args.Capabilities)
		err = s.call(ctx, boot.ContMgrExecuteAsync, args, &pid)
	}
	switch {
	case err == nil:
		return pid, nil
	case errors.Is(err, errRemote) && strings.Contains(err.Error(), "working directory"):
		return 0, fmt.Errorf("working directory %s does not exist in the sandbox", args.WorkingDirectory)
	case processLimit(err):
		return 0, fmt.Errorf("its user has reached the limit of %d processes in the sandbox", maxUserProcesses)
	case errors.Is(err, errRemote) && !strings.Contains(err.Error(), "has stopped"):
		return 0, err
	}
	return 0, s.death(ctx, err)
}

func processLimit(err error) bool {
	return errors.Is(err, errRemote) && strings.HasSuffix(err.Error(), linuxerr.EAGAIN.Error())
}

// privileged adds the right to exceed the limit of processes.
func privileged(c *auth.TaskCapabilities) *auth.TaskCapabilities {
	const resource = auth.CapabilitySet(1 << linux.CAP_SYS_RESOURCE)
	more := *c
	more.PermittedCaps |= resource
	more.EffectiveCaps |= resource
	more.BoundingCaps |= resource
	return &more
}

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
	if err2 := s.call(context.WithoutCancel(ctx), boot.ContMgrSignal, args, nil); err2 != nil {
		s.log.Warn("command not killed", "sandbox", s.ID(), "pid", pid, "error", errors.Join(err, err2))
	}
}

// killGroupBy kills the group by a shell in the sandbox that only uses builtins.
func (s *box) killGroupBy(ctx context.Context, pid int32) error {
	std, err := newStdio(sandbox.Command{})
	if err != nil {
		return err
	}
	defer std.closeGuest()
	// Again and again: what was being forked at the first time is not reached by it.
	script := "i=0; while kill -KILL -- -" + strconv.Itoa(int(pid)) + " 2>/dev/null && [ $i -lt 500 ]; do i=$((i + 1)); done"
	kill := sandbox.Command{Script: script, Dir: "/"}
	killer, err := s.execute(ctx, s.execArgs(kill, root(), std.guest()))
	if err != nil {
		return err
	}
	return s.waitPID(ctx, killer).err
}

// capabilities of a process: root has the sandbox's, everybody else none but may gain them by su.
func (u user) capabilities() *auth.TaskCapabilities {
	all, err := specutils.Capabilities(false, rootCapabilities())
	if err != nil {
		return &auth.TaskCapabilities{}
	}
	if u.uid == 0 {
		return all
	}
	return &auth.TaskCapabilities{BoundingCaps: all.BoundingCaps}
}

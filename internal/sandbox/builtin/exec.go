//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

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
	before := oomKills(s.rec.Cgroup)
	code, err := s.exec(ctx, cmd)
	if err == nil && code == killed && oomKills(s.rec.Cgroup) > before {
		code, err = 0, s.outOfMemory(memoryPeak(s.rec.Cgroup))
	}
	if err != nil && ctx.Err() == nil {
		return 0, fmt.Errorf("run %s in sandbox %s: %w", label(cmd), s.ID(), err)
	}
	return code, err
}

// Run runs a long command by the supervisor that all providers of this machine share.
func (s *box) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	before := oomKills(s.rec.Cgroup)
	exit, err := sandbox.Supervise(ctx, s.Exec, p)
	if err == nil && exit.Code == killed && !exit.TimedOut && oomKills(s.rec.Cgroup) > before {
		return sandbox.Exit{}, fmt.Errorf("run process %s in sandbox %s: %w", p.Name, s.ID(), s.outOfMemory(memoryPeak(s.rec.Cgroup)))
	}
	return exit, err
}

// killed is the exit status of a command that died by SIGKILL. The kernel ends
// either the whole sandbox or one process in it when memory runs out.
const killed = 128 + int(unix.SIGKILL)

func label(cmd sandbox.Command) string {
	if cmd.Label != "" {
		return cmd.Label
	}
	return "a command"
}

func (s *box) exec(ctx context.Context, cmd sandbox.Command) (int, error) {
	name := cmd.User
	if name == "" {
		name = s.rec.User
	}
	who, err := s.lookUp(ctx, name)
	if err != nil {
		return 0, err
	}
	std, err := newStdio(cmd)
	if err != nil {
		return 0, err
	}
	pid, err := s.execute(ctx, s.execArgs(cmd, who, std.guest()), std.closeGuest)
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

// execute starts a process in the sandbox and returns its id there. It calls
// release when the files of args have been handed over, or will not be.
func (s *box) execute(ctx context.Context, args *control.ExecArgs, release func()) (int32, error) {
	type begun struct {
		pid int32
		err error
	}
	got := make(chan begun, 1)
	go func() {
		// Not cut when ctx ends: the process would be there and nobody would know it.
		pid, err := s.executeWhole(context.WithoutCancel(ctx), args)
		release()
		got <- begun{pid, err}
	}()
	select {
	case b := <-got:
		return b.pid, b.err
	case <-ctx.Done():
	}
	go func() {
		if b := <-got; b.err == nil {
			s.killGroup(ctx, b.pid)
		}
	}()
	return 0, ctx.Err()
}

func (s *box) executeWhole(ctx context.Context, args *control.ExecArgs) (int32, error) {
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

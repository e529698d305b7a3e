//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// proc names one process for good: the start time tells it from a later one with the same id.
type proc struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // in clock ticks since boot, as /proc has it
}

// thisProc is the process with that id now, or the zero proc.
func thisProc(pid int) proc {
	if pid <= 0 {
		return proc{}
	}
	start, _ := procStart(pid)
	return proc{PID: pid, Start: start}
}

// procStart reads the start time and the state letter of a process.
func procStart(pid int) (start, state string) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", ""
	}
	// The command, in parentheses, may itself hold anything.
	_, rest, ok := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return "", ""
	}
	return fields[19], fields[0]
}

// running says whether exactly that process still runs; a zombie does not.
func (p proc) running() bool {
	if p.PID <= 0 || p.Start == "" {
		return false
	}
	start, state := procStart(p.PID)
	return start == p.Start && state != "Z" && state != "X"
}

// kill ends the process and waits until it has ended or ctx ends.
func (p proc) kill(ctx context.Context) error {
	if !p.running() {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return fmt.Errorf("open process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if !p.running() { // the descriptor may be of a successor
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return awaitPidfd(ctx, fd)
}

// wait returns when the process has ended or ctx ends.
func (p proc) wait(ctx context.Context) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
			return nil
		}
		return fmt.Errorf("open process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if !p.running() {
		return nil
	}
	return awaitPidfd(ctx, fd)
}

// awaitPidfd polls in short steps, so that ctx is heeded.
func awaitPidfd(ctx context.Context, fd int) error {
	const step = 50 * time.Millisecond
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(step/time.Millisecond))
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for a process: %w", err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

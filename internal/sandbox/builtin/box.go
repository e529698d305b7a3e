//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/netpeer"
)

// stopTimeout bounds the end of a sandbox. It takes milliseconds, or some
// seconds if the sandbox is full of processes.
const stopTimeout = 90 * time.Second

// box is one sandbox, seen from a worker. What it knows of it lies in the state
// folder; a process that attaches has the same.
type box struct {
	dir    stateDir
	rec    record
	status status // as it was at the start
	log    *slog.Logger

	shim   proc
	reaped <-chan struct{} // closed when the shim has ended; nil unless it is our child
}

var _ sandbox.Sandbox = (*box)(nil)

// ID of the sandbox, also its host name.
func (s *box) ID() string { return s.dir.id() }

// SetNetwork puts another policy in force and cuts connections that it forbids.
func (s *box) SetNetwork(ctx context.Context, n sandbox.Network) error {
	if _, err := netpeer.PolicyOf(n, false); err != nil {
		return err
	}
	if err := s.dir.ask(ctx, request{Op: opNetwork, Network: n}); err != nil {
		if errors.Is(err, errNoShim) {
			err = s.death(ctx, err)
		}
		return fmt.Errorf("set the network of sandbox %s: %w", s.ID(), err)
	}
	return nil
}

// Stop ends the sandbox and removes what is left of it.
func (s *box) Stop(ctx context.Context) error {
	if _, err := os.Stat(string(s.dir)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	told := false
	if s.dir.alive() {
		told = s.tellToStop(ctx)
	}
	if err := s.remove(ctx, told); err != nil {
		return fmt.Errorf("stop sandbox %s: %w", s.ID(), err)
	}
	return nil
}

// answerTimeout bounds the time in which a shim confirms an order.
const answerTimeout = 5 * time.Second

// tellToStop says whether the shim has confirmed that it will end.
func (s *box) tellToStop(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err := s.dir.ask(ctx, request{Op: opStop})
	if err != nil {
		s.log.Debug("sandbox's shim does not stop by itself", "sandbox", s.ID(), "error", err)
	}
	return err == nil
}

// remove ends what still runs, at once unless the shim was told to, and removes every trace.
func (s *box) remove(ctx context.Context, told bool) error {
	if err := s.endProcesses(ctx, told); err != nil {
		return err
	}
	if err := removeCgroup(s.rec.Cgroup); err != nil {
		return err
	}
	return os.RemoveAll(string(s.dir))
}

// endProcesses waits for the shim or kills it, and kills what outlived it.
func (s *box) endProcesses(ctx context.Context, told bool) error {
	shim := s.shim
	st, err := s.dir.readStatus()
	if err == nil {
		shim = st.Shim
	}
	if err := s.awaitShim(ctx, shim, told); err != nil {
		return err
	}
	for _, p := range []proc{st.Sentry, st.Gofer} {
		if err := p.kill(ctx); err != nil {
			return err
		}
	}
	return nil
}

// shimGrace is how long a shim that was told to stop may take: as long as the
// kernel needs to take thousands of processes down.
const shimGrace = 60 * time.Second

func (s *box) awaitShim(ctx context.Context, shim proc, told bool) error {
	if told {
		grace, cancel := context.WithTimeout(ctx, shimGrace)
		defer cancel()
		if err := shim.wait(grace); err != nil {
			s.log.Warn("sandbox's shim takes too long to stop", "sandbox", s.ID(), "error", err)
		}
	}
	if err := shim.kill(ctx); err != nil {
		return err
	}
	if s.reaped != nil {
		select {
		case <-s.reaped:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// verdictTimeout bounds the time in which a shim says how its sandbox died.
const verdictTimeout = 3 * time.Second

// death explains an operation that failed because the sandbox does not answer: it
// was killed for its memory limit, or it is lost.
func (s *box) death(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, verdictTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.dir.alive() {
		if st, err := s.dir.readStatus(); err == nil && st.Phase == ended {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", sandbox.ErrLost, cause)
		}
	}
	st, err := s.dir.readStatus()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: it was stopped", sandbox.ErrLost)
	case err != nil:
		return fmt.Errorf("%w: %w", sandbox.ErrLost, err)
	case st.OutOfMemory:
		return s.outOfMemory(st.MemoryPeak)
	case st.Phase != ended:
		return fmt.Errorf("%w: its shim was killed", sandbox.ErrLost)
	}
	return fmt.Errorf("%w: %s", sandbox.ErrLost, st.Detail)
}

// outOfMemory says how much was used, 0 if that is unknown, of how much.
func (s *box) outOfMemory(peak int64) error {
	limit := s.rec.Resources.MemoryBytes
	switch {
	case limit > 0 && peak > 0:
		return fmt.Errorf("%w: the limit is %d MiB, and %d MiB were used", sandbox.ErrOutOfMemory, limit>>20, peak>>20)
	case limit > 0:
		return fmt.Errorf("%w: the limit is %d MiB", sandbox.ErrOutOfMemory, limit>>20)
	}
	return fmt.Errorf("%w: this machine had none left", sandbox.ErrOutOfMemory)
}

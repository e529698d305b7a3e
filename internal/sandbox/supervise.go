package sandbox

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"sync/atomic"
	"time"
)

// RunDir is where a Supervisor keeps the state of its processes inside a sandbox. A
// provider that makes it beforehand, with mode 1777, saves the first Run two Execs.
const RunDir = "/oddish/run"

// How long the supervisor waits for what should come at once.
const (
	killPatience   = 8 * time.Second        // to get a kill started inside
	endPatience    = 5 * time.Second        // for a killed command to be reported
	retryPause     = 250 * time.Millisecond // first pause after a connection that broke; doubles
	retryLimit     = 6                      // broken connections in a row
	longWatch      = 30 * time.Second       // one that lasted so long starts the row anew
	minOutputLimit = 512                    // the capper's unit, bytes
)

// ExecFunc has the contract of Sandbox.Exec.
type ExecFunc func(ctx context.Context, cmd Command) (int, error)

// Supervise implements Sandbox.Run on top of exec, which has the contract of
// Sandbox.Exec. State is kept in RunDir.
func Supervise(ctx context.Context, exec ExecFunc, p Process) (Exit, error) {
	return Supervisor{Exec: exec}.Run(ctx, p)
}

// Supervisor runs long commands detached inside a sandbox, by means of a few
// lines of sh (supervise.sh) and one Exec for each Run. It needs sh, cat, tail, head,
// mkdir, date and sleep there, /proc, and setsid or bash. It holds no state
// itself: any Supervisor with the same Dir takes up what another began.
type Supervisor struct {
	Exec ExecFunc
	// Dir is an absolute path in the sandbox; empty: RunDir. It is made with mode
	// 1777 by root if absent, so that every user can have processes and none can touch another's.
	Dir string
}

var nameRule = regexp.MustCompile(`^[a-z0-9-]+$`)

// Run has the contract of Sandbox.Run. A command whose supervisor was killed from
// inside (as `kill -9 -1` does) counts as killed: Code 137. Errors wrap ErrLost if the end of the command
// cannot be learnt or enforced, or are those of Exec.
//
// A second Run of a name must name the same user: root takes a folder that belongs to another user for a
// forgery and starts anew; any other user is refused.
func (s Supervisor) Run(ctx context.Context, p Process) (Exit, error) {
	if s.Dir == "" {
		s.Dir = RunDir
	}
	if !nameRule.MatchString(p.Name) {
		return Exit{}, fmt.Errorf("run process %q: the name must be made of a-z, 0-9 and -", p.Name)
	}
	if !path.IsAbs(p.Output) {
		return Exit{}, fmt.Errorf("run process %s: output %q must be an absolute path", p.Name, p.Output)
	}
	if p.OutputLimit <= 0 {
		p.OutputLimit = DefaultOutputLimit
	}
	p.OutputLimit = max(p.OutputLimit, minOutputLimit)
	r := &run{s: s, p: p, live: &liveWriter{w: p.Live}, begun: time.Now()}
	defer r.live.close()
	exit, err := r.loop(ctx)
	if err != nil {
		return Exit{TimedOut: exit.TimedOut}, fmt.Errorf("run process %s: %w", p.Name, err)
	}
	return exit, nil
}

// run is one call of Supervisor.Run.
type run struct {
	s    Supervisor
	p    Process
	live *liveWriter
	// begun is when the command began, as far as is known; the timeout counts from it.
	begun time.Time
	pid   atomic.Value // string: the command's process group, once told
}

// loop watches the command through one exec after another until its end is known:
// one, unless the connection breaks or the state folder has yet to be made.
func (r *run) loop(ctx context.Context) (Exit, error) {
	broken, prepared := 0, false
	for {
		started := time.Now()
		w := r.watch(ctx)
		end, err := r.await(ctx, w)
		if err != nil {
			return end.exit, err
		}
		switch end.kind {
		case endNormal:
			return end.exit, nil
		case endLost:
			if err := r.kill(ctx, false); err != nil {
				return Exit{}, err
			}
			return Exit{Code: 137}, nil
		case endNoBase:
			if prepared {
				return Exit{}, fmt.Errorf("%s cannot be made in the sandbox", r.s.Dir)
			}
			prepared = true
			if err := r.prepare(ctx); err != nil {
				return Exit{}, err
			}
		case endRefused:
			return Exit{}, errors.New(r.refusal(end.reason))
		case endBroken:
			if time.Since(started) > longWatch {
				broken = 0
			}
			broken++
			if err := r.retry(ctx, end, broken); err != nil {
				return Exit{}, err
			}
		}
	}
}

// retry waits before the next attempt after the n-th connection in a row that broke, or
// says why there should be none: a command that has shown no sign of life was never started.
func (r *run) retry(ctx context.Context, end ending, n int) error {
	if final(end.err) || !end.begun && n == 1 {
		return end.err
	}
	if n >= retryLimit {
		return fmt.Errorf("%w: watching it was tried %d times: %w", ErrLost, n, end.err)
	}
	return Pause(ctx, retryPause<<(n-1))
}

// final tells errors after which another attempt is useless.
func final(err error) bool {
	return errors.Is(err, ErrLost) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrOutOfMemory) || errors.Is(err, ErrUnsupported)
}

// await waits for the watcher's end, the timeout or the end of ctx.
func (r *run) await(ctx context.Context, w *watcher) (ending, error) {
	defer w.cancel()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var timeout <-chan time.Time
	if r.p.Timeout > 0 {
		timer.Reset(time.Until(r.begun.Add(r.p.Timeout)))
		timeout = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return ending{}, ctx.Err()
		case end := <-w.done:
			return end, ctx.Err()
		case age := <-w.age: // the command is older than this call
			r.begun = time.Now().Add(-age)
			if timeout != nil {
				timer.Reset(time.Until(r.begun.Add(r.p.Timeout)))
			}
		case <-timeout:
			return r.expire(ctx, w)
		}
	}
}

// expire kills the command at its deadline and waits for the watcher to tell so. That the deadline
// passed is told beside the error, too, if it could not be killed.
func (r *run) expire(ctx context.Context, w *watcher) (ending, error) {
	if err := r.kill(ctx, true); err != nil {
		return ending{exit: Exit{TimedOut: errors.Is(err, ErrLost)}}, err
	}
	timer := time.NewTimer(endPatience)
	defer timer.Stop()
	select {
	case end := <-w.done:
		if end.kind == endNormal {
			return end, nil
		}
	case <-ctx.Done():
		return ending{}, ctx.Err()
	case <-timer.C:
	}
	// Killed for certain, though its supervisor could not say so.
	return ending{kind: endNormal, exit: Exit{Code: 137, TimedOut: true}}, nil
}

// prepare makes the state folder as root.
func (r *run) prepare(ctx context.Context) error {
	dir := Quote(r.s.Dir)
	code, err := r.s.Exec(ctx, Command{Label: r.p.Label, User: "0", Script: "mkdir -p " + dir + " && chmod 1777 " + dir, Dir: "/"})
	if err != nil {
		return fmt.Errorf("make %s: %w", r.s.Dir, err)
	}
	if code != 0 {
		return fmt.Errorf("make %s: exit status %d", r.s.Dir, code)
	}
	return nil
}

func (r *run) refusal(reason string) string {
	switch reason {
	case "nooutput":
		return fmt.Sprintf("output file %s cannot be written by user %q: its directory must exist and be writable", r.p.Output, r.p.User)
	case "foreign":
		return fmt.Sprintf("%s in the sandbox belongs to another user", path.Join(r.s.Dir, r.p.Name))
	default:
		return "the image has neither setsid nor bash: a long command cannot be detached in it"
	}
}

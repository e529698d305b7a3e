package sandbox

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path"
)

//go:embed supervise_kill.sh
var killScript string

// kill kills the command's process group and session as root; expired says that
// it is for its timeout. It tries for killPatience, because a fork bomb may leave no room for one more process,
// and returns an error that wraps ErrLost when that was in vain, or ctx's.
func (r *run) kill(ctx context.Context, expired bool) error {
	limited, cancel := context.WithTimeout(ctx, killPatience)
	defer cancel()
	last := errors.New("no answer")
	for {
		done := make(chan error, 1)
		go func() { done <- r.killOnce(limited, expired) }()
		select {
		case err := <-done:
			if err == nil {
				return nil
			}
			if limited.Err() == nil {
				last = err
			}
		case <-limited.Done(): // Exec itself may be slow to notice
		}
		if Pause(limited, retryPause) == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: its processes could not be killed within %s: %w", ErrLost, killPatience, last)
	}
}

func (r *run) killOnce(ctx context.Context, expired bool) error {
	pid, _ := r.pid.Load().(string)
	mark := ""
	if expired {
		mark = "1"
	}
	script := fmt.Sprintf("dir=%s\npid=%s\nmark=%s\n%s", Quote(path.Join(r.s.Dir, r.p.Name)), Quote(pid), Quote(mark), killScript)
	code, err := r.s.Exec(ctx, Command{Label: r.p.Label, User: "0", Dir: "/", Script: script})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit status %d", code)
	}
	return err
}

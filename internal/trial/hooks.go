package trial

import (
	"context"
	"errors"

	"oddish/internal/sandbox"
)

// runHooks runs the task's [[verifier.collect]] commands, which leave what is to be collected. One that fails is told of and harms nothing
// else; only a sandbox that is gone is an error.
func (r *run) runHooks(ctx context.Context) error {
	for i, hook := range r.step.Verifier.Collect {
		limited, cancel := context.WithTimeout(ctx, hook.Timeout())
		out := &sandbox.Tail{Most: 2000}
		code := 0
		box, err := r.service(limited, hook.Service)
		if err == nil {
			code, err = box.Exec(limited, sandbox.Command{Label: "collect", Script: hook.Command, User: hook.User, Stdout: out, Stderr: out})
		}
		slow := limited.Err() != nil
		cancel()
		switch {
		case err != nil && (ctx.Err() != nil || errors.Is(err, sandbox.ErrLost)):
			return err
		case err != nil && slow:
			r.log.Warn("collect command took too long and was killed", "number", i+1, "limit", hook.Timeout(), "output", string(out.Data))
		case err != nil || code != 0:
			r.log.Warn("collect command failed", "number", i+1, "exit_code", code, "error", err, "output", string(out.Data))
		default:
			r.log.Info("collect command ran", "number", i+1)
		}
	}
	return nil
}

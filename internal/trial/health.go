package trial

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/task"
)

// healthcheck repeats the task's check until it succeeds. Failures within the start period do not
// count; after it, so many in a row as the task allows retries are a HealthcheckError. A check that takes too long has failed.
func (r *run) healthcheck(ctx context.Context, box sandbox.Sandbox, h *task.Healthcheck) error {
	begun := time.Now()
	for failures := 0; ; {
		early := time.Since(begun) < duration(h.StartPeriodSec)
		why, err := check(ctx, box, h)
		if err != nil {
			return fmt.Errorf("healthcheck: %w", err)
		}
		if why == "" {
			return nil
		}
		r.log.Debug("healthcheck failed", "why", why, "start_period", early)
		pause := h.StartIntervalSec
		if !early {
			if failures++; failures >= h.Retries {
				return result.Errorf(result.HealthcheckError, "the healthcheck failed %d times in a row: %s", failures, why)
			}
			pause = h.IntervalSec
		}
		if err := sandbox.Pause(ctx, duration(pause)); err != nil {
			return err
		}
	}
}

// check runs the healthcheck once and says why it failed; "" if it did not.
func check(ctx context.Context, box sandbox.Sandbox, h *task.Healthcheck) (string, error) {
	limited, cancel := ctx, func() {}
	if h.TimeoutSec > 0 {
		limited, cancel = context.WithTimeout(ctx, duration(h.TimeoutSec))
	}
	defer cancel()
	out := &sandbox.Tail{Most: 400}
	code, err := box.Exec(limited, sandbox.Command{Label: "healthcheck", Script: h.Command, Stdout: out, Stderr: out})
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil && limited.Err() != nil:
		return fmt.Sprintf("it took more than %s", duration(h.TimeoutSec)), nil
	case err != nil:
		return "", err
	case code == 0:
		return "", nil
	}
	return fmt.Sprintf("exit status %d: %s", code, bytes.TrimSpace(out.Data)), nil
}

func duration(sec float64) time.Duration {
	return time.Duration(min(sec, 1e9) * float64(time.Second))
}

package trial

import (
	"context"

	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// keep leaves the first of the sandboxes that is there to people, if the trial went wrong and they want that. It returns the one that is kept; nil: none is.
func (r *run) keep(ctx context.Context, boxes ...sandbox.Sandbox) sandbox.Sandbox {
	if r.Keep == nil || ctx.Err() != nil || r.handBack || !r.wentWrong() {
		return nil
	}
	for _, box := range boxes {
		if box == nil {
			continue
		}
		r.saveNetworkLog(ctx, box)
		until, err := r.Keep(box)
		if err != nil {
			r.log.Warn("the sandbox is not kept", "id", box.ID(), "error", err)
			return nil
		}
		r.log.Info("the sandbox is kept", "id", box.ID(), "until", until)
		return box
	}
	return nil
}

// wentWrong reports whether the trial has an error, no reward where it should have one, or one below 1.
func (r *run) wentWrong() bool {
	if r.first != nil || r.step == nil {
		return true
	}
	if r.plan != nil && r.plan.disabled {
		return false
	}
	v := r.step.result.VerifierResult
	if r.step.number > 0 && r.plan != nil {
		v = rewardOf(r.plan.task.Config.MultiStepRewardStrategy, r.done)
	}
	return v == nil || lowReward(v)
}

func lowReward(v *result.VerifierResult) bool {
	for _, reward := range v.Rewards {
		if reward < 1 {
			return true
		}
	}
	return len(v.Rewards) == 0
}

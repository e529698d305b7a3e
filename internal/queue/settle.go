package queue

import (
	"context"
	"fmt"
	"time"

	"oddish/api"
	"oddish/internal/store"
)

// settle ends the job's present run as the verdict says, with what the worker reported (or with what is said in its
// place) and the digest of that report.
func (l *ledger) settle(ctx context.Context, j *job, v verdict, f *api.Finish, digest string) error {
	if v.state == api.StatusRetrying && f.Rewards != nil {
		// A run that is to be repeated has no result.
		without := *f
		without.Rewards = nil
		f = &without
	}
	if err := l.endAttempt(ctx, j, v, f, digest); err != nil {
		return fmt.Errorf("end attempt %d of trial %s: %w", j.attempt, j.id, err)
	}
	if v.used {
		j.used++
	}
	if v.lost {
		j.losses++
	}
	if err := l.release(ctx, j, v); err != nil {
		return err
	}
	t, reward := l.tally(j), mainReward(f.Rewards)
	if reward != nil {
		t.rewarded++
		t.rewardSum += *reward
		if *reward >= 1 {
			t.passed++
		}
	}
	l.move(j, v.state)
	l.event(j, endKind(v.state), api.Event{Reward: reward, ErrorType: f.ErrorType})
	return nil
}

func endKind(state api.Status) string {
	switch state {
	case api.StatusRetrying:
		return "retrying"
	case api.StatusCancelled:
		return "cancelled"
	}
	return "finished"
}

// mainReward is the value under "reward", or the only one, or nil.
func mainReward(rewards map[string]float64) *float64 {
	if reward, ok := rewards["reward"]; ok {
		return &reward
	}
	if len(rewards) == 1 {
		for _, reward := range rewards {
			return &reward
		}
	}
	return nil
}

func (l *ledger) endAttempt(ctx context.Context, j *job, v verdict, f *api.Finish, digest string) error {
	rewards, err := nullJSON(f.Rewards)
	if err != nil {
		return err
	}
	phases, err := nullJSON(f.Phases)
	if err != nil {
		return err
	}
	var retryAt *int64
	if v.state == api.StatusRetrying {
		at := v.availableAt.UnixMilli()
		retryAt = &at
	}
	const query = `UPDATE attempts SET outcome = $1, error_type = $2, error_message = $3, error_class = $4, rewards = $5, reward = $6, phases = $7,
			has_trajectory = $8, finished_at = $9, finish_digest = $10, retry_at = $11, stage = COALESCE($12, stage), isolation = $13
		WHERE trial_id = $14 AND attempt = $15`
	_, err = l.tx.ExecContext(ctx, query, v.state, f.ErrorType, f.ErrorMessage, f.ErrorClass, rewards, mainReward(f.Rewards), phases,
		store.Flag(f.HasTrajectory), l.now.UnixMilli(), digest, retryAt, endStage(v.state), f.Isolation, j.id, j.attempt)
	if err != nil {
		return err
	}
	return l.use(ctx, j, usageOf(f))
}

// endStage is the last stage of a run; a failed one stays where it failed.
func endStage(state api.Status) *string {
	var stage string
	switch state {
	case api.StatusSuccess:
		stage = string(api.StageCompleted)
	case api.StatusCancelled:
		stage = string(api.StageCancelled)
	default:
		return nil
	}
	return &stage
}

// nullJSON is JSON, or null for an empty map: unknown.
func nullJSON[V any](m map[string]V) (*string, error) {
	if len(m) == 0 {
		return nil, nil
	}
	text, err := store.JSON(m)
	return &text, err
}

// release takes the job from its worker, or out of the queue, and puts it into the verdict's state. Secrets end with the trial.
func (l *ledger) release(ctx context.Context, j *job, v verdict) error {
	var availableAt *int64
	ready := false
	if v.state == api.StatusRetrying {
		at := v.availableAt.UnixMilli()
		availableAt = &at
		ready = !v.availableAt.After(l.now)
		l.needBy(v.availableAt)
	}
	const query = `UPDATE jobs SET state = $1, ready = $2, available_at = $3, used_attempts = $4, losses = $5, finished_at = $6,
			worker_id = '', lease = '', lease_until = NULL, held = 0
		WHERE id = $7`
	_, err := l.tx.ExecContext(ctx, query, v.state, store.Flag(ready), availableAt, j.used, j.losses, l.nowIf(v.state.Terminal()), j.id)
	if err != nil {
		return fmt.Errorf("move job %s to %s: %w", j.id, v.state, err)
	}
	if !v.state.Terminal() {
		return nil
	}
	if _, err := l.tx.ExecContext(ctx, "UPDATE trials SET secrets = NULL WHERE id = $1 AND secrets IS NOT NULL", j.id); err != nil {
		return fmt.Errorf("wipe secrets of trial %s: %w", j.id, err)
	}
	return nil
}

// fromMillis turns a stored time back.
func fromMillis(ms *int64) *time.Time {
	if ms == nil {
		return nil
	}
	t := time.UnixMilli(*ms).UTC()
	return &t
}

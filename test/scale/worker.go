package main

import (
	"context"
	"fmt"
	"time"

	"oddish/api"
	"oddish/client"
)

// worker claims trials and reports about them without running any.
type worker struct {
	id     string
	client *client.Client
}

// worker makes one with connections of its own, as a process of its own would have.
func (b *bench) worker(id string) *worker {
	return &worker{id: id, client: client.New(b.server.url, client.Options{})}
}

func (w *worker) claim(ctx context.Context, slots int) ([]api.Job, error) {
	claimed, err := w.client.Claim(ctx, api.Claim{WorkerID: w.id, Hostname: "scale", Version: "scale", Slots: slots, Sandboxes: []string{"fake"}, WaitSec: 1})
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return claimed.Jobs, nil
}

// stages of a trial in their order.
func stages() []api.Stage {
	return []api.Stage{api.StageTrialStarted, api.StageEnvironment, api.StageAgentRunning, api.StageVerification}
}

// progress reports the job's n-th stage; n counts from 1.
func (w *worker) progress(ctx context.Context, j api.Job, n int) error {
	all := stages()
	_, err := w.client.Progress(ctx, j.ID, j.Lease, api.Progress{Events: []api.ProgressEvent{
		{Seq: int64(n), At: time.Now(), Stage: all[(n-1)%len(all)], SandboxID: "sandbox-" + j.ID},
	}})
	return err
}

func (w *worker) finish(ctx context.Context, j api.Job) error {
	now := time.Now()
	tokens, usd := int64(100_000), 0.25
	_, err := w.client.Finish(ctx, j.ID, j.Lease, api.Finish{
		Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": 1},
		Phases:      map[string]api.Phase{"agent_execution": {StartedAt: now, FinishedAt: now}, "verifier": {StartedAt: now, FinishedAt: now}},
		InputTokens: &tokens, OutputTokens: &tokens, CostUSD: &usd, HasTrajectory: true,
	})
	return err
}

// beatOf is a heartbeat for the jobs.
func beatOf(workerID string, jobs []api.Job) api.Heartbeat {
	beat := api.Heartbeat{WorkerID: workerID, Jobs: make([]api.JobRef, len(jobs))}
	for i, j := range jobs {
		beat.Jobs[i] = api.JobRef{ID: j.ID, Lease: j.Lease}
	}
	return beat
}

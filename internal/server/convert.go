package server

import (
	"fmt"
	"time"

	"oddish/api"
	"oddish/internal/model"
	"oddish/internal/store"
)

// taskStatus tells the state of a task from its trials.
func taskStatus(c store.Counts) api.TaskStatus {
	ended := c.Success + c.Failed + c.Cancelled
	switch {
	case c.Total == 0 || c.Queued == c.Total:
		return api.TaskPending
	case ended < c.Total:
		return api.TaskRunning
	case c.Success == 0:
		return api.TaskFailed
	}
	return api.TaskCompleted
}

// wireTask gives a task without its trials.
func wireTask(t store.TaskSummary) api.Task {
	c := t.Counts
	out := api.Task{
		ID: t.ID, Name: t.Name, Status: taskStatus(c), Priority: t.Priority, User: t.User,
		GithubUsername: present(t.GithubUsername),
		ExperimentID:   t.ExperimentID, ExperimentName: t.ExperimentName, ExperimentIsPublic: t.ExperimentPublic,
		Total: c.Total, Completed: c.Success + c.Failed + c.Cancelled, Failed: c.Failed,
		RunAnalysis: t.RunAnalysis, CreatedAt: t.CreatedAt.UTC(), StartedAt: utc(c.StartedAt),
	}
	out.Progress = fmt.Sprintf("%d/%d completed", out.Completed, out.Total)
	if c.Total > 0 && out.Completed == c.Total {
		out.FinishedAt = utc(c.FinishedAt)
	}
	if t.Version > 0 {
		id, key := store.VersionID(t.ID, t.Version), taskPath(t.ID, t.Version)
		out.CurrentVersion, out.CurrentVersionID, out.TaskPath = &t.Version, &id, &key
	}
	if c.Rewarded > 0 {
		out.RewardSuccess, out.RewardTotal, out.RewardSum = &c.Passed, &c.Rewarded, &c.RewardSum
	}
	return out
}

// wireTrial gives a trial without its place in the queue.
func wireTrial(t store.Trial) api.Trial {
	out := api.Trial{
		ID: t.ID, Name: t.Name, TaskID: t.TaskID,
		ExperimentID: t.ExperimentID, Agent: t.Agent, Provider: t.Provider, QueueKey: t.QueueKey, Model: t.Model,
		Environment: present(t.Environment), Status: t.Status, Origin: "oddish",
		Attempts: t.Attempt, MaxAttempts: t.MaxAttempts,
		Reward: t.Reward, Rewards: t.Rewards, ErrorType: present(t.ErrorType), ErrorMessage: present(t.ErrorMessage),
		InputTokens: t.InputTokens, CacheTokens: t.CacheTokens, OutputTokens: t.OutputTokens, CostUSD: t.CostUSD,
		CacheWrites: t.CacheWriteTokens, Reasoning: t.ReasoningTokens, ModelCalls: t.ModelCalls, CostEstimated: t.CostEstimated,
		CostSource: present(t.CostSource), PriceVersion: present(t.PriceVersion), ModelUsage: t.UsageDetails.Models,
		PhaseTiming: t.Phases, HasTrajectory: t.HasTrajectory, Isolation: t.Isolation,
		CreatedAt: t.CreatedAt.UTC(), StartedAt: utc(t.StartedAt), FinishedAt: utc(t.FinishedAt),
	}
	if t.Version > 0 {
		id, key := store.VersionID(t.TaskID, t.Version), taskPath(t.TaskID, t.Version)
		out.TaskPath, out.TaskVersion, out.TaskVersionID = &key, &t.Version, &id
	}
	out.RegradeOf = present(t.AgentConfig.Regrade)
	if t.Imported {
		out.Origin = "imported"
	}
	if out.Model == "" {
		out.Model = model.Default
	}
	if t.Stage != "" {
		out.HarborStage = &t.Stage
	}
	if t.Status == api.StatusRetrying {
		out.RetryAt = utc(t.AvailableAt)
	}
	return out
}

func wireExperiment(e store.ExperimentSummary) api.Experiment {
	c := e.Counts
	return api.Experiment{
		ID: e.ID, Name: e.Name, IsPublic: e.Public, Paused: e.Paused, TaskCount: e.Tasks,
		Total: c.Total, Completed: c.Success + c.Failed + c.Cancelled,
		Counts: map[api.Status]int{
			api.StatusQueued: c.Queued, api.StatusRunning: c.Running, api.StatusRetrying: c.Retrying,
			api.StatusSuccess: c.Success, api.StatusFailed: c.Failed, api.StatusCancelled: c.Cancelled,
		},
		RewardPassed: c.Passed, RewardTotal: c.Rewarded, RewardSum: c.RewardSum,
		CreatedAt: e.CreatedAt.UTC(), LastActivity: e.LastActivity.UTC(), ImportedFrom: present(e.ImportedFrom),
	}
}

func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

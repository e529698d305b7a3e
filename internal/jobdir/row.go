package jobdir

import (
	"strings"

	"oddish/api"
	"oddish/internal/model"
	"oddish/internal/result"
)

// fromRow gives the result of a trial that has written none, from what the server knows of it.
func fromRow(t api.Trial, folder string) result.Trial {
	spec := api.TrialSpec{
		TrialID: t.ID, TrialName: folder, ExperimentID: t.ExperimentID, TaskID: t.TaskID, TaskName: taskName(t),
		Agent: t.Agent, Environment: text(t.Environment),
	}
	if t.Model != model.Default {
		spec.Model = t.Model
	}
	out := result.Trial{
		ID: result.UUIDFor("trial", t.ID), TaskName: spec.TaskName, TrialName: folder, TaskID: result.TaskID{Path: spec.TaskName},
		Config: result.NewTrialConfig(spec, spec.TaskName, "", nil), AgentInfo: result.AgentInfo{Name: t.Agent, Version: "unknown"},
		AgentResult: &result.AgentResult{
			InputTokens: t.InputTokens, CacheTokens: t.CacheTokens, OutputTokens: t.OutputTokens, CostUSD: t.CostUSD,
		},
		StartedAt: t.StartedAt, FinishedAt: t.FinishedAt,
	}
	if spec.Model != "" {
		out.AgentInfo.ModelInfo = modelInfo(spec.Model)
	}
	if t.Rewards != nil {
		out.VerifierResult = &result.VerifierResult{Rewards: t.Rewards}
	}
	switch {
	case t.ErrorType != nil:
		out.ExceptionInfo = &result.ExceptionInfo{Type: *t.ErrorType, Message: text(t.ErrorMessage)}
	case t.Status == api.StatusCancelled:
		out.ExceptionInfo = &result.ExceptionInfo{Type: result.CancelledError, Message: "cancelled"}
	}
	if e := out.ExceptionInfo; e != nil && t.FinishedAt != nil {
		e.OccurredAt = *t.FinishedAt
	}
	return out
}

// marked gives what the mark says of a trial.
func marked(t api.JobTrial, row api.Trial) MarkedTrial {
	m := MarkedTrial{JobTrial: t, Attempts: row.Attempts, StartedAt: row.StartedAt, FinishedAt: row.FinishedAt}
	u := api.Usage{
		InputTokens: row.InputTokens, CacheTokens: row.CacheTokens, OutputTokens: row.OutputTokens, CostUSD: row.CostUSD,
		UsageDetails: api.UsageDetails{
			CacheWriteTokens: row.CacheWrites, ReasoningTokens: row.Reasoning, ModelCalls: row.ModelCalls, CostEstimated: row.CostEstimated,
			CostSource: text(row.CostSource), PriceVersion: text(row.PriceVersion), Models: row.ModelUsage,
		},
	}
	if !u.IsZero() {
		m.Usage = &u
	}
	return m
}

// taskName is the name of a trial's task: the trial's without its number.
func taskName(t api.Trial) string {
	if i := strings.LastIndexByte(t.Name, '-'); i > 0 {
		return t.Name[:i]
	}
	return t.Name
}

func modelInfo(id string) *result.ModelInfo {
	if provider, name, ok := strings.Cut(id, "/"); ok {
		return &result.ModelInfo{Name: name, Provider: &provider}
	}
	return &result.ModelInfo{Name: id}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

package web

import (
	"fmt"
	"strings"

	"oddish/api"
)

// outcome is how a status is shown: a glyph, a word and a class for the colour, each of which is
// enough by itself.
type outcome struct {
	Class, Glyph, Word string
	Detail             string // what comes after the word in a weaker colour; may be empty
}

// outcomeOf tells a trial's state in one word. An error is not a failure, and no reward is not a reward of 0.
func outcomeOf(t api.Trial) outcome {
	switch t.Status {
	case api.StatusQueued:
		return outcome{"queued", "○", "queued", position(t)}
	case api.StatusRunning:
		return outcome{"running", "◔", "running", stageWord(t.HarborStage)}
	case api.StatusRetrying:
		return outcome{"retrying", "↻", "retrying", fmt.Sprintf("after %d of %d", t.Attempts, t.MaxAttempts)}
	case api.StatusCancelled:
		return outcome{"cancelled", "⊘", "cancelled", ""}
	case api.StatusFailed:
		return outcome{"error", "!", "error", ""}
	}
	return scored(t.Reward, t.ErrorType)
}

func scored(reward *float64, errorType *string) outcome {
	late := errorType != nil && strings.Contains(*errorType, "Timeout")
	switch {
	case reward != nil && *reward >= 1:
		return outcome{"passed", "✔", "passed", ""}
	case late:
		return outcome{"timeout", "◷", "timeout", ""}
	case reward == nil:
		return outcome{"unscored", "–", "no reward", ""}
	case *reward > 0:
		return outcome{"partial", "◐", "partial", ""}
	}
	return outcome{"failed", "✘", "not passed", ""}
}

// outcomeOfAttempt tells how one run ended.
func outcomeOfAttempt(a Attempt) outcome {
	switch a.Outcome {
	case api.StatusRunning:
		return outcome{"running", "◔", "running", ""}
	case api.StatusRetrying:
		return outcome{"retrying", "↻", "tried again", ""}
	case api.StatusCancelled:
		return outcome{"cancelled", "⊘", "cancelled", ""}
	case api.StatusSuccess:
		return scored(primary(a.Rewards), &a.ErrorType)
	}
	return outcome{"error", "!", "error", ""}
}

// outcomeOfStep tells how a step ended.
func outcomeOfStep(s stepRow) outcome {
	if s.Reward == nil && len(s.Rewards) == 0 && s.ErrorType != nil && !strings.Contains(*s.ErrorType, "Timeout") {
		return outcome{"error", "!", "error", ""}
	}
	return scored(s.Reward, s.ErrorType)
}

// primary gives the reward that stands for all of them: that of the name "reward", or the only one.
func primary(rewards map[string]float64) *float64 {
	v, ok := rewards["reward"]
	if !ok && len(rewards) == 1 {
		for _, v = range rewards {
			ok = true
		}
	}
	if !ok {
		return nil
	}
	return &v
}

func position(t api.Trial) string {
	q := t.QueueInfo
	switch {
	case q == nil:
		return ""
	case q.Unserved && t.Environment != nil:
		return "no worker offers " + *t.Environment
	}
	return fmt.Sprintf("%d ahead", q.Ahead)
}

func stageWord(s *api.Stage) string {
	if s == nil {
		return ""
	}
	switch *s {
	case api.StageStarting, api.StageTrialStarted:
		return "starting"
	case api.StageEnvironment:
		return "environment"
	case api.StageAgentRunning:
		return "agent"
	case api.StageVerification:
		return "verifier"
	case api.StageCompleted:
		return "finishing"
	}
	return strings.ReplaceAll(string(*s), "_", " ")
}

// segment is one part of a state bar, in trials from the left.
type segment struct {
	outcome
	From, Count int
}

// segments cuts an experiment's trials by state, finished ones first. Trials that ran to their end without
// passing are one segment: partial, failed and unscored ones are told apart only trial by trial.
func segments(e api.Experiment) []segment {
	parts := []segment{
		{outcome: outcome{"passed", "✔", "passed", ""}, Count: e.RewardPassed},
		{outcome: outcome{"failed", "✘", "not passed", ""}, Count: max(e.Counts[api.StatusSuccess]-e.RewardPassed, 0)},
		{outcome: outcome{"error", "!", "error", ""}, Count: e.Counts[api.StatusFailed]},
		{outcome: outcome{"cancelled", "⊘", "cancelled", ""}, Count: e.Counts[api.StatusCancelled]},
		{outcome: outcome{"running", "◔", "running", ""}, Count: e.Counts[api.StatusRunning]},
		{outcome: outcome{"retrying", "↻", "retrying", ""}, Count: e.Counts[api.StatusRetrying]},
		{outcome: outcome{"queued", "○", "queued", ""}, Count: e.Counts[api.StatusQueued]},
	}
	var out []segment
	from := 0
	for _, s := range parts {
		if s.Count == 0 {
			continue
		}
		s.From = from
		from += s.Count
		out = append(out, s)
	}
	return out
}

// live reports whether something may still happen in the experiment by itself.
func live(e api.Experiment) bool { return e.Completed < e.Total }

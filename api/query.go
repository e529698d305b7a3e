package api

// RetryTrials names trials that are to be tried again: POST /trials/retry. Exactly one of Query, TrialIDs, TaskID and ExperimentID
// is given.
type RetryTrials struct {
	Query        string   `json:"query,omitempty" maxLength:"8192" doc:"as for GET /trials; at least one term"`
	TrialIDs     []string `json:"trial_ids,omitempty" maxItems:"10000"`
	TaskID       string   `json:"task_id,omitempty" maxLength:"128" doc:"its failed trials"`
	ExperimentID string   `json:"experiment_id,omitempty" maxLength:"255" doc:"its failed trials; id or name"`
	Cancelled    bool     `json:"cancelled,omitempty" doc:"with task_id or experiment_id: the cancelled ones, too"`
	DryRun       bool     `json:"dry_run,omitempty" doc:"only say what would be done"`
	Reason       string   `json:"reason,omitempty" maxLength:"1000" doc:"for the log of the server"`
}

// RetriedTrials answers RetryTrials.
type RetriedTrials struct {
	Matched       int            `json:"matched" doc:"trials that were named and exist"`
	TrialsRetried int            `json:"trials_retried"`
	TrialIDs      []string       `json:"trial_ids" doc:"of the retried, at most 1000"`
	ExperimentIDs []string       `json:"experiment_ids" doc:"of the retried"`
	Errors        map[string]int `json:"errors" doc:"the retried by type of error; those without one under the empty text"`
	Skipped       []SkippedTrial `json:"skipped" doc:"named and left as they are, at most 1000"`
	DryRun        bool           `json:"dry_run"`
}

// SkippedTrial is a trial that was not tried again.
type SkippedTrial struct {
	TrialID string `json:"trial_id"`
	Reason  string `json:"reason"`
}

// CancelTrials names trials that are to stop: POST /trials/cancel.
type CancelTrials struct {
	Query  string `json:"query" maxLength:"8192" doc:"as for GET /trials; at least one term"`
	DryRun bool   `json:"dry_run,omitempty" doc:"only count: status is then \"planned\""`
}

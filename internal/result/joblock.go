package result

import "time"

// JobLock is lock.json of a job directory: the inputs of all its trials by content.
type JobLock struct {
	SchemaVersion    int         `json:"schema_version"`
	CreatedAt        time.Time   `json:"created_at"`
	Harbor           HarborInfo  `json:"harbor"`
	ConcurrentTrials int         `json:"n_concurrent_trials"`
	Retry            RetryConfig `json:"retry"`
	Trials           []TrialLock `json:"trials"`
}

// HarborInfo says which Harbor ran the job: none did, so that all of it is null.
type HarborInfo struct {
	Version       *string `json:"version"`
	GitCommitHash *string `json:"git_commit_hash"`
	IsEditable    *bool   `json:"is_editable"`
}

// RetryConfig is how often Harbor would try a trial again.
type RetryConfig struct {
	MaxRetries int `json:"max_retries"`
}

// NewJobLock gives the lock of an experiment that was made at that time, from those of its trials.
func NewJobLock(created time.Time, trials []TrialLock) JobLock {
	if trials == nil {
		trials = []TrialLock{}
	}
	return JobLock{SchemaVersion: 3, CreatedAt: Time(created), ConcurrentTrials: defaultConcurrency, Trials: trials}
}

package api

import "time"

// LeaseHeader carries a job's lease token on every request that a worker makes about it.
// The token is drawn anew for each claim, so a worker that lost its lease cannot be taken for its successor:
// the server answers 409 and changes nothing.
const LeaseHeader = "Oddish-Lease"

// ErrorClass tells the queue what an error means for another attempt.
type ErrorClass string

// Error classes, see docs/queue.md.
const (
	// ClassResult: the trial ran; its outcome, even a bad one, is the answer. Never retried.
	ClassResult ErrorClass = "result"
	// ClassPermanent: it would fail again (bad task, build error, missing key). Never retried.
	ClassPermanent ErrorClass = "permanent"
	// ClassRateLimit: a provider asked to wait. Retried from 60 s, or after Finish.RetryAfterSec.
	ClassRateLimit ErrorClass = "rate_limit"
	// ClassInfrastructure: sandbox, network or provider trouble. Retried with backoff.
	ClassInfrastructure ErrorClass = "infrastructure"
)

// Claim asks for trials to run: POST /worker/v1/claim. The server holds the request
// for up to WaitSec when there is none.
type Claim struct {
	WorkerID  string   `json:"worker_id"`
	Hostname  string   `json:"hostname"`
	Version   string   `json:"version"`
	Slots     int      `json:"slots" minimum:"1" maximum:"1000" doc:"free slots"`
	Sandboxes []string `json:"sandboxes" doc:"kinds that it can start, preferred first"`
	WaitSec   int      `json:"wait_sec" minimum:"0" maximum:"60"`
}

// Claimed answers Claim.
type Claimed struct {
	Jobs []Job `json:"jobs"`
}

// Job is a trial handed to a worker, with everything needed to run it.
type Job struct {
	ID         string    `json:"id" doc:"the trial's id"`
	Attempt    int       `json:"attempt" doc:"1 is the first"`
	Lease      string    `json:"lease"`
	LeaseUntil time.Time `json:"lease_until"`
	LeaseSec   float64   `json:"lease_sec,omitempty" doc:"length of the lease from now: what a worker goes by, since its clock may differ; absent: 60"`
	Seq        int64     `json:"seq,omitempty" doc:"of a resumed job: number of the newest progress event that was seen; the next is one higher"`
	Trial      TrialSpec `json:"trial"`
}

// ResumeJobs asks for running jobs that a former process of the worker has left on its machine: POST
// /worker/v1/resume. Those whose leases are still held become the asking worker's; asking again is harmless.
type ResumeJobs struct {
	WorkerID string   `json:"worker_id" minLength:"1"`
	Hostname string   `json:"hostname"`
	Version  string   `json:"version"`
	Jobs     []JobRef `json:"jobs" maxItems:"10000"`
}

// ResumedJobs answers ResumeJobs.
type ResumedJobs struct {
	Jobs []Job    `json:"jobs" doc:"to go on with: same attempt and lease as before"`
	Lost []string `json:"lost" doc:"ids of the others: remove what is left of them"`
}

// TrialSpec says what to run. The task's archive is at GET /worker/v1/jobs/{id}/task.
type TrialSpec struct {
	TrialID        string       `json:"trial_id"`
	TrialName      string       `json:"trial_name" doc:"name of this attempt's trial directory"`
	ExperimentID   string       `json:"experiment_id"`
	ExperimentName string       `json:"experiment_name"`
	TaskID         string       `json:"task_id"`
	TaskName       string       `json:"task_name" doc:"directory name that the task is unpacked under"`
	TaskVersion    int          `json:"task_version"`
	TaskDigest     string       `json:"task_digest"`
	Source         string       `json:"source,omitempty" doc:"data set"`
	Agent          string       `json:"agent"`
	Model          string       `json:"model,omitempty"`
	AgentConfig    AgentConfig  `json:"agent_config"`
	Budget         *Budget      `json:"budget,omitempty" doc:"that the trial shares with others: the lesser, in each part, of its experiment's and the day's; its own is in agent_config"`
	Environment    string       `json:"environment" doc:"sandbox kind"`
	Harbor         HarborConfig `json:"harbor"`
}

// JobRef names a running job of a worker.
type JobRef struct {
	ID    string `json:"id"`
	Lease string `json:"lease"`
}

// Heartbeat renews the leases of all of a worker's jobs: POST /worker/v1/heartbeat.
type Heartbeat struct {
	WorkerID string   `json:"worker_id"`
	Jobs     []JobRef `json:"jobs"`
}

// HeartbeatAck answers Heartbeat.
type HeartbeatAck struct {
	Cancel     []string  `json:"cancel" doc:"ids of jobs to stop"`
	Lost       []string  `json:"lost" doc:"ids of jobs whose lease another worker holds or that ended: stop and forget them"`
	LeaseUntil time.Time `json:"lease_until"`
	LeaseSec   float64   `json:"lease_sec,omitempty" doc:"length of the renewed leases from now; absent: 60"`
	// BudgetExceeded are the ids of jobs that may call no model any more because the budget of their experiment is used up, and DayExceeded those because of that of
	// the day, see ProgressAck.
	BudgetExceeded []string `json:"budget_exceeded,omitempty"`
	DayExceeded    []string `json:"day_exceeded,omitempty"`
}

// Cancels asks which of a worker's jobs are to be stopped: POST /worker/v1/cancels. The server holds
// the request for up to WaitSec while there is none, so that a cancel is heard at once and
// not at the next heartbeat.
type Cancels struct {
	WorkerID string   `json:"worker_id" minLength:"1"`
	Known    []string `json:"known,omitempty" doc:"ids of jobs that the worker is stopping already"`
	WaitSec  int      `json:"wait_sec" minimum:"0" maximum:"60"`
}

// CancelsAck answers Cancels.
type CancelsAck struct {
	Cancel []string `json:"cancel" doc:"ids of jobs to stop, those of known left out"`
}

// Progress reports what a running job is doing: POST /worker/v1/jobs/{id}/events.
// Sequence numbers start at 1 in each attempt; one already seen is ignored.
type Progress struct {
	Events []ProgressEvent `json:"events"`
}

// ProgressEvent is one step of a running job.
type ProgressEvent struct {
	Seq       int64     `json:"seq" minimum:"1"`
	At        time.Time `json:"at"`
	Stage     Stage     `json:"stage,omitempty"`
	SandboxID string    `json:"sandbox_id,omitempty"`
	// Usage is what the attempt has used of models so far.
	Usage *Usage `json:"usage,omitempty"`
	// RateLimited: the model's provider asked to be asked less, and the trial goes on.
	RateLimited *RateLimited `json:"rate_limited,omitempty"`
}

// RateLimited is a provider's wish to be asked less.
type RateLimited struct {
	RetryAfterSec *float64 `json:"retry_after_sec,omitempty" doc:"absent: it did not say"`
}

// ProgressAck answers Progress.
type ProgressAck struct {
	Cancel bool `json:"cancel"`
	// BudgetExceeded names the budget that is used up: the trial may call no model any more.
	BudgetExceeded string `json:"budget_exceeded,omitempty" enum:"experiment,day"`
}

// Budgets that trials share, as ProgressAck names them.
const (
	BudgetExperiment = "experiment"
	BudgetDay        = "day" // of all trials whose calls of a model cost something
)

// Finish ends an attempt: POST /worker/v1/jobs/{id}/finish. Repeating it with the same lease is harmless.
type Finish struct {
	// Outcome is success (ran to the end), failed or cancelled. Whether a failure is retried, the queue decides.
	// Cancelled means stopped: by the user's wish, or, without one, by a worker that shuts down and hands the
	// trial back, which does not use up an attempt.
	Outcome       Status             `json:"outcome" enum:"success,failed,cancelled"`
	Rewards       map[string]float64 `json:"rewards,omitempty"`
	ErrorType     string             `json:"error_type,omitempty" doc:"Harbor's exception name; also with a success (a timeout that was still verified)"`
	ErrorMessage  string             `json:"error_message,omitempty"`
	ErrorClass    ErrorClass         `json:"error_class,omitempty" enum:"result,permanent,rate_limit,infrastructure"`
	RetryAfterSec *float64           `json:"retry_after_sec,omitempty"`
	Phases        map[string]Phase   `json:"phases,omitempty"`
	InputTokens   *int64             `json:"input_tokens,omitempty"`
	CacheTokens   *int64             `json:"cache_tokens,omitempty"`
	OutputTokens  *int64             `json:"output_tokens,omitempty"`
	CostUSD       *float64           `json:"cost_usd,omitempty"`
	UsageDetails
	HasTrajectory bool `json:"has_trajectory,omitempty"`
	Isolation     *int `json:"isolation_level,omitempty" minimum:"0" maximum:"3" doc:"at which it ran (docs/security.md); absent: unknown"`
}

// FinishAck answers Finish.
type FinishAck struct {
	Status  Status     `json:"status" doc:"retrying when there will be another attempt"`
	RetryAt *time.Time `json:"retry_at,omitempty"`
}

// FilesPath of a job: PUT /worker/v1/jobs/{id}/files/{path}?offset=N writes a chunk of a file of the
// trial directory at offset N (which must be at most the stored size; the file ends after the chunk);
// without offset it replaces the file.

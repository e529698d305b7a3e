// Package api holds the wire types of Oddish's HTTP API: what clients, workers and
// the server say to each other. It is public and imports nothing of ours.
//
// Paths and JSON of the client half keep those of the Python system of the same
// name, so that its client works. Times are RFC 3339 in UTC; absent numbers are null, never 0.
package api

import "time"

// Priority orders trials within a queue key: high always goes first.
type Priority string

// Priorities.
const (
	PriorityHigh Priority = "high"
	PriorityLow  Priority = "low"
)

// Status is the state of a trial and of its job.
type Status string

// Trial states. Success means that the trial ran to its end, whatever the reward.
const (
	StatusQueued    Status = "queued"
	StatusRunning   Status = "running"
	StatusRetrying  Status = "retrying" // waiting for its next attempt
	StatusSuccess   Status = "success"
	StatusFailed    Status = "failed"
	StatusCancelled Status = "cancelled"
)

// Terminal reports whether the status is final.
func (s Status) Terminal() bool {
	return s == StatusSuccess || s == StatusFailed || s == StatusCancelled
}

// TaskStatus is the state of a task: of all its trials taken together.
type TaskStatus string

// Task states.
const (
	TaskPending   TaskStatus = "pending"   // no trial has started
	TaskRunning   TaskStatus = "running"   // some trial is not terminal
	TaskCompleted TaskStatus = "completed" // every trial is terminal
	TaskFailed    TaskStatus = "failed"    // every trial is terminal and none succeeded
)

// Stage is what a running trial is doing (harbor_stage on the wire).
type Stage string

// Stages in order.
const (
	StageStarting     Stage = "starting"
	StageTrialStarted Stage = "trial_started"
	StageEnvironment  Stage = "environment_setup"
	StageAgentRunning Stage = "agent_running"
	StageVerification Stage = "verification"
	StageCompleted    Stage = "completed"
	StageCancelled    Stage = "cancelled"
)

// Health is the answer of GET /health. The server's version and process let `run` and `clean`
// tell their own server from another program on the port.
type Health struct {
	Status    string    `json:"status" enum:"healthy,degraded"`
	Database  string    `json:"database" enum:"connected,disconnected"`
	Timestamp time.Time `json:"timestamp"`
	Service   string    `json:"service" doc:"always oddish"`
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
}

// UploadInit asks to upload a version of a task: POST /tasks/upload/init.
type UploadInit struct {
	Name        string  `json:"name" minLength:"1" maxLength:"200"`
	ContentHash string  `json:"content_hash" pattern:"^[0-9a-f]{64}$" doc:"SHA-256 of the task's content"`
	Message     *string `json:"message,omitempty"`
}

// Upload answers UploadInit and UploadComplete. With content_unchanged there is nothing to upload.
type Upload struct {
	TaskID             string            `json:"task_id"`
	Name               string            `json:"name"`
	TaskPath           *string           `json:"task_path"`
	S3Key              string            `json:"s3_key" doc:"where the version is stored"`
	Version            int               `json:"version"`
	VersionID          string            `json:"version_id"`
	ExistingTask       bool              `json:"existing_task"`
	ContentUnchanged   bool              `json:"content_unchanged"`
	ContentHash        string            `json:"content_hash"`
	UploadURL          *string           `json:"upload_url"`
	UploadMethod       *string           `json:"upload_method"`
	UploadHeaders      map[string]string `json:"upload_headers"`
	RequiresCompletion bool              `json:"requires_completion"`
}

// UploadComplete ends an upload: POST /tasks/upload/complete.
type UploadComplete struct {
	TaskID      string  `json:"task_id"`
	Name        string  `json:"name"`
	Version     int     `json:"version" minimum:"1"`
	ContentHash string  `json:"content_hash"`
	Message     *string `json:"message,omitempty"`
}

// Sweep submits trials of one task: POST /tasks/sweep.
type Sweep struct {
	TaskID            string            `json:"task_id"`
	AppendToTask      bool              `json:"append_to_task,omitempty" doc:"of earlier clients: the same as again, and without an experiment the trials join the task's newest"`
	Name              *string           `json:"name,omitempty"`
	Configs           []SweepConfig     `json:"configs"`
	User              string            `json:"user"`
	Priority          Priority          `json:"priority,omitempty" enum:"high,low" default:"low"`
	ExperimentID      *string           `json:"experiment_id,omitempty" doc:"id or name; by id, then newest by name, else created"`
	Tags              map[string]string `json:"tags,omitempty"`
	Environment       *string           `json:"environment,omitempty" doc:"sandbox kind; absent: chosen by the server"`
	RunAnalysis       bool              `json:"run_analysis,omitempty"`
	GithubUsername    *string           `json:"github_username,omitempty"`
	PublishExperiment *bool             `json:"publish_experiment,omitempty"`
	Harbor            *HarborConfig     `json:"harbor,omitempty"`
	ContentHash       *string           `json:"content_hash,omitempty"`
	MaxAttempts       *int              `json:"max_attempts,omitempty" minimum:"1" maximum:"20"`
	Budget            *Budget           `json:"budget,omitempty" doc:"of the experiment: of all its trials together, those before included; absent: as it is"`
	Source            *string           `json:"source,omitempty" doc:"data set that the task belongs to"`
	Again             bool              `json:"again,omitempty" doc:"make every trial anew; absent: trials of this kind that the experiment has already are counted, failed and cancelled ones tried again, and only the rest made"`
}

// SweepConfig is one agent of a sweep.
type SweepConfig struct {
	Agent       string       `json:"agent"`
	Model       *string      `json:"model,omitempty"`
	NTrials     int          `json:"n_trials,omitempty" minimum:"1" default:"1"`
	Environment *string      `json:"environment,omitempty"`
	AgentConfig *AgentConfig `json:"agent_config,omitempty"`
	// TimeoutMinutes and Concurrency of earlier clients: the first is refused with advice, the second ignored.
	TimeoutMinutes *float64 `json:"timeout_minutes,omitempty"`
	Concurrency    *int     `json:"concurrency,omitempty"`
}

// AgentConfig is Harbor's AgentConfig less name and model (spec of the format: section 4.2 of its documentation).
type AgentConfig struct {
	Env                     map[string]string `json:"env,omitempty"`
	Kwargs                  map[string]any    `json:"kwargs,omitempty"`
	OverrideTimeoutSec      *float64          `json:"override_timeout_sec,omitempty"`
	OverrideSetupTimeoutSec *float64          `json:"override_setup_timeout_sec,omitempty"`
	MaxTimeoutSec           *float64          `json:"max_timeout_sec,omitempty"`
	ExtraAllowedHosts       []string          `json:"extra_allowed_hosts,omitempty" maxItems:"1000" doc:"while the agent works, beside those of the task"`
	// What follows is not Harbor's. BaseURL is the address of the model's API instead of the provider's (the worker's key is not sent
	// there), Budget bounds each trial, RecordModel keeps what was asked and answered, and Replay answers with what was kept of another experiment.
	BaseURL string `json:"base_url,omitempty" maxLength:"2048"`
	// Base is the agent that this one is under a name of the user's: "command", with the kwargs of an agent file. Empty: the agent of that name.
	Base string `json:"base,omitempty" maxLength:"64"`
	// MCPServers are Harbor's: tool servers for the agent besides the task's; one of the same name takes its place. Skills, which Harbor has as
	// paths, are given to the agent besides those of the image.
	MCPServers  []MCPServer `json:"mcp_servers,omitempty" maxItems:"100"`
	Skills      []Skill     `json:"skills,omitempty" maxItems:"100"`
	Budget      *Budget     `json:"budget,omitempty"`
	RecordModel bool        `json:"record_model,omitempty"`
	Replay      string      `json:"replay,omitempty" maxLength:"255" doc:"id or name of an experiment with record_model: its trials' answers stand for those of the model"`
	Regrade     string      `json:"regrade,omitempty" maxLength:"255" doc:"id of a trial of the task that has ended: the agent is not run, what it left then is verified again"`
	// HelperModel says what becomes of calls of other models than the trial's own, see the constants; else it is the model that is called instead.
	HelperModel string `json:"helper_model,omitempty" maxLength:"255" doc:"allow, same, refuse, or a model of the same provider; absent: allow, and with base_url same"`
}

// What AgentConfig.HelperModel may be besides a model: calls of other models go to them (where a budget of money holds, if they have a price), to the trial's own
// model instead, or are refused.
const (
	HelperAllow  = "allow"
	HelperSame   = "same"
	HelperRefuse = "refuse"
)

// MCPServer is a tool server: a program that the agent starts, or an address. Neither is secret: it is stored and shown.
type MCPServer struct {
	Name      string   `json:"name" minLength:"1" maxLength:"128"`
	Transport string   `json:"transport" enum:"stdio,sse,streamable-http"`
	URL       string   `json:"url,omitempty" maxLength:"2048" doc:"of sse and streamable-http"`
	Command   string   `json:"command,omitempty" doc:"of stdio"`
	Args      []string `json:"args,omitempty"`
}

// Skill is a folder with a SKILL.md and what belongs to it.
type Skill struct {
	Name    string `json:"name" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" patternDescription:"a plain folder name" maxLength:"128"`
	Archive []byte `json:"archive" doc:"tar.gz of the folder's content"`
}

// MaxSkills bounds the archives of all skills of an agent together, in bytes: they are stored with every trial.
const MaxSkills = 64 << 10

// HarborConfig is the part of Harbor's JobConfig that a submission may set.
type HarborConfig struct {
	Environment *EnvironmentConfig `json:"environment,omitempty"`
	Verifier    *VerifierConfig    `json:"verifier,omitempty"`
	Artifacts   []Artifact         `json:"artifacts,omitempty"`
	// ExtraInstructions are appended to what the task tells the agent, in each of its steps, each after an empty line.
	ExtraInstructions []string `json:"extra_instructions,omitempty" maxItems:"100"`
	// HostEnv are values for templates (${NAME}) of the task and of the run. The worker's own variables of these names are not asked for. They are secret.
	HostEnv map[string]string `json:"host_env,omitempty" doc:"values of variables that templates (${NAME}) name, instead of the worker's own; secret"`
	// Origin says where the task was taken from. It is not fetched from there: the uploaded content is what counts.
	Origin *TaskOrigin `json:"origin,omitempty"`
	// Metrics are how the task's data set wants rewards summed up.
	Metrics []string `json:"metrics,omitempty" enum:"sum,min,max,mean" maxItems:"4" doc:"of the data set; absent: mean"`

	TimeoutMultiplier                 *float64 `json:"timeout_multiplier,omitempty"`
	AgentTimeoutMultiplier            *float64 `json:"agent_timeout_multiplier,omitempty"`
	VerifierTimeoutMultiplier         *float64 `json:"verifier_timeout_multiplier,omitempty"`
	AgentSetupTimeoutMultiplier       *float64 `json:"agent_setup_timeout_multiplier,omitempty"`
	EnvironmentBuildTimeoutMultiplier *float64 `json:"environment_build_timeout_multiplier,omitempty"`
}

// TaskOrigin is the place of a task in a git repository.
type TaskOrigin struct {
	GitURL      string `json:"git_url" maxLength:"2048"`
	GitCommitID string `json:"git_commit_id" maxLength:"64" doc:"in full"`
	Path        string `json:"path" maxLength:"1024" doc:"folder in the repository"`
}

// EnvironmentConfig is Harbor's run-side EnvironmentConfig, as far as it is implemented.
type EnvironmentConfig struct {
	ForceBuild        *bool             `json:"force_build,omitempty"`
	OverrideCPUs      *int              `json:"override_cpus,omitempty"`
	OverrideMemoryMB  *int              `json:"override_memory_mb,omitempty"`
	OverrideStorageMB *int              `json:"override_storage_mb,omitempty"`
	OverrideGPUs      *int              `json:"override_gpus,omitempty"`
	CPUPolicy         *string           `json:"cpu_enforcement_policy,omitempty" enum:"auto,limit,request,guarantee,ignore" doc:"auto: limited where the sandbox can; limit: refused where it cannot; ignore: not limited; request and guarantee: no sandbox here can"`
	MemoryPolicy      *string           `json:"memory_enforcement_policy,omitempty" enum:"auto,limit,request,guarantee,ignore"`
	ExtraAllowedHosts []string          `json:"extra_allowed_hosts,omitempty" maxItems:"1000" doc:"beside those of the task; no-network becomes an allowlist of these"`
	MinIsolation      *int              `json:"min_isolation,omitempty" minimum:"0" maximum:"3" doc:"not Harbor's: trials are refused in sandboxes of a lower level of isolation (docs/security.md)"`
	KeepOnFailureSec  *int              `json:"keep_on_failure_sec,omitempty" minimum:"60" maximum:"604800" doc:"not Harbor's: the sandbox of a trial that goes wrong is kept so many seconds for people to look into"`
	ExtraCompose      []ComposeFile     `json:"extra_compose_files,omitempty" maxItems:"16" doc:"laid over the compose file of the task, each over those before it; not for separate verifiers. Harbor's extra_docker_compose, by their texts"`
	Env               map[string]string `json:"env,omitempty"`
	Kwargs            map[string]string `json:"kwargs,omitempty" doc:"options of the sandbox kind (--ek)"`
}

// ComposeFile is a compose file that a run brings. It may read no other file; its relative paths are of the task's environment/.
type ComposeFile struct {
	Name string `json:"name" minLength:"1" maxLength:"255" doc:"for messages"`
	Text string `json:"text" maxLength:"262144"`
}

// VerifierConfig is Harbor's run-side VerifierConfig, as far as it is implemented.
type VerifierConfig struct {
	Disable            *bool             `json:"disable,omitempty"`
	Env                map[string]string `json:"env,omitempty"`
	OverrideTimeoutSec *float64          `json:"override_timeout_sec,omitempty"`
	MaxTimeoutSec      *float64          `json:"max_timeout_sec,omitempty"`
}

// Submitted answers a Sweep.
type Submitted struct {
	ID             string         `json:"id"`
	Name           string         `json:"name"`
	Status         TaskStatus     `json:"status"`
	Priority       Priority       `json:"priority"`
	TrialsCount    int            `json:"trials_count" doc:"trials made by this submission"`
	Providers      map[string]int `json:"providers"`
	ExperimentID   string         `json:"experiment_id"`
	ExperimentName string         `json:"experiment_name"`
	CreatedAt      time.Time      `json:"created_at"`
	NewTrialIDs    []string       `json:"new_trial_ids"`
	// What the experiment had already. Together with the new ones these are the trials that were asked for.
	RetriedTrialIDs  []string `json:"retried_trial_ids" doc:"had failed or been cancelled, and are tried again"`
	ExistingTrials   int      `json:"existing_trials" doc:"trials that stand as they are"`
	ExistingTrialIDs []string `json:"existing_trial_ids" doc:"those trials"`
}

// Headers of a submission. A client that draws a key for each submission may send it again until it has an answer: the server
// carries it out once and gives the same answer for 24 hours.
const (
	IdempotencyKeyHeader      = "Idempotency-Key"      // up to 255 printable ASCII characters
	IdempotencyReplayedHeader = "Idempotency-Replayed" // "true" in an answer that was given before
)

// Task is a task with the counts of its trials, and the trials themselves where asked for.
type Task struct {
	ID                 string            `json:"id"`
	Name               string            `json:"name"`
	Status             TaskStatus        `json:"status"`
	Priority           Priority          `json:"priority"`
	User               string            `json:"user"`
	GithubUsername     *string           `json:"github_username"`
	GithubMeta         map[string]string `json:"github_meta"`
	TaskPath           *string           `json:"task_path"`
	ExperimentID       string            `json:"experiment_id"`
	ExperimentName     string            `json:"experiment_name"`
	ExperimentIsPublic bool              `json:"experiment_is_public"`
	CurrentVersion     *int              `json:"current_version"`
	CurrentVersionID   *string           `json:"current_version_id"`
	Total              int               `json:"total"`
	Completed          int               `json:"completed" doc:"trials in a final state"`
	Failed             int               `json:"failed" doc:"trials that ended in an error"`
	Progress           string            `json:"progress"`
	RewardSuccess      *int              `json:"reward_success" doc:"trials with reward 1 or more"`
	RewardSum          *float64          `json:"reward_sum"`
	RewardTotal        *int              `json:"reward_total" doc:"trials with a reward"`
	RunAnalysis        bool              `json:"run_analysis"`
	VerdictStatus      *string           `json:"verdict_status"`
	Verdict            map[string]any    `json:"verdict"`
	VerdictError       *string           `json:"verdict_error"`
	Trials             []Trial           `json:"trials"`
	CreatedAt          time.Time         `json:"created_at"`
	StartedAt          *time.Time        `json:"started_at"`
	FinishedAt         *time.Time        `json:"finished_at"`
}

// TaskVersion is one content of a task.
type TaskVersion struct {
	ID              string    `json:"id"`
	TaskID          string    `json:"task_id"`
	Version         int       `json:"version"`
	TaskPath        *string   `json:"task_path"`
	TaskS3Key       string    `json:"task_s3_key" doc:"where the archive is stored"`
	ContentHash     string    `json:"content_hash"`
	Message         *string   `json:"message"`
	CreatedByUserID *string   `json:"created_by_user_id"`
	CreatedAt       time.Time `json:"created_at"`
}

// Trial is one trial. Reward is the value under "reward", or the only one, or null.
type Trial struct {
	ID             string             `json:"id"`
	Name           string             `json:"name"`
	TaskID         string             `json:"task_id"`
	TaskPath       *string            `json:"task_path"`
	TaskVersion    *int               `json:"task_version"`
	TaskVersionID  *string            `json:"task_version_id"`
	ExperimentID   string             `json:"experiment_id"`
	Agent          string             `json:"agent"`
	Provider       string             `json:"provider"`
	QueueKey       string             `json:"queue_key"`
	Model          string             `json:"model"`
	Environment    *string            `json:"environment"`
	Status         Status             `json:"status"`
	Origin         string             `json:"origin" enum:"oddish,imported" doc:"imported: it ran elsewhere"`
	RegradeOf      *string            `json:"regrade_of" doc:"trial whose agent's work was verified again; null: it has an agent of its own"`
	Attempts       int                `json:"attempts"`
	MaxAttempts    int                `json:"max_attempts"`
	HarborStage    *Stage             `json:"harbor_stage"`
	Reward         *float64           `json:"reward"`
	Rewards        map[string]float64 `json:"rewards"`
	ErrorType      *string            `json:"error_type"`
	ErrorMessage   *string            `json:"error_message"`
	Result         map[string]any     `json:"result"`
	InputTokens    *int64             `json:"input_tokens"`
	CacheTokens    *int64             `json:"cache_tokens"`
	OutputTokens   *int64             `json:"output_tokens"`
	CostUSD        *float64           `json:"cost_usd"`
	CostEstimated  *bool              `json:"cost_is_estimated"`
	CacheWrites    *int64             `json:"cache_write_tokens"`
	Reasoning      *int64             `json:"reasoning_tokens"`
	ModelCalls     *int64             `json:"model_calls"`
	CostSource     *string            `json:"cost_source" enum:"gateway,agent,replay,regrade"`
	PriceVersion   *string            `json:"price_version"`
	ModelUsage     []ModelUsage       `json:"model_usage" doc:"of each model that was called, once the trial has ended; null: unknown"`
	PhaseTiming    map[string]Phase   `json:"phase_timing"`
	Steps          []TrialStep        `json:"steps" doc:"of a task with steps, those that were begun, once the run has ended; null: the task has none, the run has not ended, or the trial stands in a list"`
	HasTrajectory  bool               `json:"has_trajectory"`
	Isolation      *int               `json:"isolation_level" doc:"at which it ran: 0 process, 1 container, 2 own kernel, 3 virtual machine; null: unknown, or not ended"`
	AnalysisStatus *string            `json:"analysis_status"`
	Analysis       map[string]any     `json:"analysis"`
	AnalysisError  *string            `json:"analysis_error"`
	QueueInfo      *QueueInfo         `json:"queue_info"`
	RetryAt        *time.Time         `json:"retry_at" doc:"when a retrying trial may start again"`
	CreatedAt      time.Time          `json:"created_at"`
	StartedAt      *time.Time         `json:"started_at"`
	FinishedAt     *time.Time         `json:"finished_at"`
}

// TrialStep is what came of one step of a trial.
type TrialStep struct {
	Name         string             `json:"name"`
	Reward       *float64           `json:"reward" doc:"the one called reward, else the only one; null: there is none"`
	Rewards      map[string]float64 `json:"rewards"`
	ErrorType    *string            `json:"error_type"`
	ErrorMessage *string            `json:"error_message"`
	PhaseTiming  map[string]Phase   `json:"phase_timing" doc:"agent_execution and verifier"`
}

// Phase is the time that one phase of a trial took: environment_setup, agent_setup, agent_execution, verifier.
type Phase struct {
	StartedAt   time.Time `json:"started_at"`
	FinishedAt  time.Time `json:"finished_at"`
	DurationSec float64   `json:"duration_sec"`
}

// QueueInfo says where a waiting trial stands in its queue key.
type QueueInfo struct {
	Position         int `json:"position" doc:"1 is next"`
	Ahead            int `json:"ahead"`
	QueuedCount      int `json:"queued_count"`
	RunningCount     int `json:"running_count"`
	ConcurrencyLimit int `json:"concurrency_limit"`
	// Unserved: it waits for a sandbox of a kind that no worker has offered in the last minutes.
	Unserved bool `json:"no_worker,omitempty" doc:"no worker has offered the trial's kind of sandbox lately"`
}

// Experiment is a named group of trials with their counts.
type Experiment struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	IsPublic     bool              `json:"is_public"`
	Paused       bool              `json:"paused" doc:"no trial is started; those that run go on"`
	TaskCount    int               `json:"task_count"`
	Total        int               `json:"total_trials"`
	Completed    int               `json:"completed_trials"`
	Counts       map[Status]int    `json:"counts"`
	RewardPassed int               `json:"reward_success" doc:"trials with reward 1 or more"`
	RewardTotal  int               `json:"reward_total" doc:"trials with a reward"`
	RewardSum    float64           `json:"reward_sum"`
	CreatedAt    time.Time         `json:"created_at"`
	LastActivity time.Time         `json:"last_activity"`
	ImportedFrom *string           `json:"imported_from" doc:"program that ran the job that this was imported from; null: it ran here"`
	Budget       *ExperimentBudget `json:"budget" doc:"null: none; only in the answer for one experiment"`
	Usage        *Usage            `json:"usage" doc:"of all attempts so far; null: nothing is known; only in the answer for one experiment"`
}

// Cancel names tasks whose trials are to stop: POST /tasks/cancel.
type Cancel struct {
	TaskIDs []string `json:"task_ids"`
}

// Cancelled answers Cancel.
type Cancelled struct {
	Status           string   `json:"status"`
	TaskIDs          []string `json:"task_ids"`
	NotFoundTaskIDs  []string `json:"not_found_task_ids"`
	TasksFound       int      `json:"tasks_found"`
	TasksCancelled   int      `json:"tasks_cancelled"`
	TrialsCancelled  int      `json:"trials_cancelled"`
	ModalCallsFormer int      `json:"modal_calls_cancelled" doc:"always 0; kept for earlier clients"`
}

// Deleted answers DELETE /tasks/{id} and /experiments/{id}.
type Deleted struct {
	Status  string         `json:"status"`
	Deleted map[string]any `json:"deleted"`
}

// TrialLogs is the answer of GET /trials/{id}/logs: every text log of the last attempt, each under a header line.
type TrialLogs struct {
	TrialID string  `json:"trial_id"`
	Logs    string  `json:"logs"`
	S3Key   *string `json:"s3_key"`
}

// File is one stored file of a trial.
type File struct {
	Path         string    `json:"path"`
	Key          string    `json:"key"`
	Size         int64     `json:"size"`
	LastModified time.Time `json:"last_modified"`
	URL          string    `json:"url"`
}

// TrialFiles is the answer of GET /trials/{id}/files.
type TrialFiles struct {
	TrialID   string   `json:"trial_id"`
	Files     []File   `json:"files"`
	Dirs      []string `json:"dirs"`
	Prefix    string   `json:"prefix"`
	Recursive bool     `json:"recursive"`
	Presigned bool     `json:"presigned"`
	ExpiresIn int      `json:"presign_expires_in"`
}

// Event is one thing that happened to a trial, as sent by GET /experiments/{id}/events (SSE;
// the SSE id is ID, so that Last-Event-ID resumes).
type Event struct {
	ID           int64     `json:"id"`
	ExperimentID string    `json:"experiment_id"`
	TrialID      string    `json:"trial_id"`
	Attempt      int       `json:"attempt"`
	At           time.Time `json:"at"`
	Kind         string    `json:"kind" enum:"queued,running,stage,retrying,finished,cancelled"`
	Status       Status    `json:"status"`
	Stage        Stage     `json:"stage,omitempty"`
	Reward       *float64  `json:"reward,omitempty"`
	ErrorType    string    `json:"error_type,omitempty"`
}

// Problem is an error answer (RFC 9457).
type Problem struct {
	Title  string `json:"title,omitempty"`
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
	Errors []struct {
		Message  string `json:"message,omitempty"`
		Location string `json:"location,omitempty"`
	} `json:"errors,omitempty"`
}

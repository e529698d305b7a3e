// Package store keeps Oddish's state in a SQL database: SQLite inside the process by
// default, PostgreSQL by URL, with one SQL text for both.
//
// It holds rows and reads; every write that moves a trial from one state to another is made
// by package queue above it, in the transaction that also writes whatever depends on it.
package store

import (
	"errors"
	"time"

	"oddish/api"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("not found")
	// ErrConflict: the request contradicts what is stored.
	ErrConflict = errors.New("conflict")
)

// Experiment is a named group of trials. Names need not be unique.
type Experiment struct {
	ID        string // 8 hex digits
	Name      string
	Public    bool
	Paused    bool // none of its trials is started
	CreatedAt time.Time

	ImportedJob  string // id of the job that it was imported from; empty: it ran here
	ImportedFrom string // program that ran that job
}

// ImportedTrial is a trial that ran elsewhere.
type ImportedTrial struct {
	ID       string
	TrialDir string // blob prefix
	Digest   string // of the archive that brought its files
}

// Task is a task with its newest version.
type Task struct {
	ID             string // <normalised name>-<8 hex digits>
	Name           string // unique
	User           string
	Priority       api.Priority
	ExperimentID   string // of the latest submission; empty before the first
	Tags           map[string]string
	GithubUsername string
	RunAnalysis    bool
	Version        int // newest; 0: none is here, only trials that ran elsewhere are
	CreatedAt      time.Time
}

// Version is one content of a task.
type Version struct {
	ID          string // <task>-v<N>
	TaskID      string
	Version     int
	ContentHash string // hex SHA-256
	ArchiveKey  string // blob
	Message     string
	CreatedAt   time.Time
}

// Trial is a trial joined with its job and its last attempt. Pointers are null in the
// database, which means unknown, never 0.
type Trial struct {
	ID           string // <task>-<index>
	Name         string // <task name>-<index>
	TaskID       string
	TaskName     string
	Version      int    // 0: it ran elsewhere, and the task's content is not here
	ContentHash  string // empty: unknown, of one that ran elsewhere
	ExperimentID string
	Agent        string
	Model        string // "default" without one
	Provider     string
	QueueKey     string
	Environment  string
	Source       string
	AgentConfig  api.AgentConfig // secrets removed once the trial is terminal
	Harbor       api.HarborConfig
	CreatedAt    time.Time
	Imported     bool // it ran elsewhere

	Status          api.Status
	Attempt         int // attempts started
	MaxAttempts     int
	AvailableAt     *time.Time // while retrying
	CancelRequested bool
	WorkerID        string

	Stage        api.Stage // of the last attempt
	TrialDir     string    // blob prefix of the last attempt's trial directory; empty before the first
	SandboxID    string
	Rewards      map[string]float64 // nil: unknown
	Reward       *float64
	ErrorType    string
	ErrorMessage string
	Phases       map[string]api.Phase
	InputTokens  *int64
	CacheTokens  *int64
	OutputTokens *int64
	CostUSD      *float64
	api.UsageDetails
	HasTrajectory bool
	Isolation     *int       // level at which the last attempt ran
	StartedAt     *time.Time // first attempt's start
	FinishedAt    *time.Time // set once terminal
}

// Counts sums up a set of trials.
type Counts struct {
	Total, Queued, Running, Retrying, Success, Failed, Cancelled int
	Rewarded                                                     int     // trials with a reward
	Passed                                                       int     // trials with reward >= 1
	RewardSum                                                    float64 // over Rewarded
	StartedAt, FinishedAt                                        *time.Time
}

// TaskSummary is a task with the counts of its trials (of one experiment's trials, when the filter names one).
type TaskSummary struct {
	Task
	ExperimentName   string
	ExperimentPublic bool
	Counts           Counts
}

// ExperimentSummary is an experiment with the counts of its trials.
type ExperimentSummary struct {
	Experiment
	Tasks        int
	Counts       Counts
	LastActivity time.Time
}

// TaskFilter selects tasks, newest first.
type TaskFilter struct {
	ExperimentID string // tasks that have a trial in it
	User         string
	Limit        int // 0: 100
	Offset       int
}

// TrialFilter selects trials by task and index order; at least one field must be set.
type TrialFilter struct {
	IDs          []string
	TaskIDs      []string
	ExperimentID string
	Limit        int // 0: no limit
	Offset       int
}

// Attempt is one run of a trial.
type Attempt struct {
	TrialID      string
	Attempt      int
	WorkerID     string
	SandboxID    string
	TrialDir     string
	Stage        api.Stage
	Outcome      api.Status // running until it ended; retrying: it failed and was followed by another
	ErrorType    string
	ErrorMessage string
	ErrorClass   api.ErrorClass
	Rewards      map[string]float64
	Phases       map[string]api.Phase
	StartedAt    time.Time
	FinishedAt   *time.Time
}

package api

import "time"

// ImportJob begins or goes on with the import of a job that ran elsewhere: POST /experiments/import. The experiment is found by JobID, else made.
type ImportJob struct {
	JobID     string     `json:"job_id" minLength:"1" maxLength:"128" doc:"of the job that is imported; the same job is always the same experiment"`
	Name      string     `json:"name" maxLength:"255" doc:"of the experiment if it is new; empty: one is drawn"`
	Source    string     `json:"source" minLength:"1" maxLength:"128" doc:"program that ran the job, such as harbor 0.26.0"`
	CreatedAt *time.Time `json:"created_at,omitempty" doc:"when the job began; absent: now"`
	// ExperimentID is what the folder of a pulled experiment says it is of.
	ExperimentID string `json:"experiment_id,omitempty" maxLength:"64" doc:"of the experiment that the folder was pulled from"`
}

// ImportedJob answers ImportJob.
type ImportedJob struct {
	ExperimentID   string          `json:"experiment_id"`
	ExperimentName string          `json:"experiment_name"`
	Native         bool            `json:"native" doc:"the job is this server's own experiment: there is nothing to import"`
	Trials         []ImportedTrial `json:"trials" doc:"those that were imported before"`
}

// ImportedTrial is a trial that was imported.
type ImportedTrial struct {
	TrialID string `json:"trial_id"`
	Folder  string `json:"folder"`
	Digest  string `json:"digest" doc:"of its archive"`
}

// ImportTrial adds a trial that ran elsewhere, whose files were put as an archive before: POST /experiments/{id}/import/{folder}. It is there whole or not at
// all; one with the same folder is replaced.
type ImportTrial struct {
	Digest     string `json:"digest" pattern:"^[0-9a-f]{64}$" patternDescription:"64 hex digits" doc:"SHA-256 of the archive"`
	TaskName   string `json:"task_name" minLength:"1" maxLength:"255"`
	TaskDigest string `json:"task_digest,omitempty" pattern:"^([0-9a-f]{64})?$" patternDescription:"64 hex digits" doc:"of the task's content; absent: unknown"`
	DataSet    string `json:"source,omitempty" maxLength:"255" doc:"data set of the task"`

	Agent       string       `json:"agent" minLength:"1" maxLength:"255"`
	Model       string       `json:"model,omitempty" maxLength:"255"`
	AgentConfig AgentConfig  `json:"agent_config"`
	Harbor      HarborConfig `json:"harbor"`
	Environment string       `json:"environment" minLength:"1" maxLength:"64" doc:"kind of sandbox"`

	Attempts   int        `json:"attempts" minimum:"1" maximum:"1000" doc:"runs it took; the files are those of the last"`
	StartedAt  *time.Time `json:"started_at,omitempty" doc:"of the first run"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Finish     Finish     `json:"finish"`
}

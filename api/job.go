package api

import "encoding/json"

// JobFiles are the files of an experiment as a job directory of the Harbor format, and its trials' folders: GET /experiments/{id}/job.
type JobFiles struct {
	ExperimentID string          `json:"experiment_id"`
	Config       json.RawMessage `json:"config" doc:"config.json"`
	Lock         json.RawMessage `json:"lock" doc:"lock.json"`
	Result       json.RawMessage `json:"result" doc:"result.json; its finished_at is null while trials remain"`
	Trials       []JobTrial      `json:"trials" doc:"those that have begun"`
}

// JobTrial is a trial's folder in a job directory.
type JobTrial struct {
	TrialID string `json:"trial_id"`
	Folder  string `json:"folder" doc:"name of the folder of the last attempt"`
	Status  Status `json:"status"`
}

package server

import (
	"encoding/json"
	"testing"

	"oddish/api"
	"oddish/internal/result"
)

func TestAnExperimentIsGivenAsAJobDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("a", 3)
	jobs := r.claim(2)
	r.finish(jobs[0], passed())
	files := do[api.JobFiles](r, "GET", "/experiments/"+sub.ExperimentID+"/job", nil)
	if len(files.Trials) != 2 || files.Trials[0].Folder != jobs[0].Trial.TrialName || files.Trials[0].Status != api.StatusSuccess || files.Trials[1].Status != api.StatusRunning {
		t.Errorf("trials that have begun: %+v", files.Trials)
	}
	var job result.Job
	if err := json.Unmarshal(files.Result, &job); err != nil || job.Total != 3 || job.Stats.Completed != 1 || job.FinishedAt != nil {
		t.Errorf("result.json: %s, %v", files.Result, err)
	}
	var lock result.JobLock
	if err := json.Unmarshal(files.Lock, &lock); err != nil || lock.SchemaVersion != 3 || len(lock.Trials) != 3 || lock.Trials[0].Task.Digest != "sha256:"+jobs[0].Trial.TaskDigest {
		t.Errorf("lock.json: %s, %v", files.Lock, err)
	}
	var config result.JobConfig
	if err := json.Unmarshal(files.Config, &config); err != nil || config.Attempts != 3 || len(config.Tasks) != 1 {
		t.Errorf("config.json: %s, %v", files.Config, err)
	}
	r.refuses(404, "GET", "/experiments/nope/job", nil)
}

package server

import (
	"encoding/json"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"oddish/api"
	"oddish/internal/blob"
	"oddish/internal/result"
)

func TestAnExperimentsFolderIsAJobDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("a", 4)
	jobs := r.claim(3)
	r.finish(jobs[0], passed())
	r.finish(jobs[1], api.Finish{Outcome: api.StatusFailed, ErrorType: "BuildError", ErrorClass: api.ClassPermanent})
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	var job result.Job
	if err := json.Unmarshal([]byte(r.blob("jobs/"+sub.ExperimentID+"/result.json")), &job); err != nil {
		t.Fatal(err)
	}
	if job.Total != 4 || job.Stats.Completed != 2 || job.Stats.Errored != 1 || job.Stats.Running != 1 || job.Stats.Pending != 1 || job.FinishedAt != nil {
		t.Errorf("result: %+v", job)
	}
	eval := job.Stats.Evals["oracle__adhoc"]
	if got := eval.RewardStats["reward"]["1.0"]; len(got) != 1 || got[0] != jobs[0].Trial.TrialName {
		t.Errorf("rewards: %+v", eval)
	}
	if got := eval.ExceptionStats["BuildError"]; len(got) != 1 || got[0] != jobs[1].Trial.TrialName {
		t.Errorf("errors: %+v", eval)
	}
	var config struct {
		JobName  string `json:"job_name"`
		Attempts int    `json:"n_attempts"`
		Agents   []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(r.blob("jobs/"+sub.ExperimentID+"/config.json")), &config); err != nil {
		t.Fatal(err)
	}
	if config.JobName != sub.ExperimentID || config.Attempts != 4 || len(config.Agents) != 1 || config.Agents[0].Name != "oracle" {
		t.Errorf("config: %+v", config)
	}
}

func TestTheJobsResultIsFinishedSoonAfterTheLastTrial(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.s.folders.delay = time.Millisecond
	sub := r.submit("a", 2)
	for _, j := range r.claim(2) {
		r.finish(j, passed())
	}
	deadline := time.After(20 * time.Second)
	for {
		f, _, err := r.blobs.Open(t.Context(), "jobs/"+sub.ExperimentID+"/result.json")
		if err == nil {
			var job result.Job
			err = json.NewDecoder(f).Decode(&job)
			f.Close()
			if err == nil && job.FinishedAt != nil && job.Stats.Completed == 2 {
				return
			}
		}
		select {
		case <-deadline:
			t.Fatal("it is still not finished")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestManyChangesCostFewWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var writes atomic.Int64
		f := newJobFolders(nil, blob.Store(nil), slog.New(slog.DiscardHandler))
		f.write = func(string) error {
			writes.Add(1)
			time.Sleep(200 * time.Millisecond) // a large experiment
			return nil
		}
		for range 1000 { // 100 s of finishing trials
			f.touch("e")
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		// The first after a second, then one in 4.2 seconds: 200 ms are a twentieth of that.
		if n := writes.Load(); n < 20 || n > 30 {
			t.Errorf("%d writes", n)
		}
		before := writes.Load()
		f.touch("e")
		f.touch("other")
		if err := f.close(); err != nil || writes.Load() != before+2 {
			t.Errorf("close wrote %d (%v), want the two that were due", writes.Load()-before, err)
		}
		f.touch("e")
		time.Sleep(time.Minute)
		if writes.Load() != before+2 {
			t.Error("it wrote after close")
		}
	})
}

func TestCloseWaitsForAWriteUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Bool
		f := newJobFolders(nil, blob.Store(nil), slog.New(slog.DiscardHandler))
		f.write = func(string) error {
			time.Sleep(5 * time.Second)
			done.Store(true)
			return nil
		}
		f.touch("e")
		time.Sleep(f.delay + time.Second) // it is being written
		if err := f.close(); err != nil || !done.Load() {
			t.Errorf("closed in the middle of a write (%v)", err)
		}
	})
}

func TestManyExperimentsShareTheTimeForWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var writes atomic.Int64
		f := newJobFolders(nil, blob.Store(nil), slog.New(slog.DiscardHandler))
		f.write = func(string) error {
			writes.Add(1)
			time.Sleep(50 * time.Millisecond)
			return nil
		}
		for i := range 2000 { // 200 s in which trials of 40 experiments finish
			f.touch(strconv.Itoa(i % 40))
			time.Sleep(100 * time.Millisecond)
		}
		// A twentieth of the time is 200 writes of 50 ms; each experiment has its first one before that is known.
		if n := writes.Load(); n < 100 || n > 280 {
			t.Errorf("%d writes", n)
		}
		if err := f.close(); err != nil {
			t.Error(err)
		}
	})
}

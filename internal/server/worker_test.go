package server

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"oddish/api"
)

func TestAWorkerGetsEverythingItNeeds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := r.upload("hello", "x")
	do[api.Submitted](r, "POST", "/tasks/sweep", `{"task_id":"`+u.TaskID+`","user":"me","experiment_id":"exp","configs":[{"agent":"mine","model":null,
		"agent_config":{"base":"command","kwargs":{"run":"go"},"override_timeout_sec":5}}],"harbor":{"environment":{"override_cpus":2},"artifacts":["/a",{"source":"/b","destination":"c"}]}}`)
	jobs := r.claim(2)
	if len(jobs) != 1 {
		t.Fatalf("claimed %+v", jobs)
	}
	j := jobs[0]
	s := j.Trial
	if j.Attempt != 1 || j.Lease == "" || j.LeaseUntil.Before(time.Now()) || s.TrialID != j.ID || s.TrialName == "" || s.ExperimentName != "exp" {
		t.Errorf("job: %+v", j)
	}
	if s.TaskName != "hello" || s.TaskVersion != 1 || s.TaskDigest != u.ContentHash || s.Agent != "mine" || s.AgentConfig.Base != "command" || s.Model != "" || s.Environment != "fake" {
		t.Errorf("spec: %+v", s)
	}
	if *s.AgentConfig.OverrideTimeoutSec != 5 || *s.Harbor.Environment.OverrideCPUs != 2 || len(s.Harbor.Artifacts) != 2 || s.Harbor.Artifacts[0].Source != "/a" || s.Harbor.Artifacts[1].Destination != "c" {
		t.Errorf("settings: %+v %+v", s.AgentConfig, s.Harbor)
	}
	status, text, _ := r.request("GET", jobPath(j, "task"), nil, api.LeaseHeader, j.Lease)
	if status != 200 || text != r.blob(u.S3Key) {
		t.Errorf("task archive: %d, %d bytes", status, len(text))
	}
	if more := r.claim(1); len(more) > 0 {
		t.Errorf("claimed twice: %+v", more)
	}
}

func TestAWaitingClaimIsWokenByASubmission(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 1)
	r.claim(1)
	got := make(chan []api.Job, 1)
	go func() {
		got <- do[api.Claimed](r, "POST", "/worker/v1/claim", api.Claim{WorkerID: "w2", Slots: 1, Sandboxes: []string{"fake"}, WaitSec: 60}).Jobs
	}()
	sub := r.submit("b", 1)
	select {
	case jobs := <-got:
		if len(jobs) != 1 || jobs[0].ID != sub.NewTrialIDs[0] {
			t.Errorf("claimed %+v", jobs)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the claim was not woken")
	}
}

func TestProgressShowsInTheTrial(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 1)
	j := r.claim(1)[0]
	p := api.Progress{Events: []api.ProgressEvent{{Seq: 1, At: time.Now(), Stage: api.StageEnvironment, SandboxID: "sb"}}}
	for range 2 { // repeating is harmless
		if ack := do[api.ProgressAck](r, "POST", jobPath(j, "events"), p, api.LeaseHeader, j.Lease); ack.Cancel {
			t.Error("told to cancel")
		}
	}
	if trial := do[api.Trial](r, "GET", "/trials/"+j.ID, nil); trial.Status != api.StatusRunning || *trial.HarborStage != api.StageEnvironment {
		t.Errorf("trial: %+v", trial)
	}
	ack := do[api.HeartbeatAck](r, "POST", "/worker/v1/heartbeat", api.Heartbeat{WorkerID: "w1", Jobs: []api.JobRef{{ID: j.ID, Lease: j.Lease}, {ID: j.ID, Lease: "old"}}})
	if len(ack.Cancel) > 0 || len(ack.Lost) != 1 || ack.LeaseUntil.Before(time.Now()) {
		t.Errorf("heartbeat: %+v", ack)
	}
}

func TestAWorkerThatIsStoppingNothingHearsOfCancels(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 1)
	j := r.claim(1)[0]
	do[api.Cancelled](r, "POST", "/trials/"+j.ID+"/cancel", nil)
	var known []string // as it is when nothing is known
	if ack := do[api.CancelsAck](r, "POST", "/worker/v1/cancels", api.Cancels{WorkerID: "w1", Known: known}); !slices.Equal(ack.Cancel, []string{j.ID}) {
		t.Errorf("told to stop %q, want %q", ack.Cancel, j.ID)
	}
}

func TestAWorkerThatComesBackGoesOnWithItsJobs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 1)
	j := r.claim(1)[0]
	p := api.Progress{Events: []api.ProgressEvent{{Seq: 1, At: time.Now(), Stage: api.StageEnvironment}}}
	do[api.ProgressAck](r, "POST", jobPath(j, "events"), p, api.LeaseHeader, j.Lease)
	ask := api.ResumeJobs{WorkerID: "w1-next", Hostname: "h", Version: "test", Jobs: []api.JobRef{{ID: j.ID, Lease: j.Lease}, {ID: "gone-12345678-0", Lease: "old"}}}
	for range 2 { // repeating is harmless
		got := do[api.ResumedJobs](r, "POST", "/worker/v1/resume", ask)
		if len(got.Jobs) != 1 || !slices.Equal(got.Lost, []string{"gone-12345678-0"}) {
			t.Fatalf("resumed: %+v", got)
		}
		back := got.Jobs[0]
		if back.ID != j.ID || back.Lease != j.Lease || back.Attempt != j.Attempt || back.Seq != 1 || back.LeaseSec <= 0 || !reflect.DeepEqual(back.Trial, j.Trial) {
			t.Errorf("resumed %+v, claimed %+v", back, j)
		}
	}
	if f := r.finish(j, passed()); f.Status != api.StatusSuccess {
		t.Errorf("finish: %+v", f)
	}
	r.refuses(422, "POST", "/worker/v1/resume", api.ResumeJobs{Jobs: []api.JobRef{}})
}

func TestAStaleLeaseIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 1)
	j := r.claim(1)[0]
	r.putFile(j, "trial.log", "mine")
	lease := []string{api.LeaseHeader, "stale"}
	progress := api.Progress{Events: []api.ProgressEvent{{Seq: 1, At: time.Now(), Stage: api.StageVerification}}}
	r.refuses(409, "POST", jobPath(j, "events"), progress, lease...)
	r.refuses(409, "PUT", jobPath(j, "files/trial.log"), []byte("theirs"), lease...)
	r.refuses(409, "PUT", jobPath(j, "files/trial.log?offset=0"), []byte("theirs"), lease...)
	r.refuses(409, "GET", jobPath(j, "task"), nil, lease...)
	r.refuses(409, "POST", jobPath(j, "finish"), passed(), lease...)
	r.refuses(422, "POST", jobPath(j, "finish"), passed())
	r.refuses(409, "POST", "/worker/v1/jobs/nope-12345678-0/finish", passed(), lease...)
	trial := do[api.Trial](r, "GET", "/trials/"+j.ID, nil)
	if trial.Status != api.StatusRunning || (trial.HarborStage != nil && *trial.HarborStage == api.StageVerification) {
		t.Errorf("trial: %+v", trial)
	}
	if _, text, _ := r.request("GET", "/trials/"+j.ID+"/files/trial.log", nil); text != "mine" {
		t.Errorf("trial.log is %q", text)
	}
	first, again := r.finish(j, passed()), r.finish(j, passed())
	if first.Status != api.StatusSuccess || again.Status != api.StatusSuccess {
		t.Errorf("finish twice: %+v, %+v", first, again)
	}
	r.refuses(409, "POST", jobPath(j, "finish"), api.Finish{Outcome: api.StatusFailed}, api.LeaseHeader, j.Lease)
	r.refuses(409, "PUT", jobPath(j, "files/late.txt"), []byte("x"), api.LeaseHeader, j.Lease)
}

func TestFilesAreAppendedAndReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxUploadBytes = 1 << 10 })
	r.submit("a", 1)
	j := r.claim(1)[0]
	put := func(query, content string) {
		t.Helper()
		do[struct{}](r, "PUT", jobPath(j, "files/agent/a%20b.txt")+query, []byte(content), api.LeaseHeader, j.Lease)
	}
	steps := []struct{ query, content, want string }{
		{"?offset=0", "hello", "hello"},
		{"?offset=5", " world", "hello world"},
		{"?offset=5", " world", "hello world"}, // a repeated chunk
		{"?offset=5", "", "hello"},
		{"", "new", "new"},
	}
	for _, step := range steps {
		put(step.query, step.content)
		if got := r.blob(dirOf(j) + "/agent/a b.txt"); got != step.want {
			t.Errorf("after %s %q: %q, want %q", step.query, step.content, got, step.want)
		}
	}
	r.refuses(416, "PUT", jobPath(j, "files/agent/a%20b.txt?offset=99"), []byte("x"), api.LeaseHeader, j.Lease)
	r.refuses(413, "PUT", jobPath(j, "files/large"), []byte(strings.Repeat("x", 2000)), api.LeaseHeader, j.Lease)
}

// dirOf is the blob prefix of a job's trial directory.
func dirOf(j api.Job) string { return "jobs/" + j.Trial.ExperimentID + "/" + j.Trial.TrialName }

func TestFilesCannotBePutOutsideOfTheTrialsFolder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 1)
	j := r.claim(1)[0]
	before := must(r.blobs.List(t.Context(), ""))
	for _, path := range []string{"..%2f..%2fevil", "%2e%2e/%2e%2e/evil", "%2fetc%2fpasswd", "a%2f..%2f..%2f..%2fevil", "a//b", "a%2f%2fb", ".", "a%00b", "a%5c..%5cb/../../x"} {
		status, text, _ := r.request("PUT", jobPath(j, "files/")+path, []byte("evil"), api.LeaseHeader, j.Lease)
		if status == 204 {
			t.Errorf("%s was accepted: %s", path, text)
		}
	}
	if after := must(r.blobs.List(t.Context(), "")); len(after) != len(before) {
		t.Errorf("there are new files: %v", after)
	}
	outside := 0
	err := filepath.WalkDir(filepath.Dir(r.dir), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), "evil") {
			outside++
		}
		return err
	})
	if err != nil || outside > 0 {
		t.Errorf("%d files outside (%v)", outside, err)
	}
}

func TestIncompleteClaimsAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.refuses(422, "POST", "/worker/v1/claim", api.Claim{Slots: 1, Sandboxes: []string{"fake"}})
	r.refuses(422, "POST", "/worker/v1/claim", api.Claim{WorkerID: "w", Slots: 1, Sandboxes: []string{}})
	r.refuses(422, "POST", "/worker/v1/claim", api.Claim{WorkerID: "w", Slots: 0, Sandboxes: []string{"fake"}})
}

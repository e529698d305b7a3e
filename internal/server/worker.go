package server

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"oddish/api"
	"oddish/internal/blob"
	"oddish/internal/model"
	"oddish/internal/queue"
	"oddish/internal/store"
)

// The worker protocol. Every request about a job carries the job's lease token; with one that is
// not the current one, nothing changes and the answer is 409.

type claimInput struct{ Body api.Claim }

type claimedOutput struct{ Body api.Claimed }

type resumeJobsInput struct{ Body api.ResumeJobs }

type resumedJobsOutput struct{ Body api.ResumedJobs }

type heartbeatInput struct{ Body api.Heartbeat }

type heartbeatOutput struct{ Body api.HeartbeatAck }

type cancelsInput struct{ Body api.Cancels }

type cancelsOutput struct{ Body api.CancelsAck }

// LeaseInput names a job by the worker that runs it.
type LeaseInput struct {
	ID    string `path:"id" maxLength:"256"`
	Lease string `header:"Oddish-Lease" required:"true" maxLength:"256" doc:"lease token of the claim"`
}

type progressInput struct {
	LeaseInput
	Body api.Progress
}

type progressOutput struct{ Body api.ProgressAck }

type finishInput struct {
	LeaseInput
	Body api.Finish
}

type finishOutput struct{ Body api.FinishAck }

type putFileInput struct {
	LeaseInput
	Path   string `path:"path" maxLength:"1024"`
	Offset int64  `query:"offset" minimum:"-1" default:"-1" doc:"where the chunk begins, at most the stored size; the file ends after it. Absent or -1: replace the file"`
	requestInfo
}

func (s *Server) registerWorker(a huma.API) {
	const tag = "worker"
	huma.Register(a, op(http.MethodPost, "/worker/v1/claim", tag, "Take trials to run; held for up to wait_sec while there is none"), s.claim)
	huma.Register(a, op(http.MethodPost, "/worker/v1/resume", tag, "Go on with running jobs that a former process of the worker has left on its machine"), s.resumeJobs)
	huma.Register(a, op(http.MethodPost, "/worker/v1/heartbeat", tag, "Renew the leases of a worker's jobs"), s.heartbeat)
	huma.Register(a, op(http.MethodPost, "/worker/v1/cancels", tag, "Which of a worker's jobs are to be stopped; held for up to wait_sec while there is none"), s.cancels)
	huma.Register(a, op(http.MethodPost, "/worker/v1/jobs/{id}/events", tag, "Say what a running job is doing"), s.progress)
	huma.Register(a, op(http.MethodGet, "/worker/v1/jobs/{id}/task", tag, "The archive (gzip'd tar) of a job's task"), s.jobTask)

	huma.Register(a, op(http.MethodGet, "/worker/v1/jobs/{id}/recording", tag, "The model requests (JSON lines) of the recorded trial that a job replays"), s.jobRecording)

	huma.Register(a, op(http.MethodGet, "/worker/v1/jobs/{id}/source", tag, "What the trial left (tar) that a job verifies again"), s.jobSource)

	finish := op(http.MethodPost, "/worker/v1/jobs/{id}/finish", tag, "End an attempt")
	finish.MaxBodyBytes = 8 << 20 // error messages may be long
	huma.Register(a, finish, s.finish)

	put := op(http.MethodPut, "/worker/v1/jobs/{id}/files/{path...}", tag, "Store a file, or a chunk of one, in the trial's folder")
	put.DefaultStatus = http.StatusNoContent
	put.RequestBody = binaryBody("application/octet-stream")
	huma.Register(a, put, s.putFile)
}

func (s *Server) claim(ctx context.Context, in *claimInput) (*claimedOutput, error) {
	if in.Body.WorkerID == "" {
		return nil, refused("body.worker_id", "is empty")
	}
	if len(in.Body.Sandboxes) == 0 {
		return nil, refused("body.sandboxes", "is empty: name the kinds of sandbox that the worker can start")
	}
	claimed, err := s.queue.Claim(ctx, in.Body)
	if err != nil {
		return nil, s.fail(ctx, "claim of worker "+in.Body.WorkerID, err)
	}
	jobs := make([]api.Job, len(claimed))
	for i, c := range claimed {
		jobs[i] = s.wireJob(c)
	}
	if err := s.addBudgets(ctx, jobs); err != nil {
		return nil, s.fail(ctx, "claim of worker "+in.Body.WorkerID, err)
	}
	return &claimedOutput{Body: api.Claimed{Jobs: jobs}}, nil
}

func (s *Server) resumeJobs(ctx context.Context, in *resumeJobsInput) (*resumedJobsOutput, error) {
	resumed, lost, err := s.queue.ResumeJobs(ctx, in.Body)
	if err != nil {
		return nil, s.fail(ctx, "resumed jobs of worker "+in.Body.WorkerID, err)
	}
	jobs := make([]api.Job, len(resumed))
	for i, r := range resumed {
		jobs[i] = s.wireJob(r.Claimed)
		jobs[i].Seq = r.Seq
	}
	if err := s.addBudgets(ctx, jobs); err != nil {
		return nil, s.fail(ctx, "resumed jobs of worker "+in.Body.WorkerID, err)
	}
	return &resumedJobsOutput{Body: api.ResumedJobs{Jobs: jobs, Lost: lost}}, nil
}

func (s *Server) wireJob(c queue.Claimed) api.Job {
	return api.Job{
		ID: c.Trial.ID, Attempt: c.Attempt, Lease: c.Lease, LeaseUntil: c.LeaseUntil.UTC(), LeaseSec: c.LeaseUntil.Sub(s.now()).Seconds(),
		Trial: trialSpec(c.Trial, c.TrialName, c.ExperimentName),
	}
}

// addBudgets adds to each job the budget that it shares with others: its experiment's and the day's.
func (s *Server) addBudgets(ctx context.Context, jobs []api.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	ids := make([]string, len(jobs))
	for i, j := range jobs {
		ids[i] = j.Trial.ExperimentID
	}
	spending, err := s.db.Spending(ctx, ids...)
	if err != nil {
		return err
	}
	for i := range jobs {
		t := &jobs[i].Trial
		if b := spending[t.ExperimentID].Budget; b != nil {
			t.Budget = &b.Budget
		}
		if t.AgentConfig.Replay == "" {
			t.Budget = api.Lesser(t.Budget, s.queue.DailyBudget())
		}
	}
	return nil
}

// trialSpec says what a trial is to run, in the trial directory of the given name.
func trialSpec(t store.Trial, trialName, experimentName string) api.TrialSpec {
	spec := api.TrialSpec{
		TrialID: t.ID, TrialName: trialName, ExperimentID: t.ExperimentID, ExperimentName: experimentName,
		TaskID: t.TaskID, TaskName: t.TaskName, TaskVersion: t.Version, TaskDigest: t.ContentHash, Source: t.Source,
		Agent: t.Agent, Model: t.Model, AgentConfig: t.AgentConfig, Environment: t.Environment, Harbor: t.Harbor,
	}
	if spec.Model == model.Default {
		spec.Model = ""
	}
	return spec
}

func (s *Server) heartbeat(ctx context.Context, in *heartbeatInput) (*heartbeatOutput, error) {
	ack, err := s.queue.Heartbeat(ctx, in.Body)
	if err != nil {
		return nil, s.fail(ctx, "heartbeat of worker "+in.Body.WorkerID, err)
	}
	if ack.Cancel == nil {
		ack.Cancel = []string{}
	}
	if ack.Lost == nil {
		ack.Lost = []string{}
	}
	return &heartbeatOutput{Body: ack}, nil
}

func (s *Server) cancels(ctx context.Context, in *cancelsInput) (*cancelsOutput, error) {
	ids, err := s.queue.Cancels(ctx, in.Body)
	if err != nil {
		return nil, s.fail(ctx, "cancels of worker "+in.Body.WorkerID, err)
	}
	return &cancelsOutput{Body: api.CancelsAck{Cancel: ids}}, nil
}

func (s *Server) progress(ctx context.Context, in *progressInput) (*progressOutput, error) {
	ack, err := s.queue.Progress(ctx, in.ID, in.Lease, in.Body)
	if err != nil {
		return nil, s.fail(ctx, "job "+in.ID, err)
	}
	return &progressOutput{Body: ack}, nil
}

func (s *Server) finish(ctx context.Context, in *finishInput) (*finishOutput, error) {
	ack, err := s.queue.Finish(ctx, in.ID, in.Lease, in.Body)
	if err != nil {
		return nil, s.fail(ctx, "job "+in.ID, err)
	}
	if experimentID, err := s.db.ExperimentOfTrial(ctx, in.ID); err == nil {
		s.folders.touch(experimentID)
	} else if !errors.Is(err, store.ErrNotFound) {
		s.log.WarnContext(ctx, "job folder not refreshed", "trial", in.ID, "error", err)
	}
	return &finishOutput{Body: ack}, nil
}

func (s *Server) putFile(ctx context.Context, in *putFileInput) (*struct{}, error) {
	if !fs.ValidPath(in.Path) || in.Path == "." {
		return nil, huma.Error400BadRequest("malformed file path: it must be relative, without .. and empty elements")
	}
	t, err := s.queue.Check(ctx, in.ID, in.Lease)
	if err != nil {
		return nil, s.fail(ctx, "job "+in.ID, err)
	}
	body, err := s.limited(in.requestInfo)
	if err != nil {
		return nil, err
	}
	key := t.TrialDir + "/" + in.Path
	if in.Offset >= 0 {
		err = s.blobs.WriteAt(ctx, key, in.Offset, body)
	} else {
		_, err = s.blobs.Put(ctx, key, body)
	}
	if err = s.bodyError(err); err != nil {
		return nil, s.fail(ctx, "file "+in.Path+" of job "+in.ID, err)
	}
	return nil, nil
}

func (s *Server) jobTask(ctx context.Context, in *LeaseInput) (*huma.StreamResponse, error) {
	t, err := s.queue.Check(ctx, in.ID, in.Lease)
	if err != nil {
		return nil, s.fail(ctx, "job "+in.ID, err)
	}
	v, err := s.db.Version(ctx, t.TaskID, t.Version)
	if err != nil {
		return nil, s.fail(ctx, "version of job "+in.ID, err)
	}
	r, info, err := s.blobs.Open(ctx, v.ArchiveKey)
	if err != nil {
		return nil, s.fail(ctx, "archive "+v.ArchiveKey, err)
	}
	return blobResponse(r, info, "application/gzip"), nil
}

// blobResponse sends a blob and closes it.
func blobResponse(r io.ReadSeekCloser, info blob.Info, mime string) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer r.Close()
		req, w := humago.Unwrap(hctx)
		w.Header().Set("Content-Type", mime)
		http.ServeContent(w, req, "", info.ModTime, r)
	}}
}

package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/model"
	"oddish/internal/queue"
	"oddish/internal/store"
)

type sweepInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"255" pattern:"^[ -~]+$" patternDescription:"printable ASCII" doc:"drawn by the client for this submission: while it is the same, the submission is carried out once and its answer given again, for 24 hours"`
	Body api.Sweep
}

type submittedOutput struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true: nothing was done, this is the answer to the submission that had the same Idempotency-Key before"`
	Body     api.Submitted
}

func (s *Server) registerSweep(a huma.API) {
	sweep := op(http.MethodPost, "/tasks/sweep", "tasks", "Submit trials of one task: agents × attempts")
	sweep.Description = "Trials of the same experiment, task version, agent, model, configuration and sandbox kind that are there already count: " +
		"the submission says how many there should be. `again` makes all of them anew."
	sweep.MaxBodyBytes = 8 << 20 // kwargs may be long
	huma.Register(a, sweep, s.sweep)
}

// sweep answers a submission that was carried out before as then, whatever has become of its task.
func (s *Server) sweep(ctx context.Context, in *sweepInput) (*submittedOutput, error) {
	once, err := onceOf(in)
	if err != nil {
		return nil, s.fail(ctx, "submission", err)
	}
	answer, found, err := s.queue.Replay(ctx, once)
	if err != nil {
		return nil, s.fail(ctx, "submission", err)
	}
	if found {
		return s.submitted(ctx, answer, true)
	}
	sub, err := s.submission(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	sub.Once = once
	res, err := s.queue.Submit(ctx, *sub)
	if err != nil {
		return nil, s.fail(ctx, "submission to task "+sub.Task.ID, err)
	}
	if !res.Replayed {
		s.folders.touch(res.Experiment.ID)
	}
	return s.submitted(ctx, res.Answer, res.Replayed)
}

// onceOf takes the digest of the request from what it means: the same JSON in another order is the same request.
func onceOf(in *sweepInput) (queue.Once, error) {
	if in.Key == "" {
		return queue.Once{}, nil
	}
	text, err := json.Marshal(in.Body)
	if err != nil {
		return queue.Once{}, fmt.Errorf("encode submission: %w", err)
	}
	sum := sha256.Sum256(text)
	return queue.Once{Key: in.Key, Request: hex.EncodeToString(sum[:])}, nil
}

// submission checks the sweep and finds what it is about.
func (s *Server) submission(ctx context.Context, sw api.Sweep) (*queue.Submission, error) {
	if err := s.checkSweep(&sw); err != nil {
		return nil, err
	}
	task, err := s.db.Task(ctx, sw.TaskID)
	if err != nil {
		return nil, s.fail(ctx, "task "+sw.TaskID, err)
	}
	if sw.AppendToTask && sw.ExperimentID == nil && task.ExperimentID != "" {
		sw.ExperimentID = &task.ExperimentID // trials added without a word join the newest ones
	}
	if err := s.findRegrades(ctx, task, &sw); err != nil {
		return nil, err
	}
	if err := s.findReplays(ctx, task, &sw); err != nil {
		return nil, err
	}
	version, err := s.sweepVersion(ctx, task, sw.ContentHash)
	if err != nil {
		return nil, err
	}
	environment, err := s.sweepEnvironment(ctx, task, sw)
	if err != nil {
		return nil, err
	}
	if err := s.isolate(&sw, environment); err != nil {
		return nil, err
	}
	return &queue.Submission{
		Sweep: sw, Task: task, Version: version, Environment: environment,
		TopUp: !sw.Again && !sw.AppendToTask,
		Answer: func(ctx context.Context, db store.Querier, r queue.SubmitResult) (string, error) {
			return sweepAnswer(ctx, db, sw, r)
		},
	}, nil
}

// sweepAnswer is the answer to a submission, as it is kept.
func sweepAnswer(ctx context.Context, db store.Querier, sw api.Sweep, r queue.SubmitResult) (string, error) {
	task, err := store.FindTaskSummary(ctx, db, sw.TaskID)
	if err != nil {
		return "", err
	}
	return store.JSON(api.Submitted{
		ID: task.ID, Name: task.Name, Status: taskStatus(task.Counts), Priority: task.Priority,
		TrialsCount: len(r.TrialIDs), Providers: providers(sw.Configs),
		ExperimentID: r.Experiment.ID, ExperimentName: r.Experiment.Name, CreatedAt: task.CreatedAt.UTC(),
		NewTrialIDs: list(r.TrialIDs), RetriedTrialIDs: list(r.Retried), ExistingTrials: len(r.Existing), ExistingTrialIDs: list(r.Existing),
	})
}

// list is never null on the wire.
func list(ids []string) []string { return append([]string{}, ids...) }

func (s *Server) submitted(ctx context.Context, answer string, replayed bool) (*submittedOutput, error) {
	out := &submittedOutput{}
	if replayed {
		out.Replayed = "true"
	}
	if err := json.Unmarshal([]byte(answer), &out.Body); err != nil {
		return nil, s.fail(ctx, "answer to the submission", err)
	}
	return out, nil
}

// sweepVersion is the version that the trials are pinned to: the one with the content that the client names, else the newest.
func (s *Server) sweepVersion(ctx context.Context, task store.Task, hash *string) (store.Version, error) {
	if task.Version == 0 {
		return store.Version{}, huma.Error404NotFound("task " + task.ID + " has no content yet: complete its upload first")
	}
	if hash == nil || *hash == "" {
		v, err := s.db.Version(ctx, task.ID, task.Version)
		return v, s.failOrNil(ctx, "newest version of task "+task.ID, err)
	}
	versions, err := s.db.Versions(ctx, task.ID)
	if err != nil {
		return store.Version{}, s.fail(ctx, "versions of task "+task.ID, err)
	}
	var found store.Version
	for _, v := range versions {
		if v.ContentHash == *hash && v.Version > found.Version {
			found = v
		}
	}
	if found.Version == 0 {
		return found, huma.Error409Conflict("task " + task.ID + " has no version with content " + *hash + ": upload it first")
	}
	return found, nil
}

// sweepEnvironment is the sandbox kind of configs that name none, when the submission names none either: that of the
// task's first trial if it has one that ran here, else the server's own.
func (s *Server) sweepEnvironment(ctx context.Context, task store.Task, sw api.Sweep) (string, error) {
	if sw.Environment != nil && *sw.Environment != "" {
		return *sw.Environment, nil
	}
	first, err := s.db.Trials(ctx, store.TrialFilter{TaskIDs: []string{task.ID}, Limit: 1})
	if err != nil {
		return "", s.fail(ctx, "first trial of task "+task.ID, err)
	}
	if len(first) == 0 || first[0].Environment == "" || first[0].Imported {
		return s.cfg.Environment, nil
	}
	return first[0].Environment, nil
}

// providers counts the trials of each provider.
func providers(configs []api.SweepConfig) map[string]int {
	count := map[string]int{}
	for _, c := range configs {
		id := ""
		if c.Model != nil {
			id = *c.Model
		}
		count[model.Provider(c.Agent, id)] += c.NTrials
	}
	return count
}

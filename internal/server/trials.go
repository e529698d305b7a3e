package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/blob"
	"oddish/internal/queue"
	"oddish/internal/result"
	"oddish/internal/store"
)

type trialInput struct {
	ID string `path:"id" maxLength:"256"`
}

type trialOfTaskInput struct {
	ID    string `path:"id" maxLength:"128"`
	Index int    `path:"index" minimum:"0"`
}

type trialOutput struct{ Body api.Trial }

// trialAttempt is one run of a trial on the wire.
type trialAttempt struct {
	TrialID      string               `json:"trial_id"`
	Attempt      int                  `json:"attempt"`
	WorkerID     *string              `json:"worker_id"`
	SandboxID    *string              `json:"sandbox_id"`
	TrialDir     string               `json:"trial_dir" doc:"where its files are stored"`
	Stage        *api.Stage           `json:"harbor_stage"`
	Outcome      api.Status           `json:"outcome" doc:"running until it ended; retrying: it failed and another follows"`
	ErrorType    *string              `json:"error_type"`
	ErrorMessage *string              `json:"error_message"`
	ErrorClass   *string              `json:"error_class"`
	Rewards      map[string]float64   `json:"rewards"`
	PhaseTiming  map[string]api.Phase `json:"phase_timing"`
	StartedAt    time.Time            `json:"started_at"`
	FinishedAt   *time.Time           `json:"finished_at"`
}

type attemptsOutput struct{ Body []trialAttempt }

type trialStateOutput struct {
	Body struct {
		Status  string `json:"status"`
		TrialID string `json:"trial_id"`
	}
}

func (s *Server) registerTrials(a huma.API) {
	huma.Register(a, op(http.MethodGet, "/tasks/{id}/trials/{index}", "trials", "The trial of a task by its number"), s.trialOfTask)
	huma.Register(a, op(http.MethodGet, "/trials/{id}", "trials", "One trial"), s.trial)
	huma.Register(a, op(http.MethodGet, "/trials/{id}/attempts", "trials", "Every run of a trial, oldest first"), s.attempts)
	huma.Register(a, op(http.MethodPost, "/trials/{id}/cancel", "trials", "Cancel a trial"), s.cancelTrial)
	huma.Register(a, op(http.MethodPost, "/trials/{id}/retry", "trials", "Run a trial that has ended once more"), s.retryTrial)
}

// wireTrials gives trials with their place in the queue where they wait.
func (s *Server) wireTrials(ctx context.Context, rows []store.Trial) ([]api.Trial, error) {
	waiting, err := s.queue.Info(ctx, rows)
	if err != nil {
		return nil, fmt.Errorf("read places in the queue: %w", err)
	}
	out := make([]api.Trial, len(rows))
	for i, t := range rows {
		out[i] = wireTrial(t)
		if info, ok := waiting[t.ID]; ok {
			out[i].QueueInfo = &info
		}
	}
	return out, nil
}

func (s *Server) trialOfTask(ctx context.Context, in *trialOfTaskInput) (*trialOutput, error) {
	return s.trial(ctx, &trialInput{ID: fmt.Sprintf("%s-%d", in.ID, in.Index)})
}

func (s *Server) trial(ctx context.Context, in *trialInput) (*trialOutput, error) {
	t, err := s.readTrial(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Trial "+in.ID, err)
	}
	if t.Status.Terminal() {
		t.Steps = s.trialSteps(ctx, &AttemptInput{ID: t.ID})
	}
	return &trialOutput{Body: t}, nil
}

// trialSteps gives what the result of an attempt says of its steps. What cannot be read is unknown, and logged: the trial is shown all the same.
func (s *Server) trialSteps(ctx context.Context, in *AttemptInput) []api.TrialStep {
	data, err := s.storedJSON(ctx, in, result.ResultFile)
	if errors.Is(err, blob.ErrNotFound) {
		return nil // a worker that was lost has written none
	}
	var steps []api.TrialStep
	if err == nil {
		steps, err = result.Steps(data)
	}
	if err != nil {
		s.log.WarnContext(ctx, "steps of a trial not read", "trial", in.ID, "error", err)
	}
	return steps
}

func (s *Server) readTrial(ctx context.Context, id string) (api.Trial, error) {
	row, err := s.db.Trial(ctx, id)
	if err != nil {
		return api.Trial{}, err
	}
	trials, err := s.wireTrials(ctx, []store.Trial{row})
	if err != nil {
		return api.Trial{}, err
	}
	return trials[0], nil
}

func (s *Server) attempts(ctx context.Context, in *trialInput) (*attemptsOutput, error) {
	out, err := s.readAttempts(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Trial "+in.ID, err)
	}
	return &attemptsOutput{Body: out}, nil
}

func (s *Server) readAttempts(ctx context.Context, trialID string) ([]trialAttempt, error) {
	if _, err := s.db.Trial(ctx, trialID); err != nil {
		return nil, err
	}
	rows, err := s.db.Attempts(ctx, trialID)
	if err != nil {
		return nil, err
	}
	out := make([]trialAttempt, len(rows))
	for i, r := range rows {
		out[i] = trialAttempt{
			TrialID: r.TrialID, Attempt: r.Attempt, WorkerID: present(r.WorkerID), SandboxID: present(r.SandboxID),
			TrialDir: r.TrialDir, Outcome: r.Outcome, ErrorType: present(r.ErrorType), ErrorMessage: present(r.ErrorMessage),
			ErrorClass: present(string(r.ErrorClass)), Rewards: r.Rewards, PhaseTiming: r.Phases,
			StartedAt: r.StartedAt.UTC(), FinishedAt: utc(r.FinishedAt),
		}
		if r.Stage != "" {
			out[i].Stage = &r.Stage
		}
	}
	return out, nil
}

func (s *Server) cancelTrial(ctx context.Context, in *trialInput) (*cancelledOutput, error) {
	t, err := s.db.Trial(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Trial "+in.ID, err)
	}
	out := api.Cancelled{Status: "cancelled", TaskIDs: []string{t.TaskID}, NotFoundTaskIDs: []string{}}
	if err := s.cancel(ctx, queue.CancelFilter{TrialIDs: []string{in.ID}}, &out); err != nil {
		return nil, err
	}
	return &cancelledOutput{Body: out}, nil
}

func (s *Server) retryTrial(ctx context.Context, in *trialInput) (*trialStateOutput, error) {
	if err := s.queue.Retry(ctx, in.ID); err != nil {
		return nil, s.fail(ctx, "Trial "+in.ID, err)
	}
	out := &trialStateOutput{}
	out.Body.Status, out.Body.TrialID = string(api.StatusQueued), in.ID
	return out, nil
}

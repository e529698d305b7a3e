package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/queue"
	"oddish/internal/store"
)

// ExperimentInput names an experiment in the path.
type ExperimentInput struct {
	ID string `path:"id" maxLength:"255" doc:"id or name"`
}

type experimentOutput struct{ Body api.Experiment }

type experimentsOutput struct{ Body page[api.Experiment] }

type experimentTrialsInput struct {
	ExperimentInput
	PageInput
}

type trialsOutput struct{ Body page[api.Trial] }

type renameInput struct {
	ExperimentInput
	Body struct {
		Name string `json:"name"`
	}
}

type renamedOutput struct {
	Body struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
}

func (s *Server) registerExperiments(a huma.API) {
	const tag = "experiments"
	huma.Register(a, op(http.MethodGet, "/experiments", tag, "Experiments, the latest active first"), s.experiments)
	huma.Register(a, op(http.MethodGet, "/experiments/{id}", tag, "One experiment with its counts"), s.experiment)
	huma.Register(a, op(http.MethodGet, "/experiments/{id}/trials", tag, "Trials of an experiment, by task and number"), s.experimentTrials)
	huma.Register(a, op(http.MethodPatch, "/experiments/{id}", tag, "Rename an experiment"), s.renameExperiment)
	huma.Register(a, op(http.MethodPost, "/experiments/{id}/cancel", tag, "Cancel the trials of an experiment"), s.cancelExperiment)
	huma.Register(a, op(http.MethodPost, "/experiments/{id}/pause", tag, "Start no more trials of an experiment; what runs goes on"), s.pauseExperiment)
	huma.Register(a, op(http.MethodPost, "/experiments/{id}/resume", tag, "End the pause of an experiment"), s.resumeExperiment)
	huma.Register(a, op(http.MethodDelete, "/experiments/{id}", tag, "Delete an experiment with its trials and their files; refused while one runs"), s.deleteExperiment)
}

func (s *Server) experiments(ctx context.Context, in *PageInput) (*experimentsOutput, error) {
	offset, err := in.offset()
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Experiments(ctx, in.Limit+1, offset)
	if err != nil {
		return nil, s.fail(ctx, "experiments", err)
	}
	items := make([]api.Experiment, len(rows))
	for i, e := range rows {
		items[i] = wireExperiment(e)
	}
	return &experimentsOutput{Body: pageOf(items, offset, in.Limit)}, nil
}

func (s *Server) experiment(ctx context.Context, in *ExperimentInput) (*experimentOutput, error) {
	e, err := s.readExperiment(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	return &experimentOutput{Body: e}, nil
}

func (s *Server) readExperiment(ctx context.Context, idOrName string) (api.Experiment, error) {
	e, err := s.db.Experiment(ctx, idOrName)
	if err != nil {
		return api.Experiment{}, err
	}
	summary, err := s.db.ExperimentSummary(ctx, e.ID)
	if err != nil {
		return api.Experiment{}, err
	}
	spending, err := s.db.Spending(ctx, e.ID)
	if err != nil {
		return api.Experiment{}, err
	}
	out := wireExperiment(summary)
	out.Budget, out.Usage = spending[e.ID].Budget, spending[e.ID].Usage
	return out, nil
}

func (s *Server) experimentTrials(ctx context.Context, in *experimentTrialsInput) (*trialsOutput, error) {
	offset, err := in.offset()
	if err != nil {
		return nil, err
	}
	e, err := s.db.Experiment(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	p, err := s.trialsPage(ctx, e.ID, offset, in.Limit)
	if err != nil {
		return nil, s.fail(ctx, "trials of experiment "+in.ID, err)
	}
	return &trialsOutput{Body: p}, nil
}

func (s *Server) trialsPage(ctx context.Context, experimentID string, offset, limit int) (page[api.Trial], error) {
	rows, err := s.db.Trials(ctx, store.TrialFilter{ExperimentID: experimentID, Limit: limit + 1, Offset: offset})
	if err != nil {
		return page[api.Trial]{}, err
	}
	items, err := s.wireTrials(ctx, rows)
	if err != nil {
		return page[api.Trial]{}, err
	}
	return pageOf(items, offset, limit), nil
}

func (s *Server) renameExperiment(ctx context.Context, in *renameInput) (*renamedOutput, error) {
	name := strings.TrimSpace(in.Body.Name)
	if name == "" {
		return nil, huma.Error400BadRequest("name is empty")
	}
	if len([]rune(name)) > maxExperimentName {
		return nil, refused("body.name", "longer than %d characters", maxExperimentName)
	}
	e, err := s.db.Experiment(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	if err := s.db.RenameExperiment(ctx, e.ID, name); err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	out := &renamedOutput{}
	out.Body.ID, out.Body.Name = e.ID, name
	return out, nil
}

func (s *Server) cancelExperiment(ctx context.Context, in *ExperimentInput) (*cancelledOutput, error) {
	e, err := s.db.Experiment(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	res, err := s.queue.Cancel(ctx, queue.CancelFilter{ExperimentID: e.ID})
	if err != nil {
		return nil, s.fail(ctx, "cancellation", err)
	}
	s.folders.touch(e.ID)
	tasks := list(res.TaskIDs)
	return &cancelledOutput{Body: api.Cancelled{
		Status: "cancelled", TaskIDs: tasks, NotFoundTaskIDs: []string{},
		TasksFound: len(tasks), TasksCancelled: len(tasks), TrialsCancelled: res.Trials,
	}}, nil
}

func (s *Server) pauseExperiment(ctx context.Context, in *ExperimentInput) (*experimentOutput, error) {
	return s.steerExperiment(ctx, in, s.queue.PauseExperiment)
}

func (s *Server) resumeExperiment(ctx context.Context, in *ExperimentInput) (*experimentOutput, error) {
	return s.steerExperiment(ctx, in, s.queue.ResumeExperiment)
}

// steerExperiment pauses or resumes an experiment and answers with what it then is.
func (s *Server) steerExperiment(ctx context.Context, in *ExperimentInput, steer func(context.Context, string) error) (*experimentOutput, error) {
	e, err := s.db.Experiment(ctx, in.ID)
	if err == nil {
		err = steer(ctx, e.ID)
	}
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	return s.experiment(ctx, &ExperimentInput{ID: e.ID})
}

func (s *Server) deleteExperiment(ctx context.Context, in *ExperimentInput) (*deletedOutput, error) {
	e, err := s.db.Experiment(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	trials, dirs, err := s.db.DeleteExperiment(ctx, e.ID)
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	s.folders.forget(e.ID)
	s.removeBlobs(ctx, dirs)
	return &deletedOutput{Body: api.Deleted{
		Status:  "success",
		Deleted: map[string]any{"trials": trials, "tasks": 0, "experiments": 1},
	}}, nil
}

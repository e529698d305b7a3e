package server

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"oddish/api"
	"oddish/internal/store"
	"oddish/internal/web"
)

// pageSource gives the pages the same data as the API gives to others.
type pageSource struct{ s *Server }

var _ web.Source = pageSource{}

// Experiments implements web.Source.
func (p pageSource) Experiments(ctx context.Context, limit, offset int) ([]api.Experiment, error) {
	rows, err := p.s.db.Experiments(ctx, limit, offset)
	if err != nil {
		return nil, err
	}
	out := make([]api.Experiment, len(rows))
	for i, e := range rows {
		out[i] = wireExperiment(e)
	}
	return out, nil
}

// Experiment implements web.Source.
func (p pageSource) Experiment(ctx context.Context, idOrName string) (api.Experiment, int64, error) {
	e, err := p.s.db.Experiment(ctx, idOrName)
	if err != nil {
		return api.Experiment{}, 0, missing(err)
	}
	last, err := p.s.db.LastEvent(ctx, e.ID) // before the state, so that nothing falls between
	if err != nil {
		return api.Experiment{}, 0, err
	}
	out, err := p.s.readExperiment(ctx, e.ID)
	return out, last, missing(err)
}

// Trials implements web.Source.
func (p pageSource) Trials(ctx context.Context, experimentID string, limit, offset int) ([]api.Trial, error) {
	return p.trials(ctx, store.TrialFilter{ExperimentID: experimentID, Limit: limit, Offset: offset})
}

// TrialsByID implements web.Source.
func (p pageSource) TrialsByID(ctx context.Context, ids []string) ([]api.Trial, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return p.trials(ctx, store.TrialFilter{IDs: ids})
}

func (p pageSource) trials(ctx context.Context, f store.TrialFilter) ([]api.Trial, error) {
	rows, err := p.s.db.Trials(ctx, f)
	if err != nil {
		return nil, err
	}
	return p.s.wireTrials(ctx, rows)
}

// Trial implements web.Source.
func (p pageSource) Trial(ctx context.Context, id string) (api.Trial, error) {
	t, err := p.s.readTrial(ctx, id)
	return t, missing(err)
}

// Attempts implements web.Source.
func (p pageSource) Attempts(ctx context.Context, trialID string) ([]web.Attempt, error) {
	rows, err := p.s.readAttempts(ctx, trialID)
	if err != nil {
		return nil, missing(err)
	}
	out := make([]web.Attempt, len(rows))
	for i, r := range rows {
		out[i] = web.Attempt{
			Number: r.Attempt, Outcome: r.Outcome, Worker: text(r.WorkerID), ErrorType: text(r.ErrorType), ErrorMessage: text(r.ErrorMessage),
			Rewards: r.Rewards, Phases: r.PhaseTiming, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
		}
	}
	return out, nil
}

// Steps implements web.Source.
func (p pageSource) Steps(ctx context.Context, trialID string, attempt int) ([]api.TrialStep, error) {
	return p.s.trialSteps(ctx, &AttemptInput{ID: trialID, Attempt: attempt}), nil
}

// Files implements web.Source.
func (p pageSource) Files(ctx context.Context, trialID string, attempt int) ([]web.File, error) {
	dir, err := p.s.trialDir(ctx, trialID, attempt)
	if err != nil {
		return nil, missing(err)
	}
	stored, err := p.s.listFiles(ctx, dir)
	if err != nil {
		return nil, err
	}
	out := make([]web.File, len(stored))
	query := AttemptInput{ID: trialID, Attempt: attempt}.attemptQuery()
	for i, f := range stored {
		out[i] = web.File{
			Path: f.path, Size: f.Size, IsLog: isLog(f.path),
			URL: fmt.Sprintf("/trials/%s/files/%s%s", url.PathEscape(trialID), escapePath(f.path), query),
		}
	}
	return out, nil
}

// Tail implements web.Source.
func (p pageSource) Tail(ctx context.Context, trialID string, attempt int, path string, limit int64) (string, int64, error) {
	dir, err := p.s.trialDir(ctx, trialID, attempt)
	if err != nil {
		return "", 0, missing(err)
	}
	return p.s.readTail(ctx, dir, path, limit)
}

// missing tells the pages what is not there in their own word.
func missing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", web.ErrNotFound, err)
	}
	return err
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

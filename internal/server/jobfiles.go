package server

import (
	"context"
	"encoding/json"
	"net/http"
	"path"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/store"
)

type jobFilesOutput struct{ Body api.JobFiles }

func (s *Server) registerJobFiles(a huma.API) {
	huma.Register(a, op(http.MethodGet, "/experiments/{id}/job", "experiments", "An experiment as a job directory of the Harbor format"), s.jobFiles)
}

// jobFiles answers from the rows, as they are now: what is in the experiment's folder may be a second old.
func (s *Server) jobFiles(ctx context.Context, in *ExperimentInput) (*jobFilesOutput, error) {
	found, err := s.db.Experiment(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	e, err := s.db.ExperimentSummary(ctx, found.ID)
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	trials, err := s.db.Trials(ctx, store.TrialFilter{ExperimentID: e.ID})
	if err != nil {
		return nil, s.fail(ctx, "trials of experiment "+in.ID, err)
	}
	out := &jobFilesOutput{}
	out.Body, err = newJobFiles(e, trials)
	return out, s.failOrNil(ctx, "job files of experiment "+in.ID, err)
}

func newJobFiles(e store.ExperimentSummary, trials []store.Trial) (api.JobFiles, error) {
	files := api.JobFiles{ExperimentID: e.ID, Trials: []api.JobTrial{}}
	for _, t := range trials {
		if t.TrialDir != "" {
			files.Trials = append(files.Trials, api.JobTrial{TrialID: t.ID, Folder: path.Base(t.TrialDir), Status: t.Status})
		}
	}
	configs := trialConfigs(e, trials)
	config, err := jobConfig(e, configs).Compact()
	if err != nil {
		return files, err
	}
	if files.Config, err = json.Marshal(config); err != nil {
		return files, err
	}
	if files.Lock, err = json.Marshal(jobLock(e, trials, configs)); err != nil {
		return files, err
	}
	files.Result, err = json.Marshal(jobResult(e, trials))
	return files, err
}

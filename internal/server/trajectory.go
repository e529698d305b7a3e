package server

import (
	"context"
	"encoding/json"
	"errors"
	"path"

	"github.com/danielgtaylor/huma/v2"

	"oddish/internal/blob"
	"oddish/internal/result"
)

type trajectoryInput struct {
	AttemptInput
	Step string `query:"step" maxLength:"255" doc:"of a task with steps"`
}

// trajectory gives the trial's trajectory. In a task with steps each has one of its own; of a step that has none, or a trial without, it is null.
func (s *Server) trajectory(ctx context.Context, in *trajectoryInput) (*rawJSONOutput, error) {
	places := []string{""}
	switch {
	case in.Step != "":
		if path.Base(in.Step) != in.Step || in.Step == ".." || in.Step == "." {
			return nil, huma.Error400BadRequest("malformed step: it is a name of the task's")
		}
		places = []string{path.Join(result.StepsDir, in.Step)}
	default:
		places = append(places, s.stepsBackwards(ctx, &in.AttemptInput)...)
	}
	for _, place := range places {
		data, err := s.storedJSON(ctx, &in.AttemptInput, path.Join(place, result.AgentDir, result.TrajectoryFile))
		if errors.Is(err, blob.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, s.fail(ctx, "trajectory of trial "+in.ID, err)
		}
		return &rawJSONOutput{ContentType: "application/json", Body: data}, nil
	}
	return &rawJSONOutput{ContentType: "application/json", Body: []byte("null")}, nil
}

// stepsBackwards gives the folders of the steps that the trial's result names, the last first. Before it has a result there are none.
func (s *Server) stepsBackwards(ctx context.Context, in *AttemptInput) []string {
	data, err := s.storedJSON(ctx, in, result.ResultFile)
	if err != nil {
		return nil // what is wrong with the trial, the question for its trajectory tells
	}
	var trial struct {
		Steps []struct {
			Name string `json:"step_name"`
		} `json:"step_results"`
	}
	if json.Unmarshal(data, &trial) != nil {
		return nil
	}
	var places []string
	for i := len(trial.Steps) - 1; i >= 0; i-- {
		if name := trial.Steps[i].Name; path.Base(name) == name && name != ".." {
			places = append(places, path.Join(result.StepsDir, name))
		}
	}
	return places
}

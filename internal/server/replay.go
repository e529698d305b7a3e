package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/blob"
	"oddish/internal/model"
	"oddish/internal/result"
	"oddish/internal/store"
)

// A trial replays one of the trials of another experiment that recorded what their agents asked and were answered: of the same task, agent and model, and as the
// n-th of its kind the n-th of those; where there are fewer they are taken again from the first on.

// findReplays puts the id of the experiment in the place of what names it, and refuses what has no recording.
func (s *Server) findReplays(ctx context.Context, task store.Task, sw *api.Sweep) error {
	for i := range sw.Configs {
		c := &sw.Configs[i]
		if c.AgentConfig == nil || c.AgentConfig.Replay == "" {
			continue
		}
		e, err := s.db.Experiment(ctx, c.AgentConfig.Replay)
		if err != nil {
			return s.fail(ctx, "Experiment "+c.AgentConfig.Replay, err)
		}
		id := ""
		if c.Model != nil {
			id = *c.Model
		}
		trials, err := s.recorded(ctx, e.ID, store.Trial{TaskID: task.ID, Agent: c.Agent, Model: model.Normalize(c.Agent, id)})
		if err != nil {
			return s.fail(ctx, "recordings of experiment "+e.ID, err)
		}
		if len(trials) == 0 {
			return refused(fmt.Sprintf("body.configs[%d].agent_config.replay", i),
				"experiment %s has no recorded trial of task %s with agent %s and model %s that has ended: run it there with recording on first (oddish run --record)",
				e.Name, task.Name, c.Agent, cmp.Or(id, "none"))
		}
		config := *c.AgentConfig
		config.Replay = e.ID
		c.AgentConfig = &config
	}
	return nil
}

// recorded lists the trials of an experiment that a trial of the kind can replay, in order. Those that replay the others are none.
func (s *Server) recorded(ctx context.Context, experimentID string, kind store.Trial) ([]store.Trial, error) {
	return s.sameKind(ctx, experimentID, kind, func(t *store.Trial) bool {
		called := t.ModelCalls != nil && *t.ModelCalls > 0
		return t.AgentConfig.RecordModel && t.AgentConfig.Replay != experimentID && t.Status.Terminal() && t.TrialDir != "" && called
	})
}

// sameKind lists the trials of an experiment with the task, agent and model of the given one for which more holds, in order.
func (s *Server) sameKind(ctx context.Context, experimentID string, kind store.Trial, more func(*store.Trial) bool) ([]store.Trial, error) {
	trials, err := s.db.Trials(ctx, store.TrialFilter{ExperimentID: experimentID, TaskIDs: []string{kind.TaskID}})
	return slices.DeleteFunc(trials, func(t store.Trial) bool {
		return t.Agent != kind.Agent || t.Model != kind.Model || !more(&t)
	}), err
}

// jobRecording gives what the job is answered from. What was deleted since the trial was submitted is gone for good.
func (s *Server) jobRecording(ctx context.Context, in *LeaseInput) (*huma.StreamResponse, error) {
	t, err := s.queue.Check(ctx, in.ID, in.Lease)
	if err != nil {
		return nil, s.fail(ctx, "job "+in.ID, err)
	}
	source, err := s.sourceOf(ctx, &t)
	if err != nil {
		return nil, s.fail(ctx, "recording for job "+in.ID, err)
	}
	r, info, err := s.blobs.Open(ctx, path.Join(source.TrialDir, result.ModelLogFile))
	if errors.Is(err, blob.ErrNotFound) {
		return nil, huma.NewError(http.StatusGone, "the recording of trial "+source.ID+" was deleted")
	}
	if err != nil {
		return nil, s.fail(ctx, "recording of trial "+source.ID, err)
	}
	return blobResponse(r, info, "application/jsonl"), nil
}

// sourceOf finds the trial that a trial replays.
func (s *Server) sourceOf(ctx context.Context, t *store.Trial) (store.Trial, error) {
	experimentID := t.AgentConfig.Replay
	if experimentID == "" {
		return store.Trial{}, huma.NewError(http.StatusGone, "trial "+t.ID+" replays nothing")
	}
	recorded, err := s.recorded(ctx, experimentID, *t)
	if err != nil {
		return store.Trial{}, err
	}
	if len(recorded) == 0 {
		return store.Trial{}, huma.NewError(http.StatusGone, "experiment "+experimentID+" has no recorded trial of this task, agent and model any more")
	}
	siblings, err := s.sameKind(ctx, t.ExperimentID, *t, func(o *store.Trial) bool { return o.AgentConfig.Replay == experimentID })
	if err != nil {
		return store.Trial{}, err
	}
	n := slices.IndexFunc(siblings, func(o store.Trial) bool { return o.ID == t.ID })
	return recorded[max(n, 0)%len(recorded)], nil
}

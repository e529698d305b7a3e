package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/queue"
	"oddish/internal/store"
)

type tasksInput struct {
	Limit         int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Offset        int    `query:"offset" minimum:"0"`
	Status        string `query:"status" enum:"pending,running,completed,failed"`
	User          string `query:"user"`
	ExperimentID  string `query:"experiment_id" doc:"id or name; the counts and trials are then those of that experiment"`
	IncludeTrials bool   `query:"include_trials" default:"true"`
}

type tasksOutput struct{ Body []api.Task }

type taskInput struct {
	ID            string `path:"id" maxLength:"128"`
	IncludeTrials bool   `query:"include_trials" default:"true"`
}

type taskOutput struct{ Body api.Task }

type taskIDInput struct {
	ID string `path:"id" maxLength:"128"`
}

type cancelInput struct{ Body api.Cancel }

type cancelledOutput struct{ Body api.Cancelled }

type deletedOutput struct{ Body api.Deleted }

func (s *Server) registerTasks(a huma.API) {
	huma.Register(a, op(http.MethodGet, "/tasks", "tasks", "Tasks, newest first"), s.tasks)
	huma.Register(a, op(http.MethodGet, "/tasks/{id}", "tasks", "One task with its trials"), s.task)
	huma.Register(a, op(http.MethodDelete, "/tasks/{id}", "tasks", "Delete a task with its trials and their files; refused while one runs"), s.deleteTask)
	huma.Register(a, op(http.MethodPost, "/tasks/cancel", "tasks", "Cancel the trials of tasks"), s.cancelTasks)
	s.registerVersions(a)
}

func (s *Server) tasks(ctx context.Context, in *tasksInput) (*tasksOutput, error) {
	filter := store.TaskFilter{User: in.User, Limit: in.Limit, Offset: in.Offset}
	var experiment *store.Experiment
	if in.ExperimentID != "" {
		e, err := s.db.Experiment(ctx, in.ExperimentID)
		if errors.Is(err, store.ErrNotFound) {
			return &tasksOutput{Body: []api.Task{}}, nil
		}
		if err != nil {
			return nil, s.fail(ctx, "experiment "+in.ExperimentID, err)
		}
		experiment, filter.ExperimentID = &e, e.ID
	}
	summaries, err := s.tasksInState(ctx, filter, api.TaskStatus(in.Status))
	if err != nil {
		return nil, s.fail(ctx, "tasks", err)
	}
	out := make([]api.Task, len(summaries))
	for i, t := range summaries {
		out[i] = wireTask(t)
		if experiment != nil {
			out[i].ExperimentID, out[i].ExperimentName, out[i].ExperimentIsPublic = experiment.ID, experiment.Name, experiment.Public
		}
	}
	if in.IncludeTrials {
		if err := s.attachTrials(ctx, out, filter.ExperimentID); err != nil {
			return nil, s.fail(ctx, "trials", err)
		}
	}
	return &tasksOutput{Body: out}, nil
}

// tasksInState lists tasks. A task's state follows from its trials and is not stored, so with a state asked for,
// tasks are read and counted until enough of them are in it.
func (s *Server) tasksInState(ctx context.Context, f store.TaskFilter, state api.TaskStatus) ([]store.TaskSummary, error) {
	if state == "" {
		return s.db.Tasks(ctx, f)
	}
	const chunk = 500
	skip, limit := f.Offset, f.Limit
	f.Limit = chunk
	var found []store.TaskSummary
	for f.Offset = 0; ; f.Offset += chunk {
		some, err := s.db.Tasks(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, t := range some {
			switch {
			case taskStatus(t.Counts) != state:
			case skip > 0:
				skip--
			default:
				found = append(found, t)
			}
			if len(found) == limit {
				return found, nil
			}
		}
		if len(some) < chunk {
			return found, nil
		}
	}
}

// attachTrials adds to each task its trials, of one experiment or of all.
func (s *Server) attachTrials(ctx context.Context, tasks []api.Task, experimentID string) error {
	if len(tasks) == 0 {
		return nil
	}
	ids, place := make([]string, len(tasks)), make(map[string]int, len(tasks))
	for i, t := range tasks {
		ids[i], place[t.ID] = t.ID, i
		tasks[i].Trials = []api.Trial{}
	}
	rows, err := s.db.Trials(ctx, store.TrialFilter{TaskIDs: ids, ExperimentID: experimentID})
	if err != nil {
		return err
	}
	trials, err := s.wireTrials(ctx, rows)
	if err != nil {
		return err
	}
	for _, t := range trials {
		i := place[t.TaskID]
		tasks[i].Trials = append(tasks[i].Trials, t)
	}
	return nil
}

func (s *Server) task(ctx context.Context, in *taskInput) (*taskOutput, error) {
	summary, err := s.taskByIDOrName(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Task "+in.ID, err)
	}
	out := []api.Task{wireTask(summary)}
	if in.IncludeTrials {
		if err := s.attachTrials(ctx, out, ""); err != nil {
			return nil, s.fail(ctx, "trials of task "+in.ID, err)
		}
	}
	return &taskOutput{Body: out[0]}, nil
}

// taskByIDOrName finds a task by its id, else by its name, which people remember and which is unique too.
func (s *Server) taskByIDOrName(ctx context.Context, idOrName string) (store.TaskSummary, error) {
	summary, err := s.db.TaskSummary(ctx, idOrName)
	if !errors.Is(err, store.ErrNotFound) {
		return summary, err
	}
	named, nameErr := s.db.TaskByName(ctx, idOrName)
	if errors.Is(nameErr, store.ErrNotFound) {
		return summary, err
	}
	if nameErr != nil {
		return summary, nameErr
	}
	return s.db.TaskSummary(ctx, named.ID)
}

func (s *Server) deleteTask(ctx context.Context, in *taskIDInput) (*deletedOutput, error) {
	experiments, err := s.experimentsOf(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "trials of task "+in.ID, err)
	}
	dirs, err := s.db.DeleteTask(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Task "+in.ID, err)
	}
	s.removeBlobs(ctx, dirs)
	for _, id := range experiments {
		s.folders.touch(id)
	}
	return &deletedOutput{Body: api.Deleted{Status: "success", Deleted: map[string]any{"task_id": in.ID}}}, nil
}

// experimentsOf lists the experiments that the task has trials in.
func (s *Server) experimentsOf(ctx context.Context, taskID string) ([]string, error) {
	trials, err := s.db.Trials(ctx, store.TrialFilter{TaskIDs: []string{taskID}})
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var ids []string
	for _, t := range trials {
		if !seen[t.ExperimentID] {
			seen[t.ExperimentID] = true
			ids = append(ids, t.ExperimentID)
		}
	}
	return ids, nil
}

// removeBlobs deletes what rows that are gone referred to. What cannot be deleted is logged and
// left: nothing refers to it any more.
func (s *Server) removeBlobs(ctx context.Context, prefixes []string) {
	ctx = context.WithoutCancel(ctx) // the rows are gone already
	for _, p := range prefixes {
		if err := s.blobs.Delete(ctx, p); err != nil {
			s.log.WarnContext(ctx, "files of deleted rows not removed", "prefix", p, "error", err)
		}
	}
}

func (s *Server) cancelTasks(ctx context.Context, in *cancelInput) (*cancelledOutput, error) {
	if len(in.Body.TaskIDs) == 0 {
		return nil, huma.Error400BadRequest("task_ids is empty: name at least one task")
	}
	out := api.Cancelled{Status: "cancelled", TaskIDs: []string{}, NotFoundTaskIDs: []string{}}
	for _, id := range in.Body.TaskIDs {
		_, err := s.db.Task(ctx, id)
		switch {
		case err == nil:
			out.TaskIDs = append(out.TaskIDs, id)
		case errors.Is(err, store.ErrNotFound):
			out.NotFoundTaskIDs = append(out.NotFoundTaskIDs, id)
		default:
			return nil, s.fail(ctx, "task "+id, err)
		}
	}
	if len(out.TaskIDs) == 0 {
		return nil, huma.Error404NotFound(fmt.Sprintf("no such task: %v", out.NotFoundTaskIDs))
	}
	if err := s.cancel(ctx, queue.CancelFilter{TaskIDs: out.TaskIDs}, &out); err != nil {
		return nil, err
	}
	return &cancelledOutput{Body: out}, nil
}

// cancel stops what the filter names and adds to out how much that was.
func (s *Server) cancel(ctx context.Context, f queue.CancelFilter, out *api.Cancelled) error {
	res, err := s.queue.Cancel(ctx, f)
	if err != nil {
		return s.fail(ctx, "cancellation", err)
	}
	out.TasksFound, out.TasksCancelled, out.TrialsCancelled = len(out.TaskIDs), len(res.TaskIDs), res.Trials
	if err := s.touchCancelled(ctx, res); err != nil {
		return s.fail(ctx, "cancellation", err)
	}
	return nil
}

// touchCancelled has the job folders written in which trials have ended by a cancel.
func (s *Server) touchCancelled(ctx context.Context, res queue.CancelResult) error {
	if res.Trials == res.Running { // nothing ended yet: the workers will say so
		return nil
	}
	for _, id := range res.TaskIDs {
		experiments, err := s.experimentsOf(ctx, id)
		if err != nil {
			return fmt.Errorf("read trials of task %s: %w", id, err)
		}
		for _, e := range experiments {
			s.folders.touch(e)
		}
	}
	return nil
}

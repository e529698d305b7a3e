package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/predicate"
	"oddish/internal/queue"
	"oddish/internal/store"
)

type trialQueryInput struct {
	Query  string `query:"q" maxLength:"8192" doc:"such as experiment:x status:failed error:SandboxStart*; docs/queries.md describes it. Empty: every trial"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"300" doc:"next_cursor of the page before"`
}

type retryTrialsInput struct{ Body api.RetryTrials }

type retriedTrialsOutput struct{ Body api.RetriedTrials }

type cancelTrialsInput struct{ Body api.CancelTrials }

func (s *Server) registerTrialQueries(a huma.API) {
	huma.Register(a, op(http.MethodGet, "/trials", "trials", "Trials that match a query, the newest first"), s.matchingTrials)
	huma.Register(a, op(http.MethodPost, "/trials/retry", "trials", "Run trials again that did not end well; good results are never touched"), s.retryTrials)
	huma.Register(a, op(http.MethodPost, "/trials/cancel", "trials", "Cancel the trials that match a query"), s.cancelTrials)
}

func (s *Server) matchingTrials(ctx context.Context, in *trialQueryInput) (*trialsOutput, error) {
	query, err := parseQuery(in.Query)
	if err != nil {
		return nil, err
	}
	after, err := parsePosition(in.Cursor)
	if err != nil {
		return nil, err
	}
	p, err := s.matchingPage(ctx, query, after, in.Limit)
	if err != nil {
		return nil, s.fail(ctx, "trials", err)
	}
	return &trialsOutput{Body: p}, nil
}

func (s *Server) matchingPage(ctx context.Context, query predicate.Query, after *store.Position, limit int) (page[api.Trial], error) {
	match, err := s.db.Match(ctx, query, s.now())
	if err != nil {
		return page[api.Trial]{}, err
	}
	rows, err := s.db.MatchingTrials(ctx, match, after, limit+1)
	if err != nil {
		return page[api.Trial]{}, err
	}
	var p page[api.Trial]
	if len(rows) > limit {
		rows = rows[:limit]
		next := positionCursor(store.PositionOf(rows[limit-1]))
		p.NextCursor = &next
	}
	p.Items, err = s.wireTrials(ctx, rows)
	return p, err
}

// parseQuery refuses a text that is no query with what is wrong about it.
func parseQuery(text string) (predicate.Query, error) {
	query, err := predicate.Parse(text)
	if err != nil {
		return predicate.Query{}, huma.Error422UnprocessableEntity(err.Error())
	}
	return query, nil
}

// parseSome is parseQuery for what must not be done to every trial by accident.
func parseSome(text string) (predicate.Query, error) {
	query, err := parseQuery(text)
	if err == nil && query.Empty() {
		err = huma.Error422UnprocessableEntity("the query is empty: give at least one term, such as status:failed")
	}
	return query, err
}

// positionCursor and parsePosition write and read a place in the list of trials.
func positionCursor(p store.Position) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "p%d %d %s", p.Created.UnixMilli(), p.Index, p.TaskID))
}

func parsePosition(cursor string) (*store.Position, error) {
	if cursor == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	var ms int64
	var p store.Position
	if err == nil {
		_, err = fmt.Sscanf(string(raw), "p%d %d %s", &ms, &p.Index, &p.TaskID)
	}
	if err != nil || !taskIDPattern.MatchString(p.TaskID) {
		return nil, huma.Error400BadRequest("malformed cursor: take next_cursor of the page before")
	}
	p.Created = time.UnixMilli(ms)
	return &p, nil
}

func (s *Server) retryTrials(ctx context.Context, in *retryTrialsInput) (*retriedTrialsOutput, error) {
	filter, err := s.retryFilter(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	res, err := s.queue.RetryMany(ctx, filter)
	if !in.Body.DryRun {
		for _, id := range res.Experiments {
			s.folders.touch(id)
		}
		s.log.InfoContext(ctx, "trials are tried again", "query", filter.Query.String(), "matched", res.Matched, "retried", res.Retried, "reason", in.Body.Reason)
	}
	if err != nil {
		return nil, s.fail(ctx, "retry", err)
	}
	out := api.RetriedTrials{
		Matched: res.Matched, TrialsRetried: res.Retried, TrialIDs: res.TrialIDs, ExperimentIDs: list(res.Experiments), Errors: res.Errors,
		Skipped: make([]api.SkippedTrial, len(res.Skipped)), DryRun: in.Body.DryRun,
	}
	for i, t := range res.Skipped {
		out.Skipped[i] = api.SkippedTrial{TrialID: t.TrialID, Reason: t.Reason}
	}
	return &retriedTrialsOutput{Body: out}, nil
}

// retryFilter finds out which trials a request names.
func (s *Server) retryFilter(ctx context.Context, r api.RetryTrials) (queue.RetryFilter, error) {
	given := 0
	for _, is := range []bool{r.Query != "", r.TrialIDs != nil, r.TaskID != "", r.ExperimentID != ""} {
		given += store.Flag(is)
	}
	filter := queue.RetryFilter{DryRun: r.DryRun}
	switch {
	case given != 1:
		return filter, refused("body", "give exactly one of query, trial_ids, task_id and experiment_id")
	case r.TrialIDs != nil:
		filter.TrialIDs = r.TrialIDs
		return filter, nil
	case r.Query != "":
		var err error
		filter.Query, err = parseSome(r.Query)
		return filter, err
	}
	of, err := s.trialsOf(ctx, r.TaskID, r.ExperimentID)
	if err != nil {
		return filter, err
	}
	states := []string{string(api.StatusFailed)}
	if r.Cancelled {
		states = append(states, string(api.StatusCancelled))
	}
	filter.Query = filter.Query.And(of, predicate.Is(predicate.Status, states...))
	return filter, nil
}

// trialsOf makes a term for the trials of a task or of an experiment, which must exist.
func (s *Server) trialsOf(ctx context.Context, taskID, experiment string) (predicate.Term, error) {
	if taskID != "" {
		if _, err := s.db.Task(ctx, taskID); err != nil {
			return predicate.Term{}, s.fail(ctx, "Task "+taskID, err)
		}
		return predicate.Is(predicate.Task, taskID), nil
	}
	e, err := s.db.Experiment(ctx, experiment)
	if err != nil {
		return predicate.Term{}, s.fail(ctx, "Experiment "+experiment, err)
	}
	return predicate.Is(predicate.Experiment, e.ID), nil
}

func (s *Server) cancelTrials(ctx context.Context, in *cancelTrialsInput) (*cancelledOutput, error) {
	query, err := parseSome(in.Body.Query)
	if err != nil {
		return nil, err
	}
	out := api.Cancelled{Status: "planned", NotFoundTaskIDs: []string{}}
	var res queue.CancelResult
	if in.Body.DryRun {
		res, err = s.queue.Cancellable(ctx, query)
	} else {
		out.Status = "cancelled"
		res, err = s.queue.Cancel(ctx, queue.CancelFilter{Query: query})
		err = errors.Join(err, s.touchCancelled(ctx, res))
	}
	if err != nil {
		return nil, s.fail(ctx, "cancellation", err)
	}
	out.TaskIDs = list(res.TaskIDs)
	out.TasksFound, out.TasksCancelled, out.TrialsCancelled = len(out.TaskIDs), len(out.TaskIDs), res.Trials
	return &cancelledOutput{Body: out}, nil
}

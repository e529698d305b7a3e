package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// queueKey is the state of one queue key on the wire.
type queueKey struct {
	Key              string   `json:"queue_key"`
	Limit            int      `json:"limit" doc:"trials that may run at once"`
	Running          int      `json:"running"`
	Queued           int      `json:"queued"`
	Retrying         int      `json:"retrying"`
	OldestAgeSeconds *float64 `json:"oldest_age_sec" doc:"how long the longest waiting trial has waited"`
}

type queueOutput struct {
	Body struct {
		Keys      []queueKey `json:"queue_keys"`
		Timestamp time.Time  `json:"timestamp"`
	}
}

type limitInput struct {
	Key  string `query:"key" required:"true" minLength:"1" maxLength:"255" doc:"queue key, such as anthropic/claude-x or local"`
	Body struct {
		Limit *int `json:"limit,omitempty" minimum:"0" maximum:"100000" doc:"trials that may run at once; 0 stops the key; absent: back to the configured limit"`
	}
}

func (s *Server) registerQueue(a huma.API) {
	huma.Register(a, op(http.MethodGet, "/queue", "queue", "Every queue key with its limit and what runs and waits"), s.queueKeys)
	huma.Register(a, op(http.MethodPut, "/queue/limit", "queue", "Change the limit of a queue key now and for later starts"), s.setLimit)
}

func (s *Server) queueKeys(ctx context.Context, _ *struct{}) (*queueOutput, error) {
	states, err := s.queue.Keys(ctx)
	if err != nil {
		return nil, s.fail(ctx, "queue", err)
	}
	now := s.now()
	out := &queueOutput{}
	out.Body.Timestamp = now.UTC()
	out.Body.Keys = make([]queueKey, len(states))
	for i, k := range states {
		out.Body.Keys[i] = queueKey{Key: k.Key, Limit: k.Limit, Running: k.Running, Queued: k.Queued, Retrying: k.Retrying}
		if k.Oldest != nil {
			age := max(now.Sub(*k.Oldest).Seconds(), 0)
			out.Body.Keys[i].OldestAgeSeconds = &age
		}
	}
	return out, nil
}

func (s *Server) setLimit(ctx context.Context, in *limitInput) (*queueOutput, error) {
	limit := -1
	if in.Body.Limit != nil {
		limit = *in.Body.Limit
	}
	if err := s.queue.SetLimit(ctx, in.Key, limit); err != nil {
		return nil, s.fail(ctx, "queue key "+in.Key, err)
	}
	return s.queueKeys(ctx, nil)
}

package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/queue"
)

type queueOutput struct{ Body api.Queue }

type queueKeyOutput struct{ Body api.QueueKeyHistory }

// QueueKeyInput names the key in the query, because it may contain slashes. It is exported because huma does not
// look into embedded structs that are not.
type QueueKeyInput struct {
	Key string `query:"key" required:"true" minLength:"1" maxLength:"255" doc:"queue key, such as anthropic/claude-x or local, or a pattern, such as anthropic/*; to pause and resume also * for all"`
}

type queueLimitInput struct {
	QueueKeyInput
	Body api.QueueLimit
}

type queueReasonInput struct {
	QueueKeyInput
	Body *api.QueueReason
}

func (in *queueReasonInput) reason() queue.Reason {
	if in.Body == nil {
		return queue.Reason{}
	}
	return queue.Reason{Text: in.Body.Reason, By: in.Body.By}
}

func (s *Server) registerQueue(a huma.API) {
	huma.Register(a, op(http.MethodGet, "/queue", "queue", "Every queue key with its limit and what runs and waits"), s.queueKeys)
	huma.Register(a, op(http.MethodGet, "/queue/key", "queue", "One queue key or pattern, with the changes of its limit and its pauses"), s.queueKey)
	huma.Register(a, op(http.MethodPut, "/queue/limit", "queue", "Change the limit of a queue key or pattern, now and for later starts"), s.setLimit)
	huma.Register(a, op(http.MethodPost, "/queue/pause", "queue", "Start no more trials of a queue key or pattern; what runs goes on"), s.pauseKey)
	huma.Register(a, op(http.MethodPost, "/queue/resume", "queue", "End the pause of a queue key or pattern, or the hold of a key whose provider limits the rate"), s.resumeKey)
}

func (s *Server) queueKeys(ctx context.Context, _ *struct{}) (*queueOutput, error) {
	states, err := s.queue.Keys(ctx)
	if err != nil {
		return nil, s.fail(ctx, "queue", err)
	}
	day, err := s.queue.Day(ctx)
	if err != nil {
		return nil, s.fail(ctx, "queue", err)
	}
	now := s.now()
	out := &queueOutput{Body: api.Queue{Daily: day, Timestamp: now.UTC(), Keys: make([]api.QueueKey, len(states))}}
	for i := range states {
		out.Body.Keys[i] = toQueueKey(&states[i], now)
	}
	return out, nil
}

func (s *Server) queueKey(ctx context.Context, in *QueueKeyInput) (*queueKeyOutput, error) {
	state, changes, err := s.queue.Key(ctx, in.Key)
	if err != nil {
		return nil, s.fail(ctx, "queue key "+in.Key, err)
	}
	out := &queueKeyOutput{Body: api.QueueKeyHistory{QueueKey: toQueueKey(&state, s.now()), Changes: make([]api.QueueChange, len(changes))}}
	for i, c := range changes {
		out.Body.Changes[i] = api.QueueChange{At: c.At, Kind: c.Kind, From: c.From, To: c.To, Reason: c.Text, By: c.By}
	}
	return out, nil
}

func (s *Server) setLimit(ctx context.Context, in *queueLimitInput) (*queueKeyOutput, error) {
	limit := -1
	if in.Body.Limit != nil {
		limit = *in.Body.Limit
	}
	err := s.queue.SetLimit(ctx, in.Key, limit, queue.Reason{Text: in.Body.Reason, By: in.Body.By})
	return s.changedKey(ctx, &in.QueueKeyInput, err)
}

func (s *Server) pauseKey(ctx context.Context, in *queueReasonInput) (*queueKeyOutput, error) {
	return s.changedKey(ctx, &in.QueueKeyInput, s.queue.Pause(ctx, in.Key, in.reason()))
}

func (s *Server) resumeKey(ctx context.Context, in *queueReasonInput) (*queueKeyOutput, error) {
	return s.changedKey(ctx, &in.QueueKeyInput, s.queue.Resume(ctx, in.Key, in.reason()))
}

// changedKey answers a change with the key as it then is.
func (s *Server) changedKey(ctx context.Context, in *QueueKeyInput, err error) (*queueKeyOutput, error) {
	if err != nil {
		return nil, s.fail(ctx, "queue key "+in.Key, err)
	}
	return s.queueKey(ctx, in)
}

func toQueueKey(k *queue.KeyState, now time.Time) api.QueueKey {
	out := api.QueueKey{
		Key: k.Key, Limit: k.Limit, ConfiguredLimit: k.Configured, EffectiveLimit: k.Effective,
		Running: k.Running, Queued: k.Queued, Retrying: k.Retrying, Held: k.Held, Paused: k.PausedBy != "", HeldUntil: k.HeldUntil,
	}
	if k.Oldest != nil {
		age := max(now.Sub(*k.Oldest).Seconds(), 0)
		out.OldestAgeSeconds = &age
	}
	if k.PausedBy != "" {
		out.PausedBy = &k.PausedBy
	}
	if k.BoundedBy != "" {
		out.BoundedBy = &k.BoundedBy
	}
	return out
}

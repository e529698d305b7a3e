package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"oddish/api"
)

const (
	// heartbeatEvery keeps proxies and clients from taking a silent stream for a dead one.
	heartbeatEvery = 15 * time.Second
	// eventsAtOnce is how many events are read and sent between two flushes.
	eventsAtOnce = 500
	// sendWithin is how long a client may take to receive a batch before its stream is given up.
	sendWithin = 30 * time.Second
)

type eventsInput struct {
	ExperimentInput
	After       int64  `query:"after" minimum:"0" doc:"send what came after the event with this id"`
	LastEventID string `header:"Last-Event-ID" doc:"as after, sent by browsers that reconnect; counts more than after"`
	Follow      bool   `query:"follow" default:"true" doc:"false: end with what has happened so far"`
}

// eventStream is one client that follows an experiment.
type eventStream struct {
	s            *Server
	w            http.ResponseWriter
	conn         *http.ResponseController
	experimentID string
	after        int64
}

func (s *Server) registerEvents(a huma.API) {
	o := op(http.MethodGet, "/experiments/{id}/events", "experiments",
		"What happens in an experiment, as server-sent events (data: Event as JSON), from the beginning or after an event")
	o.Responses = map[string]*huma.Response{"200": {
		Description: "a stream that stays open; the event's id is the SSE id",
		Content: map[string]*huma.MediaType{"text/event-stream": {
			Schema: a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Event](), true, "Event"),
		}},
	}}
	huma.Register(a, o, s.events)
}

func (s *Server) events(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	e, err := s.db.Experiment(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "Experiment "+in.ID, err)
	}
	after := in.After
	if in.LastEventID != "" {
		if _, err := fmt.Sscanf(in.LastEventID, "%d", &after); err != nil || after < 0 {
			return nil, huma.Error400BadRequest("malformed Last-Event-ID: it is the number of an event")
		}
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humago.Unwrap(hctx)
		stream := &eventStream{s: s, w: w, conn: http.NewResponseController(w), experimentID: e.ID, after: after}
		if err := stream.run(r.Context(), in.Follow); err != nil && r.Context().Err() == nil {
			s.log.WarnContext(ctx, "event stream ended", "request", requestID(ctx), "experiment", e.ID, "error", err)
		}
	}}, nil
}

// run sends events until the client leaves, or, when it does not follow, until all were sent. It subscribes before
// it reads, so that nothing falls between the two.
func (e *eventStream) run(ctx context.Context, follow bool) error {
	wake, stop := e.s.queue.Subscribe(e.experimentID)
	defer stop()
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	e.w.WriteHeader(http.StatusOK)
	if err := e.write(": events of experiment " + e.experimentID + "\n\n"); err != nil {
		return err
	}
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		if err := e.sendNew(ctx); err != nil {
			return err
		}
		if !follow {
			return e.write(": that is all so far\n\n")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-beat.C:
			if err := e.write(": still here\n\n"); err != nil {
				return err
			}
		}
	}
}

// sendNew sends everything that was written since the last event sent.
func (e *eventStream) sendNew(ctx context.Context) error {
	for {
		events, err := e.s.db.Events(ctx, e.experimentID, e.after, eventsAtOnce)
		if err != nil {
			return fmt.Errorf("read events of experiment %s: %w", e.experimentID, err)
		}
		if len(events) == 0 {
			return nil
		}
		var batch []byte
		for _, event := range events {
			data, err := json.Marshal(event)
			if err != nil {
				return fmt.Errorf("write event %d: %w", event.ID, err)
			}
			batch = fmt.Appendf(batch, "id: %d\ndata: %s\n\n", event.ID, data)
		}
		if err := e.write(string(batch)); err != nil {
			return err
		}
		e.after = events[len(events)-1].ID
	}
}

// write sends text at once. Deadlines and flushes that the connection cannot have (in tests) are left out.
func (e *eventStream) write(text string) error {
	_ = e.conn.SetWriteDeadline(time.Now().Add(sendWithin))
	defer func() { _ = e.conn.SetWriteDeadline(time.Time{}) }()
	if _, err := e.w.Write([]byte(text)); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	if err := e.conn.Flush(); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	return nil
}

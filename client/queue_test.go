package client

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"oddish/api"
)

func TestQueueKeysGoIntoTheQuery(t *testing.T) {
	t.Parallel()
	var got []string
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.URL.Query().Get("key")+" "+string(body)))
		if r.URL.Path == "/queue" {
			reply(w, 200, api.Queue{Keys: []api.QueueKey{{Key: "local"}}})
			return
		}
		reply(w, 200, api.QueueKeyHistory{QueueKey: api.QueueKey{Key: "openai/*", Paused: true}, Changes: []api.QueueChange{{Kind: "pause"}}})
	})
	if q, err := c.Queue(t.Context()); err != nil || len(q.Keys) != 1 {
		t.Errorf("%+v %v", q, err)
	}
	why, n := api.QueueReason{Reason: "outage", By: "ann"}, 4
	for _, send := range []func() (api.QueueKeyHistory, error){
		func() (api.QueueKeyHistory, error) { return c.QueueKey(t.Context(), "openai/*") },
		func() (api.QueueKeyHistory, error) {
			return c.SetQueueLimit(t.Context(), "openai/*", api.QueueLimit{QueueReason: why, Limit: &n})
		},
		func() (api.QueueKeyHistory, error) { return c.SetQueueLimit(t.Context(), "local", api.QueueLimit{}) },
		func() (api.QueueKeyHistory, error) { return c.PauseQueue(t.Context(), "openai/*", why) },
		func() (api.QueueKeyHistory, error) {
			return c.ResumeQueue(t.Context(), "a b/c&d", api.QueueReason{})
		},
	} {
		if k, err := send(); err != nil || k.Key != "openai/*" || !k.Paused || len(k.Changes) != 1 {
			t.Errorf("%+v %v", k, err)
		}
	}
	want := []string{
		"GET /queue",
		"GET /queue/key openai/*",
		`PUT /queue/limit openai/* {"reason":"outage","by":"ann","limit":4}`,
		"PUT /queue/limit local {}", // the configured limit
		`POST /queue/pause openai/* {"reason":"outage","by":"ann"}`,
		"POST /queue/resume a b/c&d {}",
	}
	if a, b := mustJSON(t, got), mustJSON(t, want); a != b {
		t.Errorf("sent %s\nwant %s", a, b)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

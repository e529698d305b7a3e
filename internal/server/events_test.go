package server

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"oddish/api"
)

// follower reads an event stream.
type follower struct {
	t      *testing.T
	lines  *bufio.Scanner
	header http.Header
	stop   func()
}

func (r *rig) follow(experiment, query string, headers ...string) *follower {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", r.http.URL+"/experiments/"+experiment+"/events"+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		r.t.Fatalf("events: %d", resp.StatusCode)
	}
	f := &follower{t: r.t, lines: bufio.NewScanner(resp.Body), header: resp.Header}
	f.stop = func() { cancel(); resp.Body.Close() }
	r.t.Cleanup(f.stop)
	return f
}

// next gives the next event, false at the end of the stream.
func (f *follower) next() (api.Event, bool) {
	f.t.Helper()
	id := ""
	for f.lines.Scan() {
		line := f.lines.Text()
		if v, ok := strings.CutPrefix(line, "id: "); ok {
			id = v
		}
		if v, ok := strings.CutPrefix(line, "data: "); ok {
			var e api.Event
			if err := json.Unmarshal([]byte(v), &e); err != nil {
				f.t.Fatal(err)
			}
			if id == "" || id == "0" {
				f.t.Fatalf("event without id: %s", v)
			}
			return e, true
		}
	}
	return api.Event{}, false
}

func (f *follower) want(kind string) api.Event {
	f.t.Helper()
	e, ok := f.next()
	if !ok || e.Kind != kind {
		f.t.Fatalf("got event %+v (%v), want %s", e, ok, kind)
	}
	return e
}

func TestEventsAreReplayedAndThenComeLive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("a", 1)
	f := r.follow("of-a", "")
	if f.header.Get("Content-Type") != "text/event-stream; charset=utf-8" || f.header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("headers: %v", f.header)
	}
	if e := f.want("queued"); e.TrialID != sub.NewTrialIDs[0] || e.ExperimentID != sub.ExperimentID {
		t.Errorf("first: %+v", e)
	}
	j := r.claim(1)[0]
	f.want("running")
	do[api.ProgressAck](r, "POST", jobPath(j, "events"),
		api.Progress{Events: []api.ProgressEvent{{Seq: 1, At: time.Now(), Stage: api.StageAgentRunning}}}, api.LeaseHeader, j.Lease)
	if e := f.want("stage"); e.Stage != api.StageAgentRunning {
		t.Errorf("stage: %+v", e)
	}
	r.finish(j, passed())
	last := f.want("finished")
	if last.Status != api.StatusSuccess || *last.Reward != 1 {
		t.Errorf("finished: %+v", last)
	}
	f.stop()

	ended := r.follow(sub.ExperimentID, "?follow=false")
	n := 0
	for {
		if _, ok := ended.next(); !ok {
			break
		}
		n++
	}
	if n != 4 {
		t.Errorf("a stream that does not follow gave %d events, want 4", n)
	}
}

func TestAStreamIsTakenUpWhereItBroke(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("a", 3)
	f := r.follow(sub.ExperimentID, "")
	f.want("queued")
	second := f.want("queued")
	f.stop()
	id := []string{"Last-Event-ID", itoa(second.ID)}
	for name, f := range map[string]*follower{
		"Last-Event-ID":           r.follow(sub.ExperimentID, "", id...),
		"after":                   r.follow(sub.ExperimentID, "?after="+itoa(second.ID)),
		"Last-Event-ID and after": r.follow(sub.ExperimentID, "?after=1", id...),
	} {
		if e := f.want("queued"); e.ID != second.ID+1 {
			t.Errorf("%s: went on at %d after %d", name, e.ID, second.ID)
		}
		f.stop()
	}
	r.refuses(400, "GET", "/experiments/"+sub.ExperimentID+"/events", nil, "Last-Event-ID", "x")
	r.refuses(404, "GET", "/experiments/nope/events", nil)
}

func itoa(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

package server

import (
	"fmt"
	"testing"

	"oddish/api"
)

func TestExperimentsAreFoundRenamedCancelledAndDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("a", 2)
	byName := do[api.Experiment](r, "GET", "/experiments/of-a", nil)
	if byName.ID != sub.ExperimentID || byName.Total != 2 || byName.Counts[api.StatusQueued] != 2 || byName.TaskCount != 1 {
		t.Errorf("by name: %+v", byName)
	}
	do[struct{}](r, "PATCH", "/experiments/"+sub.ExperimentID, map[string]string{"name": "new name"})
	if got := do[api.Experiment](r, "GET", "/experiments/"+sub.ExperimentID, nil); got.Name != "new name" {
		t.Errorf("renamed: %+v", got)
	}
	r.refuses(400, "PATCH", "/experiments/"+sub.ExperimentID, map[string]string{"name": "  "})
	r.refuses(404, "PATCH", "/experiments/nope", map[string]string{"name": "x"})
	r.refuses(404, "GET", "/experiments/nope", nil)
	r.refuses(404, "GET", "/experiments/nope/trials", nil)
	r.refuses(404, "POST", "/experiments/nope/cancel", nil)
	jobs := r.claim(1)
	r.putFile(jobs[0], "trial.log", "x")
	r.refuses(409, "DELETE", "/experiments/"+sub.ExperimentID, nil)
	got := do[api.Cancelled](r, "POST", "/experiments/"+sub.ExperimentID+"/cancel", nil)
	if got.TrialsCancelled != 2 || len(got.TaskIDs) != 1 {
		t.Errorf("cancelled: %+v", got)
	}
	r.finish(jobs[0], api.Finish{Outcome: api.StatusCancelled})
	deleted := do[api.Deleted](r, "DELETE", "/experiments/"+sub.ExperimentID, nil)
	if fmt.Sprint(deleted.Deleted["trials"], deleted.Deleted["experiments"]) != "2 1" {
		t.Errorf("deleted: %+v", deleted)
	}
	r.refuses(404, "GET", "/experiments/"+sub.ExperimentID, nil)
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := must(r.blobs.List(t.Context(), "jobs")); len(left) > 0 {
		t.Errorf("files of a deleted experiment: %v", left)
	}
	do[api.Task](r, "GET", "/tasks/"+sub.ID, nil) // the task remains
}

func TestListsArePagedByCursor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("a", 5)
	r.submit("b", 1)
	r.submit("c", 1)
	seen := map[string]bool{}
	pages, cursor := 0, ""
	for {
		p := do[page[api.Trial]](r, "GET", "/experiments/"+sub.ExperimentID+"/trials?limit=2&cursor="+cursor, nil)
		pages++
		for _, item := range p.Items {
			seen[item.ID] = true
		}
		if p.NextCursor == nil {
			break
		}
		cursor = *p.NextCursor
	}
	if len(seen) != 5 || pages != 3 {
		t.Errorf("%d trials on %d pages", len(seen), pages)
	}
	first := do[page[api.Experiment]](r, "GET", "/experiments?limit=2", nil)
	rest := do[page[api.Experiment]](r, "GET", "/experiments?limit=2&cursor="+*first.NextCursor, nil)
	if len(first.Items) != 2 || len(rest.Items) != 1 || rest.NextCursor != nil {
		t.Errorf("experiments: %d and %d", len(first.Items), len(rest.Items))
	}
	for _, bad := range []string{"zzz", "b2-1", "!"} {
		r.refuses(400, "GET", "/experiments?cursor="+bad, nil)
	}
}

func TestTheQueueTellsWhatWaitsAndRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 3)
	r.claim(1)
	got := do[api.Queue](r, "GET", "/queue", nil)
	if len(got.Keys) != 1 || got.Keys[0].Key != "local" || got.Keys[0].Running != 1 || got.Keys[0].Queued != 2 || got.Keys[0].OldestAgeSeconds == nil {
		t.Errorf("queue: %+v", got)
	}
	if got := do[api.QueueKeyHistory](r, "PUT", "/queue/limit?key=local", map[string]int{"limit": 1}); *got.Limit != 1 {
		t.Errorf("limit set: %+v", got)
	}
	if jobs := r.claim(1); len(jobs) > 0 {
		t.Errorf("claimed above the limit: %+v", jobs)
	}
	if got := do[api.QueueKeyHistory](r, "PUT", "/queue/limit?key=local", map[string]int{}); *got.Limit < 4 || *got.Limit != *got.ConfiguredLimit {
		t.Errorf("limit restored: %+v", got)
	}
}

func TestAQueueKeyIsPausedAndItsHistoryKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 2)
	r.refuses(404, "GET", "/queue/key?key=openai/gpt-5", nil)
	got := do[api.QueueKeyHistory](r, "POST", "/queue/pause?key=local", api.QueueReason{Reason: "repairs", By: "ann"})
	if !got.Paused || *got.PausedBy != "local" || len(got.Changes) != 1 || got.Changes[0].Reason != "repairs" || got.Changes[0].By != "ann" {
		t.Errorf("paused: %+v", got)
	}
	if jobs := r.claim(1); len(jobs) > 0 {
		t.Errorf("claimed of a paused key: %+v", jobs)
	}
	if got := do[api.QueueKeyHistory](r, "POST", "/queue/resume?key=local", nil); got.Paused || got.Changes[0].Kind != "resume" { // without a body
		t.Errorf("resumed: %+v", got)
	}
	if jobs := r.claim(1); len(jobs) != 1 {
		t.Errorf("claimed %+v", jobs)
	}
	pattern := do[api.QueueKeyHistory](r, "PUT", "/queue/limit?key=OpenAI%2F*", map[string]any{"limit": 4, "by": "bob"})
	if pattern.Key != "openai/*" || *pattern.Limit != 4 || pattern.ConfiguredLimit != nil || pattern.Changes[0].From != nil || *pattern.Changes[0].To != 4 {
		t.Errorf("pattern: %+v", pattern)
	}
	if again := do[api.QueueKeyHistory](r, "GET", "/queue/key?key=openai/*", nil); len(again.Changes) != 1 || again.Changes[0].By != "bob" {
		t.Errorf("read again: %+v", again)
	}
	contains(t, r.refuses(422, "POST", "/queue/pause?key=openai", nil), `"openai/*"`)
	contains(t, r.refuses(422, "PUT", "/queue/limit?key=openai/gpt-*", map[string]int{"limit": 4}), "PROVIDER/*")
	r.refuses(422, "PUT", "/queue/limit?key=local", map[string]int{"limit": -1})
}

func TestAnExperimentIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit("a", 2).ExperimentID
	if got := do[api.Experiment](r, "POST", "/experiments/"+id+"/pause", nil); !got.Paused || got.Counts[api.StatusQueued] != 2 {
		t.Errorf("paused: %+v", got)
	}
	if jobs := r.claim(1); len(jobs) > 0 {
		t.Errorf("claimed of a paused experiment: %+v", jobs)
	}
	if got := do[api.Queue](r, "GET", "/queue", nil); got.Keys[0].Held != 2 || got.Keys[0].Queued != 2 || got.Keys[0].Paused {
		t.Errorf("queue: %+v", got)
	}
	if got := do[api.Experiment](r, "POST", "/experiments/"+id+"/resume", nil); got.Paused {
		t.Errorf("resumed: %+v", got)
	}
	if jobs := r.claim(1); len(jobs) != 1 {
		t.Errorf("claimed %+v", jobs)
	}
	r.refuses(404, "POST", "/experiments/nothing/pause", nil)
}

func TestTheWholeServerIsPausedUnderItsOwnKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 1)
	if got := do[api.QueueKeyHistory](r, "POST", "/queue/pause?key=*", nil); !got.Paused || got.Key != "*" || got.Limit != nil || got.Queued != 1 {
		t.Errorf("paused: %+v", got)
	}
	if jobs := r.claim(1); len(jobs) > 0 {
		t.Errorf("claimed of a paused server: %+v", jobs)
	}
	contains(t, r.refuses(422, "PUT", "/queue/limit?key=*", map[string]int{"limit": 4}), "only be paused and resumed")
}

func TestAKeyTellsOfRateLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit("a", 2)
	job := r.claim(1)[0]
	wait := 30.0
	report := api.Finish{Outcome: api.StatusFailed, ErrorType: "RateLimitError", ErrorClass: api.ClassRateLimit, RetryAfterSec: &wait}
	if _, err := r.queue.Finish(t.Context(), job.ID, job.Lease, report); err != nil {
		t.Fatal(err)
	}
	got := do[api.QueueKeyHistory](r, "GET", "/queue/key?key=local", nil)
	if got.EffectiveLimit == nil || *got.EffectiveLimit >= *got.Limit || got.HeldUntil == nil || got.Changes[0].Kind != "rate_limit" || got.Changes[0].By != "" {
		t.Errorf("key: %+v", got)
	}
	_, text, _ := r.request("GET", "/metrics", nil)
	contains(t, text, `oddish_queue_effective_limit{queue_key="local"} 0`)
}

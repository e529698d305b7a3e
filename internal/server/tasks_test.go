package server

import (
	"slices"
	"testing"

	"oddish/api"
)

func TestTasksAreListedByStateUserAndExperiment(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.submit("a", 1), r.submit("b", 2)
	jobs := r.claim(1)
	if len(jobs) != 1 || jobs[0].Trial.TaskID != a.ID {
		t.Fatalf("claimed %+v", jobs)
	}
	r.finish(jobs[0], passed())
	for query, want := range map[string][]string{
		"":                                    {b.ID, a.ID},
		"?limit=1":                            {b.ID},
		"?limit=1&offset=1":                   {a.ID},
		"?status=completed":                   {a.ID},
		"?status=pending":                     {b.ID},
		"?status=failed":                      {},
		"?status=pending&offset=1":            {},
		"?experiment_id=of-a":                 {a.ID},
		"?experiment_id=" + b.ExperimentID:    {b.ID},
		"?experiment_id=nope":                 {},
		"?user=me":                            {b.ID, a.ID},
		"?user=you":                           {},
		"?include_trials=false&status=failed": {},
	} {
		got := []string{}
		for _, task := range do[[]api.Task](r, "GET", "/tasks"+query, nil) {
			got = append(got, task.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("tasks%s: %v, want %v", query, got, want)
		}
	}
	r.refuses(422, "GET", "/tasks?status=happy", nil)
	r.refuses(422, "GET", "/tasks?limit=0", nil)
}

func TestATaskCountsItsTrials(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("a", 3)
	waiting := do[api.Task](r, "GET", "/tasks/"+sub.ID, nil)
	if waiting.RewardTotal != nil || waiting.RewardSum != nil || waiting.Progress != "0/3 completed" || len(waiting.Trials) != 3 || waiting.FinishedAt != nil {
		t.Errorf("before it runs: %+v", waiting)
	}
	if byName := do[api.Task](r, "GET", "/tasks/a", nil); byName.ID != sub.ID || len(byName.Trials) != 3 {
		t.Errorf("by its name: %+v", byName)
	}
	jobs := r.claim(3)
	r.finish(jobs[0], passed())
	r.finish(jobs[1], api.Finish{Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": 0.5}})
	running := do[api.Task](r, "GET", "/tasks/"+sub.ID+"?include_trials=false", nil)
	if running.Status != api.TaskRunning || running.Trials != nil || running.Progress != "2/3 completed" {
		t.Errorf("while it runs: %+v", running)
	}
	r.finish(jobs[2], api.Finish{Outcome: api.StatusFailed, ErrorType: "BuildError", ErrorClass: api.ClassPermanent, ErrorMessage: "no"})
	done := do[api.Task](r, "GET", "/tasks/"+sub.ID, nil)
	if done.Status != api.TaskCompleted || done.Completed != 3 || done.Failed != 1 || *done.RewardSuccess != 1 || *done.RewardTotal != 2 || *done.RewardSum != 1.5 {
		t.Errorf("at its end: %+v", done)
	}
	if done.StartedAt == nil || done.FinishedAt == nil {
		t.Error("it has no times")
	}
	bad := done.Trials[2]
	if bad.Status != api.StatusFailed || bad.Reward != nil || *bad.ErrorType != "BuildError" || *bad.ErrorMessage != "no" {
		t.Errorf("the failed trial: %+v", bad)
	}
}

func TestTasksAreCancelledAndDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.submit("a", 2)
	jobs := r.claim(1)
	r.putFile(jobs[0], "trial.log", "x")
	contains(t, r.refuses(409, "DELETE", "/tasks/"+a.ID, nil), "cancel")
	r.refuses(400, "POST", "/tasks/cancel", api.Cancel{TaskIDs: []string{}})
	r.refuses(404, "POST", "/tasks/cancel", api.Cancel{TaskIDs: []string{"nope"}})
	got := do[api.Cancelled](r, "POST", "/tasks/cancel", api.Cancel{TaskIDs: []string{a.ID, "nope"}})
	if got.TasksFound != 1 || got.TasksCancelled != 1 || got.TrialsCancelled != 2 || !slices.Equal(got.NotFoundTaskIDs, []string{"nope"}) {
		t.Errorf("cancelled: %+v", got)
	}
	ack := do[api.HeartbeatAck](r, "POST", "/worker/v1/heartbeat", api.Heartbeat{WorkerID: "w1", Jobs: []api.JobRef{{ID: jobs[0].ID, Lease: jobs[0].Lease}}})
	if !slices.Equal(ack.Cancel, []string{jobs[0].ID}) {
		t.Errorf("the worker hears of %v", ack.Cancel)
	}
	r.finish(jobs[0], api.Finish{Outcome: api.StatusCancelled})
	if task := do[api.Task](r, "GET", "/tasks/"+a.ID, nil); task.Status != api.TaskFailed || task.Completed != 2 || task.Failed != 0 {
		t.Errorf("a cancelled task: %+v", task)
	}
	do[api.Deleted](r, "DELETE", "/tasks/"+a.ID, nil)
	r.refuses(404, "GET", "/tasks/"+a.ID, nil)
	r.refuses(404, "DELETE", "/tasks/"+a.ID, nil)
	if left := must(r.blobs.List(t.Context(), "tasks")); len(left) > 0 {
		t.Errorf("archives of a deleted task: %v", left)
	}
	if left := must(r.blobs.List(t.Context(), jobs[0].Trial.ExperimentID)); len(left) > 0 {
		t.Errorf("files of a deleted task: %v", left)
	}
}

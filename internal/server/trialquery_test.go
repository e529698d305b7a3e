package server

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"oddish/api"
)

// broken ends a trial by an error for good.
func broken(errorType string) api.Finish {
	return api.Finish{Outcome: api.StatusFailed, ErrorType: errorType, ErrorClass: api.ClassPermanent}
}

func (r *rig) matching(query string) []string {
	r.t.Helper()
	ids := []string{}
	for cursor := ""; ; {
		p := do[page[api.Trial]](r, "GET", "/trials?limit=2&q="+url.QueryEscape(query)+"&cursor="+cursor, nil)
		for _, t := range p.Items {
			ids = append(ids, t.ID)
		}
		if p.NextCursor == nil {
			return ids
		}
		cursor = *p.NextCursor
	}
}

func TestTrialsAreListedByQuery(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.submit("a", 5), r.submit("b", 2)
	jobs := r.claim(3)
	r.finish(jobs[0], passed())
	r.finish(jobs[1], broken("SandboxStartError"))
	if got := r.matching(""); len(got) != 7 || !slices.Contains(b.NewTrialIDs, got[0]) {
		t.Errorf("all: %v; want 7, the newest first", got)
	}
	if got := r.matching("experiment:of-a"); !slices.Equal(got, a.NewTrialIDs) {
		t.Errorf("of one experiment: %v, want %v", got, a.NewTrialIDs)
	}
	if got := r.matching("experiment:of-* status:failed error:SandboxStart*"); !slices.Equal(got, []string{jobs[1].ID}) {
		t.Errorf("failed: %v, want %s", got, jobs[1].ID)
	}
	if got := r.matching("status:active experiment:none-such"); len(got) != 0 {
		t.Errorf("of no experiment: %v", got)
	}
	contains(t, r.refuses(422, "GET", "/trials?q=stauts:failed", nil), `query, column 1, at "stauts"`, "did you mean status?")
	for _, cursor := range []string{"abc", "!", "cDEgMSAuLi94"} {
		contains(t, r.refuses(400, "GET", "/trials?cursor="+cursor, nil), "malformed cursor")
	}
}

// Harbor test list #44, #46
func TestFailedTrialsAreRetriedByQueryTaskExperimentOrID(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		body func(s api.Submitted) api.RetryTrials
		want int // of 2 failed by two errors, 1 cancelled, 1 passed, 1 queued
	}{
		{"query", func(api.Submitted) api.RetryTrials {
			return api.RetryTrials{Query: "experiment:of-a status:failed error:SandboxStart*"}
		}, 1},
		{"query for what did not end well", func(api.Submitted) api.RetryTrials { return api.RetryTrials{Query: "task:a"} }, 3},
		{"task", func(s api.Submitted) api.RetryTrials { return api.RetryTrials{TaskID: s.ID} }, 2},
		{"experiment by name", func(api.Submitted) api.RetryTrials { return api.RetryTrials{ExperimentID: "of-a"} }, 2},
		{"experiment with cancelled ones", func(s api.Submitted) api.RetryTrials {
			return api.RetryTrials{ExperimentID: s.ExperimentID, Cancelled: true}
		}, 3},
		{"trials", func(s api.Submitted) api.RetryTrials {
			return api.RetryTrials{TrialIDs: s.NewTrialIDs, Reason: "the disk was full"}
		}, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			s := r.submit("a", 5)
			jobs := r.claim(3)
			r.putFile(jobs[1], "trial.log", "of the first run")
			r.finish(jobs[0], passed())
			r.finish(jobs[1], broken("SandboxStartError"))
			r.finish(jobs[2], broken("VerifierBuildError"))
			do[api.Cancelled](r, "POST", "/trials/"+s.NewTrialIDs[3]+"/cancel", nil)
			body := tc.body(s)
			body.DryRun = true
			plan := do[api.RetriedTrials](r, "POST", "/trials/retry", body)
			if plan.TrialsRetried != tc.want || !plan.DryRun || len(r.matching("status:failed")) != 2 {
				t.Errorf("a dry run gives %+v and must change nothing", plan)
			}
			body.DryRun = false
			got := do[api.RetriedTrials](r, "POST", "/trials/retry", body)
			if got.TrialsRetried != tc.want || len(got.TrialIDs) != tc.want || got.Matched != plan.Matched || got.Errors["SandboxStartError"] != 1 {
				t.Errorf("retried %+v, want %d", got, tc.want)
			}
			if !slices.Equal(got.ExperimentIDs, []string{s.ExperimentID}) {
				t.Errorf("experiments are %v", got.ExperimentIDs)
			}
			if passed := do[api.Trial](r, "GET", "/trials/"+jobs[0].ID, nil); passed.Status != api.StatusSuccess || *passed.Reward != 1 {
				t.Errorf("the good result became %+v", passed)
			}
			if logs := do[api.TrialLogs](r, "GET", "/trials/"+jobs[1].ID+"/logs?attempt=1", nil); !strings.Contains(logs.Logs, "of the first run") {
				t.Errorf("the log of the first run is %q", logs.Logs)
			}
			if again := do[api.RetriedTrials](r, "POST", "/trials/retry", body); again.TrialsRetried != 0 {
				t.Errorf("retrying again queues %+v", again)
			}
		})
	}
}

func TestARetryThatNamesNothingOrTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for body, want := range map[string]string{
		`{}`: "give exactly one of", `{"query":"a","task_id":"b"}`: "give exactly one of",
		`{"query":"  "}`: "the query is empty", `{"query":"status:bad"}`: "there is no status bad",
	} {
		contains(t, r.refuses(422, "POST", "/trials/retry", body), want)
	}
	contains(t, r.refuses(404, "POST", "/trials/retry", `{"task_id":"nope"}`), "Task nope")
	contains(t, r.refuses(404, "POST", "/trials/retry", `{"experiment_id":"nope"}`), "Experiment nope")
	if got := do[api.RetriedTrials](r, "POST", "/trials/retry", `{"trial_ids":["nope-0"]}`); got.TrialsRetried != 0 || len(got.Skipped) != 1 || got.Matched != 0 {
		t.Errorf("a trial that is none gives %+v", got)
	}
	s := r.submit("a", 1)
	r.finish(r.claim(1)[0], passed())
	contains(t, r.refuses(409, "POST", fmt.Sprintf("/trials/%s/retry", s.NewTrialIDs[0]), nil), "good result", "--again")
}

func TestTrialsAreCancelledByQuery(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.submit("a", 3)
	r.submit("b", 2)
	r.claim(1)
	for query, want := range map[string]string{"": "the query is empty", "zz:1": "there is no field zz"} {
		contains(t, r.refuses(422, "POST", "/trials/cancel", api.CancelTrials{Query: query}), want)
	}
	plan := do[api.Cancelled](r, "POST", "/trials/cancel", api.CancelTrials{Query: "experiment:of-a", DryRun: true})
	if plan.Status != "planned" || plan.TrialsCancelled != 3 || len(r.matching("status:active")) != 5 {
		t.Errorf("a dry run gives %+v and must change nothing", plan)
	}
	got := do[api.Cancelled](r, "POST", "/trials/cancel", api.CancelTrials{Query: "experiment:of-a status:queued"})
	if got.Status != "cancelled" || got.TrialsCancelled != 2 || !slices.Equal(got.TaskIDs, []string{a.ID}) {
		t.Errorf("cancelled %+v, want 2 of task %s", got, a.ID)
	}
	if got := do[api.Cancelled](r, "POST", "/trials/cancel", api.CancelTrials{Query: "status:cancelled"}); got.TrialsCancelled != 0 {
		t.Errorf("cancelling what has ended gives %+v", got)
	}
	if left := r.matching("status:active"); len(left) != 3 {
		t.Errorf("%v are left, want 3", left)
	}
}

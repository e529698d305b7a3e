package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/predicate"
	"oddish/internal/queue"
	"oddish/internal/store"
	"oddish/internal/store/storetest"
)

// matchRig is a database with trials of all kinds, known by what is special about them.
type matchRig struct {
	t     *testing.T
	db    *store.DB
	queue *queue.Queue
	now   time.Time
	ids   map[string]string // by name
	names map[string]string // by id
}

// matchTrial is one of its trials.
type matchTrial struct {
	name, task, experiment, agent, model, env, user string
	tags                                            map[string]string
	reports                                         []api.Finish // of its runs
	then                                            string       // running: it is claimed once more; cancelled
}

func failed(errorType, message string, class api.ErrorClass) api.Finish {
	return api.Finish{Outcome: api.StatusFailed, ErrorType: errorType, ErrorMessage: message, ErrorClass: class}
}

func scored(reward float64) api.Finish {
	return api.Finish{Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": reward}}
}

func newMatchRig(t *testing.T) *matchRig {
	t.Helper()
	r := &matchRig{
		t: t, db: storetest.Open(t), now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
		ids: map[string]string{}, names: map[string]string{},
	}
	r.queue = queue.New(r.db, queue.Options{Now: func() time.Time { return r.now }})
	timeout := scored(0.5)
	timeout.ErrorType, timeout.ErrorClass = "AgentTimeoutError", api.ClassResult
	r.add(matchTrial{name: "pass", task: "hello-world", experiment: "Nightly Run", agent: "codex", model: "openai/gpt-5.2", reports: []api.Finish{scored(1)}})
	r.now = r.now.Add(24 * time.Hour)
	r.add(matchTrial{name: "zero", task: "hello-world", experiment: "Nightly Run", agent: "claude-code", model: "anthropic/claude-sonnet-4-5", reports: []api.Finish{scored(0)}})
	r.add(matchTrial{name: "timeout", task: "fix_100%", experiment: "Nightly Run", agent: "codex", model: "openai/gpt-5.2", user: "Ann",
		tags: map[string]string{"suite": "smoke", "a.b c": "x"}, reports: []api.Finish{timeout}})
	r.add(matchTrial{name: "broken", task: "hello-there", experiment: "calm-otter-k3f9", agent: "codex", model: "openai/gpt-5.2", env: "docker",
		reports: []api.Finish{failed("SandboxStartTimeoutError", "no SANDBOX after 600 s", api.ClassPermanent)}})
	r.add(matchTrial{name: "retrying", task: "hello-there", experiment: "calm-otter-k3f9", agent: "codex", model: "openai/gpt-5.2",
		reports: []api.Finish{failed("SandboxLostError", "it is gone", api.ClassInfrastructure)}})
	r.add(matchTrial{name: "running", task: "hello-world", experiment: "third", agent: "oracle", then: "running"})
	r.now = r.now.Add(2 * time.Hour)
	r.add(matchTrial{name: "cancelled", task: "hello-world", experiment: "third", agent: "nop", then: "cancelled"})
	r.add(matchTrial{name: "queued", task: "hello-world", experiment: "third", agent: "nop"})
	return r
}

func (r *matchRig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *matchRig) add(m matchTrial) {
	r.t.Helper()
	ctx := r.t.Context()
	task, version, err := r.db.AddVersion(ctx, m.task+"-id", m.task, "hash of "+m.task, "", func(int) string { return "tasks/" + m.task })
	r.must(err)
	s := api.Sweep{TaskID: task.ID, User: m.user, Tags: m.tags, ExperimentID: &m.experiment, Configs: []api.SweepConfig{{Agent: m.agent, NTrials: 1}}}
	if m.model != "" {
		s.Configs[0].Model = &m.model
	}
	env := m.env
	if env == "" {
		env = "fake"
	}
	submitted, err := r.queue.Submit(ctx, queue.Submission{Sweep: s, Task: task, Version: version, Environment: env})
	r.must(err)
	id := submitted.TrialIDs[0]
	r.ids[m.name], r.names[id] = id, m.name
	runs := len(m.reports)
	if m.then == "running" {
		runs++
	}
	for i := range runs {
		claimed, err := r.queue.Claim(ctx, api.Claim{WorkerID: "worker-" + m.name, Hostname: "h", Version: "v", Slots: 1, Sandboxes: []string{env}})
		r.must(err)
		if len(claimed) != 1 || claimed[0].Trial.ID != id {
			r.t.Fatalf("claimed %+v, want %s", claimed, m.name)
		}
		if i < len(m.reports) {
			_, err = r.queue.Finish(ctx, id, claimed[0].Lease, m.reports[i])
			r.must(err)
		}
	}
	if m.then == "cancelled" {
		_, err := r.queue.Cancel(ctx, queue.CancelFilter{TrialIDs: []string{id}})
		r.must(err)
	}
}

func (r *matchRig) match(text string) store.Match {
	r.t.Helper()
	q, err := predicate.Parse(text)
	r.must(err)
	m, err := r.db.Match(r.t.Context(), q, r.now)
	r.must(err)
	return m
}

// matching gives the names of what matches, sorted.
func (r *matchRig) matching(text string) []string {
	r.t.Helper()
	ids, err := r.db.MatchingIDs(r.t.Context(), r.match(text))
	r.must(err)
	var names []string
	for _, id := range ids {
		names = append(names, r.names[id])
	}
	slices.Sort(names)
	return names
}

func TestAQueryMatchesWhatItNames(t *testing.T) {
	t.Parallel()
	r := newMatchRig(t)
	id := func(name string) string { return r.ids[name] }
	e, err := r.db.Experiment(t.Context(), "third")
	r.must(err)
	all := "broken cancelled pass queued retrying running timeout zero"
	for query, want := range map[string]string{
		"":                                  all,
		`experiment:"nightly run"`:          "pass timeout zero",
		"experiment:calm-*":                 "broken retrying",
		"experiment:" + e.ID:                "cancelled queued running",
		"experiment:calm-*,third":           "broken cancelled queued retrying running",
		"experiment:no-such":                "",
		"-experiment:no-such":               all,
		"-experiment:third":                 "broken pass retrying timeout zero",
		"task:hello-there":                  "broken retrying",
		"task:hello-there-id":               "broken retrying",
		"task:org/Hello-There":              "broken retrying",
		"task:hello-*":                      "broken cancelled pass queued retrying running zero",
		"task:fix_100%":                     "timeout",
		"task:fix?100*":                     "timeout",
		"task:%":                            "",
		"trial:" + id("pass"):               "pass",
		"trial:hello-there-*":               "broken retrying",
		"trial:x-0," + id("queued"):         "queued",
		"-trial:" + id("queued"):            strings.Replace(all, "queued ", "", 1),
		"status:queued":                     "queued",
		"status:active":                     "queued retrying running",
		"status:ended":                      "broken cancelled pass timeout zero",
		"status:failed,cancelled":           "broken cancelled",
		"-status:active":                    "broken cancelled pass timeout zero",
		"error:none":                        "cancelled pass queued running zero",
		"error:any":                         "broken retrying timeout",
		"error:sandbox*":                    "broken retrying",
		"error:SandboxStart* status:failed": "broken",
		"-error:Sandbox*":                   "cancelled pass queued running timeout zero",
		"error:none,AgentTimeoutError":      "cancelled pass queued running timeout zero",
		"class:infrastructure":              "retrying",
		"class:result,permanent":            "broken timeout",
		"class:none status:success":         "pass zero",
		"message:sandbox":                   "broken",
		`message:"600 s"`:                   "broken",
		"message:no*600":                    "broken",
		"agent:nop,oracle":                  "cancelled queued running",
		"agent:c*":                          "broken pass retrying timeout zero",
		"model:openai/gpt-5.2":              "broken pass retrying timeout",
		"model:gpt-5.2":                     "broken pass retrying timeout",
		"model:GPT-*":                       "broken pass retrying timeout",
		"model:gpt":                         "",
		"-model:openai/*":                   "cancelled queued running zero",
		"key:local":                         "cancelled queued running",
		"key:openai/*":                      "broken pass retrying timeout",
		"env:docker":                        "broken",
		"worker:worker-running":             "running",
		"worker:worker-r*":                  "retrying running",
		"worker:worker-pass":                "pass",
		"reward:1":                          "pass",
		"reward:<1":                         "timeout zero",
		"reward:>=0.5":                      "pass timeout",
		"reward:none":                       "broken cancelled queued retrying running",
		"reward:any":                        "pass timeout zero",
		"-reward:1":                         "broken cancelled queued retrying running timeout zero",
		"attempts:0":                        "cancelled queued",
		"attempts:>=1":                      "broken pass retrying running timeout zero",
		"version:1":                         all,
		"version:>1":                        "",
		"user:ann":                          "timeout",
		"created:2026-11-25":                "pass",
		"created:<2026-11-26":               "pass",
		"created:>1d":                       "pass",
		"created:<1h":                       "cancelled queued",
		"finished:none":                     "queued retrying running",
		"finished:<3h":                      "broken cancelled timeout zero",
		"-finished:<3h":                     "pass queued retrying running",
		"tag:suite=smoke":                   "timeout",
		"tag:suite=SM*":                     "timeout",
		"tag:suite=other":                   "",
		"tag:suite":                         "timeout",
		`tag:"a.b c=x"`:                     "timeout",
		"-tag:suite":                        strings.Replace(all, "timeout ", "", 1),
		"nightly":                           "pass timeout zero",
		"codex there":                       "broken retrying",
		"-codex -claude":                    "cancelled queued running",
		"SONNET":                            "zero",
		"100%":                              "timeout",
		`"%"`:                               "timeout",
		"o'hara":                            "",
		"experiment:third status:active agent:nop": "queued",
	} {
		t.Run(query, func(t *testing.T) {
			got := r.matching(query)
			if strings.Join(got, " ") != want {
				t.Errorf("matches %v, want %s", got, want)
			}
		})
	}
}

func TestAQueryAsLargeAsAllowedIsAnswered(t *testing.T) {
	t.Parallel()
	r := newMatchRig(t)
	for _, query := range []string{
		strings.TrimSpace(strings.Repeat("-zz ", 500)), strings.TrimSuffix(strings.Repeat("x*,", 500), ","), "agent:" + strings.Repeat("x*,", 499) + "y",
		"experiment:" + strings.Repeat("xx,", 499) + "third", strings.TrimSpace(strings.Repeat("-error:x* ", 500)),
	} {
		r.matching(query)
	}
}

func TestMatchingTrialsArePagedNewestFirst(t *testing.T) {
	t.Parallel()
	r := newMatchRig(t)
	for _, query := range []string{"", "agent:codex,nop", "status:ended"} {
		m := r.match(query)
		whole, err := r.db.MatchingTrials(t.Context(), m, nil, 100)
		r.must(err)
		for size := 1; size <= 3; size++ {
			var got []string
			var after *store.Position
			for {
				part, err := r.db.MatchingTrials(t.Context(), m, after, size)
				r.must(err)
				for _, tr := range part {
					got = append(got, tr.ID)
				}
				if len(part) < size {
					break
				}
				last := store.PositionOf(part[len(part)-1])
				after = &last
			}
			var want []string
			for _, tr := range whole {
				want = append(want, tr.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q by %d: %v, want %v", query, size, got, want)
			}
		}
		if newest := r.names[whole[0].ID]; newest != "cancelled" {
			t.Errorf("%q: %s is first", query, newest)
		}
	}
}

func TestManyExperimentsAreNotListedInTheStatement(t *testing.T) {
	t.Parallel()
	r := newMatchRig(t)
	for i := range 250 {
		r.add(matchTrial{name: fmt.Sprint("many", i), task: "hello-world", experiment: fmt.Sprintf("many-%d", i), agent: "nop", then: "cancelled"})
	}
	if got := r.matching("experiment:many-*"); len(got) != 250 {
		t.Errorf("%d trials match, want 250", len(got))
	}
	if got := r.matching("-experiment:many-* status:cancelled"); !slices.Equal(got, []string{"cancelled"}) {
		t.Errorf("the others are %v", got)
	}
}

package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"oddish/api"
)

// fakeSource is a Source with fixed content.
type fakeSource struct {
	experiments []api.Experiment
	trials      []api.Trial
	attempts    []Attempt
	steps       []api.TrialStep
	files       []File
	text        string
	cut         int64
	err         error
}

func (f *fakeSource) Experiments(_ context.Context, limit, offset int) ([]api.Experiment, error) {
	return cut(f.experiments, limit, offset), f.err
}

func (f *fakeSource) Experiment(_ context.Context, id string) (api.Experiment, int64, error) {
	for _, e := range f.experiments {
		if e.ID == id || e.Name == id {
			return e, 7, f.err
		}
	}
	return api.Experiment{}, 0, ErrNotFound
}

func (f *fakeSource) Trials(_ context.Context, _ string, limit, offset int) ([]api.Trial, error) {
	return cut(f.trials, limit, offset), f.err
}

func (f *fakeSource) TrialsByID(_ context.Context, ids []string) ([]api.Trial, error) {
	var found []api.Trial
	for _, t := range f.trials {
		for _, id := range ids {
			if t.ID == id {
				found = append(found, t)
			}
		}
	}
	return found, f.err
}

func (f *fakeSource) Trial(_ context.Context, id string) (api.Trial, error) {
	for _, t := range f.trials {
		if t.ID == id {
			return t, f.err
		}
	}
	return api.Trial{}, ErrNotFound
}

func (f *fakeSource) Attempts(context.Context, string) ([]Attempt, error) { return f.attempts, f.err }

func (f *fakeSource) Steps(context.Context, string, int) ([]api.TrialStep, error) {
	return f.steps, f.err
}

func (f *fakeSource) Files(context.Context, string, int) ([]File, error) { return f.files, f.err }

func (f *fakeSource) Tail(context.Context, string, int, string, int64) (string, int64, error) {
	return f.text, f.cut, f.err
}

func cut[T any](list []T, limit, offset int) []T {
	list = list[min(offset, len(list)):]
	return list[:min(limit, len(list))]
}

func get(t *testing.T, s *fakeSource, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	p, err := New(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	p.Register(mux)
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func page(t *testing.T, s *fakeSource, path string) string {
	t.Helper()
	w := get(t, s, path)
	if w.Code != 200 {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

func ptr[T any](v T) *T { return &v }

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q is in:\n%s", part, text)
		}
	}
}

var started = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func trialIn(status api.Status) api.Trial {
	return api.Trial{ID: "t-1", Name: "hello-1", TaskID: "hello-abcd", ExperimentID: "e1", Agent: "oracle", Model: "default", QueueKey: "local",
		Status: status, Attempts: 1, MaxAttempts: 3, CreatedAt: started}
}

func source(trials ...api.Trial) *fakeSource {
	e := api.Experiment{ID: "e1", Name: "my experiment", Total: len(trials), TaskCount: 1, CreatedAt: started, LastActivity: started, Counts: map[api.Status]int{}}
	for _, t := range trials {
		e.Counts[t.Status]++
		if t.Status.Terminal() {
			e.Completed++
		}
		if t.Reward != nil {
			e.RewardTotal++
			e.RewardSum += *t.Reward
			if *t.Reward >= 1 {
				e.RewardPassed++
			}
		}
	}
	return &fakeSource{experiments: []api.Experiment{e}, trials: trials}
}

func TestEveryStateHasAGlyphAndAWord(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for name, tc := range map[string]struct {
		change func(*api.Trial)
		want   string
	}{
		"queued":          {func(t *api.Trial) { t.Status, t.QueueInfo = api.StatusQueued, &api.QueueInfo{Ahead: 4} }, "○ queued 4 ahead"},
		"running":         {func(t *api.Trial) { t.Status, t.HarborStage = api.StatusRunning, ptr(api.StageVerification) }, "◔ running verifier"},
		"retrying":        {func(t *api.Trial) { t.Status = api.StatusRetrying }, "↻ retrying after 1 of 3"},
		"cancelled":       {func(t *api.Trial) { t.Status = api.StatusCancelled }, "⊘ cancelled "},
		"error":           {func(t *api.Trial) { t.Status, t.ErrorType = api.StatusFailed, ptr("BuildError") }, "! error "},
		"passed":          {func(t *api.Trial) { t.Reward = ptr(1.0) }, "✔ passed "},
		"above 1":         {func(t *api.Trial) { t.Reward = ptr(3.0) }, "✔ passed "},
		"late but passed": {func(t *api.Trial) { t.Reward, t.ErrorType = ptr(1.0), ptr("AgentTimeoutError") }, "✔ passed "},
		"partial":         {func(t *api.Trial) { t.Reward = ptr(0.5) }, "◐ partial "},
		"failed":          {func(t *api.Trial) { t.Reward = ptr(0.0) }, "✘ not passed "},
		"no reward":       {func(t *api.Trial) {}, "– no reward "},
		"timeout":         {func(t *api.Trial) { t.Reward, t.ErrorType = ptr(0.0), ptr("AgentTimeoutError") }, "◷ timeout "},
	} {
		trial := trialIn(api.StatusSuccess)
		tc.change(&trial)
		o := outcomeOf(trial)
		if got := o.Glyph + " " + o.Word + " " + o.Detail; got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
		text := page(t, source(trial), "/e/e1")
		contains(t, text, `<span class="st `+o.Class+`">`, o.Glyph+"</span> "+o.Word)
		seen[o.Glyph] = true
	}
	if len(seen) != 10 {
		t.Errorf("%d glyphs for 10 states", len(seen))
	}
}

func TestAnUnknownRewardIsNotZero(t *testing.T) {
	t.Parallel()
	text := page(t, source(trialIn(api.StatusFailed)), "/e/e1")
	contains(t, text, `<td class="c-reward num">–</td>`, "<dd>–")
	zero := trialIn(api.StatusSuccess)
	zero.Reward = ptr(0.0)
	contains(t, page(t, source(zero), "/e/e1"), `<td class="c-reward num">0</td>`, "<dd>0.000")
}

func TestWhatAnAgentWroteIsEscaped(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert(1)</script>"'onload=x`
	trial := trialIn(api.StatusFailed)
	trial.Name, trial.Agent, trial.ErrorType, trial.ErrorMessage = evil, evil, ptr(evil), ptr(evil)
	s := source(trial)
	s.experiments[0].Name = evil
	s.text = evil
	s.files = []File{{Path: evil, Size: 3, URL: "javascript:alert(1)", IsLog: true}}
	s.attempts = []Attempt{{Number: 1, Outcome: api.StatusFailed, ErrorType: evil, ErrorMessage: evil, StartedAt: started}}
	s.steps = []api.TrialStep{{Name: evil, ErrorType: ptr(evil), ErrorMessage: ptr(evil), Rewards: map[string]float64{evil: 1, "x": 2}}}
	for _, path := range []string{"/", "/e/e1", "/t/t-1", "/e/e1/rows?trial=t-1"} {
		lacks(t, page(t, s, path), "<script>alert", `href="javascript:`)
	}
}

func TestPagesHaveNoScriptsOrStylesInside(t *testing.T) {
	t.Parallel()
	inside := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?:\s[^>]*)?>[^<]|src="(?:https?:)?//|href="(?:https?:)?//`)
	s := source(trialIn(api.StatusRunning))
	for _, path := range []string{"/", "/e/e1", "/t/t-1"} {
		w := get(t, s, path)
		if found := inside.FindString(w.Body.String()); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		policy := w.Header().Get("Content-Security-Policy")
		contains(t, policy, "default-src 'none'", "script-src 'self'", "frame-ancestors 'none'")
		lacks(t, policy, "unsafe", "*")
	}
}

func TestEmptyPagesSayWhatFillsThem(t *testing.T) {
	t.Parallel()
	contains(t, page(t, &fakeSource{}, "/"), "No experiments yet", "oddish run -p examples/tasks -a oracle")
	contains(t, page(t, source(), "/e/e1"), "No trials yet", "--experiment e1")
	contains(t, page(t, source(trialIn(api.StatusQueued)), "/t/t-1"), "Waiting to start", "oddish worker")
	contains(t, page(t, source(trialIn(api.StatusCancelled)), "/t/t-1"), "It never started", "oddish run --task hello-abcd -a oracle")
}

func TestPagesThatAreNotThereSaySo(t *testing.T) {
	t.Parallel()
	s := source(trialIn(api.StatusSuccess))
	s.attempts = []Attempt{{Number: 1, Outcome: api.StatusSuccess, StartedAt: started}}
	for path, want := range map[string]int{
		"/e/nope": 404, "/t/nope": 404, "/t/t-1?attempt=5": 404, "/t/t-1?attempt=x": 400, "/?offset=x": 400, "/e/e1?offset=-1": 400, "/static/nope.js": 404,
		"/e/e1/rows?" + strings.Repeat("trial=x&", rowsAtOnce+1): 400,
	} {
		if w := get(t, s, path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	s.err = errors.New("the database is on fire")
	w := get(t, s, "/")
	if w.Code != 500 || strings.Contains(w.Body.String(), "fire") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestLongListsArePagedWithTheirCount(t *testing.T) {
	t.Parallel()
	var trials []api.Trial
	for i := range trialsPerPage + 3 {
		one := trialIn(api.StatusSuccess)
		one.ID = fmt.Sprintf("t-%d", i)
		trials = append(trials, one)
	}
	s := source(trials...)
	s.experiments[0].Total = 12431
	first := page(t, s, "/e/e1")
	contains(t, first, "Showing 1–500 of 12\u202f431", `href="/e/e1?offset=500"`)
	if n := strings.Count(first, "<tr id="); n != trialsPerPage {
		t.Errorf("%d rows", n)
	}
	second := page(t, s, "/e/e1?offset=500")
	contains(t, second, "Showing 501–503 of", `href="/e/e1?offset=0"`)
	lacks(t, second, "Next →")
	for i := range experimentsPerPage + 1 {
		s.experiments = append(s.experiments, api.Experiment{ID: fmt.Sprint(i), CreatedAt: started})
	}
	contains(t, page(t, s, "/"), "Showing 1–50", `href="/?offset=50"`)
}

func TestAPageFollowsFromTheStateItShows(t *testing.T) {
	t.Parallel()
	contains(t, page(t, source(trialIn(api.StatusRunning)), "/e/my%20experiment"), `data-experiment="e1" data-after="7"`)
	contains(t, page(t, source(trialIn(api.StatusRunning)), "/t/t-1"), "data-refresh")
	lacks(t, page(t, source(trialIn(api.StatusSuccess)), "/t/t-1"), "data-refresh")
	contains(t, page(t, source(trialIn(api.StatusRunning)), "/"), "data-refresh")
	lacks(t, page(t, source(trialIn(api.StatusSuccess)), "/"), "data-refresh")
	rows := page(t, source(trialIn(api.StatusRunning)), "/e/e1/rows?trial=t-1&trial=gone")
	contains(t, rows, `id="summary"`, `<tr id="r-t-1"`)
	lacks(t, rows, "<html")
}

func TestATrialsPageShowsItsHelperModels(t *testing.T) {
	t.Parallel()
	tr := trialIn(api.StatusSuccess)
	tr.ModelUsage = []api.ModelUsage{
		{Provider: "openai", Model: "gpt-5", ModelCalls: 12, InputTokens: ptr(int64(3400)), OutputTokens: ptr(int64(0)), CostUSD: ptr(0.25)},
		{Provider: "openai", Model: "gpt-5-nano", ModelCalls: 1},
	}
	contains(t, page(t, source(tr), "/t/t-1"), "openai/gpt-5</th>", ">12<", ">3400<", ">0<", "$0.2500", "openai/gpt-5-nano", "–")
	tr.ModelUsage = tr.ModelUsage[:1]
	lacks(t, page(t, source(tr), "/t/t-1"), "Tokens in") // the sums say it already
}

func TestPagesTellWhatIsPaused(t *testing.T) {
	t.Parallel()
	s := source(trialIn(api.StatusQueued))
	for _, path := range []string{"/", "/e/e1"} {
		lacks(t, strings.ToLower(page(t, s, path)), "paused")
	}
	s.experiments[0].Paused = true
	contains(t, page(t, s, "/"), "paused")
	contains(t, page(t, s, "/e/e1"), "<dt>Paused</dt>", "oddish resume -e e1")
}

func TestPagesTellWhatWasImported(t *testing.T) {
	t.Parallel()
	s, program := source(trialIn(api.StatusSuccess)), "harbor 0.26.0"
	lacks(t, page(t, s, "/e/e1"), "<dt>Imported</dt>")
	s.experiments[0].ImportedFrom = &program
	contains(t, page(t, s, "/e/e1"), "<dt>Imported</dt>", "ran with harbor 0.26.0")
}

func TestTheBarCountsEveryTrialOnce(t *testing.T) {
	t.Parallel()
	e := api.Experiment{Total: 21, RewardPassed: 2, Counts: map[api.Status]int{
		api.StatusSuccess: 5, api.StatusFailed: 1, api.StatusCancelled: 2, api.StatusRunning: 3, api.StatusRetrying: 4, api.StatusQueued: 6,
	}}
	sum := 0
	for _, s := range segments(e) {
		if s.From != sum {
			t.Errorf("%s begins at %d, want %d", s.Word, s.From, sum)
		}
		sum += s.Count
	}
	if sum != e.Total || len(segments(e)) != 7 {
		t.Errorf("%d of %d trials", sum, e.Total)
	}
}

func TestATrialsPageShowsTheAttemptAskedFor(t *testing.T) {
	t.Parallel()
	s := source(trialIn(api.StatusSuccess))
	end := started.Add(time.Minute)
	s.attempts = []Attempt{
		{Number: 1, Outcome: api.StatusRetrying, ErrorType: "SandboxError", ErrorMessage: "no space", Worker: "w1", StartedAt: started, FinishedAt: &end},
		{Number: 2, Outcome: api.StatusSuccess, Rewards: map[string]float64{"reward": 0.25, "style": 1}, StartedAt: end, Phases: map[string]api.Phase{
			"verifier":        {StartedAt: end.Add(30 * time.Second), FinishedAt: end.Add(40 * time.Second), DurationSec: 10},
			"agent_execution": {StartedAt: end, FinishedAt: end.Add(30 * time.Second), DurationSec: 30},
		}},
	}
	s.text, s.cut = "the log\n", 5<<20
	s.files = []File{{Path: "agent/out.txt", Size: 6 << 20, URL: "/f", IsLog: true}, {Path: "exception.txt", Size: 8, URL: "/x", IsLog: true}, {Path: "result.json", Size: 2, URL: "/r"}}
	last := page(t, s, "/t/t-1")
	contains(t, last, "the log", "The first 5.0 MiB are left out", "agent <b>30s</b>", "verifier <b>10s</b>", "<th scope=\"row\">style</th>", `href="/r"`, "◐", "tried again")
	lacks(t, last, "no space")
	if strings.Index(last, "exception.txt") > strings.Index(last, "agent/out.txt") {
		t.Error("the exception is not first")
	}
	if strings.Index(last, "agent <b>") > strings.Index(last, "verifier <b>") {
		t.Error("phases are not in their order")
	}
	contains(t, page(t, s, "/t/t-1?attempt=1"), "SandboxError", "no space")
}

func TestStaticFilesAreKeptAsLongAsTheyAreTheSame(t *testing.T) {
	t.Parallel()
	s := source()
	link := regexp.MustCompile(`/static/[a-z.]+\?v=[0-9a-f]+`)
	links := link.FindAllString(page(t, s, "/"), -1)
	if len(links) != 3 {
		t.Fatalf("links: %v", links)
	}
	for _, path := range links {
		w := get(t, s, path)
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Header().Get("Content-Type") == "application/octet-stream" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		bare, _, _ := strings.Cut(path, "?")
		if w := get(t, s, bare); w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s may be kept: %v", bare, w.Header())
		}
		if w := get(t, s, bare, "If-None-Match", w.Header().Get("ETag")); w.Code != 304 {
			t.Errorf("%s was sent again: %d", bare, w.Code)
		}
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		duration(-time.Second): "0s", duration(400 * time.Millisecond): "0.4s", duration(12 * time.Second): "12s", duration(184 * time.Second): "3m 04s",
		duration(135 * time.Minute): "2h 15m", duration(99 * time.Hour): "4d 3h",
		ago(time.Second): "just now", ago(30 * time.Second): "30 s ago", ago(5 * time.Minute): "5 min ago", ago(5 * time.Hour): "5 h ago", ago(100 * time.Hour): "4 days ago",
		number(0): "0", number(1): "1", number(0.5): "0.5", number(1.0 / 3): "0.333", number(100): "100", number(0.00001): "1e-05", number(-2.5): "-2.5",
		size(0): "0 B", size(1536): "1.5 KiB", size(3 << 30): "3.0 GiB",
		count(7): "7", count(1234567): "1\u202f234\u202f567",
		plural(1, "trial"): "1 trial", plural(2, "trial"): "2 trials",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAnExperimentShowsWhatItHasUsed(t *testing.T) {
	t.Parallel()
	trial := trialIn(api.StatusSuccess)
	text := page(t, source(trial), "/e/e1")
	contains(t, text, "no-usage")
	trial.InputTokens, trial.OutputTokens, trial.CostUSD = ptr(int64(2850)), ptr(int64(54)), ptr(0.0055)
	contains(t, page(t, source(trial), "/e/e1"), `<td class="c-usage num">2.9k</td>`, `<td class="c-usage num">$0.0055</td>`)
	e := api.Experiment{
		Usage:  &api.Usage{InputTokens: ptr(int64(2_000_000)), CostUSD: ptr(12.0), UsageDetails: api.UsageDetails{CostEstimated: ptr(true)}},
		Budget: &api.ExperimentBudget{Budget: api.Budget{USD: ptr(10.0)}, Exceeded: true},
	}
	if s := spendingOf(e); *s != (spending{"~$12.0000", "$10.00", true}) {
		t.Errorf("%+v", s)
	}
	if spendingOf(api.Experiment{}) != nil || tokens(e.Usage) != "2.0M" || tokens(nil) != "" || tokens(&api.Usage{OutputTokens: ptr(int64(12))}) != "12" {
		t.Error("what is unknown is shown")
	}
}

func TestAPageShowsEachStepOfItsTrial(t *testing.T) {
	t.Parallel()
	s := source(trialIn(api.StatusFailed))
	s.attempts = []Attempt{{Number: 1, Outcome: api.StatusFailed, StartedAt: started}}
	lacks(t, page(t, s, "/t/t-1"), "<h2>Steps</h2>")
	s.steps = []api.TrialStep{
		{Name: "count", Reward: ptr(1.0), Rewards: map[string]float64{"reward": 1, "style": 0.5}, PhaseTiming: map[string]api.Phase{"agent_execution": {DurationSec: 12}, "verifier": {DurationSec: 0.4}}},
		{Name: "ship", ErrorType: ptr("StepSetupError"), ErrorMessage: ptr("setup.sh ended with status 3")},
	}
	text := page(t, s, "/t/t-1")
	contains(t, text, "<h2>Steps</h2>", "<b>count</b>", "✔</span> passed", "· style 0.5", "12s", "0.4s", "<b>ship</b>", "!</span> error", "StepSetupError", "setup.sh ended with status 3")
}

func TestLogsOfStepsStandWhereThoseOfATaskWithoutStepsDo(t *testing.T) {
	t.Parallel()
	s := source(trialIn(api.StatusSuccess))
	s.attempts = []Attempt{{Number: 1, Outcome: api.StatusSuccess, StartedAt: started}}
	for _, path := range []string{"steps/a/agent/oracle.txt", "steps/a/verifier/test-stdout.txt", "steps/b/verifier/test-stdout.txt", "trial.log"} {
		s.files = append(s.files, File{Path: path, Size: 1, IsLog: true})
	}
	text := page(t, s, "/t/t-1")
	at := -1
	for _, path := range []string{"steps/a/verifier/test-stdout.txt", "steps/b/verifier/test-stdout.txt", "steps/a/agent/oracle.txt", "trial.log"} {
		next := strings.Index(text, `data-log="`+path+`"`)
		if next < at {
			t.Errorf("%s stands too early", path)
		}
		at = next
	}
}

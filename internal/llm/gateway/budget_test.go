package gateway_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
)

func of[T any](v T) *T { return &v }

func TestABudgetStopsTheTrialWith400InItsDialect(t *testing.T) {
	t.Parallel()
	budgets := []struct {
		name   string
		budget gateway.Budget
		sent   int
	}{
		{"calls", gateway.Budget{Calls: of(int64(2))}, 2},
		{"tokens", gateway.Budget{Tokens: of(int64(1500))}, 2}, // the first uses 1284
		{"cost", gateway.Budget{USD: of(0.0001)}, 1},
	}
	says := map[llm.Dialect]string{
		llm.Anthropic: `"Your credit balance is too low`, llm.Chat: `"insufficient_quota"`, llm.Responses: `"insufficient_quota"`, llm.Gemini: `"FAILED_PRECONDITION"`,
	}
	for _, b := range budgets {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
				r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) {
					trial.Budget, trial.AllowedModels = b.budget, []string{modelOf(d)}
				})
				for n := range 4 {
					got := r.post(d, stream, ask(d, stream, 0))
					if n < b.sent {
						want(t, "status", got.status, 200)
						continue
					}
					want(t, "status", got.status, 400)
					if !strings.Contains(got.body, says[d]) || strings.Contains(got.body, "context") || got.header.Get("Retry-After") != "" {
						t.Errorf("body %s", got.body)
					}
				}
				want(t, "sent", len(r.fake.Calls()), b.sent)
				sum := r.session.Close()
				want(t, "exceeded", sum.BudgetExceeded, b.name)
				want(t, "failures", len(sum.Failures), 0)
				want(t, "last status", sum.LastStatus, 400)
			})
		})
	}
}

func TestACallThatAloneExceedsTheBudgetIsNotSent(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) { trial.Budget.Tokens = of(int64(1000)) })
	long := strings.Replace(ask(llm.Chat, false, 0), "Write the file.", strings.Repeat("Write the file. ", 1000), 1)
	want(t, "status", r.post(llm.Chat, false, long).status, 400)
	picture := strings.Replace(ask(llm.Chat, false, 0), "Write the file.", "data:image/png;base64,"+strings.Repeat("A", 16000), 1)
	want(t, "status with a picture", r.post(llm.Chat, false, picture).status, 200)
	want(t, "sent", len(r.fake.Calls()), 1)
}

func TestConcurrentCallsKeepTheBudget(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		budget gateway.Budget
		most   int // calls
	}{
		{"calls", gateway.Budget{Calls: of(int64(7))}, 7},
		{"tokens", gateway.Budget{Tokens: of(int64(1284 * 5))}, 6},
		{"cost", gateway.Budget{USD: of(0.02)}, 6}, // 0.0037515 each
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) {
				trial.Budget, trial.AllowedModels = tt.budget, []string{sonnet}
			})
			want(t, "status", r.post(llm.Anthropic, true, ask(llm.Anthropic, true, 0)).status, 200) // shows how much a call uses
			var answered atomic.Int64
			var wg sync.WaitGroup
			for range 40 {
				wg.Go(func() {
					switch got := r.post(llm.Anthropic, true, ask(llm.Anthropic, true, 0)); got.status {
					case 200:
						answered.Add(1)
					case 400:
					default:
						t.Errorf("status %d", got.status)
					}
				})
			}
			wg.Wait()
			sum := r.session.Close()
			want(t, "exceeded", sum.BudgetExceeded, tt.name)
			want(t, "calls", sum.Calls, answered.Load()+1)
			want(t, "sent", len(r.fake.Calls()), int(sum.Calls))
			if sum.Calls > int64(tt.most) || sum.Calls < int64(tt.most)-1 {
				t.Errorf("%d calls were made, want %d at most", sum.Calls, tt.most)
			}
		})
	}
}

func TestFailedCallsUseNoBudget(t *testing.T) {
	t.Parallel()
	r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.BadRequest, Times: 3}), quick(), func(trial *gateway.Trial) { trial.Budget.Calls = of(int64(1)) })
	for range 3 {
		r.post(llm.Chat, false, ask(llm.Chat, false, 0))
	}
	want(t, "status", r.post(llm.Chat, false, ask(llm.Chat, false, 0)).status, 200)
	want(t, "exceeded", r.session.Close().BudgetExceeded, "")
}

func TestASharedBudgetThatIsUsedUpStopsTheTrial(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick())
	r.bothTurns(llm.Gemini, true)
	r.session.Exhaust("experiment")
	got := r.post(llm.Gemini, true, ask(llm.Gemini, true, 0))
	if got.status != 400 || !strings.Contains(got.body, "budget of experiment") {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	sum := r.session.Close()
	want(t, "exceeded", sum.BudgetExceeded, "experiment")
	want(t, "calls", sum.Calls, 2)
}

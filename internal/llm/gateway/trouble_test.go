package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
)

func withFault(faults ...fakellm.Fault) fakellm.Script {
	s := fakellm.Default()
	s.Faults = faults
	return s
}

func TestTransientTroubleIsWaitedOutAndCountedOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault fakellm.Fault
		kind  gateway.Kind
	}{
		{"429 without a time", fakellm.Fault{Kind: fakellm.RateLimit, Times: 2}, gateway.RateLimited},
		{"429 with a time", fakellm.Fault{Kind: fakellm.RateLimit, Times: 2, RetryAfter: "0.01"}, gateway.RateLimited},
		{"overloaded", fakellm.Fault{Kind: fakellm.Overloaded, Times: 2}, gateway.Overloaded},
		{"500", fakellm.Fault{Kind: fakellm.ServerError, Times: 2}, gateway.ServerError},
		{"connection closed without an answer", fakellm.Fault{Kind: fakellm.Drop, Times: 2}, gateway.Network},
		{"cut before the first byte", fakellm.Fault{Kind: fakellm.Cut, Times: 2}, gateway.Network},
		{"an error in a 200", fakellm.Fault{Kind: fakellm.ErrorBody, Times: 2}, gateway.RateLimited},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
				r := newRig(t, withFault(tt.fault), quick())
				r.bothTurns(d, stream)
				sum := r.session.Close()
				want(t, "failures", sum.Failures[tt.kind], 2)
				want(t, "retries", sum.Retries, 2)
				want(t, "calls", sum.Calls, 2)
				want(t, "requests", sum.Requests, 2)
				want(t, "input", *sum.Usage.InputTotal, 2850)
				want(t, "last failure", sum.LastFailure, "")
			})
		})
	}
}

func TestAWrongAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for _, d := range llm.Dialects() {
		r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.WrongJSON, Times: 2}), quick())
		r.bothTurns(d, false)
		sum := r.session.Close()
		want(t, "failures", sum.Failures[gateway.ServerError], 2)
		want(t, "calls", sum.Calls, 2)
	}
}

func TestAnErrorAfterTheAnnouncementOfAStreamIsRetried(t *testing.T) {
	t.Parallel()
	for d, after := range map[llm.Dialect]int{llm.Anthropic: 2, llm.Responses: 3} {
		for _, kind := range []fakellm.FaultKind{fakellm.ErrorBody, fakellm.Cut} {
			r := newRig(t, withFault(fakellm.Fault{Kind: kind, Times: 1, After: after}), quick())
			got := r.post(d, true, ask(d, true, 0))
			start := map[llm.Dialect]string{llm.Anthropic: "event: message_start", llm.Responses: "event: response.created"}[d]
			if got.err != nil || strings.Contains(got.body, "rate_limit") || strings.Count(got.body, start) != 1 {
				t.Errorf("%s %s: %v %s", d, kind, got.err, got.body)
			}
			want(t, "retries", r.session.Close().Retries, 1)
		}
	}
}

func TestTroubleThatLastsIsPassedOnAs429WithATime(t *testing.T) {
	t.Parallel()
	for _, kind := range []fakellm.FaultKind{fakellm.RateLimit, fakellm.Overloaded, fakellm.ServerError, fakellm.Drop} {
		eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
			c := quick()
			c.Retry.Attempts = 3
			r := newRig(t, withFault(fakellm.Fault{Kind: kind}), c)
			got := r.post(d, stream, ask(d, stream, 0))
			want(t, "status", got.status, 429)
			want(t, "Retry-After", got.header.Get("Retry-After"), "1")
			want(t, "tries", len(r.fake.Calls()), 3)
			sum := r.session.Close()
			want(t, "calls", sum.Calls, 0)
			want(t, "last status", sum.LastStatus, 429)
			if !sum.LastFailure.Transient() {
				t.Errorf("last failure %q", sum.LastFailure)
			}
		})
	}
}

func TestATimeThatIsTooLongIsToldAtOnce(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		var told gateway.RateLimit
		r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.RateLimit, RetryAfter: "3600"}), quick(), func(trial *gateway.Trial) {
			trial.OnRateLimit = func(l gateway.RateLimit) { told = l }
		})
		got := r.post(d, stream, ask(d, stream, 0))
		want(t, "status", got.status, 429)
		want(t, "Retry-After", got.header.Get("Retry-After"), "3600")
		if d == llm.Gemini && !strings.Contains(got.body, `"retryDelay":"3600s"`) {
			t.Errorf("body %s", got.body)
		}
		again := r.post(d, stream, ask(d, stream, 0))
		want(t, "status", again.status, 429)
		want(t, "tries", len(r.fake.Calls()), 1) // the second was not sent
		r.session.Close()
		want(t, "told", told, gateway.RateLimit{Provider: providerName(d), Model: modelOf(d), RetryAfter: time.Hour})
	})
}

func providerName(d llm.Dialect) string {
	return map[llm.Dialect]string{llm.Anthropic: "anthropic", llm.Gemini: "google"}[d] + map[bool]string{true: "openai"}[d == llm.Chat || d == llm.Responses]
}

func TestFatalErrorsArePassedOnAtOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fault  fakellm.FaultKind
		kind   gateway.Kind
		status int
		says   string
	}{
		{fakellm.Auth, gateway.Auth, 401, "API key"},
		{fakellm.UnknownModel, gateway.UnknownModel, 404, "does not exist"},
		{fakellm.Quota, gateway.Quota, 400, ""},
		{fakellm.Context, gateway.Context, 400, ""},
		{fakellm.BadRequest, gateway.BadRequest, 400, "malformed"},
	}
	for _, tt := range tests {
		t.Run(string(tt.fault), func(t *testing.T) {
			t.Parallel()
			eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
				r := newRig(t, withFault(fakellm.Fault{Kind: tt.fault}), quick())
				got := r.post(d, stream, ask(d, stream, 0))
				want(t, "status", got.status, tt.status)
				want(t, "tries", len(r.fake.Calls()), 1)
				if !strings.Contains(got.body, tt.says) {
					t.Errorf("body %s does not say %q", got.body, tt.says)
				}
				sum := r.session.Close()
				want(t, "last failure", sum.LastFailure, tt.kind)
				want(t, "failures", sum.Failures[tt.kind], 1)
			})
		})
	}
}

func TestAFatalErrorInA200IsAnsweredAsError(t *testing.T) {
	t.Parallel()
	for as, status := range map[fakellm.FaultKind]int{fakellm.Auth: 401, fakellm.UnknownModel: 404, fakellm.Quota: 400, fakellm.Context: 400} {
		t.Run(string(as), func(t *testing.T) {
			t.Parallel()
			eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
				r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.ErrorBody, As: as}), quick())
				got := r.post(d, stream, ask(d, stream, 0))
				want(t, "status", got.status, status)
				want(t, "content type", got.header.Get("Content-Type"), "application/json")
				want(t, "tries", len(r.fake.Calls()), 1)
				want(t, "failure", string(r.session.Close().LastFailure), string(as))
			})
		})
	}
}

func TestACutStreamIsCutForTheAgentAndEstimated(t *testing.T) {
	t.Parallel()
	for _, d := range llm.Dialects() {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			after := map[llm.Dialect]int{llm.Anthropic: 6, llm.Chat: 4, llm.Responses: 7, llm.Gemini: 2}[d]
			r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.Cut, After: after}), quick())
			got := r.post(d, true, ask(d, true, 0))
			if got.status != 200 || got.err == nil || got.body == "" {
				t.Errorf("status %d, error %v, body %q", got.status, got.err, got.body)
			}
			sum := r.session.Close()
			want(t, "estimated", sum.Estimated, true)
			want(t, "calls", sum.Calls, 1)
			want(t, "last failure", sum.LastFailure, gateway.Network)
			if d == llm.Anthropic || d == llm.Gemini {
				want(t, "input", *sum.Usage.InputTotal, 1253) // told at the beginning
			}
			if *sum.Usage.InputTotal == 0 || *sum.Usage.OutputTotal == 0 || sum.CostUSD == nil {
				t.Errorf("usage in %d, out %d, cost %v", *sum.Usage.InputTotal, *sum.Usage.OutputTotal, sum.CostUSD)
			}
		})
	}
}

func TestMissingUsageIsEstimated(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.NoUsage}), quick())
		want(t, "status", r.post(d, stream, ask(d, stream, 0)).status, 200)
		sum := r.session.Close()
		want(t, "estimated", sum.Estimated, true)
		want(t, "last failure", sum.LastFailure, "")
		if *sum.Usage.InputTotal < 20 || *sum.Usage.OutputTotal < 5 || sum.Usage.CacheRead != nil {
			t.Errorf("in %d, out %d, cache %v", *sum.Usage.InputTotal, *sum.Usage.OutputTotal, sum.Usage.CacheRead)
		}
	})
}

func TestARefusalIsCountedAndPassedOn(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		script := fakellm.Script{Turns: []fakellm.Turn{{Text: "No.", Refuse: true, Usage: fakellm.Usage{Input: 10, Output: 2}}}}
		r := newRig(t, script, quick())
		want(t, "status", r.post(d, stream, ask(d, stream, 0)).status, 200)
		sum := r.session.Close()
		want(t, "refusals", sum.Failures[gateway.Refusal], 1)
		want(t, "how the last call ended", sum.LastFailure, gateway.Refusal)
		want(t, "calls", sum.Calls, 1)
	})
}

func TestAnErrorInTheMiddleOfAStreamIsPassedOnAndRemembered(t *testing.T) {
	t.Parallel()
	r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.ErrorBody, After: 8}), quick())
	got := r.post(llm.Anthropic, true, ask(llm.Anthropic, true, 0))
	if got.err != nil || !strings.Contains(got.body, "rate_limit_error") {
		t.Errorf("error %v, body %s", got.err, got.body)
	}
	sum := r.session.Close()
	want(t, "last failure", sum.LastFailure, gateway.RateLimited)
	want(t, "tries", len(r.fake.Calls()), 1)
}

func TestAProviderThatFallsSilentIsCut(t *testing.T) {
	t.Parallel()
	c := quick()
	c.StreamIdle, c.HeaderTimeout, c.Retry.Attempts = 30*time.Millisecond, 30*time.Millisecond, 2
	for _, after := range []int{0, 8} {
		r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.Hang, After: after}), c)
		got := r.post(llm.Anthropic, true, ask(llm.Anthropic, true, 0))
		if after == 0 {
			want(t, "status", got.status, 429)
		} else if got.err == nil {
			t.Error("the stream ended as if whole")
		}
		want(t, "last failure", r.session.Close().LastFailure, gateway.Network)
	}
}

func TestClosingTheSessionEndsWhatRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.Hang, After: 8}), quick())
	first := make(chan struct{})
	ended := make(chan answer)
	go func() {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.front.URL+r.session.Path()+"/v1/messages", strings.NewReader(ask(llm.Anthropic, true, 0)))
		got, err := http.DefaultTransport.RoundTrip(request)
		close(first)
		if err == nil {
			_, err = got.Body.Read(make([]byte, 1<<20))
			for err == nil {
				_, err = got.Body.Read(make([]byte, 1<<20))
			}
			got.Body.Close()
		}
		ended <- answer{err: err}
	}()
	<-first
	sum := r.session.Close()
	if got := <-ended; got.err == nil {
		t.Error("the agent's stream ended as if whole")
	}
	want(t, "calls", sum.Calls, 1)
	want(t, "estimated", sum.Estimated, true)
	want(t, "failures", len(sum.Failures), 0)
	if again := r.session.Close(); again.Calls != sum.Calls {
		t.Error("closing again gives another summary")
	}
}

func TestAnAgentThatLeavesEndsTheProvidersStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.Hang, After: 8}), quick())
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.front.URL+r.session.Path()+"/v1/messages", strings.NewReader(ask(llm.Anthropic, true, 0)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	got.Body.Close()
	for r.session.Total().Calls == 0 {
		time.Sleep(time.Millisecond)
	}
	sum := r.session.Close()
	want(t, "estimated", sum.Estimated, true)
	want(t, "failures", len(sum.Failures), 0)
}

func TestTheWaitBudgetOfASessionIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.RateLimit, RetryAfter: "0.03"}), quick(), func(trial *gateway.Trial) {
		trial.WaitBudget = 100 * time.Millisecond
	})
	got := r.post(llm.Chat, false, ask(llm.Chat, false, 0))
	want(t, "status", got.status, 429)
	if sum := r.session.Close(); sum.Waited > 120*time.Millisecond || sum.Retries < 1 || sum.Retries > 3 {
		t.Errorf("waited %s, retried %d times", sum.Waited, sum.Retries)
	}
}

func TestAllTrialsOfAKeyWaitWhenOneIsToldTo(t *testing.T) {
	t.Parallel()
	const trials = 20
	r := newRig(t, withFault(fakellm.Fault{Kind: fakellm.RateLimit, Times: 1, RetryAfter: "0.2"}), quick())
	first := r.post(llm.Anthropic, false, ask(llm.Anthropic, false, 0)) // takes the wait
	want(t, "status", first.status, 200)
	if waited := r.session.Summary().Waited; waited < 150*time.Millisecond {
		t.Errorf("the first waited %s", waited)
	}
	r.fake.Add("", withKeys(withFault(fakellm.Fault{Kind: fakellm.RateLimit, Times: 1, RetryAfter: "0.2"})))
	var wg sync.WaitGroup
	for range trials {
		wg.Go(func() {
			if got := r.post(llm.Anthropic, false, ask(llm.Anthropic, false, 0)); got.status != 200 {
				t.Errorf("status %d", got.status)
			}
		})
	}
	wg.Wait()
	if n := r.session.Close().Failures[gateway.RateLimited]; n != 2 {
		t.Errorf("the provider said %d times to wait", n)
	}
}

func withKeys(s fakellm.Script) fakellm.Script {
	s.Keys = []string{providerKey}
	return s
}

func TestAServerThatRefusesStreamOptionsIsAskedWithout(t *testing.T) {
	t.Parallel()
	fake := fakellm.New(fakellm.Default())
	var asked int
	r := newRig(t, fakellm.Default(), quick())
	r.upstream.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body := new(strings.Builder)
		if _, err := copyBody(body, req); err != nil {
			t.Error(err)
		}
		asked++
		if strings.Contains(body.String(), "stream_options") {
			http.Error(w, `{"error":{"message":"Unrecognized request argument supplied: stream_options"}}`, http.StatusBadRequest)
			return
		}
		req.Body = readCloser(body.String())
		fake.ServeHTTP(w, req)
	})
	for range 2 {
		want(t, "status", r.post(llm.Chat, true, ask(llm.Chat, true, 0)).status, 200)
	}
	want(t, "tries", asked, 3)
	sum := r.session.Close()
	want(t, "estimated", sum.Estimated, true)
	want(t, "failures", len(sum.Failures), 0)
	want(t, "retries", sum.Retries, 0)
}

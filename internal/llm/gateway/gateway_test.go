package gateway_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
	"oddish/internal/llm/usage"
)

func TestUsageEqualsWhatTheProviderToldToTheToken(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		r := newRig(t, fakellm.Default(), quick())
		r.bothTurns(d, stream)
		sum := r.session.Close()
		want(t, "calls", sum.Calls, 2)
		want(t, "input", *sum.Usage.InputTotal, 2850)
		want(t, "cache read", *sum.Usage.CacheRead, 1450)
		want(t, "output", *sum.Usage.OutputTotal, 54)
		if d == llm.Anthropic {
			want(t, "cache write", *sum.Usage.CacheWrite, 90)
			want(t, "cost", *sum.CostUSD, 0.0055125)
		} else {
			want(t, "reasoning", *sum.Usage.Reasoning, 12)
		}
		want(t, "estimated", sum.Estimated, false)
		want(t, "last status", sum.LastStatus, 200)
		want(t, "models", len(sum.Models), 1)
		want(t, "model", sum.Models[0].Model, modelOf(d))
		want(t, "cost source", sum.CostSource, "gateway")
		if sum.PriceVersion == "" || sum.CostUSD == nil || *sum.CostUSD <= 0 {
			t.Errorf("price version %q, cost %v", sum.PriceVersion, sum.CostUSD)
		}
	})
}

func TestAgentsGetTheProvidersAnswerByteForByte(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, d llm.Dialect, stream bool) {
		r := newRig(t, fakellm.Default(), quick())
		body := ask(d, stream, 0)
		if d == llm.Chat && stream {
			body = strings.Replace(body, `{`, `{"stream_options":{"include_usage":true},`, 1)
		}
		got := r.post(d, stream, body)
		request, err := http.NewRequest(http.MethodPost, r.upstream.URL+path(d, stream, modelOf(d)), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+providerKey)
		direct := readAll(t, request)
		direct = strings.NewReplacer("000002", "000001").Replace(direct) // the ids of the second call
		want(t, "answer", got.body, direct)
	})
}

func readAll(t *testing.T, request *http.Request) string {
	t.Helper()
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, got.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestUsageIsAskedForAndHiddenFromAClientThatDidNotAsk(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick())
	got := r.post(llm.Chat, true, ask(llm.Chat, true, 1))
	if strings.Contains(got.body, "prompt_tokens") || !strings.Contains(got.body, "[DONE]") {
		t.Errorf("the client got %s", got.body)
	}
	want(t, "input", *r.session.Total().Usage.InputTotal, 1597)
	if sent := string(r.fake.Calls()[0].Body); !strings.Contains(sent, `"stream_options":{"include_usage":true}`) {
		t.Errorf("the provider got %s", sent)
	}
}

func TestTheTokenIsTakenFromWhereverAgentsPutKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick())
	token := r.session.Token()
	tests := []struct {
		name, path string
		header     http.Header
		status     int
	}{
		{"X-Api-Key", "/v1/messages", http.Header{"X-Api-Key": {token}}, 200},
		{"bearer", "/v1/messages", http.Header{"Authorization": {"Bearer " + token}}, 200},
		{"x-goog-api-key", "/v1/messages", http.Header{"X-Goog-Api-Key": {token}}, 200},
		{"api-key", "/v1/messages", http.Header{"Api-Key": {token}}, 200},
		{"query", "/v1/messages?key=" + token, nil, 200},
		{"path", "/t/" + token + "/v1/messages", nil, 200},
		{"path and another key", "/t/" + token + "/v1/messages", http.Header{"X-Api-Key": {"placeholder"}}, 200},
		{"none", "/v1/messages", nil, 401},
		{"wrong", "/v1/messages", http.Header{"X-Api-Key": {"wrong"}}, 401},
		{"wrong in the path", "/t/wrong/v1/messages", http.Header{"X-Api-Key": {token}}, 401},
		{"the provider's own key", "/v1/messages", http.Header{"X-Api-Key": {providerKey}}, 401},
	}
	for _, tt := range tests {
		got := r.send(http.MethodPost, tt.path, ask(llm.Anthropic, false, 0), tt.header)
		if got.status != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.name, got.status, tt.status, got.body)
		}
	}
	r.session.Close()
	got := r.send(http.MethodPost, "/v1/messages", ask(llm.Anthropic, false, 0), http.Header{"X-Api-Key": {token}})
	want(t, "status after the session", got.status, 401)
}

func TestPathsWithADoubledOrMissingVersionAreTolerated(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick())
	for _, p := range []string{"/v1/messages?beta=true", "/v1/v1/messages", "/messages", "/v1beta/models/m:generateContent", "/v1/v1beta/models/m:generateContent", "/models/m:generateContent", "/chat/completions", "/responses"} {
		if got := r.send(http.MethodPost, r.session.Path()+p, `{"model":"m"}`, nil); got.status != 200 {
			t.Errorf("%s: status %d: %s", p, got.status, got.body)
		}
	}
	for _, c := range r.fake.Calls() {
		if strings.Count(c.Path, "v1") != 1 {
			t.Errorf("the provider was asked %s", c.Path)
		}
	}
}

func TestBaseURLsMayNameTheVersionOrNot(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/", "/v1", "/v1/", "/openai/v1", "/api/coding/paas/v4"} {
		r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) {
			u := trial.Upstreams[llm.Chat]
			u.BaseURL += base
			trial.Upstreams[llm.Chat] = u
		})
		want(t, base, r.post(llm.Chat, false, ask(llm.Chat, false, 0)).status, 200)
		wantPath := strings.TrimRight(base, "/")
		if wantPath == "" {
			wantPath = "/v1"
		}
		want(t, "path", r.fake.Calls()[0].Path, wantPath+"/chat/completions")
	}
}

func TestAnUpstreamMayHavePathsOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*gateway.Upstream)
		model  string
		path   string
	}{
		"no version":                      {func(u *gateway.Upstream) { u.Unversioned = true }, gpt, "/chat/completions"},
		"the model in the path":           {func(u *gateway.Upstream) { u.BaseURL += "/deployments/" + gateway.ModelInPath }, gpt, "/deployments/gpt-5/v1/chat/completions"},
		"a model that is no part of one":  {func(u *gateway.Upstream) { u.BaseURL += "/deployments/" + gateway.ModelInPath }, "../../x", "/deployments/-..-x/v1/chat/completions"},
		"and a query with every question": {func(u *gateway.Upstream) { u.Query = url.Values{"api-version": {"7"}} }, gpt, "/v1/chat/completions"},
	} {
		var got *http.Request
		provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Clone(context.Background()) }))
		u := gateway.Upstream{BaseURL: provider.URL, Key: providerKey}
		c.change(&u)
		r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) { trial.Upstreams = map[llm.Dialect]gateway.Upstream{llm.Chat: u} })
		r.post(llm.Chat, false, askModel(llm.Chat, false, 0, c.model))
		provider.Close()
		if got == nil || got.URL.Path != c.path || got.URL.RawQuery != u.Query.Encode() {
			t.Errorf("%s: asked was %v, want %s", name, got, c.path)
		}
	}
}

func TestSmallRoutes(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick())
	p := r.session.Path()
	tests := []struct {
		name, method, path string
		header             http.Header
		status             int
	}{
		{"HEAD /", http.MethodHead, "/", nil, 200},
		{"HEAD /api/hello", http.MethodHead, p + "/api/hello", nil, 200},
		{"WebSocket", http.MethodGet, p + "/v1/responses", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, 426},
		{"models", http.MethodGet, p + "/v1/models", nil, 200},
		{"models of Gemini", http.MethodGet, p + "/v1beta/models", nil, 200},
		{"a stored response", http.MethodGet, p + "/v1/responses/resp_1", nil, 404},
		{"files", http.MethodPost, p + "/v1/files", nil, 404},
		{"escaping the models' path", http.MethodPost, p + "/v1beta/models/../files:generateContent", nil, 404},
	}
	for _, tt := range tests {
		if got := r.send(tt.method, tt.path, "", tt.header); got.status != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.name, got.status, tt.status, got.body)
		}
	}
	want(t, "calls", r.session.Total().Calls, 0)
}

func TestCountingTokensIsFree(t *testing.T) {
	t.Parallel()
	none := int64(0)
	r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) { trial.Budget.Calls = &none })
	got := r.send(http.MethodPost, r.session.Path()+"/v1/messages/count_tokens", ask(llm.Anthropic, false, 0), nil)
	want(t, "status", got.status, 200)
	want(t, "body", strings.TrimSpace(got.body), `{"input_tokens":1253}`)
	want(t, "calls", r.session.Total().Calls, 0)
}

func TestHelperModelsAreMappedRefusedAndCountedApart(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) {
		trial.AllowedModels = []string{gpt, "gpt-5-nano"}
		trial.Aliases = map[string]string{"gpt-5.4-nano": "gpt-5-nano"}
	})
	r.bothTurns(llm.Responses, true)
	title := `{"model":"gpt-5.4-nano","input":"A title for this","stream":true}`
	want(t, "helper's status", r.post(llm.Responses, true, title).status, 200)
	got := r.post(llm.Responses, true, `{"model":"gpt-5-pro","input":"x"}`)
	if got.status != 404 || !strings.Contains(got.body, "model_not_found") {
		t.Errorf("a model that is not allowed got status %d: %s", got.status, got.body)
	}
	sum := r.session.Close()
	want(t, "models", len(sum.Models), 2)
	want(t, "helper's model", sum.Models[1].Model, "gpt-5-nano")
	want(t, "helper's input", *sum.Models[1].Usage.InputTotal, 11)
	want(t, "input", *sum.Usage.InputTotal, 2861)
	want(t, "refused", sum.Failures[gateway.NotAllowed], 1)
	want(t, "model at the provider", r.fake.Calls()[2].Model, "gpt-5-nano")
	want(t, "number of calls", len(r.fake.Calls()), 3)
}

func TestGeminisModelIsMappedInThePath(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) {
		trial.AllowedModels = []string{flash}
		trial.Aliases = map[string]string{"gemini-3.8-flash": flash}
	})
	got := r.send(http.MethodPost, r.session.Path()+path(llm.Gemini, true, "gemini-3.8-flash"), ask(llm.Gemini, true, 0), nil)
	want(t, "status", got.status, 200)
	want(t, "model at the provider", r.fake.Calls()[0].Model, flash)
}

func TestGeminisArrayOfChunksIsCountedAndPassedOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick(), record)
	p := r.session.Path() + "/v1beta/models/" + flash + ":streamGenerateContent"
	got := r.send(http.MethodPost, p, ask(llm.Gemini, true, 0), nil)
	var chunks []object
	if err := json.Unmarshal([]byte(got.body), &chunks); err != nil || len(chunks) < 3 {
		t.Errorf("%d chunks, %v: %s", len(chunks), err, got.body)
	}
	want(t, "input", *r.session.Total().Usage.InputTotal, 1253)
	rec := recording(t, r)
	r.session = r.open(func(trial *gateway.Trial) { trial.Replay = rec })
	want(t, "status with the old token", r.send(http.MethodPost, p, ask(llm.Gemini, true, 0), nil).status, 401)
	want(t, "replay", r.send(http.MethodPost, r.session.Path()+p[strings.Index(p, "/v1beta"):], ask(llm.Gemini, true, 0), nil).body, got.body)
}

func TestAnAnswerInOnePieceToAStreamIsTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick())
	fake := r.upstream.Config.Handler
	r.upstream.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body := new(strings.Builder)
		if _, err := copyBody(body, req); err != nil {
			t.Error(err)
		}
		req.Body = readCloser(strings.Replace(body.String(), `"stream":true`, `"stream":false`, 1))
		fake.ServeHTTP(w, req)
	})
	got := r.post(llm.Chat, true, ask(llm.Chat, true, 0))
	want(t, "status", got.status, 200)
	want(t, "input", *r.session.Total().Usage.InputTotal, 1253)
	want(t, "estimated", r.session.Total().Estimated, false)
}

func TestACompressedAnswerIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick())
	fake := r.upstream.Config.Handler
	r.upstream.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		plain := httptest.NewRecorder()
		fake.ServeHTTP(plain, req)
		w.Header().Set("Content-Type", plain.Header().Get("Content-Type"))
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		defer zip.Close()
		zip.Write(plain.Body.Bytes()) //nolint:errcheck // the test sees what arrives
	})
	got := r.post(llm.Anthropic, true, ask(llm.Anthropic, true, 0))
	if got.header.Get("Content-Encoding") != "" || !strings.Contains(got.body, "message_stop") {
		t.Errorf("encoding %q, body %q", got.header.Get("Content-Encoding"), got.body)
	}
	want(t, "input", *r.session.Total().Usage.InputTotal, 1253)
}

func TestAnUnknownPriceIsNoCost(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick())
	want(t, "status", r.post(llm.Chat, false, askModel(llm.Chat, false, 0, "my-own-model")).status, 200)
	r.bothTurns(llm.Chat, false)
	sum := r.session.Close()
	if sum.CostUSD != nil || sum.Models[0].CostUSD != nil || sum.Models[1].CostUSD == nil {
		t.Errorf("costs: whole %v, of the model without a price %v, of the other %v", sum.CostUSD, sum.Models[0].CostUSD, sum.Models[1].CostUSD)
	}
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	usd, negative := 1.0, int64(-1)
	up := map[llm.Dialect]gateway.Upstream{llm.Chat: {BaseURL: "http://127.0.0.1:1/v1", Key: providerKey}}
	tests := []struct {
		name  string
		trial gateway.Trial
		says  string
	}{
		{"no upstream", gateway.Trial{}, "no upstream"},
		{"no address", gateway.Trial{Upstreams: map[llm.Dialect]gateway.Upstream{llm.Chat: {BaseURL: "localhost"}}}, "base URL"},
		{"a key in the address", gateway.Trial{Upstreams: map[llm.Dialect]gateway.Upstream{llm.Chat: {BaseURL: "http://u:" + providerKey + "@h"}}}, "credentials"},
		{"a key of two lines", gateway.Trial{Upstreams: map[llm.Dialect]gateway.Upstream{llm.Chat: {BaseURL: "http://h", Key: providerKey + "\n"}}}, "line break"},
		{"money without a list of models", gateway.Trial{Upstreams: up, Budget: gateway.Budget{USD: &usd}}, "allowed models"},
		{"money for what has no price", gateway.Trial{Upstreams: up, Budget: gateway.Budget{USD: &usd}, AllowedModels: []string{gpt, "my-own-model"}}, "no price is known for my-own-model"},
		{"money for a model of its own without price", gateway.Trial{Upstreams: up, Budget: gateway.Budget{USD: &usd}, OnlyPriced: true, Model: "my-own-model"}, "no price is known for my-own-model"},
		{"a negative budget", gateway.Trial{Upstreams: up, Budget: gateway.Budget{Calls: &negative}}, "negative"},
		{"an alias for what is not allowed", gateway.Trial{Upstreams: up, AllowedModels: []string{gpt}, Aliases: map[string]string{"a": "b"}}, "not among the allowed"},
		{"an alias of an alias", gateway.Trial{Upstreams: up, Aliases: map[string]string{"a": "b", "b": "c"}}, "alias itself"},
	}
	for _, tt := range tests {
		_, err := gateway.New(quick()).Open(tt.trial)
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), providerKey) {
			t.Errorf("%s: error %v, want one that says %q", tt.name, err, tt.says)
		}
	}
}

func TestATotalIsToldAfterEveryCallAndNeverFalls(t *testing.T) {
	t.Parallel()
	var totals []gateway.Total
	r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) {
		trial.OnUsage = func(total gateway.Total) { totals = append(totals, total) }
	})
	r.bothTurns(llm.Anthropic, true)
	r.session.Close()
	want(t, "totals", len(totals), 2)
	want(t, "first", usage.Usage{InputTotal: totals[0].Usage.InputTotal, OutputTotal: totals[0].Usage.OutputTotal}.Tokens(), 1253+31)
	want(t, "second", totals[1].Usage.Tokens(), 2850+54)
}

func TestTwoOpenSessionsMayNotShareAToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick())
	_, err := r.gateway.Open(gateway.Trial{Token: r.session.Token(), Upstreams: map[llm.Dialect]gateway.Upstream{llm.Chat: {BaseURL: "http://h"}}})
	if err == nil {
		t.Error("the second session was opened")
	}
}

func TestATrialWithoutProviderToolsCannotSearchTheWeb(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick(), func(trial *gateway.Trial) {
		trial.NoProviderTools, trial.Aliases = true, map[string]string{"small": gpt}
	})
	body := strings.Replace(askModel(llm.Responses, true, 0, "small"), `"tools":[`, `"tools":[{"type":"web_search"},`, 1)
	want(t, "status", r.post(llm.Responses, true, body).status, 200)
	want(t, "model", r.fake.Calls()[0].Model, gpt)
	if sent := string(r.fake.Calls()[0].Body); strings.Contains(sent, "web_search") || !strings.Contains(sent, "bash") {
		t.Errorf("the provider got %s", sent)
	}
	got := r.post(llm.Responses, true, `{"model":"gpt-5","tools":[{"type":"web_search"}]}`)
	if got.status != 400 || !strings.Contains(got.body, "not allowed in this trial") {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

func TestWhatAgentsWriteIsKeptOnlyInPart(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakellm.Default(), quick())
	long := strings.Repeat("m", 1<<20)
	want(t, "status", r.post(llm.Chat, false, askModel(llm.Chat, false, 0, long)).status, 404)
	want(t, "calls", len(r.fake.Calls()), 0)
	r.entries()
	if n := len(r.log.String()); n > 2000 {
		t.Errorf("the log has %d bytes", n)
	}
}

func TestARequestThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	c := quick()
	c.MaxRequestBytes = 1000
	r := newRig(t, fakellm.Default(), c)
	got := r.post(llm.Anthropic, false, ask(llm.Anthropic, false, 20))
	if got.status != 413 || !strings.Contains(got.body, "request_too_large") {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	want(t, "failure", r.session.Close().LastFailure, gateway.BadRequest)
}

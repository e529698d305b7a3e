package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oddish/internal/llm"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		body   string
		want   Kind
	}{
		{"anthropic key", 401, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`, Auth},
		{"anthropic permission", 403, `{"type":"error","error":{"type":"permission_error","message":"no"}}`, Auth},
		{"anthropic credit", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`, Quota},
		{"anthropic billing", 402, `{"type":"error","error":{"type":"billing_error","message":"pay"}}`, Quota},
		{"anthropic spend cap", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"limit","details":{"error_code":"enforced_spend_limit_reached"}}}`, Quota},
		{"anthropic rate limit", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit"}}`, RateLimited},
		{"anthropic overloaded", 529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Overloaded},
		{"anthropic overloaded as 500", 500, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Overloaded},
		{"anthropic api error", 500, `{"type":"error","error":{"type":"api_error","message":"Internal"}}`, ServerError},
		{"anthropic long prompt", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, Context},
		{"anthropic model", 404, `{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}`, UnknownModel},
		{"anthropic too large", 413, `{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}`, BadRequest},
		{"openai key", 401, `{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}`, Auth},
		{"openai quota", 429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`, Quota},
		{"openai rate limit", 429, `{"error":{"message":"Rate limit reached for gpt-5 on tokens per min. Limit: 30000, Used: 29000","type":"tokens","code":"rate_limit_exceeded"}}`, RateLimited},
		{"openai long prompt", 400, `{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}`, Context},
		{"openai model", 404, `{"error":{"message":"The model gpt-9 does not exist","code":"model_not_found"}}`, UnknownModel},
		{"openai model as 400", 400, `{"error":{"message":"The requested model 'gpt-9' does not exist.","code":"model_not_found"}}`, UnknownModel},
		{"openai policy", 400, `{"error":{"message":"rejected by our safety system","code":"content_policy_violation"}}`, Refusal},
		{"openai slow down", 503, `{"error":{"message":"Slow down"}}`, Overloaded},
		{"gemini key as 400", 400, `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}`, Auth},
		{"gemini rate limit", 429, `{"error":{"code":429,"message":"Quota exceeded for metric, limit: 10. Please retry in 46s.","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerMinute"}]},{"retryDelay":"46s"}]}}`, RateLimited},
		{"gemini day with a time", 429, `{"error":{"status":"RESOURCE_EXHAUSTED","message":"x","details":[{"violations":[{"quotaId":"RequestsPerDay"}]},{"retryDelay":"7200s"}]}}`, RateLimited},
		{"gemini day without a time", 429, `{"error":{"status":"RESOURCE_EXHAUSTED","message":"x","details":[{"violations":[{"quotaId":"RequestsPerDay"}]}]}}`, Quota},
		{"gemini nothing allowed", 429, `{"error":{"status":"RESOURCE_EXHAUSTED","message":"Quota exceeded for metric: requests, limit: 0"}}`, Quota},
		{"gemini stream's array", 503, `[{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}]`, Overloaded},
		{"gemini long prompt", 400, `{"error":{"message":"The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}`, Context},
		{"no JSON", 502, `<html>Bad gateway</html>`, ServerError},
		{"Cloudflare", 522, ``, ServerError},
		{"a string as error", 400, `{"error":"bad things"}`, BadRequest},
		{"nothing", 400, ``, BadRequest},
	}
	for _, tt := range tests {
		f := classify(tt.status, http.Header{}, []byte(tt.body), time.Now())
		if f.kind != tt.want || f.message == "" {
			t.Errorf("%s: kind %q (%s), want %q", tt.name, f.kind, f.message, tt.want)
		}
	}
}

func TestAskedWaitIsTheLongestOfAll(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name   string
		header map[string]string
		body   string
		said   string
		want   time.Duration
	}{
		{"nothing", nil, "", "", 0},
		{"seconds", map[string]string{"Retry-After": "7"}, "", "", 7 * time.Second},
		{"fraction", map[string]string{"Retry-After": "0.5"}, "", "", 500 * time.Millisecond},
		{"milliseconds", map[string]string{"Retry-After-Ms": "250", "Retry-After": "9"}, "", "", 250 * time.Millisecond},
		{"date", map[string]string{"Retry-After": "Tue, 24 Nov 2026 12:00:30 GMT"}, "", "", 30 * time.Second},
		{"negative", map[string]string{"Retry-After": "-1"}, "", "", 0},
		{"absurd", map[string]string{"Retry-After": "1e30"}, "", "", 0},
		{"not a number", map[string]string{"Retry-After": "NaN"}, "", "", 0},
		{"RetryInfo", nil, `{"error":{"details":[{"@type":"x"},{"retryDelay":"46.5s"}]}}`, "", 46500 * time.Millisecond},
		{"the message", nil, "", "Rate limit reached. Please try again in 1m2.5s. Visit", 62500 * time.Millisecond},
		{"the message in milliseconds", nil, "", "Please retry in 120ms.", 120 * time.Millisecond},
		{"reset of what is used up", map[string]string{"X-Ratelimit-Remaining-Tokens": "0", "X-Ratelimit-Reset-Tokens": "6m0s", "X-Ratelimit-Remaining-Requests": "5", "X-Ratelimit-Reset-Requests": "20m"}, "", "", 6 * time.Minute},
		{"anthropic's reset", map[string]string{"Anthropic-Ratelimit-Requests-Remaining": "0", "Anthropic-Ratelimit-Requests-Reset": "2026-11-24T12:00:12Z"}, "", "", 12 * time.Second},
		{"the longest", map[string]string{"Retry-After": "2", "X-Ratelimit-Remaining-Tokens": "0", "X-Ratelimit-Reset-Tokens": "5s"}, "", "", 5 * time.Second},
	}
	for _, tt := range tests {
		h := http.Header{}
		for name, value := range tt.header {
			h.Set(name, value)
		}
		if got := askedWait(h, []byte(tt.body), tt.said, now); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestTheGateHoldsEverybodyAndOpensSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p, waited, err := g.enter(t.Context(), 0)
		if err != nil || waited != 0 {
			t.Fatalf("an open gate: waited %s, %v", waited, err)
		}
		p.limited(10 * time.Second)
		const others = 20
		passed := make(chan *pass, others)
		began := time.Now()
		for range others {
			go func() {
				p, _, err := g.enter(t.Context(), time.Hour)
				if err != nil {
					t.Error(err)
				}
				passed <- p
			}()
		}
		for _, wave := range []int{1, 2, 4, 8} {
			synctest.Wait()
			if wave == 1 {
				if len(passed) != 0 {
					t.Errorf("%d passed before the end of the wait", len(passed))
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
			}
			if len(passed) != wave {
				t.Fatalf("%d passed at once, want %d", len(passed), wave)
			}
			first := <-passed // the width doubles with one success; the others of the wave say nothing
			first.ok()
			for range wave - 1 {
				(<-passed).failed()
			}
		}
		if at := time.Since(began); at != 10*time.Second {
			t.Errorf("it took %s", at)
		}
		for range others - 15 {
			(<-passed).ok()
		}
	})
}

func TestTheGateWaitsNoLongerThanAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p, _, err := g.enter(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		p.limited(time.Minute)
		_, waited, err := g.enter(t.Context(), 30*time.Second)
		if wait, long := isTooLong(err); !long || wait != time.Minute || waited != 0 {
			t.Errorf("waited %s, %v", waited, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, waited, err = g.enter(ctx, time.Hour); err != context.DeadlineExceeded || waited != 5*time.Second {
			t.Errorf("waited %s, %v", waited, err)
		}
		time.Sleep(time.Minute)
		holder, _, err := g.enter(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, waited, err = g.enter(t.Context(), 3*time.Second); err == nil || waited != 3*time.Second {
			t.Errorf("behind another: waited %s, %v", waited, err)
		}
		holder.failed()
	})
}

func TestGatesThatNobodyNeedsAreForgotten(t *testing.T) {
	t.Parallel()
	g := New(Config{})
	u := &upstream{id: "account"}
	closed := g.gate(u, "closed")
	p, _ := closed.enterNow(t)
	p.limited(time.Hour)
	for n := range 3 * manyGates {
		g.gate(u, strconv.Itoa(n))
	}
	if len(g.gates) > manyGates {
		t.Errorf("%d gates are kept", len(g.gates))
	}
	if g.gate(u, "closed") != closed {
		t.Error("a closed gate was forgotten")
	}
}

// enterNow passes an open gate.
func (g *gate) enterNow(t *testing.T) (*pass, time.Duration) {
	t.Helper()
	p, waited, err := g.enter(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return p, waited
}

func TestSetFieldChangesNothingElse(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{`{"model":"a","b":{"model":"c"}}`, `{"model":"x","b":{"model":"c"}}`},
		{`{"b":{"model":"c"} , "model" :  "a" }`, `{"b":{"model":"c"} , "model" :  "x" }`},
		{`{"b":["model",{"model":1},"}"],"mod\u0065l":"a\\"}`, `{"b":["model",{"model":1},"}"],"mod\u0065l":"x"}`},
		{`{"b":1}`, `{"model":"x","b":1}`},
		{` { } `, ` {"model":"x" } `},
	}
	for _, tt := range tests {
		q, err := ask([]byte(tt.in))
		if err != nil {
			t.Fatal(err)
		}
		got, err := setField([]byte(tt.in), q.model, "model", "x")
		if err != nil || string(got) != tt.want {
			t.Errorf("%s became %s, %v; want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestWhatIsCheckedIsWhatProvidersUnderstand(t *testing.T) {
	t.Parallel()
	q, err := ask([]byte(`{"model":"a","MODEL":"b","Stream":true,"stream":null}`))
	if err != nil || q.Model != "a" || q.Stream {
		t.Errorf("%+v, %v", q, err)
	}
	for _, in := range []string{
		`{"model":"a","model":"b"}`, `{"model":"a","mod\u0065l":"b"}`, `{"model":5}`, `{"stream":"yes"}`, `[1]`, `null`, ``, `{"model":"a"} {}`, `{"model":`,
	} {
		if q, err := ask([]byte(in)); err == nil {
			t.Errorf("%s was taken as %+v", in, q)
		}
	}
}

func FuzzTopFieldsAreThoseOfTheDecoder(f *testing.F) {
	f.Add(`{"a":{"b":["}",1]},"c\"":"\\","d":null, "e" : -1.5e3 }`)
	f.Fuzz(func(t *testing.T, in string) {
		fields, err := topFields([]byte(in))
		var want map[string]json.RawMessage
		if json.Unmarshal([]byte(in), &want) != nil || want == nil {
			if err == nil {
				t.Errorf("%q was taken", in)
			}
			return
		}
		got := map[string]json.RawMessage{}
		for _, field := range fields {
			got[field.name] = field.in([]byte(in))
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d fields, want %d", in, len(got), len(want))
		}
		for name, value := range want {
			if string(got[name]) != string(value) {
				t.Errorf("%q: %s is %q, want %q", in, name, got[name], value)
			}
		}
	})
}

func TestParseRoute(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method, path string
		kind         routeKind
		dialect      llm.Dialect
		model        string
	}{
		{"POST", "/v1/messages", callRoute, llm.Anthropic, ""},
		{"POST", "/v1/messages/", callRoute, llm.Anthropic, ""},
		{"POST", "/v1/messages/count_tokens", countRoute, llm.Anthropic, ""},
		{"POST", "/v1/messages/batches", unknownRoute, llm.Anthropic, ""},
		{"POST", "/v1/responses/compact", callRoute, llm.Responses, ""},
		{"POST", "/v1/responses/resp_1/cancel", unknownRoute, llm.Responses, ""},
		{"GET", "/v1/responses", unknownRoute, llm.Responses, ""},
		{"POST", "/v1beta/models/gemini-2.5-pro:streamGenerateContent", callRoute, llm.Gemini, "gemini-2.5-pro"},
		{"POST", "/v1beta/models/gemini-2.5-pro:countTokens", countRoute, llm.Gemini, "gemini-2.5-pro"},
		{"POST", "/v1beta/models/gemini-2.5-pro:batchEmbed", unknownRoute, llm.Gemini, "gemini-2.5-pro"},
		{"POST", "/v1/embeddings", unknownRoute, llm.Chat, ""},
		{"DELETE", "/v1/models/m", unknownRoute, llm.Gemini, ""},
		{"GET", "", hello, "", ""},
	}
	for _, tt := range tests {
		r := parseRoute(tt.method, tt.path)
		if r.kind != tt.kind || r.dialect != tt.dialect || r.model != tt.model {
			t.Errorf("%s %s: %+v", tt.method, tt.path, r)
		}
	}
}

func FuzzValidIsWhatEncodingJSONSays(f *testing.F) {
	for _, s := range []string{"", "{", `{"a":"b\\u00e9\\n"}`, `"\\x"`, "\"\n\"", `{"a":1e5,"b":[true,null,"\\""]}`, `"\\u12"`, `"\\`, `""""`, `{"a" "b"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if got, want := valid([]byte(body)), json.Valid([]byte(body)); got != want {
			t.Errorf("%q: %t, want %t", body, got, want)
		}
	})
}

func FuzzCanonicalFormsOfEqualRequestsAreEqual(f *testing.F) {
	f.Add(`{"a":[1,{"b":"2026-11-24"}],"metadata":{}}`)
	f.Fuzz(func(t *testing.T, body string) {
		c := newCanon()
		tree, digest, err := c.request(parseRoute("POST", "messages"), []byte(body))
		if err != nil {
			return
		}
		if _, again, err := c.request(parseRoute("POST", "/v1/messages/"), []byte(" "+body)); err != nil || again != digest {
			t.Errorf("%q: digests %s and %s, %v", body, digest, again, err)
		}
		if path, was, is := difference("", tree, tree); path != "" {
			t.Errorf("%q differs from itself at %s: %s, %s", body, path, was, is)
		}
	})
}

func TestVolatileTextsAreReplaced(t *testing.T) {
	t.Parallel()
	c := newCanon()
	for in, want := range map[string]string{
		"Wall time: 0.0512 seconds":         "Wall time: <time>",
		"Chunk ID: a1b2c3":                  "Chunk ID: <id>",
		"today: Tuesday November 24, 2026":  "today: <time>",
		"at 2026-11-24T10:11:12.123Z done":  "at <time> done",
		"in /tmp/oddish-x1/work":            "in /tmp/<name>/work",
		"run_shell_command_1795575228389_0": "run_shell_command_<time>_0",
		"Process Group PGID: 3079":          "Process Group PGID: <n>",
		"root 5 Nov 25 05:41 out.txt":       "root 5 <time> out.txt",
		"Wed Nov 25 08:00:31 UTC 2026\n":    "<time>\n",
		"3 passed in 0.12s":                 "3 passed in <time>",
		"real 0m0.003s":                     "real <time>",
		"http://x/t/odt_abc234/v1":          "http://x/t/<token>/v1",
		"price 12.50, line 3":               "price 12.50, line 3",
	} {
		if got := c.clean(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if strings.Contains(show(c.clean(map[string]any{"cache_control": 1, "user": "bob"})), "cache") {
		t.Error("cache_control stays")
	}
}

package agent

import (
	"errors"
	"testing"

	"oddish/api"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

func TestWordsGiveErrorNames(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"all is well": "",
		"litellm.RateLimitError: Too Many Requests":                            result.APIRateLimitError,
		"The API provider is not able to authenticate you.":                    result.AgentAuthenticationError,
		"The API provider has rate limited you. Try again later":               result.APIRateLimitError,
		"The API provider's servers are down or overloaded.":                   result.APIOverloadedError,
		"Credit balance is too low":                                            result.APIUsageLimitError,
		"429 You exceeded your current quota":                                  result.APIUsageLimitError,
		"This model's maximum context length is 8192 tokens":                   result.ContextWindowExceededError,
		"connect ECONNREFUSED 127.0.0.1:80":                                    result.NetworkConnectionError,
		"stream disconnected before completion: idle":                          result.APIConnectionClosedError,
		"API Error: something new":                                             result.UnknownAPIError,
		"rate limit reached, then it was overloaded":                           result.APIOverloadedError,
		"it was overloaded, then a rate limit":                                 result.APIRateLimitError,
		"curl: (6) Could not resolve host: x":                                  result.NetworkConnectionError,
		"The model gpt-9 does not exist or you do not have access to it":       result.ModelNotFoundError,
		"Claude Code is unable to respond to this request, which appears to v": result.AgentSafetyRefusalError,
	} {
		if got := errorOfText(words); got != want {
			t.Errorf("%q gives %q, want %q", words, got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	d := &Definition{Name: "a", Read: func(string) (*Log, error) { return &Log{}, nil }}
	answered := &Log{Answered: true}
	for name, c := range map[string]struct {
		log   *Log
		code  int
		facts *Facts
		words string
		want  string
	}{
		"a good end":                               {answered, 0, &Facts{Calls: 2}, "", ""},
		"a good end without a gateway":             {answered, 0, nil, "", ""},
		"exit 0 without any answer":                {&Log{}, 0, nil, "", result.UnknownAPIError},
		"exit 0 of one whom the gateway refused":   {answered, 0, &Facts{LastStatus: 401, LastFailure: "auth"}, "", result.AgentAuthenticationError},
		"what the agent told comes first":          {&Log{Failure: &Failure{Status: 429}}, 1, &Facts{LastStatus: 500, LastFailure: "server"}, "", result.APIRateLimitError},
		"the gateway helps out vague words":        {&Log{Failure: &Failure{Message: "oh"}}, 1, &Facts{LastStatus: 529, LastFailure: "x"}, "", result.APIOverloadedError},
		"then the gateway":                         {answered, 1, &Facts{Calls: 1, LastStatus: 529, LastFailure: "overloaded"}, "", result.APIOverloadedError},
		"then the words":                           {&Log{}, 1, nil, "connection refused", result.NetworkConnectionError},
		"words of tools do not count":              {answered, 1, nil, `{"output":"curl: (7) connection refused"}`, result.NonZeroAgentExitCodeError},
		"then the exit status":                     {answered, 2, &Facts{Calls: 1, LastStatus: 200}, "", result.NonZeroAgentExitCodeError},
		"the budget before all":                    {&Log{Failure: &Failure{Status: 400}}, 1, &Facts{BudgetExceeded: "cost"}, "", result.BudgetExceeded},
		"a call that was made good does not count": {answered, 0, &Facts{Calls: 1, LastStatus: 200}, "rate limit", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := errorType(judge(d, c.log, sandbox.Exit{Code: c.code}, c.facts, c.words)); got != c.want {
				t.Errorf("error is %q, want %q", got, c.want)
			}
		})
	}
}

// The ways in which runs end: what the agent's own log says (text, under the name of its output), its exit status, and what the gateway saw. The words are
// those of the real programs.
func TestEveryWayToEndHasItsNameAndItsClass(t *testing.T) {
	t.Parallel()
	claudeEnd := func(status, text string) string {
		return `{"type":"result","subtype":"success","is_error":true,"api_error_status":` + status + `,"terminal_reason":"api_error","result":"` + text + `"}`
	}
	pi := func(text string) string {
		return `{"type":"message_end","message":{"role":"assistant","content":[],"stopReason":"error","errorMessage":"` + text + `"}}`
	}
	codex := func(text string) string { return `{"type":"turn.failed","error":{"message":"` + text + `"}}` }
	answered := map[string]string{
		"claude-code": `{"type":"assistant","message":{"id":"m","model":"m","content":[{"type":"text","text":"hi"}]}}` + "\n",
		"codex":       `{"type":"item.completed","item":{"type":"agent_message","text":"hi"}}` + "\n",
	}
	for name, c := range map[string]struct {
		agent, log string
		exit       int
		facts      *Facts
		want       string
		class      api.ErrorClass
	}{
		"claude: a wrong key":                           {"claude-code", claudeEnd("401", "Invalid API key · Fix external API key"), 1, nil, result.AgentAuthenticationError, api.ClassPermanent},
		"claude: success that is an error":              {"claude-code", claudeEnd("null", "API Error: Connection refused (ECONNREFUSED)"), 0, nil, result.NetworkConnectionError, api.ClassInfrastructure},
		"claude: asked too often":                       {"claude-code", claudeEnd("429", "API Error: Request rejected (429)"), 1, nil, result.APIRateLimitError, api.ClassRateLimit},
		"claude: too busy":                              {"claude-code", claudeEnd("529", "API Error: 529 Overloaded"), 1, nil, result.APIOverloadedError, api.ClassRateLimit},
		"claude: the provider is broken":                {"claude-code", claudeEnd("500", "API Error: 500 check your inference gateway"), 1, nil, result.APIInternalServerError, api.ClassInfrastructure},
		"claude: no money":                              {"claude-code", claudeEnd("400", "Credit balance is too low"), 1, nil, result.APIUsageLimitError, api.ClassPermanent},
		"claude: no such model":                         {"claude-code", claudeEnd("404", "There's an issue with the selected model (x). It may not exist"), 1, nil, result.ModelNotFoundError, api.ClassPermanent},
		"claude: a prompt too long":                     {"claude-code", `{"type":"result","subtype":"success","is_error":true,"terminal_reason":"prompt_too_long","result":"Prompt is too long"}`, 1, nil, result.ContextWindowExceededError, api.ClassResult},
		"claude: an answer too long":                    {"claude-code", claudeEnd("null", "API Error: Claude's response exceeded the 32000 output token maximum"), 1, nil, result.OutputTokenExceededError, api.ClassResult},
		"claude: a refusal":                             {"claude-code", claudeEnd("null", "API Error: Claude Code is unable to respond to this request, which appears to violate our Usage Policy"), 1, nil, result.AgentSafetyRefusalError, api.ClassResult},
		"claude: its own limit of turns":                {"claude-code", `{"type":"result","subtype":"error_max_turns","is_error":true}`, 1, nil, result.NonZeroAgentExitCodeError, api.ClassResult},
		"claude: killed in the middle":                  {"claude-code", answered["claude-code"], 143, &Facts{Calls: 1, LastStatus: 200}, result.NonZeroAgentExitCodeError, api.ClassResult},
		"codex: a wrong key":                            {"codex", codex("unexpected status 401 Unauthorized: Incorrect API key provided, url: http://x"), 1, nil, result.AgentAuthenticationError, api.ClassPermanent},
		"codex: asked too often":                        {"codex", codex("exceeded retry limit, last status: 429 Too Many Requests"), 1, nil, result.APIRateLimitError, api.ClassRateLimit},
		"codex: no money":                               {"codex", codex("Quota exceeded. Check your plan and billing details."), 1, nil, result.APIUsageLimitError, api.ClassPermanent},
		"codex: a conversation too long":                {"codex", codex("Codex ran out of room in the model's context window."), 1, nil, result.ContextWindowExceededError, api.ClassResult},
		"codex: the provider is broken":                 {"codex", codex("We're currently experiencing high demand, which may cause temporary errors."), 1, nil, result.APIOverloadedError, api.ClassRateLimit},
		"codex: the stream broke":                       {"codex", codex("stream disconnected before completion: error sending request"), 1, nil, result.NetworkConnectionError, api.ClassInfrastructure},
		"codex: an error line alone is nothing":         {"codex", `{"type":"error","message":"Reconnecting... 1/5 (unexpected status 500)"}` + "\n" + answered["codex"], 0, nil, "", ""},
		"codex: a warning about the model is nothing":   {"codex", `{"type":"item.completed","item":{"type":"error","message":"Model metadata for x not found."}}` + "\n" + answered["codex"], 0, nil, "", ""},
		"pi: exit 0 with a wrong key":                   {"pi", pi("401 Incorrect API key provided"), 0, nil, result.AgentAuthenticationError, api.ClassPermanent},
		"pi: exit 0 after it gave up":                   {"pi", `{"type":"auto_retry_end","success":false,"attempt":3,"finalError":"429 rate limit"}`, 0, nil, result.APIRateLimitError, api.ClassRateLimit},
		"pi: exit 0 with a prompt too long":             {"pi", pi("400 prompt is too long: 210000 tokens"), 0, nil, result.ContextWindowExceededError, api.ClassResult},
		"pi: exit 0 and nothing at all":                 {"pi", "", 0, &Facts{}, result.UnknownAPIError, api.ClassInfrastructure},
		"gemini: a wrong key":                           {"gemini-cli", "Attempt 1 failed\nstatus: 401\nAn unexpected critical error occurred:[object Object]", 1, nil, result.AgentAuthenticationError, api.ClassPermanent},
		"qwen: no money":                                {"qwen-coder", `{"type":"result","is_error":true,"error":{"message":"[API Error: 429 You exceeded your current quota]"}}`, 1, nil, result.APIUsageLimitError, api.ClassPermanent},
		"mini: a wrong key":                             {"mini-swe-agent", `{"info":{"exit_status":"AuthenticationError"},"messages":[]}`, 1, nil, result.AgentAuthenticationError, api.ClassPermanent},
		"aider: exit 0 with a wrong key":                {"aider", "The API provider is not able to authenticate you. Check your API key.", 0, &Facts{LastStatus: 401, LastFailure: "auth"}, result.AgentAuthenticationError, api.ClassPermanent},
		"aider: exit 0, asked too often":                {"aider", "The API provider has rate limited you.", 0, &Facts{Calls: 3, LastStatus: 429, LastFailure: "rate_limit"}, result.APIRateLimitError, api.ClassRateLimit},
		"aider: exit 0 with answers":                    {"aider", "Applied edit to x.py", 0, &Facts{Calls: 3, LastStatus: 200}, "", ""},
		"aider: exit 0 after a refusal":                 {"aider", "I can't help with that.", 0, &Facts{Calls: 1, LastStatus: 200, LastFailure: "refusal"}, result.AgentSafetyRefusalError, api.ClassResult},
		"gateway: 429 until it gave up":                 {"codex", codex("exceeded retry limit, last status: 429 Too Many Requests"), 1, &Facts{LastStatus: 429, LastFailure: "rate_limit"}, result.APIRateLimitError, api.ClassRateLimit},
		"gateway: overload, told as 429":                {"claude-code", claudeEnd("429", "API Error: Request rejected (429)"), 1, &Facts{Calls: 2, LastStatus: 429, LastFailure: "overloaded"}, result.APIOverloadedError, api.ClassRateLimit},
		"gateway: a broken provider, told as 429":       {"claude-code", claudeEnd("429", "API Error: Request rejected (429)"), 1, &Facts{LastStatus: 429, LastFailure: "server_error"}, result.APIInternalServerError, api.ClassInfrastructure},
		"gateway: a provider out of reach":              {"pi", pi("429 The model provider can't be reached"), 0, &Facts{LastStatus: 429, LastFailure: "network", LastMessage: "dial tcp: connection refused"}, result.NetworkConnectionError, api.ClassInfrastructure},
		"gateway: a provider that fell silent":          {"aider", "", 0, &Facts{Calls: 1, LastStatus: 429, LastFailure: "network", LastMessage: "the provider was silent for too long"}, result.APIResponseStalledError, api.ClassInfrastructure},
		"gateway: a stream that was cut":                {"command", "boom", 1, &Facts{Calls: 2, LastStatus: 200, LastFailure: "network", LastMessage: "the stream was cut: unexpected EOF"}, result.APIConnectionClosedError, api.ClassInfrastructure},
		"gateway: no money, in an agent's vague words":  {"command", "error: something went wrong", 1, &Facts{LastStatus: 400, LastFailure: "quota"}, result.APIUsageLimitError, api.ClassPermanent},
		"gateway: a model that is not the trial's":      {"command", "", 1, &Facts{LastStatus: 404, LastFailure: "not_allowed", LastMessage: `The model "x" is not one of this trial's models.`}, result.ModelNotFoundError, api.ClassPermanent},
		"gateway: a request that is none":               {"command", "", 1, &Facts{LastStatus: 400, LastFailure: "bad_request", LastMessage: "messages: field required"}, result.UnknownAPIError, api.ClassInfrastructure},
		"gateway: a request for too long an answer":     {"command", "", 1, &Facts{LastStatus: 400, LastFailure: "bad_request", LastMessage: "max_output_tokens is too large"}, result.OutputTokenExceededError, api.ClassResult},
		"gateway: a refusal, and the agent fails":       {"command", "", 1, &Facts{Calls: 1, LastStatus: 200, LastFailure: "refusal"}, result.AgentSafetyRefusalError, api.ClassResult},
		"both differ: the agent's own words come first": {"claude-code", claudeEnd("400", "Prompt is too long"), 1, &Facts{LastStatus: 500, LastFailure: "server_error"}, result.ContextWindowExceededError, api.ClassResult},
		"both differ: a budget comes before all":        {"claude-code", claudeEnd("400", "Credit balance is too low"), 1, &Facts{BudgetExceeded: "cost", LastStatus: 400}, result.BudgetExceeded, api.ClassPermanent},
		"command: exit 0 without a model":               {"command", "done", 0, &Facts{}, "", ""},
		"command: its own failure":                      {"command", "Traceback: KeyError", 1, &Facts{Calls: 1, LastStatus: 200}, result.NonZeroAgentExitCodeError, api.ClassResult},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := definition(t, c.agent)
			file := d.Output
			if d.Record != "" {
				file = d.Record
			}
			dir := lay(t, map[string]string{file: c.log + "\n"})
			var log *Log
			if d.Read != nil {
				var err error
				if log, err = d.Read(dir); err != nil {
					t.Fatal(err)
				}
			}
			err := judge(d, log, sandbox.Exit{Code: c.exit}, c.facts, c.log)
			var e *result.Error
			if !errors.As(err, &e) {
				e = &result.Error{}
			}
			if e.Type != c.want || e.Class != c.class {
				t.Errorf("it is %s of class %q, want %s of class %q: %v", e.Type, e.Class, c.want, c.class, err)
			}
		})
	}
}

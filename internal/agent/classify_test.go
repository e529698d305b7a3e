package agent

import (
	"testing"

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

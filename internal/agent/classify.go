package agent

import (
	"regexp"
	"strings"

	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// wording is what programs and providers say about one kind of failure.
type wording struct {
	errorType string
	words     *regexp.Regexp
}

// wordings are looked for in all of an agent's last words; the match that ends last wins, and of several that end there the first.
func wordings() []wording {
	list := []struct{ errorType, words string }{
		{result.APIUsageLimitError, `insufficient_quota|quota exceeded|exceeded your (current )?quota|check your plan and billing|credit balance is too low|usage limit|unpaid invoice|billing_error|payment required|no quota`},
		{result.ContextWindowExceededError, `prompt is too\s+long|contextwindowexceeded|context_length_exceeded|context length|maximum context|context window|out of room in the model|contextwindowoverflow|contextoverflow|prompt_too_long|too many input tokens|exceeds the maximum number of tokens`},
		{result.OutputTokenExceededError, `output token maximum|max_output_tokens|exceeded the \S+ output token`},
		{result.AgentSafetyRefusalError, `unable to respond to this request|violates? (our|the) usage policy|safety refusal|content_filter|invalid_prompt`},
		{result.APIRateLimitError, `rate.?limit(ed|_error|_exceeded)?|too many requests|resource_exhausted|\b429\b`},
		{result.APIOverloadedError, `overloaded(_error)?|serviceunavailable(error)?|at capacity|high demand|\b529\b|\b503\b`},
		{result.AgentAuthenticationError, `invalid api key|incorrect api key|api key is invalid|authentication required|authentication_?(failed|error)|not able to authenticate|unauthorized|not logged in|please run /login|permission_error|\b40[13]\b`},
		{result.ModelNotFoundError, `model[^\n]{0,80}(not found|does not exist|not exist)|unknown model|model_not_found|not_found_error|issue with the selected model`},
		{result.APIResponseStalledError, `stream idle timeout|response stalled|timed? ?out waiting for (the )?(model|response|stream)`},
		{result.APIConnectionClosedError, `stream disconnected|connection (was )?closed|premature close|socket hang up|connection reset|econnreset|terminated before completion`},
		{result.NetworkConnectionError, `econnrefused|connection refused|connection timed out|could not resolve|enotfound|eai_again|getaddrinfo|certificate verify failed|ssl error|curl: \(\d+\)|apiconnectionerror|error sending request`},
		{result.APIInternalServerError, `internal server error|internalservererror|api_error\b|\b50[02]\b`},
		{result.UnknownAPIError, `api error`},
	}
	var out []wording
	for _, w := range list {
		out = append(out, wording{w.errorType, regexp.MustCompile(`(?i)` + w.words)})
	}
	return out
}

// errorOfText gives the name of the error that words tell of; "" if they tell of none.
func errorOfText(words string) string {
	name, end := "", -1
	for _, w := range wordings() {
		all := w.words.FindAllStringIndex(words, -1)
		if len(all) > 0 && all[len(all)-1][1] > end {
			name, end = w.errorType, all[len(all)-1][1]
		}
	}
	return name
}

// says reports whether words tell, among others, of that error.
func says(errorType, words string) bool {
	for _, w := range wordings() {
		if w.errorType == errorType && w.words.MatchString(words) {
			return true
		}
	}
	return false
}

// errorOfStatus gives the name for an answer of a provider with that status. Where one status has several meanings, the words decide.
func errorOfStatus(status int, words string) string {
	said := errorOfText(words)
	among := func(otherwise string, may ...string) string {
		for _, m := range may {
			if said == m {
				return said
			}
		}
		return otherwise
	}
	switch {
	case status == 400, status == 413:
		return among(result.UnknownAPIError, result.ContextWindowExceededError, result.APIUsageLimitError, result.OutputTokenExceededError,
			result.AgentSafetyRefusalError, result.ModelNotFoundError, result.AgentAuthenticationError)
	case status == 401, status == 403:
		return result.AgentAuthenticationError
	case status == 402:
		return result.APIUsageLimitError
	case status == 404:
		return among(result.ModelNotFoundError, result.APIProviderResourceNotFoundError)
	case status == 429:
		if says(result.APIUsageLimitError, words) { // wherever: "resource exhausted" stands behind it
			return result.APIUsageLimitError
		}
		return result.APIRateLimitError
	case status == 503, status == 529:
		return result.APIOverloadedError
	case status >= 500:
		return result.APIInternalServerError
	}
	return ""
}

// errorOfFacts gives the name for how the gateway saw the last call end; "" if that was well, or nobody saw it. Its kinds say more than the status
// with which it answered the agent: what it could not wait out is told as 429, whatever it was, and a stream that was cut had begun with 200.
func errorOfFacts(facts *Facts) string {
	if facts == nil || facts.LastFailure == "" {
		return ""
	}
	switch facts.LastFailure {
	case "auth":
		return result.AgentAuthenticationError
	case "quota":
		return result.APIUsageLimitError
	case "context":
		return result.ContextWindowExceededError
	case "refusal":
		return result.AgentSafetyRefusalError
	case "unknown_model":
		return result.ModelNotFoundError
	case "rate_limit":
		return result.APIRateLimitError
	case "overloaded":
		return result.APIOverloadedError
	case "server_error":
		return result.APIInternalServerError
	case "network":
		return errorOfNetwork(facts.LastMessage)
	}
	return errorOfStatus(facts.LastStatus, facts.LastMessage) // the request was not as it should be, or not allowed
}

// errorOfNetwork tells a provider that was not reached from one that fell silent or hung up.
func errorOfNetwork(message string) string {
	switch {
	case strings.Contains(message, "silent"):
		return result.APIResponseStalledError
	case strings.Contains(message, "cut"), strings.Contains(message, "ended the answer"), strings.Contains(message, "EOF"), strings.Contains(message, "reset by peer"):
		return result.APIConnectionClosedError
	}
	return result.NetworkConnectionError
}

// name gives the failure's error name.
func (f *Failure) name() string {
	if f.Type != "" {
		return f.Type
	}
	if name := errorOfStatus(f.Status, f.Message); name != "" {
		return name
	}
	if name := errorOfText(f.Message); name != "" {
		return name
	}
	return result.UnknownAPIError
}

// judge says how a run ended: what the agent told comes first, then what the gateway saw, then the exit status. An exit status of 0
// proves nothing, since some agents give it whatever happened; words is the end of the output.
func judge(d *Definition, log *Log, exit sandbox.Exit, facts *Facts, words string) error {
	stuck := facts != nil && facts.LastFailure != ""
	switch {
	case facts != nil && facts.BudgetExceeded != "":
		return result.Errorf(result.BudgetExceeded, "the agent was stopped: the budget %s is used up", facts.BudgetExceeded)
	case log != nil && log.Failure != nil:
		name := log.Failure.name()
		if vague := name == result.UnknownAPIError || name == result.APIRateLimitError && facts != nil && facts.LastStatus == 429; vague {
			name = orName(errorOfFacts(facts), name) // it repeats what the gateway has told it, which knows the cause
		}
		return result.Errorf(name, "agent %s gave up: %s", d.Name, log.Failure.Message)
	case exit.Code == 0 && silent(d, log, facts) && !d.NoModel:
		return result.Errorf(orName(errorOfFacts(facts), errorOfText(words), result.UnknownAPIError),
			"agent %s ended with exit status 0 and without a single answer of its model: %s", d.Name, words)
	case exit.Code == 0 && stuck && d.Read == nil: // it does not tell, and its last call failed
		return result.Errorf(orName(errorOfFacts(facts), result.UnknownAPIError), "agent %s stopped after its last call of the model was answered with status %d: %s",
			d.Name, facts.LastStatus, facts.LastMessage)
	case exit.Code == 0:
		return nil
	case stuck:
		return result.Errorf(orName(errorOfFacts(facts), result.NonZeroAgentExitCodeError),
			"agent %s ended with exit status %d; its last call of the model was answered with status %d: %s",
			d.Name, exit.Code, facts.LastStatus, orName(facts.LastMessage, words))
	}
	name := ""
	if log == nil || !log.Answered { // once it works, the last words may be those of any tool
		name = errorOfText(words)
	}
	return result.Errorf(orName(name, result.NonZeroAgentExitCodeError), "agent %s ended with exit status %d: %s", d.Name, exit.Code, words)
}

// silent reports whether nobody has seen an answer of the model.
func silent(d *Definition, log *Log, facts *Facts) bool {
	if facts != nil {
		return facts.Calls == 0
	}
	return d.Read != nil && log != nil && !log.Answered
}

// orName gives the first that is not empty.
func orName(names ...string) string {
	for _, n := range names {
		if n = strings.TrimSpace(n); n != "" {
			return n
		}
	}
	return ""
}

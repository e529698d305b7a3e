package gateway

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"oddish/internal/llm/usage"
)

// classify says what an answer with an error's status means.
func classify(status int, header http.Header, body []byte, now time.Time) *failure {
	f := &failure{status: status, header: header, body: body}
	told := usage.ReadFault(body)
	if told == nil {
		told = &usage.Fault{Message: excerpt(body)}
	}
	f.message = or(clip(told.Message, longestMessage), or(http.StatusText(status), "status "+strconv.Itoa(status)))
	f.kind = kindOf(status, told, body)
	if f.kind.Transient() {
		f.wait = askedWait(header, body, f.message, now)
	}
	return f
}

// classifyFault says what an error inside an answer with status 200 means.
func classifyFault(told usage.Fault, header http.Header, body []byte, now time.Time) *failure {
	f := classify(statusOf(told), header, body, now)
	f.kind, f.message, f.body = kindOf(f.status, &told, body), or(clip(told.Message, longestMessage), f.message), nil
	return f
}

// statusOf gives the status that an error inside a 200 stands for.
func statusOf(told usage.Fault) int {
	if n, err := strconv.Atoi(told.Code); err == nil && n >= 400 && n < 600 {
		return n
	}
	name := strings.ToLower(told.Type + " " + told.Code)
	for _, known := range []struct {
		word   string
		status int
	}{
		{"rate_limit", 429}, {"insufficient_quota", 429}, {"resource_exhausted", 429}, {"overloaded", 529}, {"slow_down", 503}, {"unavailable", 503},
		{"authentication", 401}, {"invalid_api_key", 401}, {"permission", 403}, {"not_found", 404}, {"context_length", 400},
		{"api_error", 500}, {"server_error", 500}, {"internal", 500}, {"billing", 402}, {"invalid", 400},
	} {
		if strings.Contains(name, known.word) {
			return known.status
		}
	}
	return http.StatusInternalServerError
}

func kindOf(status int, told *usage.Fault, body []byte) Kind {
	text := strings.ToLower(told.Type + " " + told.Code + " " + told.Message + " ")
	switch {
	case status == 402 || spent(status, text, body):
		return Quota
	case status == 401 || status == 403 || has(text, "api key not valid", "api_key_invalid", "invalid_api_key", "invalid x-api-key"):
		return Auth
	case status == 429:
		return RateLimited
	case status == 503 || status == 529 || has(text, "overloaded"):
		return Overloaded
	case status == 408 || status == 409 || status >= 500 && status != 501: // a time-out, a conflict with another call
		return ServerError
	case tooLong(text):
		return Context
	case has(text, "content_policy", "content_filter", "content management policy", "safety system"):
		return Refusal
	case has(text, "model_not_found") || has(text, "model") && (status == 404 || has(text, "does not exist", "not found", "not supported")):
		return UnknownModel
	}
	return BadRequest
}

// spent recognises limits that no waiting lifts. A limit of tokens or requests is told in similar words, so only exact ones count.
func spent(status int, text string, body []byte) bool {
	if has(text, "insufficient_quota", "credit_balance_exhausted", "billing_error", "billing_hard_limit", "credit balance is too low", "insufficient credits", "insufficient balance") {
		return true
	}
	if status != 429 {
		return false
	}
	if bytes.Contains(body, []byte("enforced_spend_limit_reached")) || has(text, "limit: 0\n", "limit: 0 ", "limit: 0,") {
		return true
	}
	return bytes.Contains(body, []byte("PerDay")) && !bytes.Contains(body, []byte("retryDelay"))
}

func tooLong(text string) bool {
	return has(text, "context_length_exceeded", "prompt is too long", "maximum context length", "context window", "exceeds the maximum number of tokens", "input is too long")
}

func has(text string, words ...string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// longestMessage bounds what is kept of a provider's words, in bytes.
const longestMessage = 2000

// excerpt gives the beginning of a body that is no error in a known form.
func excerpt(body []byte) string {
	return strings.TrimSpace(clip(string(body[:min(len(body), 300)]), 300))
}

// clip gives at most the first bytes of a text, whole characters only.
func clip(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

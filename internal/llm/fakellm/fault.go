package fakellm

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"oddish/internal/llm"
)

// FaultKind is a way in which a provider fails.
type FaultKind string

// The kinds of faults. Those of the first group answer with an error's status, the others spoil an answer.
const (
	RateLimit    FaultKind = "rate_limit"    // 429
	Overloaded   FaultKind = "overloaded"    // 529 from Anthropic, 503 from others
	ServerError  FaultKind = "server_error"  // 500
	Auth         FaultKind = "auth"          // 401
	UnknownModel FaultKind = "unknown_model" // 404
	Quota        FaultKind = "quota"         // no money: 400 from Anthropic, 429 from others
	Context      FaultKind = "context"       // 400: the prompt is too long
	BadRequest   FaultKind = "bad_request"   // 400

	Cut         FaultKind = "cut"          // the connection ends after After events; with After 0 before the first byte of the body
	Drop        FaultKind = "drop"         // the connection ends without any answer
	Hang        FaultKind = "hang"         // nothing comes after After events until the client leaves
	Slow        FaultKind = "slow"         // Delay before every event
	WrongJSON   FaultKind = "wrong_json"   // an answer that is not JSON
	ErrorBody   FaultKind = "error_body"   // 200 with an error in the body, in a stream as the event after After others
	NoUsage     FaultKind = "no_usage"     // an answer that does not tell its usage
	EchoHeaders FaultKind = "echo_headers" // 500 with all headers of the request in its message: keys must not reach anybody
)

// Fault happens to the calls that it fits.
type Fault struct {
	Kind       FaultKind     `yaml:"kind" json:"kind"`
	Times      int           `yaml:"times" json:"times"`             // how many calls it happens to; 0: to all
	Turn       *int          `yaml:"turn" json:"turn"`               // only at this turn
	Model      string        `yaml:"model" json:"model"`             // only for this model
	Helper     bool          `yaml:"helper" json:"helper"`           // only helper calls, which other faults leave alone
	RetryAfter string        `yaml:"retry_after" json:"retry_after"` // the Retry-After header, in seconds; in Gemini's dialect the RetryInfo
	After      int           `yaml:"after" json:"after"`
	As         FaultKind     `yaml:"as" json:"as"` // the error of an ErrorBody: one of the first group; empty: RateLimit
	Delay      time.Duration `yaml:"delay" json:"delay"`
}

func (f Fault) check() error {
	kinds := []FaultKind{
		RateLimit, Overloaded, ServerError, Auth, UnknownModel, Quota, Context, BadRequest,
		Cut, Drop, Hang, Slow, WrongJSON, ErrorBody, NoUsage, EchoHeaders,
	}
	if !slices.Contains(kinds, f.Kind) {
		return fmt.Errorf("kind %q does not exist: use one of %v", f.Kind, kinds)
	}
	if _, is := (Fault{Kind: f.As}).problem(llm.Chat, ""); f.As != "" && !is {
		return fmt.Errorf("as %q is no error to answer with: use a kind such as %s or %s", f.As, Overloaded, Auth)
	}
	return nil
}

func (f Fault) fits(q query) bool {
	return (f.Turn == nil || *f.Turn == q.turn && !q.helper) && (f.Model == "" || f.Model == q.model) && f.Helper == q.helper
}

// problem is an error as the provider of a dialect tells it.
type problem struct {
	status        int
	anthropic     string // error.type
	kind, code    string // OpenAI's error.type and error.code
	gemini        string // error.status
	message       string
	retry         string
	geminiDetails []any
}

// problem gives the answer of the fault's kind, and whether it is one that answers with an error.
func (f Fault) problem(d llm.Dialect, model string) (problem, bool) {
	kind := f.Kind
	if kind == ErrorBody {
		if kind = f.As; kind == "" {
			kind = RateLimit
		}
	}
	p, is := problems()[kind]
	p.retry = f.RetryAfter
	switch {
	case kind == Overloaded && d == llm.Anthropic:
		p.status = 529
	case kind == Quota && d == llm.Anthropic:
		p.status, p.message = 400, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."
	case kind == Context:
		p.message = contextMessage(d)
	case kind == UnknownModel:
		p.message = "The model " + model + " does not exist or you do not have access to it."
	}
	return p, is
}

// problems are the errors of all kinds, in the words of all dialects.
func problems() map[FaultKind]problem {
	day := []any{object{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []any{object{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}}}}
	broken := problem{status: 500, anthropic: "api_error", kind: "server_error", gemini: "INTERNAL", message: "Internal server error"}
	return map[FaultKind]problem{
		RateLimit: {status: 429, anthropic: "rate_limit_error", kind: "requests", code: "rate_limit_exceeded", gemini: "RESOURCE_EXHAUSTED",
			message: "Rate limit reached. Please slow down."},
		Overloaded:  {status: 503, anthropic: "overloaded_error", kind: "server_error", code: "server_is_overloaded", gemini: "UNAVAILABLE", message: "Overloaded"},
		ServerError: broken,
		EchoHeaders: broken,
		Auth: {status: 401, anthropic: "authentication_error", kind: "invalid_request_error", code: "invalid_api_key", gemini: "UNAUTHENTICATED",
			message: "Incorrect API key provided."},
		UnknownModel: {status: 404, anthropic: "not_found_error", kind: "invalid_request_error", code: "model_not_found", gemini: "NOT_FOUND"},
		Quota: {status: 429, anthropic: "invalid_request_error", kind: "insufficient_quota", code: "insufficient_quota", gemini: "RESOURCE_EXHAUSTED",
			message: "You exceeded your current quota, please check your plan and billing details.", geminiDetails: day},
		Context:    {status: 400, anthropic: "invalid_request_error", kind: "invalid_request_error", code: "context_length_exceeded", gemini: "INVALID_ARGUMENT"},
		BadRequest: {status: 400, anthropic: "invalid_request_error", kind: "invalid_request_error", gemini: "INVALID_ARGUMENT", message: "The request is malformed."},
	}
}

func contextMessage(d llm.Dialect) string {
	switch d {
	case llm.Anthropic:
		return "prompt is too long: 210000 tokens > 200000 maximum"
	case llm.Gemini:
		return "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576)."
	}
	return "Your input exceeds the context window of this model. Please adjust your input and try again."
}

func (p problem) body(d llm.Dialect) object {
	switch d {
	case llm.Anthropic:
		return object{"type": "error", "error": object{"type": p.anthropic, "message": p.message}, "request_id": "req_fake"}
	case llm.Gemini:
		details := p.geminiDetails
		if p.retry != "" {
			details = append(details, object{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": p.retry + "s"})
		}
		e := object{"code": p.status, "message": p.message, "status": p.gemini}
		if details != nil {
			e["details"] = details
		}
		return object{"error": e}
	}
	var code any
	if p.code != "" {
		code = p.code
	}
	return object{"error": object{"message": p.message, "type": p.kind, "param": nil, "code": code}}
}

func (p problem) write(w http.ResponseWriter, d llm.Dialect) {
	if p.retry != "" && d != llm.Gemini {
		w.Header().Set("Retry-After", p.retry)
	}
	writeJSON(w, p.status, p.body(d))
}

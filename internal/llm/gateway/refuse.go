package gateway

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"oddish/internal/llm"
)

// refusal is an error that the gateway itself answers with, in the form of any dialect.
type refusal struct {
	status    int
	anthropic string // error.type
	openai    string // error.type
	code      string // OpenAI's error.code; empty: null
	gemini    string // error.status
	message   string
	retry     time.Duration // for the Retry-After header; 0: none
}

func badRequest(message string) refusal {
	return refusal{status: 400, anthropic: "invalid_request_error", openai: "invalid_request_error", gemini: "INVALID_ARGUMENT", message: message}
}

func unauthorized() refusal {
	return refusal{status: 401, anthropic: "authentication_error", openai: "invalid_request_error", code: "invalid_api_key", gemini: "UNAUTHENTICATED",
		message: "This gateway wants the token of a running trial as API key."}
}

func notFound(message string) refusal {
	return refusal{status: 404, anthropic: "not_found_error", openai: "invalid_request_error", code: "not_found", gemini: "NOT_FOUND", message: message}
}

func modelNotAllowed(model string) refusal {
	r := notFound("The model " + strconv.Quote(model) + " is not one of this trial's models.")
	r.code = "model_not_found"
	return r
}

func tooLarge(limit int64) refusal {
	return refusal{status: 413, anthropic: "request_too_large", openai: "invalid_request_error", gemini: "INVALID_ARGUMENT",
		message: "The request is larger than " + strconv.FormatInt(limit, 10) + " bytes."}
}

// noMoney is the error at which agents stop at once: with another status, or in other words, some retry for minutes, and a
// word about the length of the context would make them shorten it.
func noMoney(message string) refusal {
	return refusal{status: 400, anthropic: "invalid_request_error", openai: "insufficient_quota", code: "insufficient_quota", gemini: "FAILED_PRECONDITION", message: message}
}

// overBudget tells an agent that its trial has used what it may.
func overBudget(d llm.Dialect, what string) refusal {
	message := "You exceeded your current quota, please check your plan and billing details. (The trial's budget of " + what + " is used up.)"
	if d == llm.Anthropic {
		message = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits. (The trial's budget of " + what + " is used up.)"
	}
	return noMoney(message)
}

// final passes on what waiting would not mend, where the provider's own answer can't be.
func final(f *failure) refusal {
	switch f.kind {
	case Quota:
		return noMoney(f.message)
	case Auth:
		r := unauthorized()
		r.message = f.message
		return r
	case UnknownModel:
		r := notFound(f.message)
		r.code = "model_not_found"
		return r
	}
	return badRequest(f.message)
}

// comeBack passes on a trouble that the gateway could not wait out. Whatever it was, it is told as 429 with a time, since that is what agents treat
// alike, and what some take as final without a time.
func comeBack(f *failure, wait time.Duration) refusal {
	r := refusal{status: 429, anthropic: "rate_limit_error", openai: "requests", code: "rate_limit_exceeded", gemini: "RESOURCE_EXHAUSTED", retry: max(wait, time.Second)}
	switch f.kind {
	case Overloaded:
		r.message = "The model provider is overloaded: "
	case ServerError:
		r.message = "The model provider has an internal error: "
	case Network:
		r.message = "The model provider can't be reached: "
	default:
		r.message = "The model provider's rate limit is reached: "
	}
	r.message += f.message
	return r
}

// write answers with the error and gives the body.
func (r refusal) write(w http.ResponseWriter, d llm.Dialect) (body []byte) {
	data, err := json.Marshal(r.body(d))
	if err != nil {
		http.Error(w, "encode the error", http.StatusInternalServerError)
		return nil
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if r.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(r.retry.Seconds()))))
	} else {
		h.Set("X-Should-Retry", "false") // the providers' own client libraries obey it
	}
	w.WriteHeader(r.status)
	w.Write(data) //nolint:errcheck // an agent that left needs no answer
	return data
}

func (r refusal) body(d llm.Dialect) map[string]any {
	switch d {
	case llm.Anthropic:
		return map[string]any{"type": "error", "error": map[string]any{"type": r.anthropic, "message": r.message}}
	case llm.Gemini:
		e := map[string]any{"code": r.status, "message": r.message, "status": r.gemini}
		if r.retry > 0 {
			e["details"] = []any{map[string]any{
				"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": strconv.Itoa(int(math.Ceil(r.retry.Seconds()))) + "s",
			}}
		}
		return map[string]any{"error": e}
	}
	var code any
	if r.code != "" {
		code = r.code
	}
	return map[string]any{"error": map[string]any{"message": r.message, "type": r.openai, "param": nil, "code": code}}
}

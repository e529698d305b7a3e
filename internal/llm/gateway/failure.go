package gateway

import (
	"net/http"
	"time"
)

// Kind says why a call failed.
type Kind string

// The kinds of failures. The second group passes with time, the first and the third do not.
const (
	Auth         Kind = "auth"          // the provider does not accept the key
	Quota        Kind = "quota"         // no money, or a limit that does not come back by waiting
	Context      Kind = "context"       // the prompt is longer than the model can take
	Refusal      Kind = "refusal"       // model or provider declined to answer
	UnknownModel Kind = "unknown_model" // the provider does not have the model
	BadRequest   Kind = "bad_request"   // the request is not what the provider wants

	RateLimited Kind = "rate_limit"   // we ask too much
	Overloaded  Kind = "overloaded"   // everybody asks too much
	ServerError Kind = "server_error" // the provider broke, or answered what is no answer
	Network     Kind = "network"      // the provider could not be reached, or the connection ended early

	NotAllowed Kind = "not_allowed" // refused here: not a model or route of this trial's
)

// Transient reports whether the same request may succeed later.
func (k Kind) Transient() bool {
	switch k {
	case RateLimited, Overloaded, ServerError, Network:
		return true
	}
	return false
}

// slowDown reports whether all calls to the model should wait, and not only this one.
func (k Kind) slowDown() bool { return k == RateLimited || k == Overloaded }

// failure is an answer that is none.
type failure struct {
	kind    Kind
	status  int           // of the provider's answer; 0 without one
	message string        // without secrets
	wait    time.Duration // what the provider asked for; 0 if it named nothing
	header  http.Header   // of the provider's answer
	body    []byte        // of the provider's answer, without secrets; nil if it is not an error's
	ours    bool          // our own addition to the request was refused: it goes again without
}

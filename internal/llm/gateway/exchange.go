package gateway

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"time"

	"oddish/internal/llm/transcript"
)

// exchange is one request of an agent on its way to the provider and back.
type exchange struct {
	gateway  *Gateway
	session  *Session
	w        http.ResponseWriter
	r        *http.Request // its context ends with the agent's connection and with the session
	route    route
	path     string // without the token
	upstream *upstream
	began    time.Time

	body     []byte // nil once it is not needed any more
	bodyLen  int64
	payload  *payload // what is sent of it
	question question
	asked    string // model
	sent     string // model

	attempts  int
	waited    time.Duration
	status    int // of the answer to the agent
	upStatus  int // of the last answer of the provider
	firstByte time.Duration
	cut       bool // the answer ended early
	events    int
	answerLen int64
	answered  *answered
	failure   *failure // why the last attempt failed; nil after an answer
	budget    string   // which one was exceeded
	recorded  *bytes.Buffer
	said      *transcript.Exchange
	replayed  int // number of the recorded exchange that answered
	mimeType  string
}

// forward sends the request until it is answered, it makes no sense to go on, or the time to wait is used up.
func (x *exchange) forward() {
	gate := x.gateway.gate(x.upstream, x.sent)
	for {
		p, waited, err := gate.enter(x.r.Context(), x.session.mayWait())
		x.noteWait(waited)
		if err != nil {
			x.giveUp(err)
			return
		}
		if x.attempts++; x.attempts > 1 {
			x.session.ledger.noteRetry()
		}
		f := x.attempt(p)
		p.failed() // unless it has ended already
		switch {
		case f == nil:
			return
		case x.r.Context().Err() != nil:
			x.noteGone()
			return
		case f.ours:
			x.attempts--
			continue
		}
		x.failure = f
		x.noteFailure(f)
		if !x.again(f) {
			return
		}
	}
}

// again waits for another attempt and reports whether there is to be one; if not it has answered the agent.
func (x *exchange) again(f *failure) bool {
	if !f.kind.Transient() || x.session.replayer != nil {
		x.passOn(f)
		return false
	}
	wait := max(f.wait, x.backoff())
	if f.kind.slowDown() {
		x.tellRateLimit(f)
	}
	if x.attempts >= x.gateway.config.Retry.Attempts || wait > x.session.mayWait() {
		x.refuse(comeBack(f, wait), f.kind)
		return false
	}
	if f.kind.slowDown() {
		return true // the gate holds it back, with all others
	}
	return x.sleep(wait)
}

// sleep reports whether the agent is still there afterwards.
func (x *exchange) sleep(wait time.Duration) bool {
	x.noteWait(wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.r.Context().Done():
		x.noteGone()
		return false
	}
}

// backoff gives the wait after the current attempt when the provider names none: doubled each time, up to a minute, ±25 %.
func (x *exchange) backoff() time.Duration {
	base := x.gateway.config.Retry.Base
	wait := min(base<<min(x.attempts-1, 6), max(base, time.Minute))
	return wait*3/4 + rand.N(wait/2+1)
}

// giveUp answers a request that was not let through the gate.
func (x *exchange) giveUp(err error) {
	wait, long := isTooLong(err)
	if !long {
		x.noteGone()
		return
	}
	f := x.failure
	if f == nil {
		f = &failure{kind: RateLimited, message: "another request was told to wait"}
		x.noteFailure(f)
	}
	x.refuse(comeBack(f, wait), f.kind)
}

// noteFailure counts a failure and noteEnd the end of a call. What is no call, such as the question how many tokens it would be, tells nothing
// about how the trial's model does.
func (x *exchange) noteFailure(f *failure) {
	if x.route.kind == callRoute {
		x.session.ledger.noteFailure(f)
	}
}

func (x *exchange) noteEnd(status int, f *failure) {
	if f == nil && x.answered != nil && x.answered.report.Refused { // an answer, and yet none
		f = &failure{kind: Refusal, message: "the model declined to answer"}
	}
	if x.route.kind == callRoute {
		x.session.ledger.noteEnd(status, x.upStatus, f)
	}
}

func (x *exchange) tellRateLimit(f *failure) {
	if tell := x.session.trial.OnRateLimit; tell != nil {
		tell(RateLimit{Provider: x.upstream.provider, Model: x.sent, Overloaded: f.kind == Overloaded, RetryAfter: f.wait})
	}
}

func (x *exchange) noteWait(d time.Duration) {
	if d <= time.Millisecond { // passing an open gate
		return
	}
	x.waited += d
	x.session.noteWait(d)
}

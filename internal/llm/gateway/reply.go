package gateway

import (
	"net/http"
	"time"

	"oddish/internal/llm/transcript"
	"oddish/internal/llm/usage"
)

// head passes on status and headers.
func (x *exchange) head(answer *http.Response) {
	x.failure = nil
	x.status, x.firstByte = answer.StatusCode, time.Since(x.began)
	x.mimeType = answer.Header.Get("Content-Type")
	for name, values := range answerHeader(answer.Header, x.upstream.secrets) {
		x.w.Header()[name] = values
	}
	x.w.WriteHeader(x.status)
}

// settle counts an answer, once.
func (x *exchange) settle(report usage.Report) {
	report.Estimate(x.bodyLen)
	a := answered{provider: x.upstream.provider, model: x.sent, report: report}
	if x.session.replayer == nil {
		a.charge(x.gateway.config.Prices)
	}
	x.answered = &a
	if report.Refused {
		x.noteFailure(&failure{kind: Refusal})
	}
	x.session.ledger.enter(a)
	x.said.End(transcript.Facts{Model: a.model, Usage: report.Usage, CostUSD: a.cost, Estimated: report.Estimated, Cut: x.cut})
}

// passOn answers with the provider's own error, since waiting would not mend it.
func (x *exchange) passOn(f *failure) {
	if f.body == nil || f.status < 400 || f.kind == Quota && f.status == http.StatusTooManyRequests {
		x.refuse(final(f), f.kind)
		return
	}
	h := x.w.Header()
	for name, values := range answerHeader(f.header, x.upstream.secrets) {
		h[name] = values
	}
	h.Set("X-Should-Retry", "false")
	x.status = f.status
	x.w.WriteHeader(f.status)
	x.record(f.body)
	x.w.Write(f.body) //nolint:errcheck // an agent that left needs no answer
	x.noteEnd(x.status, f)
}

// refuse answers with an error of the gateway's own. The kind says why; empty: the budget.
func (x *exchange) refuse(r refusal, kind Kind) {
	x.status = r.status
	if kind != "" && x.failure == nil {
		x.failure = &failure{kind: kind, message: r.message}
		x.noteFailure(x.failure)
	}
	body := r.write(x.w, x.route.dialect)
	if kind == NotAllowed && x.body != nil { // in a replay it is refused again
		x.mimeType = "application/json"
		x.record(body)
	}
	x.noteEnd(x.status, x.failure)
}

// noteGone remembers that the agent left before it had an answer, or that its trial is over: its connection is to be cut, not answered.
func (x *exchange) noteGone() { x.cut = true }

// abortIfCut ends the agent's connection so that it can't take what it has for a whole answer.
func (x *exchange) abortIfCut() {
	if x.cut {
		panic(http.ErrAbortHandler)
	}
}

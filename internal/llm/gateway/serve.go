package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"oddish/internal/llm"
)

// serve answers one request of an agent.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	tokens, path := credentials(r)
	route := parseRoute(r.Method, path)
	if route.kind == hello {
		w.WriteHeader(http.StatusOK)
		return
	}
	s := g.session(tokens)
	if s == nil {
		unauthorized().write(w, route.dialect)
		return
	}
	ctx, done, err := s.begin(r.Context())
	if err != nil {
		unauthorized().write(w, route.dialect)
		return
	}
	defer done()
	x := &exchange{gateway: g, session: s, w: w, r: r.WithContext(ctx), route: route, path: path, began: time.Now()}
	defer x.abortIfCut() // after the log was written
	defer x.writeLog()
	x.serve()
}

func (g *Gateway) session(tokens []string) *Session {
	for _, token := range tokens {
		if s := g.find(token); s != nil {
			return s
		}
	}
	return nil
}

// serve decides what to do with a request of a session.
func (x *exchange) serve() {
	switch {
	case strings.EqualFold(x.r.Header.Get("Upgrade"), "websocket"):
		// Agents that try a WebSocket first fall back at once after this status, and only after this one.
		x.status = http.StatusUpgradeRequired
		x.w.WriteHeader(x.status)
		return
	case x.route.kind == unknownRoute:
		x.refuse(notFound(fmt.Sprintf("This gateway has no route %s %s.", x.r.Method, x.path)), NotAllowed)
		return
	}
	x.upstream = x.session.upstreams[x.route.dialect]
	if x.route.kind == modelsRoute {
		x.models()
		return
	}
	if x.upstream == nil {
		x.refuse(notFound(fmt.Sprintf("This trial has no model provider for the %s API.", x.route.dialect)), NotAllowed)
		return
	}
	if x.read() {
		x.call()
	}
}

// read takes the request in and reports whether it may be sent.
func (x *exchange) read() bool {
	limit := x.gateway.config.MaxRequestBytes
	body, q, err := readBody(x.w, x.r, limit)
	switch {
	case errors.Is(err, errTooLarge):
		x.refuse(tooLarge(limit), BadRequest)
		return false
	case err != nil:
		x.refuse(badRequest(err.Error()), BadRequest)
		return false
	}
	if x.asked = q.Model; x.route.dialect == llm.Gemini {
		x.asked, q.Stream = x.route.model, x.route.stream
	}
	x.body, x.bodyLen, x.question = body, int64(len(body)), q
	return x.allowed() && x.dropProviderTools()
}

// longestModel bounds the names of models, which are kept.
const longestModel = 256

// allowed reports whether the trial may ask this of this model.
func (x *exchange) allowed() bool {
	var allowed bool
	if x.sent, allowed = x.session.models.resolve(x.asked); !allowed || !x.priced() || len(x.asked) > longestModel {
		x.asked, x.sent = clip(x.asked, longestModel), clip(x.sent, longestModel)
		x.refuse(modelNotAllowed(x.asked), NotAllowed)
		return false
	}
	if x.question.Background { // its usage would be told to somebody who asks later
		x.refuse(badRequest("This gateway does not run responses in the background: leave out \"background\"."), NotAllowed)
		return false
	}
	return true
}

// priced reports whether the model has a price, if it needs one.
func (x *exchange) priced() bool {
	if !x.session.trial.OnlyPriced {
		return true
	}
	_, known := x.gateway.config.Prices.LookupFrom(x.upstream.provider, x.sent)
	return known
}

// dropProviderTools takes the provider's own tools from a call of a trial that may not use them.
func (x *exchange) dropProviderTools() bool {
	if !x.session.trial.NoProviderTools || x.route.kind != callRoute {
		return true
	}
	body, err := withoutProviderTools(x.route.dialect, x.body)
	if err != nil {
		x.refuse(badRequest(err.Error()), NotAllowed)
		return false
	}
	q, err := ask(body) // the fields may have moved
	if err != nil {
		x.refuse(badRequest(err.Error()), NotAllowed)
		return false
	}
	q.Stream = x.question.Stream
	x.body, x.question = body, q
	return true
}

// call sends a model call, if the budget has room for it, or a question about tokens, which is free.
func (x *exchange) call() {
	if x.route.kind == countRoute {
		x.forward()
		return
	}
	x.session.ledger.noteRequest()
	release, exceeded, err := x.session.ledger.admit(x.r.Context(), x.floor())
	switch {
	case err != nil: // the agent left, or the trial is over
		x.noteGone()
		return
	case exceeded != "":
		x.budget = exceeded
		x.refuse(overBudget(x.route.dialect, exceeded), "")
		return
	}
	defer release()
	x.said = x.session.trial.Transcript.Ask(x.route.dialect, x.body)
	defer x.said.Wait() // before the session ends
	x.forward()
}

// models lists the trial's models; where all are allowed, the provider's.
func (x *exchange) models() {
	if allowed := x.session.listed(); len(allowed) > 0 {
		x.status = http.StatusOK
		writeModels(x.w, allowed)
		return
	}
	for _, d := range []llm.Dialect{x.route.dialect, llm.Chat, llm.Responses, llm.Anthropic, llm.Gemini} {
		if x.upstream = x.session.upstreams[d]; x.upstream != nil {
			x.route.dialect = d
			break
		}
	}
	x.forward()
}

package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/usage"
)

// attempt sends the request once. Nil means that the agent has its answer, whole or cut; otherwise nothing has reached it.
func (x *exchange) attempt(p *pass) *failure {
	x.upStatus, x.recorded = 0, nil
	x.said.Begin()
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	silence := time.AfterFunc(x.gateway.config.HeaderTimeout, func() { cancel(errSilent) })
	defer silence.Stop()
	request, injected, err := x.request(ctx)
	if err != nil {
		return &failure{kind: BadRequest, status: http.StatusBadRequest, message: err.Error()}
	}
	answer, err := x.send(request)
	if err != nil {
		return x.broken(ctx, err)
	}
	defer answer.Body.Close()
	x.upStatus = answer.StatusCode
	if err := decode(answer); err != nil {
		return &failure{kind: ServerError, status: answer.StatusCode, message: err.Error()}
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		f := x.refused(ctx, answer, injected)
		x.endPass(p, f)
		return f
	}
	var f *failure
	if x.route.kind == callRoute && x.streams(answer) {
		f = x.stream(ctx, answer, injected, p, silence)
	} else {
		f = x.whole(ctx, answer)
	}
	x.endPass(p, f)
	return f
}

// longestStorm bounds how long others wait because one was told to: the account may be mended before.
const longestStorm = time.Hour

// endPass tells the gate how the attempt went.
func (x *exchange) endPass(p *pass, f *failure) {
	switch {
	case f == nil:
		p.ok()
	case f.kind.slowDown():
		p.limited(min(max(f.wait, x.backoff()), longestStorm))
	}
}

// request makes the request to the provider. injected says that the usage was asked for on our account.
func (x *exchange) request(ctx context.Context) (_ *http.Request, injected bool, err error) {
	body, r, injected := x.body, x.route, false
	if x.route.kind == callRoute || x.route.kind == countRoute {
		if body, r, injected, err = x.adapt(); err != nil {
			return nil, false, err
		}
	}
	target := x.upstream.url(r, x.sent, withoutKey(x.r.URL.Query()))
	request := (&http.Request{
		Method: x.r.Method, URL: target, Host: target.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: requestHeader(x.r.Header, x.upstream),
	}).WithContext(ctx)
	if x.r.Method == http.MethodPost {
		x.payload = &payload{data: body}
		request.ContentLength = int64(len(body))
		request.Body = x.payload.reader()
		request.GetBody = func() (io.ReadCloser, error) { return x.payload.reader(), nil }
	}
	return request, injected, nil
}

// send sends the request to the provider, or finds in the recording what that answered.
func (x *exchange) send(request *http.Request) (answer *http.Response, err error) {
	if x.session.replayer == nil {
		return x.gateway.config.Transport.RoundTrip(request)
	}
	answer, x.replayed, err = x.session.replayer.answer(request)
	return answer, err
}

// streams reports whether the answer comes in events.
func (x *exchange) streams(answer *http.Response) bool {
	mime := strings.ToLower(answer.Header.Get("Content-Type"))
	if strings.HasPrefix(mime, "text/event-stream") {
		return true
	}
	// Some servers answer in one piece although a stream was asked for, but Gemini's stream may be a JSON array.
	return x.question.Stream && (x.route.dialect == llm.Gemini || !strings.HasPrefix(mime, "application/json"))
}

// maxError is how much is read of an error's body.
const maxError = 1 << 20

// refused reads an answer with an error's status.
func (x *exchange) refused(ctx context.Context, answer *http.Response, injected bool) *failure {
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxError))
	if err != nil && len(body) == 0 {
		return x.broken(ctx, err)
	}
	body = redact(body, x.upstream.secrets)
	f := classify(answer.StatusCode, answer.Header, body, time.Now())
	if answer.StatusCode < 400 {
		f.kind, f.message = BadRequest, "the provider answered with a redirection: its base URL is wrong"
	}
	if injected && f.kind == BadRequest && bytes.Contains(body, []byte("stream_options")) {
		x.gateway.noteStreamOptionsRefused(x.upstream)
		f.ours = true
	}
	return f
}

// broken says what a failed connection means.
func (x *exchange) broken(ctx context.Context, err error) *failure {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &failure{kind: Network, message: string(redact([]byte(err.Error()), x.upstream.secrets))}
}

// maxAnswer bounds an answer that does not stream.
const maxAnswer = 128 << 20

// whole passes on an answer that does not stream, once it is clear that it is one.
func (x *exchange) whole(ctx context.Context, answer *http.Response) *failure {
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return x.broken(ctx, err)
	}
	body = redact(body, x.upstream.secrets)
	if x.route.kind == callRoute {
		report, err := usage.Body(x.route.dialect, body)
		if err != nil {
			return &failure{kind: ServerError, status: answer.StatusCode, message: "the answer is malformed: " + err.Error()}
		}
		if report.Fault != nil {
			return classifyFault(*report.Fault, answer.Header, body, time.Now())
		}
		x.said.Body(body)
		x.settle(report)
	}
	x.head(answer)
	x.record(body)
	x.answerLen = int64(len(body))
	if _, err := x.w.Write(body); err != nil {
		x.cut = true
	}
	x.noteEnd(x.status, nil)
	return nil
}

// errSilent cuts an answer of which nothing comes any more.
var errSilent = errors.New("the provider was silent for too long")

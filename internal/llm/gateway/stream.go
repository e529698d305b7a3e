package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/sse"
	"oddish/internal/llm/usage"
)

// maxEvent bounds an event: the last one of a Responses stream repeats the whole answer.
const maxEvent = 64 << 20

// stream passes events on as they come. It returns a failure only while nothing has reached the agent.
func (x *exchange) stream(ctx context.Context, answer *http.Response, injected bool, p *pass, silence *time.Timer) *failure {
	source := x.source(answer)
	reader := usage.NewReader(x.route.dialect)
	out := newHolder(x, answer)
	for {
		e, err := source.Next()
		e.Raw, e.Data = redact(e.Raw, x.upstream.secrets), redact(e.Data, x.upstream.secrets)
		if err != nil {
			return x.endStream(ctx, out, e.Raw, reader.Report(), answer.Header, err)
		}
		silence.Reset(x.gateway.config.StreamIdle)
		reader.Event(e.Data)
		report := reader.Report()
		if report.Fault != nil && out.discard() {
			return classifyFault(*report.Fault, answer.Header, e.Data, time.Now())
		}
		x.record(e.Raw)
		if injected && bytes.Contains(e.Data, []byte(`"usage"`)) && usage.ChatUsageChunk(e.Data) {
			continue // the agent did not ask for it
		}
		x.events++
		if report.Begun() {
			p.ok()
		}
		err = out.write(e.Raw, report.Begun())
		x.said.Event(e.Data)
		if err != nil {
			return x.left(out, report)
		}
	}
}

func (x *exchange) source(answer *http.Response) sse.Source {
	if x.route.dialect == llm.Gemini && strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		return sse.NewArray(answer.Body, maxEvent)
	}
	return sse.NewReader(answer.Body, maxEvent)
}

// endStream ends a stream that came to its end or was cut, with rest as what came of a last event.
func (x *exchange) endStream(ctx context.Context, out *holder, rest []byte, report usage.Report, header http.Header, err error) *failure {
	whole := errors.Is(err, io.EOF)
	switch {
	case x.r.Context().Err() != nil:
		return x.left(out, report)
	case !report.Finished && out.discard():
		if whole {
			err = errors.New("the provider ended the answer before it began")
		}
		return x.broken(ctx, err)
	}
	if !whole {
		out.write(rest, true) //nolint:errcheck // it is cut either way
	}
	out.finish()
	x.cut = !whole
	x.settle(report)
	x.failure = nil
	switch {
	case report.Fault != nil:
		x.failure = classifyFault(*report.Fault, header, nil, time.Now())
	case !report.Finished:
		x.failure = x.broken(ctx, fmt.Errorf("the stream was cut: %w", err))
	}
	if x.failure != nil {
		x.noteFailure(x.failure)
	}
	x.noteEnd(x.status, x.failure)
	return nil
}

// left counts a stream of which the agent did not wait for the end: the provider charges for what it wrote until then.
func (x *exchange) left(out *holder, report usage.Report) *failure {
	out.discard()
	x.cut = true
	if x.events > 0 {
		x.settle(report)
	}
	return nil
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/blob"
	"oddish/internal/queue"
	"oddish/internal/store"
)

// statusClientGone is logged for a request whose client left before the answer; nobody receives it.
const statusClientGone = 499

// fail turns an error from the packages below into an answer: what says "not found" there is a
// 404 here, and so on. what names the thing that was asked for. When the database is away the answer is 503, which clients and
// workers take for "nothing was done, try again", or 504 where that is not known. An error that nobody foresaw is logged and
// answered with 500 and the request's id, without its text.
func (s *Server) fail(ctx context.Context, what string, err error) error {
	var known huma.StatusError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, store.ErrNotFound), errors.Is(err, blob.ErrNotFound):
		return huma.Error404NotFound(what + " not found")
	case errors.Is(err, queue.ErrKey):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.Is(err, queue.ErrStale):
		return huma.Error409Conflict(what + ": its lease is no longer held; stop it and forget it")
	case errors.Is(err, queue.ErrKeyReused):
		return huma.Error409Conflict("this Idempotency-Key came with another submission in the last 24 hours: draw a new key for each submission")
	case errors.Is(err, store.ErrConflict):
		return huma.Error409Conflict(err.Error())
	case ctx.Err() != nil:
		return huma.NewError(statusClientGone, "the client closed the request")
	case errors.Is(err, store.ErrUnknown):
		s.log.ErrorContext(ctx, "database connection lost during a commit", "request", requestID(ctx), "what", what, "error", err)
		return huma.Error504GatewayTimeout(what + ": the connection to the database was lost while the change was written, which may have happened or not; look before you do it again")
	case store.Unavailable(err):
		s.log.ErrorContext(ctx, "database is not available", "request", requestID(ctx), "what", what, "error", err)
		return huma.Error503ServiceUnavailable(what + ": the database is not available at the moment; nothing was changed, try again")
	case diskFull(err):
		s.log.ErrorContext(ctx, "disk is full", "what", what, "error", err)
		return huma.NewError(http.StatusInsufficientStorage, what+": the disk of the server is full; make room in its data directory and try again")
	}
	id := requestID(ctx)
	s.log.ErrorContext(ctx, "request failed", "request", id, "what", what, "error", err)
	return huma.Error500InternalServerError("internal error; the server's log has it under request " + id)
}

// diskFull reports whether there was no room to write. SQLite says so in words alone.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || strings.Contains(err.Error(), "database or disk is full")
}

// plainProblems gives every error a detail that stands alone (clients show only that), and takes out the
// echo of what was sent, which may hold secrets.
func plainProblems(_ huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*huma.ErrorModel)
	if !ok || len(p.Errors) == 0 {
		return v, nil
	}
	reasons := make([]string, 0, len(p.Errors))
	for _, e := range p.Errors {
		if e == nil {
			continue
		}
		e.Value = nil
		if e.Location != "" {
			reasons = append(reasons, e.Location+": "+e.Message)
		} else {
			reasons = append(reasons, e.Message)
		}
	}
	p.Detail = strings.Join(append([]string{p.Detail}, strings.Join(reasons, "; ")), ": ")
	return p, nil
}

// writeProblem answers with an error outside of huma.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	body, err := json.Marshal(api.Problem{Title: http.StatusText(status), Status: status, Detail: detail})
	if err == nil {
		_, _ = w.Write(body) // a client that left is no error of ours
	}
}

// refused returns a 422 that names the field.
func refused(location, format string, args ...any) error {
	return huma.Error422UnprocessableEntity("validation failed",
		&huma.ErrorDetail{Location: location, Message: fmt.Sprintf(format, args...)})
}

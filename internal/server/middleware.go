package server

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"time"
)

// bodyIdle is how long a client may be silent while it sends a body.
const bodyIdle = 30 * time.Second

type requestIDKey struct{}

// requestID returns the id that the request has in the log, "-" outside of one.
func requestID(ctx context.Context) string {
	if id, ok := ctx.Value(requestIDKey{}).(string); ok {
		return id
	}
	return "-"
}

// wrap puts everything in front of the routes that all of them need, outermost first.
func (s *Server) wrap(h http.Handler) http.Handler {
	return s.observe(s.recoverPanics(hardened(s.guard(idleBodies(h)))))
}

// observe gives the request an id, logs it at debug and counts it.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := rand.Text()[:12]
		w.Header().Set("X-Request-Id", id)
		rec := &statusRecorder{ResponseWriter: w}
		start := s.now()
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id))
		next.ServeHTTP(rec, r)
		took := s.now().Sub(start)
		s.metrics.observe(r, rec.code(), took)
		s.log.DebugContext(r.Context(), "request", "request", id, "method", r.Method, "path", r.URL.Path,
			"status", rec.code(), "bytes", rec.bytes, "took", took)
	})
}

// recoverPanics turns a panic into a 500 that names the request in the log.
func (s *Server) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // the agreed way to cut an answer short
			}
			id := requestID(r.Context())
			s.log.ErrorContext(r.Context(), "handler panicked", "request", id, "method", r.Method, "path", r.URL.Path,
				"panic", v, "stack", string(debug.Stack()))
			if rec, ok := w.(*statusRecorder); ok && rec.status != 0 {
				panic(http.ErrAbortHandler) // half an answer is out: cut the connection, so that it isn't taken for a whole one
			}
			writeProblem(w, http.StatusInternalServerError, "internal error; the server's log has it under request "+id)
		}()
		next.ServeHTTP(w, r)
	})
}

// hardened sets the headers of answers that are data; pages and files set their own policy over it.
func hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// idleBodies ends requests whose client stops sending in the middle of the body.
func idleBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &idleBody{ReadCloser: r.Body, conn: http.NewResponseController(w)}
		}
		next.ServeHTTP(w, r)
	})
}

// idleBody renews the connection's read deadline for each read, and takes it away at the end: it would
// otherwise end a held request.
type idleBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

// Read reads within bodyIdle. Deadlines that the connection cannot have (in tests) are left out.
func (b *idleBody) Read(p []byte) (int, error) {
	_ = b.conn.SetReadDeadline(time.Now().Add(bodyIdle))
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// Close closes the body and takes the deadline away.
func (b *idleBody) Close() error {
	_ = b.conn.SetReadDeadline(time.Time{})
	return b.ReadCloser.Close()
}

// statusRecorder remembers what was answered.
type statusRecorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader notes the status.
func (r *statusRecorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts what is sent.
func (r *statusRecorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *statusRecorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

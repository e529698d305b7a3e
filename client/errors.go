package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"oddish/api"
)

// maxErrorBody bounds how much of an error answer is read, in bytes.
const maxErrorBody = 64 << 10

// Error is an answer of the server that is not a success.
type Error struct {
	Method string
	URL    string // whole address
	Status int    // HTTP status
	Title  string // of the problem document; may be empty
	Detail string // what is wrong, in words; never empty

	retryAfter    time.Duration // of the Retry-After header
	hasRetryAfter bool
}

// Error is, for example, "POST /tasks/sweep: 422: model is required (body.configs[0].model)".
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %d: %s", e.Method, pathOf(e.URL), e.Status, e.Detail)
}

// TransportError says that there was no usable answer: the server is not there, the
// connection broke, or nothing moved for too long. Unwrap gives the cause.
type TransportError struct {
	Method string
	URL    string // whole address
	Err    error
}

// Error names the whole address, so that "connection refused" says whose.
func (e *TransportError) Error() string {
	return fmt.Sprintf("%s %s: %v", e.Method, e.URL, e.Err)
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// StatusOf is the HTTP status in err's chain, or 0 if there was no answer.
func StatusOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// Unreachable reports whether err means that the server gave no usable answer.
func Unreachable(err error) bool {
	var e *TransportError
	return errors.As(err, &e)
}

func pathOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.EscapedPath()
}

// errorFrom reads an answer that is not a success. It leaves closing the body to the caller.
func errorFrom(method, address string, resp *http.Response) *Error {
	e := &Error{Method: method, URL: address, Status: resp.StatusCode}
	e.retryAfter, e.hasRetryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), time.Now())
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // a cut body is still worth showing
	if loc := resp.Header.Get("Location"); loc != "" && resp.StatusCode/100 == 3 {
		e.Detail = "the server sends to " + loc + ": use that address"
		return e
	}
	e.Title, e.Detail = describe(resp.Header.Get("Content-Type"), body)
	if e.Detail == "" {
		e.Detail = e.Title
	}
	if e.Detail == "" {
		e.Detail = http.StatusText(resp.StatusCode)
	}
	if e.Detail == "" {
		e.Detail = "no explanation given"
	}
	return e
}

// describe finds the words in an error body: a problem document, the {"detail": ...} of
// other servers, or plain text. An HTML page comes from some other program or a proxy and says nothing.
func describe(contentType string, body []byte) (title, detail string) {
	kind, _, _ := mime.ParseMediaType(contentType)
	if strings.HasSuffix(kind, "json") {
		var p api.Problem
		if json.Unmarshal(body, &p) == nil {
			return p.Title, problemDetail(p)
		}
	}
	text := strings.TrimSpace(string(body))
	if kind == "text/html" {
		return "", ""
	}
	if len(text) > 500 {
		text = text[:500] + "…"
	}
	return "", text
}

func problemDetail(p api.Problem) string {
	detail := p.Detail
	for _, e := range p.Errors {
		if e.Message == "" || strings.Contains(detail, e.Message) {
			continue // many servers repeat the parts in the detail
		}
		if detail != "" {
			detail += "; "
		}
		detail += e.Message
		if e.Location != "" {
			detail += " (" + e.Location + ")"
		}
	}
	return detail
}

// parseRetryAfter reads seconds or an HTTP date.
func parseRetryAfter(s string, now time.Time) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	if n, err := strconv.ParseInt(s, 10, 32); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, true
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now)), true
	}
	return 0, false
}

// Package client speaks Oddish's HTTP API: the command line and workers use it, and so
// may any other Go program.
//
// It has one method for each route, in one file for each resource, and knows the wire
// types of package api, nothing else: what the answers mean, and how long a worker keeps
// trying, is decided above it. On the other side of the wire is internal/server.
//
// Every method takes a context first and returns when it ends. Requests that are safe to
// repeat are repeated with jittered backoff, within Options.RetryFor; see Options. A
// Client may be used by many goroutines at once.
package client

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of Options.
const (
	// DefaultRetryFor bounds the time that a call spends on repeating a request.
	DefaultRetryFor = 5 * time.Second
	// DefaultIdleTimeout is how long a request may go without a byte in either direction.
	DefaultIdleTimeout = 60 * time.Second
	// DefaultEventsIdleTimeout is the same for event streams, on which the server writes a
	// comment each 15 seconds.
	DefaultEventsIdleTimeout = 45 * time.Second
)

// Options of a Client. The zero value is useful.
type Options struct {
	// APIKey is sent as a bearer token to the server, and to nobody else; empty: none.
	APIKey string
	// HTTP makes the requests; nil: a client of its own with a connection pool that suits
	// a worker. It should have no overall Timeout, which would cut long polls and streams.
	HTTP *http.Client
	// RetryFor bounds the time from the first try of a request to the start of its last;
	// zero: DefaultRetryFor; negative: nothing is repeated. Event streams reconnect
	// until their context ends, whatever it says.
	RetryFor time.Duration
	// IdleTimeout ends a try during which no byte moved for so long; zero: DefaultIdleTimeout.
	IdleTimeout time.Duration
	// EventsIdleTimeout is the same for event streams; zero: DefaultEventsIdleTimeout.
	EventsIdleTimeout time.Duration
	// OnRetry, if set, is called before each wait with what went wrong. It may be called
	// from many goroutines at once and should return soon.
	OnRetry func(err error, wait time.Duration)
}

// Client is a client of one server.
type Client struct {
	base    *url.URL // no trailing slash, no query
	baseErr error    // why base is nil; every call returns it
	http    *http.Client
	o       Options
}

// New returns a client of the server at baseURL, such as http://localhost:8000 or, behind
// a proxy, https://example.org/oddish. A missing scheme means http. An address that cannot
// be used is reported by every call. New does no I/O.
func New(baseURL string, o Options) *Client {
	if o.RetryFor == 0 {
		o.RetryFor = DefaultRetryFor
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = DefaultIdleTimeout
	}
	if o.EventsIdleTimeout <= 0 {
		o.EventsIdleTimeout = DefaultEventsIdleTimeout
	}
	base, err := parseBase(baseURL)
	return &Client{base: base, baseErr: err, http: newHTTP(o.HTTP), o: o}
}

// BaseURL is the address of the server as it is used, without a trailing slash; empty if
// what New was given cannot be used.
func (c *Client) BaseURL() string {
	if c.base == nil {
		return ""
	}
	return c.base.String()
}

// Close closes idle connections. The client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func parseBase(s string) (*url.URL, error) {
	t := strings.TrimSpace(s)
	if t != "" && !strings.Contains(t, "://") {
		t = "http://" + t
	}
	u, err := url.Parse(t)
	switch {
	case err != nil:
		return nil, fmt.Errorf("server address %q: %w", s, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("server address %q: want something like http://localhost:8000", s)
	}
	u.RawPath = strings.TrimRight(u.EscapedPath(), "/")
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

// newHTTP returns a copy of h that does not follow a redirect of a request that changes
// something: it would arrive as a GET, and "405" tells nobody what is wrong.
func newHTTP(h *http.Client) *http.Client {
	if h == nil {
		h = &http.Client{}
	}
	own := *h
	if own.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 64
		own.Transport = t
	}
	if own.CheckRedirect == nil {
		own.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			if via[0].Method != http.MethodGet || len(via) >= 10 {
				return http.ErrUseLastResponse
			}
			return nil
		}
	}
	return &own
}

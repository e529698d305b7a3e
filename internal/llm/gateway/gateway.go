// Package gateway is the reverse proxy through which agents reach model providers: it gives each trial a token and a path of its own, adds the
// provider's key outside the sandbox, passes streams on as they come, counts every token and cent, waits out the provider's
// troubles, and stops a trial at its budget.
//
// It listens nowhere and starts nothing: whoever runs trials serves Handler where sandboxes can reach it, opens a session for
// a trial and closes it at the end. Package usage reads tokens for it, package price knows what they cost.
package gateway

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"oddish/internal/llm/price"
)

// Config is what all sessions share. Its zero value works.
type Config struct {
	Prices    *price.Table      // nil: the builtin table
	Transport http.RoundTripper // to the providers; nil: a transport with pooled connections and the environment's proxies
	Retry     Retry

	MaxRequestBytes int64         // longest body of a request; 0: 64 MiB
	HeaderTimeout   time.Duration // longest wait for the head of an answer, which is the whole of one that does not stream; 0: 30 min
	StreamIdle      time.Duration // a stream that is silent for this long is cut; 0: 10 min

	Log *slog.Logger // nil: nothing is logged
}

// Retry says how the troubles of providers are waited out. Its zero value stands for the defaults.
type Retry struct {
	Attempts    int           // how often a request is sent at most; 0: 10
	Base        time.Duration // first wait when the provider names none, doubled each time; 0: 1 s
	MaxWait     time.Duration // longest single wait; when a provider asks for more, the agent is told at once; 0: 5 min
	SessionWait time.Duration // all waits of a session together; see Trial.WaitBudget; 0: 30 min
}

// Gateway holds the open sessions. It is safe for concurrent use.
type Gateway struct {
	config Config

	mu       sync.Mutex
	sessions map[[sha256.Size]byte]*Session // by the digest of the token, so that looking one up tells nothing about others
	gates    map[string]*gate
	plain    map[string]bool // upstreams that refuse stream_options
}

// New makes a gateway without sessions.
func New(c Config) *Gateway {
	if c.Prices == nil {
		c.Prices = price.Builtin()
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.MaxRequestBytes = or(c.MaxRequestBytes, 64<<20)
	c.HeaderTimeout = or(c.HeaderTimeout, 30*time.Minute)
	c.StreamIdle = or(c.StreamIdle, 10*time.Minute)
	c.Retry.Attempts = or(c.Retry.Attempts, 10)
	c.Retry.Base = or(c.Retry.Base, time.Second)
	c.Retry.MaxWait = or(c.Retry.MaxWait, 5*time.Minute)
	c.Retry.SessionWait = or(c.Retry.SessionWait, 30*time.Minute)
	return &Gateway{config: c, sessions: map[[sha256.Size]byte]*Session{}, gates: map[string]*gate{}, plain: map[string]bool{}}
}

func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		MaxIdleConns: 1024, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 15 * time.Second, DisableCompression: true,
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Handler gives the handler to serve to the sandboxes. It never answers without the token of an open session, except to
// the questions of agents whether it is there.
func (g *Gateway) Handler() http.Handler { return http.HandlerFunc(g.serve) }

// Open starts a session for the trial. The error names what is wrong with the trial and what to do about it.
func (g *Gateway) Open(t Trial) (*Session, error) {
	s, err := newSession(g, t)
	if err != nil {
		return nil, fmt.Errorf("open model gateway for trial %s: %w", t.ID, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions[s.digest] != nil {
		return nil, fmt.Errorf("open model gateway for trial %s: its token belongs to an open session", t.ID)
	}
	g.sessions[s.digest] = s
	return s, nil
}

func (g *Gateway) find(token string) *Session {
	digest := sha256.Sum256([]byte(token))
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions[digest]
}

func (g *Gateway) forget(s *Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, s.digest)
}

// manyGates is how many gates are kept before those that nobody needs are forgotten: agents can invent names of models.
const manyGates = 1024

// gate gives the gate before the model at the upstream, which all sessions with the same key share.
func (g *Gateway) gate(u *upstream, model string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := u.id + "\x00" + model
	if g.gates[id] == nil {
		if len(g.gates) >= manyGates {
			maps.DeleteFunc(g.gates, func(_ string, gate *gate) bool { return gate.idle() })
		}
		g.gates[id] = newGate()
	}
	return g.gates[id]
}

func (g *Gateway) refusesStreamOptions(u *upstream) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.plain[u.id]
}

func (g *Gateway) noteStreamOptionsRefused(u *upstream) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.plain[u.id] = true
}

package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"oddish/internal/llm"
)

// errClosed ends the requests of a session that is closed.
var errClosed = errors.New("the trial's session with the model gateway is closed")

// Session is one trial's way to its models. It is safe for concurrent use.
type Session struct {
	gateway   *Gateway
	trial     Trial
	digest    [sha256.Size]byte
	upstreams map[llm.Dialect]*upstream
	models    models
	ledger    *ledger
	log       *logWriter
	replayer  *replayer // nil unless the trial is replayed

	ctx    context.Context // ends the requests
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // requests
	waited  time.Duration
}

func newSession(g *Gateway, t Trial) (*Session, error) {
	if t.Token == "" {
		t.Token = "odt_" + rand.Text()
	}
	if t.Replay != nil {
		t.Upstreams, t.Budget.USD, t.OnlyPriced, t.NoProviderTools = t.Replay.upstreams(), nil, false, false // it reaches no provider and costs nothing
	}
	if len(t.Upstreams) == 0 {
		return nil, errors.New("it has no upstream: give the base URL and key of at least one model provider")
	}
	if err := t.Budget.check(); err != nil {
		return nil, err
	}
	s := &Session{gateway: g, digest: sha256.Sum256([]byte(t.Token)), upstreams: map[llm.Dialect]*upstream{}, log: newLogWriter(t.Log)}
	for d, u := range t.Upstreams {
		up, err := newUpstream(d, u)
		if err != nil {
			return nil, err
		}
		s.upstreams[d] = up
	}
	var err error
	if s.models, err = newModels(t); err != nil {
		return nil, err
	}
	if t.Replay != nil {
		s.models = t.Replay.models()
	}
	if err := t.priced(g.config.Prices, s.upstreams); err != nil {
		return nil, err
	}
	if t.Replay != nil {
		s.replayer = newReplayer(t.Replay, t.Replayed)
	}
	t.WaitBudget = or(t.WaitBudget, g.config.Retry.SessionWait)
	s.trial, s.ledger = t, newLedger(t.Budget, g.config.Prices, t.OnUsage)
	if t.Replay != nil {
		s.ledger.free()
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

// Token is what the agent gets in the place of a key.
func (s *Session) Token() string { return s.trial.Token }

// Path is the base URL's path for agents that send no key of their own: it carries the token. With it, or with Token as key and no path, the
// version (/v1, /v1beta) may follow or not.
func (s *Session) Path() string { return "/t/" + s.trial.Token }

// Total gives the sums so far.
func (s *Session) Total() Total { return s.ledger.total() }

// Summary gives what happened so far.
func (s *Session) Summary() Summary {
	sum := s.ledger.summary()
	s.mu.Lock()
	defer s.mu.Unlock()
	sum.Waited = s.waited
	if s.replayer != nil {
		sum.Divergence = s.replayer.Divergence()
	}
	return sum
}

// Exhaust stops the trial as its own budget would, with the given name, because one that it shares with others ("experiment", "day")
// is used up. Calls that run go on to their end.
func (s *Session) Exhaust(budget string) { s.ledger.exhaust(budget) }

// Close ends the session: the token is void, running calls are cut and counted as such, and the summary is final. It may be called
// again and gives the same.
func (s *Session) Close() Summary {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.gateway.forget(s)
	s.cancel(errClosed)
	s.running.Wait()
	return s.Summary()
}

// begin admits a request; call done at its end. The context ends with the session.
func (s *Session) begin(ctx context.Context) (_ context.Context, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errClosed
	}
	s.running.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil); s.running.Done() }, nil
}

// mayWait gives how long a request may wait at most now.
func (s *Session) mayWait() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, min(s.gateway.config.Retry.MaxWait, s.trial.WaitBudget-s.waited))
}

func (s *Session) noteWait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waited += d
}

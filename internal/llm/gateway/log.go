package gateway

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/usage"
)

// Entry is one line of a session's log: one request of the agent.
type Entry struct {
	Time     time.Time   `json:"time"` // of the request's arrival
	Trial    string      `json:"trial,omitempty"`
	Method   string      `json:"method"`
	Path     string      `json:"path"` // without the token
	Dialect  llm.Dialect `json:"dialect,omitempty"`
	Provider string      `json:"provider,omitempty"`
	Model    string      `json:"model,omitempty"`      // as the agent named it
	Sent     string      `json:"sent_model,omitempty"` // as sent, where that is another
	Stream   bool        `json:"stream,omitempty"`

	Status    int           `json:"status"`               // of the answer to the agent; 0 without one
	Upstream  int           `json:"upstream,omitempty"`   // status of the provider's last answer; 0 without one
	Attempts  int           `json:"attempts,omitempty"`   // how often it was sent
	Waited    time.Duration `json:"waited,omitempty"`     // for the provider, in nanoseconds
	FirstByte time.Duration `json:"first_byte,omitempty"` // from arrival to the first byte of the answer, in nanoseconds
	Duration  time.Duration `json:"duration"`             // in nanoseconds
	Cut       bool          `json:"cut,omitempty"`        // the answer ended early, or the agent left
	Events    int           `json:"events,omitempty"`
	SentBytes int64         `json:"request_bytes,omitempty"`
	GotBytes  int64         `json:"answer_bytes,omitempty"`

	Usage     *usage.Usage `json:"usage,omitempty"` // nil for what was not an answered call
	Estimated bool         `json:"estimated,omitempty"`
	CostUSD   *float64     `json:"cost_usd,omitempty"` // nil: unknown
	Prices    string       `json:"price_version,omitempty"`

	Failure Kind   `json:"failure,omitempty"` // why the last attempt failed
	Message string `json:"message,omitempty"` // what the provider said about it
	Budget  string `json:"budget,omitempty"`  // which budget it would exceed

	Replayed int       `json:"replayed,omitempty"` // number of the exchange of Trial.Replay that answered, from 1
	Exchange *Exchange `json:"exchange,omitempty"` // with Trial.Record
}

// SentModel is the model that the provider was asked for.
func (e *Entry) SentModel() string { return or(e.Sent, e.Model) }

// logWriter writes one line at a time. What can't be written is told once, by Err.
type logWriter struct {
	mu  sync.Mutex
	out io.Writer
	err error
}

func newLogWriter(out io.Writer) *logWriter { return &logWriter{out: out} }

func (l *logWriter) write(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out == nil || l.err != nil {
		return nil
	}
	_, l.err = l.out.Write(append(line, '\n'))
	return l.err
}

// writeLog writes the line of the request, if the session keeps a log.
func (x *exchange) writeLog() {
	if x.session.trial.Log == nil {
		return
	}
	if err := x.session.log.write(x.entry()); err != nil {
		x.gateway.config.Log.Warn("model request log can't be written: it ends here", "trial", x.session.trial.ID, "error", err)
	}
}

func (x *exchange) entry() Entry {
	e := Entry{
		Time: x.began, Trial: x.session.trial.ID, Method: x.r.Method, Path: clip(x.path, longestMessage), Dialect: x.route.dialect, Model: x.asked, Stream: x.question.Stream,
		Status: x.status, Upstream: x.upStatus, Attempts: x.attempts, Waited: x.waited, FirstByte: x.firstByte, Duration: time.Since(x.began),
		Cut: x.cut, Events: x.events, SentBytes: x.bodyLen, GotBytes: x.answerLen, Budget: x.budget, Replayed: x.replayed,
	}
	if x.sent != "" && x.sent != x.asked {
		e.Sent = x.sent
	}
	if x.upstream != nil {
		e.Provider = x.upstream.provider
	}
	if x.failure != nil {
		e.Failure, e.Message = x.failure.kind, x.failure.message
	}
	if a := x.answered; a != nil {
		e.Usage, e.Estimated, e.CostUSD, e.Prices = &a.report.Usage, a.report.Estimated, a.cost, x.gateway.config.Prices.Version()
	}
	e.Exchange = x.exchanged()
	return e
}

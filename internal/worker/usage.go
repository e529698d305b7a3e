package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"oddish/api"
	"oddish/internal/llm/gateway"
	"oddish/internal/llm/price"
	"oddish/internal/llm/usage"
)

// usageEvery is how often the usage of a running trial is reported at most.
const usageEvery = 2 * time.Second

// meter reports what a trial has used so far, the newest figures and not each of them.
type meter struct {
	every time.Duration
	send  func(api.Usage)

	mu     sync.Mutex
	sent   time.Time
	newest *api.Usage // not sent yet
	timer  *time.Timer
	closed bool
}

func newMeter(every time.Duration, send func(api.Usage)) *meter {
	return &meter{every: every, send: send}
}

// note takes the newest figures.
func (m *meter) note(u api.Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.newest = &u
	if m.timer != nil {
		return
	}
	if wait := m.every - time.Since(m.sent); wait > 0 {
		m.timer = time.AfterFunc(wait, m.due)
		return
	}
	m.flush()
}

func (m *meter) due() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timer = nil
	if !m.closed {
		m.flush()
	}
}

func (m *meter) flush() {
	if m.newest == nil {
		return
	}
	m.send(*m.newest)
	m.newest, m.sent = nil, time.Now()
}

// close drops what was not sent: the end of the trial tells it.
func (m *meter) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.timer != nil {
		m.timer.Stop()
	}
}

// limitReports passes on what a provider says of its rate limit, but not again what is known already: an agent may be told hundreds
// of times.
type limitReports struct {
	mu    sync.Mutex
	sent  time.Time
	until time.Time // as told
}

// sameLimit is how long a wish that asks for nothing more is the same one.
const sameLimit = 5 * time.Second

func (r *limitReports) note(l gateway.RateLimit, send func(api.RateLimited)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	until := now.Add(l.RetryAfter)
	if now.Sub(r.sent) < sameLimit && !until.After(r.until.Add(time.Second)) {
		return
	}
	r.sent, r.until = now, until
	var told api.RateLimited
	if sec := l.RetryAfter.Seconds(); sec > 0 {
		told.RetryAfterSec = &sec
	}
	send(told)
}

// together adds up two parts of an attempt.
func together(a, b gateway.Total) gateway.Total {
	sum := gateway.Total{Calls: a.Calls + b.Calls, Usage: a.Usage.Add(b.Usage), Estimated: a.Estimated || b.Estimated}
	if a.CostUSD != nil && b.CostUSD != nil {
		usd := price.Round(*a.CostUSD + *b.CostUSD)
		sum.CostUSD = &usd
	}
	return sum
}

// costFromGateway is the source of the costs that the gateway has counted.
const costFromGateway = "gateway"

// wireUsage is what the server is told.
func wireUsage(t gateway.Total, prices string) api.Usage {
	u := api.Usage{
		InputTokens: t.Usage.InputTotal, CacheTokens: t.Usage.CacheRead, OutputTokens: t.Usage.OutputTotal, CostUSD: t.CostUSD,
		UsageDetails: api.UsageDetails{
			CacheWriteTokens: t.Usage.CacheWrite, ReasoningTokens: t.Usage.Reasoning, ModelCalls: &t.Calls, CostEstimated: &t.Estimated,
		},
	}
	if t.Calls == 0 { // then nothing was used, for certain
		u.InputTokens, u.OutputTokens = new(int64), new(int64)
	}
	if u.CostUSD != nil {
		u.CostSource, u.PriceVersion = costFromGateway, prices
	}
	return u
}

// lesser is the stricter of two budgets, each bound by itself.
func lesser(a, b *api.Budget) gateway.Budget {
	var least gateway.Budget
	for _, of := range []*api.Budget{a, b} {
		if of != nil {
			least = gateway.Budget{USD: less(least.USD, of.USD), Tokens: less(least.Tokens, of.Tokens), Calls: less(least.Calls, of.Calls)}
		}
	}
	return least
}

func less[N int64 | float64](a, b *N) *N {
	if a == nil || b != nil && *b < *a {
		return b
	}
	return a
}

// left is what is left of a budget after what was used.
func left(b gateway.Budget, used gateway.Total) gateway.Budget {
	tokens, usd := used.Usage.Tokens(), 0.0
	if used.CostUSD != nil {
		usd = *used.CostUSD
	}
	return gateway.Budget{USD: minus(b.USD, usd), Tokens: minus(b.Tokens, tokens), Calls: minus(b.Calls, used.Calls)}
}

func minus[N int64 | float64](bound *N, used N) *N {
	if bound == nil {
		return nil
	}
	rest := max(*bound-used, 0)
	return &rest
}

// openModelLog opens the log of an attempt's model requests and sums up those that former processes entered in it.
func openModelLog(path string) (*os.File, gateway.Total, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, gateway.Total{}, fmt.Errorf("open the log of model requests: %w", err)
	}
	before, whole, err := readModelLog(f)
	if err == nil {
		err = f.Truncate(whole) // a last line that was cut off
	}
	if err != nil {
		return nil, gateway.Total{}, errors.Join(fmt.Errorf("read the log of model requests: %w", err), f.Close())
	}
	return f, before, nil
}

// readModelLog sums up the answered calls of a log. whole is the length of its complete lines in bytes.
func readModelLog(r io.Reader) (sum gateway.Total, whole int64, err error) {
	sum.CostUSD = new(float64)
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			// Calls that ran when the process was killed are in no line.
			sum.Estimated = sum.Estimated || whole > 0
			return sum, whole, nil
		}
		if err != nil {
			return sum, whole, err
		}
		whole += int64(len(line))
		var e struct {
			Usage     *usage.Usage `json:"usage"`
			Estimated bool         `json:"estimated"`
			CostUSD   *float64     `json:"cost_usd"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return sum, whole, err
		}
		if e.Usage != nil {
			sum = together(sum, gateway.Total{Calls: 1, Usage: *e.Usage, CostUSD: e.CostUSD, Estimated: e.Estimated})
		}
	}
}

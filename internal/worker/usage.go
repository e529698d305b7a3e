package worker

import (
	"reflect"
	"slices"
	"sync"
	"time"

	"oddish/api"
	"oddish/internal/llm/gateway"
	"oddish/internal/llm/price"
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

// wireUsage is what the server is told. Source and prices say where the cost comes from.
func wireUsage(t gateway.Total, source, prices string) api.Usage {
	u := api.Usage{
		InputTokens: t.Usage.InputTotal, CacheTokens: t.Usage.CacheRead, OutputTokens: t.Usage.OutputTotal, CostUSD: t.CostUSD,
		UsageDetails: api.UsageDetails{
			CacheWriteTokens: t.Usage.CacheWrite, ReasoningTokens: t.Usage.Reasoning, ModelCalls: &t.Calls, CostEstimated: &t.Estimated,
		},
	}
	if t.Calls == 0 { // then nothing was used, for certain
		u.InputTokens, u.OutputTokens = new(int64), new(int64)
	}
	if source == api.CostFromReplay {
		u.CostUSD = nil
	}
	if u.CostUSD != nil || source == api.CostFromReplay {
		u.CostSource, u.PriceVersion = source, prices
	}
	return u
}

// wireModels is what the server is told of each model.
func wireModels(models []gateway.ModelUsage) []api.ModelUsage {
	var list []api.ModelUsage
	for _, m := range joined(models) {
		list = append(list, api.ModelUsage{
			Provider: m.Provider, Model: m.Model, ModelCalls: m.Calls, CostUSD: m.CostUSD, CostEstimated: m.Estimated, Price: wirePrice(m.Price),
			InputTokens: m.Usage.InputTotal, CacheTokens: m.Usage.CacheRead, CacheWriteTokens: m.Usage.CacheWrite,
			OutputTokens: m.Usage.OutputTotal, ReasoningTokens: m.Usage.Reasoning,
		})
	}
	return list
}

// joined adds up what is told of the same model at the same price.
func joined(models []gateway.ModelUsage) []gateway.ModelUsage {
	var list []gateway.ModelUsage
	for _, m := range models {
		i := slices.IndexFunc(list, func(o gateway.ModelUsage) bool {
			return o.Provider == m.Provider && o.Model == m.Model && reflect.DeepEqual(o.Price, m.Price)
		})
		if i < 0 {
			list = append(list, m)
			continue
		}
		list[i].Total = together(list[i].Total, m.Total)
	}
	return list
}

func wirePrice(p *price.Price) *api.ModelPrice {
	if p == nil {
		return nil
	}
	wire := &api.ModelPrice{
		Model: p.Provider + "/" + p.Model, Input: p.Input, Output: p.Output, CacheRead: p.CacheRead, CacheWrite: p.CacheWrite, CacheWrite1h: p.CacheWrite1h,
	}
	if l := p.Long; l != nil {
		wire.Long = &api.LongPrice{Over: l.Over, Input: l.Input, Output: l.Output, CacheRead: l.CacheRead, CacheWrite: l.CacheWrite}
	}
	return wire
}

// left is what is left of a budget after what was used.
func left(b *api.Budget, used gateway.Total) gateway.Budget {
	if b == nil {
		return gateway.Budget{}
	}
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

package gateway

import (
	"maps"
	"sync"
	"time"

	"oddish/internal/llm/price"
	"oddish/internal/llm/usage"
)

// Total is what a session has used.
type Total struct {
	Calls     int64       `json:"calls"` // answered calls
	Usage     usage.Usage `json:"usage"`
	CostUSD   *float64    `json:"cost_usd"`  // nil: some call's model has no price
	Estimated bool        `json:"estimated"` // some call was cut, or its usage not told
}

// ModelUsage is what one model was used for.
type ModelUsage struct {
	Provider string `json:"provider"`
	Model    string `json:"model"` // as sent to the provider
	Total
	Price *price.Price `json:"price,omitempty"` // by which the cost was reckoned; nil: there is none
}

// Summary is what became of a session.
type Summary struct {
	Total
	Models         []ModelUsage    `json:"models"` // in the order of their first answered call
	CostSource     string          `json:"cost_source"`
	PriceVersion   string          `json:"price_version"`
	Requests       int64           `json:"requests"`        // model calls that agents made, answered or not
	Retries        int64           `json:"retries"`         // how often a call was sent again
	Waited         time.Duration   `json:"waited"`          // for the provider, all requests together
	LastStatus     int             `json:"last_status"`     // of the last answer to the agent; 0 without one
	Failures       map[Kind]int64  `json:"failures"`        // of calls, also those that a retry mended
	LastUpstream   int             `json:"last_upstream"`   // status of the provider's last answer to that call; 0 without one
	LastFailure    Kind            `json:"last_failure"`    // why the last call failed; empty if it succeeded
	LastMessage    string          `json:"last_message"`    // what the provider said about it
	BudgetExceeded string          `json:"budget_exceeded"` // which budget stopped the trial: "cost", "tokens", "calls", or what Exhaust was told; empty: none
	Divergence     *DivergenceInfo `json:"divergence"`      // where a replay left its recording; nil: nowhere
}

// Where costs come from: what was counted here, times the table's prices; and, for a replay, from nowhere, since nobody was paid.
const (
	costSource   = "gateway"
	replaySource = "replay"
)

// ledger counts. Every answered call is entered once.
type ledger struct {
	budget  Budget
	prices  *price.Table
	onUsage func(Total)

	notify sync.Mutex // held while onUsage is told, so that it is told in order

	mu       sync.Mutex
	sum      Summary
	byModel  map[string]int // by answered.key: index in sum.Models
	costs    costs
	reserved reservation
	changed  chan struct{} // closed and replaced when a call ends
	largest  reservation   // of all calls so far
	stopped  string        // a budget outside the session that is used up
}

func newLedger(b Budget, prices *price.Table, onUsage func(Total)) *ledger {
	l := &ledger{budget: b, prices: prices, onUsage: onUsage, byModel: map[string]int{}, changed: make(chan struct{})}
	l.sum.CostSource, l.sum.PriceVersion, l.sum.Failures = costSource, prices.Version(), map[Kind]int64{}
	l.sum.CostUSD = new(float64)
	return l
}

// free makes it the ledger of a replay, whose tokens have no cost.
func (l *ledger) free() {
	l.costs.unknown = true
	l.sum.CostUSD, l.sum.CostSource, l.sum.PriceVersion = nil, replaySource, ""
}

// costs adds up without rounding in between.
type costs struct {
	usd     float64
	unknown bool
}

func (c *costs) add(usd *float64) *float64 {
	if usd == nil {
		c.unknown = true
	} else {
		c.usd = price.Round(c.usd + *usd)
	}
	if c.unknown {
		return nil
	}
	sum := c.usd
	return &sum
}

// answered is one answered call.
type answered struct {
	provider, model string
	report          usage.Report
	price           *price.Price // nil: unknown
	cost            *float64
}

// charge reckons the cost, by the price of the model that was asked for, or by that of the one which a router chose.
func (a *answered) charge(prices *price.Table) {
	p, known := prices.LookupFrom(a.provider, a.model)
	if !known && a.report.Model != "" {
		p, known = prices.LookupFrom(a.provider, a.report.Model)
	}
	if known {
		a.price, a.cost = &p, p.Cost(a.report.Usage)
	}
}

// key tells the models apart, and a router's choices.
func (a *answered) key() string {
	key := a.provider + "/" + a.model
	if a.price != nil {
		key += "\x00" + a.price.Provider + "/" + a.price.Model
	}
	return key
}

// enter counts an answered call and tells the trial.
func (l *ledger) enter(a answered) {
	l.notify.Lock()
	defer l.notify.Unlock()
	total := l.add(a)
	if l.onUsage != nil {
		l.onUsage(total)
	}
}

func (l *ledger) add(a answered) Total {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := a.key()
	i, seen := l.byModel[key]
	if !seen {
		i = len(l.sum.Models)
		l.byModel[key] = i
		l.sum.Models = append(l.sum.Models, ModelUsage{Provider: a.provider, Model: a.model, Total: Total{CostUSD: new(float64)}, Price: a.price})
	}
	m := &l.sum.Models[i].Total
	m.Calls++
	m.Usage = m.Usage.Add(a.report.Usage)
	m.Estimated = m.Estimated || a.report.Estimated
	if m.CostUSD != nil && a.cost != nil {
		sum := price.Round(*m.CostUSD + *a.cost)
		m.CostUSD = &sum
	} else {
		m.CostUSD = nil
	}
	l.sum.Calls++
	l.sum.Usage = l.sum.Usage.Add(a.report.Usage)
	l.sum.Estimated = l.sum.Estimated || a.report.Estimated
	l.sum.CostUSD = l.costs.add(a.cost)
	l.largest = l.largest.atLeast(reservation{tokens: a.report.Usage.Tokens(), usd: deref(a.cost)})
	return l.sum.Total
}

func deref(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

func (l *ledger) total() Total {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum.Total
}

func (l *ledger) summary() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := l.sum
	sum.Models = append([]ModelUsage{}, l.sum.Models...)
	sum.Failures = maps.Clone(l.sum.Failures)
	return sum
}

// noteRequest counts a model call that an agent made, noteRetry that it was sent again.
func (l *ledger) noteRequest() { l.locked(func(s *Summary) { s.Requests++ }) }
func (l *ledger) noteRetry()   { l.locked(func(s *Summary) { s.Retries++ }) }

func (l *ledger) noteFailure(f *failure) {
	l.locked(func(s *Summary) { s.Failures[f.kind]++ })
}

// noteEnd keeps how the last call to end ended; f is nil for success.
func (l *ledger) noteEnd(status, upstream int, f *failure) {
	l.locked(func(s *Summary) {
		s.LastStatus, s.LastUpstream, s.LastFailure, s.LastMessage = status, upstream, "", ""
		if f != nil {
			s.LastFailure, s.LastMessage = f.kind, f.message
		}
	})
}

func (l *ledger) locked(change func(*Summary)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.sum)
}

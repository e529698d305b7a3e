package gateway

import (
	"bytes"
	"context"
)

// reservation is what a call that runs will use at least, as far as one can tell.
type reservation struct {
	calls, tokens int64
	usd           float64
}

func (r reservation) plus(o reservation) reservation {
	return reservation{r.calls + o.calls, r.tokens + o.tokens, r.usd + o.usd}
}

func (r reservation) minus(o reservation) reservation {
	return reservation{r.calls - o.calls, r.tokens - o.tokens, r.usd - o.usd}
}

func (r reservation) atLeast(o reservation) reservation {
	return reservation{max(r.calls, o.calls), max(r.tokens, o.tokens), max(r.usd, o.usd)}
}

// The budgets by the names in Summary.BudgetExceeded.
const (
	budgetCost   = "cost"
	budgetTokens = "tokens"
	budgetCalls  = "calls"
)

// admit reserves room for a call that uses at least the given floor, and returns the name of the budget that has none instead. While other calls run,
// of which it is not known yet what they use, and the room would not last for all of them, it waits for one to end: so a trial goes
// over its budget by the end of one answer at most, however many calls it makes at once.
func (l *ledger) admit(ctx context.Context, floor reservation) (release func(), exceeded string, err error) {
	for {
		release, exceeded, wait := l.tryAdmit(floor)
		if wait == nil {
			return release, exceeded, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, "", context.Cause(ctx)
		}
	}
}

func (l *ledger) tryAdmit(floor reservation) (release func(), exceeded string, wait <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	floor.calls = 1
	if l.stopped != "" {
		l.sum.BudgetExceeded = l.stopped
		return nil, l.stopped, nil
	}
	if name := l.over(floor, l.spent()); name != "" { // whatever the running calls use
		l.sum.BudgetExceeded = name
		return nil, name, nil
	}
	likely := floor.atLeast(l.largest)
	if l.reserved.calls > 0 && l.over(likely, l.spent().plus(l.reserved)) != "" {
		return nil, "", l.changed
	}
	l.reserved = l.reserved.plus(likely)
	return func() { l.release(likely) }, "", nil
}

// exhaust lets no further call through.
func (l *ledger) exhaust(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = what
	l.wake()
}

// wake lets those that wait in admit look again. The lock is held.
func (l *ledger) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *ledger) release(r reservation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserved = l.reserved.minus(r)
	if l.reserved.calls == 0 {
		l.reserved = reservation{} // fractions of a cent do not add up
	}
	l.wake()
}

func (l *ledger) spent() reservation {
	return reservation{calls: l.sum.Calls, tokens: l.sum.Usage.Tokens(), usd: l.costs.usd}
}

// over names the budget that is used up, or would be by more than it has: what is exactly used up has room for nothing.
func (l *ledger) over(more, spent reservation) string {
	then := spent.plus(more)
	b := l.budget
	switch {
	case b.Calls != nil && then.calls > *b.Calls:
		return budgetCalls
	case b.Tokens != nil && (spent.tokens >= *b.Tokens || then.tokens > *b.Tokens):
		return budgetTokens
	case b.USD != nil && (spent.usd >= *b.USD || then.usd > *b.USD):
		return budgetCost
	}
	return ""
}

// floorBytesPerToken is generous: a prompt has at least one token for so many bytes of its JSON.
const floorBytesPerToken = 8

// floor gives what the request uses at least. Of pictures and files in it nothing is assumed: they are long as text and few tokens.
func (x *exchange) floor() reservation {
	for _, mark := range []string{"base64", "inlineData", "inline_data", "data:"} {
		if bytes.Contains(x.body, []byte(mark)) {
			return reservation{}
		}
	}
	r := reservation{tokens: int64(len(x.body)) / floorBytesPerToken}
	if p, known := x.gateway.config.Prices.LookupFrom(x.upstream.provider, x.sent); known {
		cheapest := p.Input
		if p.CacheRead != nil {
			cheapest = min(cheapest, *p.CacheRead)
		}
		r.usd = float64(r.tokens) * cheapest / 1e6
	}
	return r
}

package api

import (
	"cmp"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Budget bounds what may be used of models. Absent is no bound.
type Budget struct {
	USD    *float64 `json:"usd,omitempty" minimum:"0"`
	Tokens *int64   `json:"tokens,omitempty" minimum:"0" doc:"input and output"`
	Calls  *int64   `json:"calls,omitempty" minimum:"0"`
}

// ErrBudget says that a text is no budget.
var ErrBudget = errors.New("want an amount with its unit (usd, tok, ktok, mtok or calls), such as 25usd or 25usd,100calls")

// ParseBudget reads what may be used of models: 25usd, 2mtok (also ktok, tok), 100calls, or several bounds with commas. ErrBudget.
func ParseBudget(text string) (Budget, error) {
	var b Budget
	for part := range strings.SplitSeq(text, ",") {
		if err := b.bound(strings.TrimSpace(part)); err != nil {
			return Budget{}, err
		}
	}
	return b, nil
}

// bound sets the bound that the text names.
func (b *Budget) bound(text string) error {
	number, unit := text, ""
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); i >= 0 {
		number, unit = text[:i], strings.ToLower(strings.TrimSpace(text[i:]))
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return ErrBudget
	}
	whole := func(factor float64) *int64 {
		total := int64(math.Round(n * factor))
		return &total
	}
	switch unit {
	case "usd":
		b.USD = &n
	case "tok", "tokens":
		b.Tokens = whole(1)
	case "ktok":
		b.Tokens = whole(1e3)
	case "mtok":
		b.Tokens = whole(1e6)
	case "calls", "call":
		b.Calls = whole(1)
	default:
		return ErrBudget
	}
	return nil
}

// Lesser gives the stricter of two budgets, each bound by itself; nil if neither bounds anything.
func Lesser(a, b *Budget) *Budget {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return &Budget{USD: less(a.USD, b.USD), Tokens: less(a.Tokens, b.Tokens), Calls: less(a.Calls, b.Calls)}
}

func less[N int64 | float64](a, b *N) *N {
	if a == nil || b != nil && *b < *a {
		return b
	}
	return a
}

// Exceeded reports whether nothing is left of some bound.
func (b Budget) Exceeded(s Spent) bool {
	return b.USD != nil && s.SpentUSD >= *b.USD || b.Tokens != nil && s.SpentTokens >= *b.Tokens || b.Calls != nil && s.SpentCalls >= *b.Calls
}

// Spent is what was used of a budget.
type Spent struct {
	SpentUSD    float64 `json:"spent_usd" doc:"of calls with a known price"`
	SpentTokens int64   `json:"spent_tokens"`
	SpentCalls  int64   `json:"spent_calls"`
}

// ExperimentBudget is the budget of an experiment and what its trials have used of it.
type ExperimentBudget struct {
	Budget
	Spent
	Exceeded bool `json:"exceeded" doc:"no further call of a model is made"`
}

// DailyBudget is the budget of the day of UTC for all experiments together, and what was used of it.
type DailyBudget struct {
	Budget
	Spent
	Exceeded bool      `json:"exceeded" doc:"no further call of a model is made, and only trials that call none are started, until it is over"`
	Until    time.Time `json:"until" doc:"end of the day"`
}

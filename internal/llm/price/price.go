// Package price turns tokens into money: a table of models that is compiled in, a file of the user's that overrides it, and
// names that stand for other names.
//
// A model that is in neither has no price, and what it used has no cost: unknown is nil and never 0. Package usage counts the
// tokens, package gateway stores the cost together with the version of the table that made it.
package price

import (
	"math"

	"oddish/internal/llm/usage"
)

// Price is what a model costs in US dollars for a million tokens.
type Price struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`

	Input        float64  `json:"input"`
	Output       float64  `json:"output"`
	CacheRead    *float64 `json:"cache_read"`     // nil: unknown, charged as Input, which is never too little
	CacheWrite   *float64 `json:"cache_write"`    // nil: charged as Input
	CacheWrite1h *float64 `json:"cache_write_1h"` // nil: twice Input, as Anthropic charges

	Long *Long `json:"long,omitempty"` // nil: long prompts cost the same

	Context   int64  `json:"context"`    // tokens that fit into the model; 0: unknown
	MaxOutput int64  `json:"max_output"` // usual limit of an answer in tokens; 0: unknown
	Source    string `json:"source"`     // "table", or the name of the override file
}

// Long is what every token of a call costs, in US dollars for a million, whose prompt has more than Over tokens. The table that is compiled in has no such
// prices: they come from override files.
type Long struct {
	Over       int64    `json:"over" yaml:"over"`
	Input      float64  `json:"input" yaml:"input"`
	Output     float64  `json:"output" yaml:"output"`
	CacheRead  *float64 `json:"cache_read,omitempty" yaml:"cache_read"`   // nil: as Input
	CacheWrite *float64 `json:"cache_write,omitempty" yaml:"cache_write"` // nil: as Input
}

// forPrompt gives the price that holds for a call with so many tokens of input.
func (p Price) forPrompt(tokens float64) Price {
	if l := p.Long; l != nil && tokens > float64(l.Over) {
		p.Input, p.Output, p.CacheRead, p.CacheWrite, p.CacheWrite1h = l.Input, l.Output, l.CacheRead, l.CacheWrite, nil
	}
	return p
}

const million = 1e6

// Cost gives the cost of one call's usage in US dollars, or nil if a total is unknown. Parts of which the
// provider did not tell the size are charged as plain input or output.
func (p Price) Cost(u usage.Usage) *float64 {
	if !u.Known() {
		return nil
	}
	p = p.forPrompt(count(u.InputTotal))
	read, write, hour := count(u.CacheRead), count(u.CacheWrite), count(u.CacheWrite1h)
	plain := math.Max(0, count(u.InputTotal)-read-write)
	cost := plain*p.Input + read*or(p.CacheRead, p.Input) + math.Max(0, write-hour)*or(p.CacheWrite, p.Input) +
		hour*or(p.CacheWrite1h, 2*p.Input) + count(u.OutputTotal)*p.Output
	cost = Round(cost / million)
	return &cost
}

// Round removes what adding fractions leaves behind the tenth decimal: sums of equal costs are equal.
func Round(usd float64) float64 { return math.Round(usd*1e10) / 1e10 }

func count(n *int64) float64 {
	if n == nil {
		return 0
	}
	return float64(*n)
}

func or(v *float64, otherwise float64) float64 {
	if v == nil {
		return otherwise
	}
	return *v
}

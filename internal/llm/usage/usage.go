// Package usage reads from the answers of model providers what they say about tokens, in one normal form.
//
// It reads bodies at once and streams event by event, and holds neither. It knows no prices (package price) and sends nothing
// (package gateway).
package usage

// Usage counts the tokens of one call or of many. Nil means that the provider did not say, which is not 0.
type Usage struct {
	InputTotal   *int64 `json:"input_total"`              // everything that was read: with CacheRead and CacheWrite
	CacheRead    *int64 `json:"cache_read"`               // part of InputTotal that came from the provider's cache
	CacheWrite   *int64 `json:"cache_write"`              // part of InputTotal that was written to the cache
	CacheWrite1h *int64 `json:"cache_write_1h,omitempty"` // part of CacheWrite that is kept for an hour, which costs more
	OutputTotal  *int64 `json:"output_total"`             // everything that was written: with Reasoning
	Reasoning    *int64 `json:"reasoning"`                // part of OutputTotal that was thought
}

// Known reports whether both totals are known.
func (u Usage) Known() bool { return u.InputTotal != nil && u.OutputTotal != nil }

// Tokens gives input and output together; unknown ones count 0.
func (u Usage) Tokens() int64 { return value(u.InputTotal) + value(u.OutputTotal) }

// Add gives the sum of both. A count that only one of them knows is that one's: it stays unknown only if nobody told.
func (u Usage) Add(o Usage) Usage {
	return Usage{
		InputTotal:   plus(u.InputTotal, o.InputTotal),
		CacheRead:    plus(u.CacheRead, o.CacheRead),
		CacheWrite:   plus(u.CacheWrite, o.CacheWrite),
		CacheWrite1h: plus(u.CacheWrite1h, o.CacheWrite1h),
		OutputTotal:  plus(u.OutputTotal, o.OutputTotal),
		Reasoning:    plus(u.Reasoning, o.Reasoning),
	}
}

// allZero reports whether no count is above 0. No call that was answered used nothing: a server that says so did not count.
func (u Usage) allZero() bool { return u.Tokens() == 0 }

// Of gives a pointer to n, for writing a Usage down.
func Of(n int64) *int64 { return &n }

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// plus adds two counts into a new one, so that sums share nothing with what they were made from.
func plus(a, b *int64) *int64 {
	if a == nil && b == nil {
		return nil
	}
	return Of(value(a) + value(b))
}

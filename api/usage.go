package api

// Usage is what was used of models. What nobody told is absent, which is not 0.
type Usage struct {
	InputTokens  *int64   `json:"input_tokens,omitempty" doc:"with those read from the provider's cache and written to it"`
	CacheTokens  *int64   `json:"cache_tokens,omitempty" doc:"of the input: read from the provider's cache"`
	OutputTokens *int64   `json:"output_tokens,omitempty" doc:"with those of reasoning"`
	CostUSD      *float64 `json:"cost_usd,omitempty"`
	UsageDetails
}

// UsageDetails are the parts of Usage that only the model gateway knows, and where the figures come from.
type UsageDetails struct {
	CacheWriteTokens *int64 `json:"cache_write_tokens,omitempty" doc:"of the input: written to the provider's cache"`
	ReasoningTokens  *int64 `json:"reasoning_tokens,omitempty" doc:"of the output: thought"`
	ModelCalls       *int64 `json:"model_calls,omitempty" doc:"answered calls"`
	CostEstimated    *bool  `json:"cost_is_estimated,omitempty" doc:"some answer was cut, or did not tell its usage"`
	CostSource       string `json:"cost_source,omitempty" enum:"gateway,agent,replay,regrade" doc:"gateway: tokens as the provider told them, times the price table; replay: there is no cost; regrade: paid in the trial that is verified again"`
	PriceVersion     string `json:"price_version,omitempty" doc:"of the price table"`
	// Models are the parts of each model. Progress does not tell them.
	Models []ModelUsage `json:"models,omitempty"`
}

// CostFromReplay is the CostSource of a replay, in which no provider was asked and nothing was paid.
const CostFromReplay = "replay"

// CostFromRegrade is the CostSource of a trial whose agent's work was verified again: what it used and cost was paid for in the trial before.
const CostFromRegrade = "regrade"

// ModelUsage is what one model was used for: the trial's own, or one that its agent called beside it.
type ModelUsage struct {
	Provider         string      `json:"provider"`
	Model            string      `json:"model" doc:"as it was asked of the provider"`
	ModelCalls       int64       `json:"model_calls"`
	InputTokens      *int64      `json:"input_tokens,omitempty"`
	CacheTokens      *int64      `json:"cache_tokens,omitempty"`
	CacheWriteTokens *int64      `json:"cache_write_tokens,omitempty"`
	OutputTokens     *int64      `json:"output_tokens,omitempty"`
	ReasoningTokens  *int64      `json:"reasoning_tokens,omitempty"`
	CostUSD          *float64    `json:"cost_usd,omitempty"`
	CostEstimated    bool        `json:"cost_is_estimated"`
	Price            *ModelPrice `json:"price,omitempty" doc:"by which the cost was reckoned; absent: none is known"`
}

// ModelPrice is what a model costs in US dollars for a million tokens. What is absent is charged as plain input.
type ModelPrice struct {
	Model      string   `json:"model" doc:"in the price table"`
	Input      float64  `json:"input"`
	Output     float64  `json:"output"`
	CacheRead  *float64 `json:"cache_read,omitempty"`
	CacheWrite *float64 `json:"cache_write,omitempty"`
	// CacheWrite1h is what is kept for an hour; absent: twice Input.
	CacheWrite1h *float64   `json:"cache_write_1h,omitempty"`
	Long         *LongPrice `json:"long,omitempty" doc:"of calls with a long prompt"`
}

// LongPrice is what every token of a call costs whose prompt has more than Over tokens.
type LongPrice struct {
	Over       int64    `json:"over" doc:"tokens"`
	Input      float64  `json:"input"`
	Output     float64  `json:"output"`
	CacheRead  *float64 `json:"cache_read,omitempty"`
	CacheWrite *float64 `json:"cache_write,omitempty"`
}

// IsZero reports whether nothing is known.
func (u Usage) IsZero() bool {
	return u.InputTokens == nil && u.CacheTokens == nil && u.OutputTokens == nil && u.CostUSD == nil && u.UsageDetails.isZero()
}

func (d UsageDetails) isZero() bool {
	return d.CacheWriteTokens == nil && d.ReasoningTokens == nil && d.ModelCalls == nil && d.CostEstimated == nil &&
		d.CostSource == "" && d.PriceVersion == "" && d.Models == nil
}

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
	CostSource       string `json:"cost_source,omitempty" enum:"gateway,agent" doc:"gateway: tokens as the provider told them, times the price table"`
	PriceVersion     string `json:"price_version,omitempty" doc:"of the price table"`
}

// Budget bounds what may be used of models. Absent is no bound.
type Budget struct {
	USD    *float64 `json:"usd,omitempty" minimum:"0"`
	Tokens *int64   `json:"tokens,omitempty" minimum:"0" doc:"input and output"`
	Calls  *int64   `json:"calls,omitempty" minimum:"0"`
}

// ExperimentBudget is the budget of an experiment and what its trials have used of it.
type ExperimentBudget struct {
	Budget
	SpentUSD    float64 `json:"spent_usd" doc:"of calls with a known price"`
	SpentTokens int64   `json:"spent_tokens"`
	SpentCalls  int64   `json:"spent_calls"`
	Exceeded    bool    `json:"exceeded" doc:"no further call of a model is made"`
}

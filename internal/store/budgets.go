package store

import (
	"context"
	"fmt"
	"slices"

	"oddish/api"
)

// Spending is what the attempts of an experiment have used of models together, and its budget.
type Spending struct {
	Budget    *api.ExperimentBudget // nil: none
	Usage     *api.Usage            // nil: nothing is known; of the parts, only calls
	budgetUSD *float64
	tokens    *int64
	calls     *int64

	id                       string
	input, output, made      int64
	usd                      float64
	counted, priced, guessed int64
}

// settle fills in what is told.
func (s *Spending) settle() {
	if s.budgetUSD != nil || s.tokens != nil || s.calls != nil {
		b := api.ExperimentBudget{
			Budget: api.Budget{USD: s.budgetUSD, Tokens: s.tokens, Calls: s.calls},
			Spent:  api.Spent{SpentUSD: s.usd, SpentTokens: s.input + s.output, SpentCalls: s.made},
		}
		b.Exceeded = b.Budget.Exceeded(b.Spent)
		s.Budget = &b
	}
	if s.counted == 0 && s.priced == 0 {
		return
	}
	guessed := s.guessed > 0
	s.Usage = &api.Usage{UsageDetails: api.UsageDetails{ModelCalls: &s.made, CostEstimated: &guessed}}
	if s.counted > 0 {
		s.Usage.InputTokens, s.Usage.OutputTokens = &s.input, &s.output
	}
	if s.priced >= s.counted { // otherwise it is only a part
		s.Usage.CostUSD = &s.usd
	}
}

// Spending returns what those experiments have used of which anything is known, by id.
func (db *DB) Spending(ctx context.Context, experimentIDs ...string) (map[string]Spending, error) {
	return FindSpending(ctx, db.read, experimentIDs...)
}

// FindSpending is DB.Spending inside of a transaction.
func FindSpending(ctx context.Context, q Querier, experimentIDs ...string) (map[string]Spending, error) {
	found := map[string]Spending{}
	for ids := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(experimentIDs))), 500) {
		var args Args
		query := `SELECT experiment_id, budget_usd, budget_tokens, budget_calls, input_tokens, output_tokens, model_calls, cost_usd, counted, priced, estimated
			FROM usages WHERE experiment_id IN ` + args.List(ids)
		rows, err := Collect(ctx, q, query, args.Values, func(s *Spending) []any {
			return []any{&s.id, &s.budgetUSD, &s.tokens, &s.calls, &s.input, &s.output, &s.made, &s.usd, &s.counted, &s.priced, &s.guessed}
		})
		if err != nil {
			return nil, fmt.Errorf("read what experiments have used: %w", err)
		}
		for _, s := range rows {
			s.settle()
			found[s.id] = s
		}
	}
	return found, nil
}

package store

import (
	"context"
	"fmt"
	"time"

	"oddish/api"
)

// Day names the day of UTC that a moment lies in.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// FindDay gives what all experiments together have used of models on a day.
func FindDay(ctx context.Context, q Querier, day string) (spent api.Spent, err error) {
	const query = `SELECT CAST(COALESCE(SUM(cost_usd), 0) AS double precision), CAST(COALESCE(SUM(input_tokens + output_tokens), 0) AS bigint), CAST(COALESCE(SUM(model_calls), 0) AS bigint)
		FROM days WHERE day = $1`
	if err := q.QueryRowContext(ctx, query, day).Scan(&spent.SpentUSD, &spent.SpentTokens, &spent.SpentCalls); err != nil {
		return spent, fmt.Errorf("read what was used on %s: %w", day, err)
	}
	return spent, nil
}

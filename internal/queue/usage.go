package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"oddish/api"
	"oddish/internal/store"
)

// used is what attempts have used, as far as the sums of an experiment tell it.
type used struct {
	input, output, calls       int64
	usd                        float64
	counted, priced, estimated int64 // attempts
}

func (u used) plus(o used) used {
	return used{
		u.input + o.input, u.output + o.output, u.calls + o.calls, u.usd + o.usd,
		u.counted + o.counted, u.priced + o.priced, u.estimated + o.estimated,
	}
}

func (u used) minus(o used) used {
	return u.plus(used{-o.input, -o.output, -o.calls, -o.usd, -o.counted, -o.priced, -o.estimated})
}

// usedColumns are what of an attempt goes into the sums.
const usedColumns = "input_tokens, output_tokens, model_calls, cost_usd, cost_estimated"

func scanUsed(scan func(...any) error) (u used, err error) {
	var input, output, calls, estimated *int64
	var usd *float64
	if err := scan(&input, &output, &calls, &usd, &estimated); err != nil {
		return u, err
	}
	return used{
		input: known(input), output: known(output), calls: known(calls), usd: known(usd),
		counted: one(input != nil && output != nil), priced: one(usd != nil), estimated: known(estimated),
	}, nil
}

func one(is bool) int64 { return int64(store.Flag(is)) }

// known is the value, or 0 for an unknown one, of which no sum can take account.
func known[N int64 | float64](n *N) N {
	if n == nil {
		return 0
	}
	return *n
}

// usageOf is what a report says of models.
func usageOf(f *api.Finish) api.Usage {
	return api.Usage{
		InputTokens: f.InputTokens, CacheTokens: f.CacheTokens, OutputTokens: f.OutputTokens, CostUSD: f.CostUSD, UsageDetails: f.UsageDetails,
	}
}

// use notes what the present run of the job has used so far. What u does not know stays as it is.
func (l *ledger) use(ctx context.Context, j *job, u api.Usage) error {
	if u.IsZero() {
		return nil
	}
	models, err := nullList(u.Models)
	if err != nil {
		return err
	}
	row := l.tx.QueryRowContext(ctx, "SELECT "+usedColumns+" FROM attempts WHERE trial_id = $1 AND attempt = $2", j.id, j.attempt)
	before, err := scanUsed(row.Scan)
	if err != nil {
		return err
	}
	const query = `UPDATE attempts SET input_tokens = COALESCE($1, input_tokens), cache_tokens = COALESCE($2, cache_tokens),
			output_tokens = COALESCE($3, output_tokens), cost_usd = $4, cache_write_tokens = COALESCE($5, cache_write_tokens),
			reasoning_tokens = COALESCE($6, reasoning_tokens), model_calls = COALESCE($7, model_calls),
			cost_estimated = COALESCE($8, cost_estimated), cost_source = $9, price_version = $10, model_usage = COALESCE($11, model_usage)
		WHERE trial_id = $12 AND attempt = $13
		RETURNING ` + usedColumns
	row = l.tx.QueryRowContext(ctx, query, u.InputTokens, u.CacheTokens, u.OutputTokens, u.CostUSD, u.CacheWriteTokens,
		u.ReasoningTokens, u.ModelCalls, store.NullFlag(u.CostEstimated), u.CostSource, u.PriceVersion, models, j.id, j.attempt)
	after, err := scanUsed(row.Scan)
	if err != nil {
		return err
	}
	l.note(j, after.minus(before), u.CostSource)
	return nil
}

// note adds to what the transaction has used.
func (l *ledger) note(j *job, u used, source string) {
	if l.used == nil {
		l.used, l.paid = map[string]used{}, map[string]used{}
	}
	l.used[j.experimentID] = l.used[j.experimentID].plus(u)
	if source != api.CostFromReplay && source != api.CostFromRegrade {
		l.paid[j.experimentID] = l.paid[j.experimentID].plus(u)
	}
}

// nullList is JSON, or null for an empty list: unknown.
func nullList[V any](list []V) (*string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	text, err := store.JSON(list)
	return &text, err
}

// writeUsed adds what was used to the sums of the experiments. Their rows are locked after all others.
func (l *ledger) writeUsed(ctx context.Context) error {
	for _, experimentID := range slices.Sorted(maps.Keys(l.used)) {
		u := l.used[experimentID]
		if u == (used{}) {
			continue
		}
		const query = `INSERT INTO usages AS s (experiment_id, input_tokens, output_tokens, model_calls, cost_usd, counted, priced, estimated)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (experiment_id) DO UPDATE SET
				input_tokens = s.input_tokens + excluded.input_tokens, output_tokens = s.output_tokens + excluded.output_tokens,
				model_calls = s.model_calls + excluded.model_calls, cost_usd = s.cost_usd + excluded.cost_usd,
				counted = s.counted + excluded.counted, priced = s.priced + excluded.priced, estimated = s.estimated + excluded.estimated`
		_, err := l.tx.ExecContext(ctx, query, experimentID, u.input, u.output, u.calls, u.usd, u.counted, u.priced, u.estimated)
		if err != nil {
			return fmt.Errorf("add up the usage of experiment %s: %w", experimentID, err)
		}
	}
	return l.writePaid(ctx)
}

// exceeded names the budget that the job's experiment has used up, with what this transaction adds; empty: there is room.
func (l *ledger) exceeded(ctx context.Context, j *job) (string, error) {
	more := l.used[j.experimentID]
	const query = "SELECT COUNT(*) FROM usages s WHERE experiment_id = $1 AND (cost_usd + $2 >= budget_usd OR input_tokens + output_tokens + $3 >= budget_tokens OR model_calls + $4 >= budget_calls)"
	var n int
	if err := l.tx.QueryRowContext(ctx, query, j.experimentID, more.usd, more.input+more.output, more.calls).Scan(&n); err != nil {
		return "", fmt.Errorf("look whether the budget of experiment %s is used up: %w", j.experimentID, err)
	}
	if n == 0 {
		return "", nil
	}
	return api.BudgetExperiment, nil
}

// exceededAmong gives those of the jobs whose experiments have used their budgets up.
func (l *ledger) exceededAmong(ctx context.Context, refs []api.JobRef) ([]string, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	ids := make([]string, len(refs))
	for i, ref := range refs {
		ids[i] = ref.ID
	}
	var args store.Args
	query := `SELECT j.id FROM jobs j JOIN usages s ON s.experiment_id = j.experiment_id
		WHERE (s.cost_usd >= s.budget_usd OR s.input_tokens + s.output_tokens >= s.budget_tokens OR s.model_calls >= s.budget_calls)
			AND j.id IN ` + args.List(ids)
	over, err := store.Texts(ctx, l.tx, query, args.Values...)
	if err != nil {
		return nil, fmt.Errorf("look for budgets that are used up: %w", err)
	}
	return over, nil
}

// setBudget bounds what the experiment's trials may use together, with what they have used already. Call it at the end of the
// transaction.
func (l *ledger) setBudget(ctx context.Context, experimentID string, b *api.Budget) error {
	if b == nil {
		return nil
	}
	const query = `INSERT INTO usages (experiment_id, budget_usd, budget_tokens, budget_calls) VALUES ($1, $2, $3, $4)
		ON CONFLICT (experiment_id) DO UPDATE SET
			budget_usd = excluded.budget_usd, budget_tokens = excluded.budget_tokens, budget_calls = excluded.budget_calls`
	if _, err := l.tx.ExecContext(ctx, query, experimentID, b.USD, b.Tokens, b.Calls); err != nil {
		return fmt.Errorf("set the budget of experiment %s: %w", experimentID, err)
	}
	return nil
}

// limitedBy gives the report of a rate limit among the events that were not seen before, in the form in which the end of a run
// would tell it, or nil. Of several the longest wait counts.
func limitedBy(events []api.ProgressEvent, seen int64) *api.Finish {
	var f *api.Finish
	for _, e := range events {
		if e.RateLimited == nil || e.Seq <= seen {
			continue
		}
		if f == nil {
			f = &api.Finish{Outcome: api.StatusFailed, ErrorClass: api.ClassRateLimit}
		}
		if w := e.RateLimited.RetryAfterSec; w != nil && (f.RetryAfterSec == nil || *w > *f.RetryAfterSec) {
			f.RetryAfterSec = w
		}
	}
	return f
}

package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"oddish/api"
	"oddish/internal/model"
	"oddish/internal/store"
)

// The budget of the day bounds what all experiments together use of models from one midnight of UTC to the next. It is configured, and what was used of it is in
// the database, so that all servers of a database agree.

// writePaid adds what was used to the day. The rows are locked after all others.
func (l *ledger) writePaid(ctx context.Context) error {
	for _, experimentID := range slices.Sorted(maps.Keys(l.paid)) {
		u := l.paid[experimentID]
		if u.input+u.output+u.calls == 0 && u.usd == 0 {
			continue
		}
		const query = `INSERT INTO days AS d (day, experiment_id, input_tokens, output_tokens, model_calls, cost_usd) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (day, experiment_id) DO UPDATE SET
				input_tokens = d.input_tokens + excluded.input_tokens, output_tokens = d.output_tokens + excluded.output_tokens,
				model_calls = d.model_calls + excluded.model_calls, cost_usd = d.cost_usd + excluded.cost_usd`
		if _, err := l.tx.ExecContext(ctx, query, store.Day(l.now), experimentID, u.input, u.output, u.calls, u.usd); err != nil {
			return fmt.Errorf("add up the usage of the day: %w", err)
		}
	}
	return nil
}

// DailyBudget is the configured budget of the day; nil: there is none.
func (q *Queue) DailyBudget() *api.Budget { return q.daily }

// Day tells how the budget of this day stands; nil: there is none.
func (q *Queue) Day(ctx context.Context) (*api.DailyBudget, error) {
	if q.daily == nil {
		return nil, nil
	}
	now := q.now()
	spent, err := store.FindDay(ctx, q.db.Read(), store.Day(now))
	if err != nil {
		return nil, err
	}
	return &api.DailyBudget{Budget: *q.daily, Spent: spent, Exceeded: q.daily.Exceeded(spent), Until: dayEnd(now)}, nil
}

// dayEnd is the midnight after a moment.
func dayEnd(now time.Time) time.Time {
	y, m, d := now.UTC().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
}

// dayOver reports whether the budget of the day is used up, with more that is not written yet.
func (q *Queue) dayOver(ctx context.Context, db store.Querier, now time.Time, more map[string]used) (bool, error) {
	if q.daily == nil {
		return false, nil
	}
	spent, err := store.FindDay(ctx, db, store.Day(now))
	if err != nil {
		return false, err
	}
	for _, u := range more {
		spent.SpentUSD += u.usd
		spent.SpentTokens += u.input + u.output
		spent.SpentCalls += u.calls
	}
	return q.daily.Exceeded(spent), nil
}

// paysNothing reports whether the job calls no provider, so that no budget of money holds it up.
func (j *job) paysNothing() bool { return j.key == model.LocalKey }

// exceeded names the shared budget that is used up for the job, with what this transaction adds; empty: there is room.
func (q *Queue) exceeded(ctx context.Context, l *ledger, j *job) (string, error) {
	name, err := l.exceeded(ctx, j)
	if err != nil || name != "" || j.paysNothing() {
		return name, err
	}
	over, err := q.dayOver(ctx, l.tx, l.now, l.paid)
	if err != nil || !over {
		return "", err
	}
	return api.BudgetDay, nil
}

// exceededToday gives those of the jobs that the budget of the day holds, once it is used up.
func (q *Queue) exceededToday(ctx context.Context, l *ledger, refs []api.JobRef) ([]string, error) {
	over, err := q.dayOver(ctx, l.tx, l.now, nil)
	if err != nil || !over || len(refs) == 0 {
		return nil, err
	}
	ids := make([]string, len(refs))
	for i, ref := range refs {
		ids[i] = ref.ID
	}
	var args store.Args
	ids, err = store.Texts(ctx, l.tx, "SELECT id FROM jobs WHERE queue_key <> "+args.Add(model.LocalKey)+" AND id IN "+args.List(ids), args.Values...)
	if err != nil {
		return nil, fmt.Errorf("look for trials that the budget of the day holds: %w", err)
	}
	return ids, nil
}

// turnDay wakes claims when a day has begun whose budget nothing was used of, and gives the end of it; zero: there is no budget of the day. Only Run calls it.
func (q *Queue) turnDay(now time.Time) time.Time {
	if q.daily == nil {
		return time.Time{}
	}
	if !q.dayEnds.IsZero() && !now.Before(q.dayEnds) {
		q.hub.wakeClaims()
	}
	q.dayEnds = dayEnd(now)
	return q.dayEnds
}

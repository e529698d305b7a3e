package cli

import (
	"testing"
	"time"

	"oddish/api"
)

func TestBudgetsAreRead(t *testing.T) {
	t.Parallel()
	var f budgetFlag
	for _, s := range []string{"25usd,100calls", "2.5mtok"} {
		if err := f.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	if *f.b.USD != 25 || *f.b.Calls != 100 || *f.b.Tokens != 2_500_000 {
		t.Errorf("budget is %+v", f.b)
	}
	for _, s := range []string{"", "25", "usd", "-1usd", "25eur", "1.2.3usd", "1usd,"} {
		var f budgetFlag
		if err := f.Set(s); err == nil {
			t.Errorf("%q is read as %+v", s, f.b)
		}
	}
}

func TestTheBudgetOfTheDayIsPutIntoWords(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 20, 47, 30, 0, time.UTC)
	usd, tokens, calls := 50.0, int64(2_000_000), int64(100)
	d := api.DailyBudget{
		Budget: api.Budget{USD: &usd, Tokens: &tokens, Calls: &calls}, Spent: api.Spent{SpentUSD: 12.5, SpentTokens: 900_000, SpentCalls: 7},
		Until: time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC),
	}
	if got, want := dayWords(&d, now), "900.0k of 2.00M tokens · $12.50 of $50.00 · 7 of 100 calls"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	d.Budget, d.Exceeded = api.Budget{USD: &usd}, true
	if got, want := dayWords(&d, now), "$12.50 of $50.00 · used up: nothing that calls a model starts before 00:00 UTC, in 3h12m"; plain(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestUsageIsPutIntoWords(t *testing.T) {
	t.Parallel()
	n := func(v int64) *int64 { return &v }
	usd := func(v float64) *float64 { return &v }
	yes := true
	for want, e := range map[string]api.Experiment{
		"":                                 {},
		"1.20M tokens · $3.10":             {Usage: &api.Usage{InputTokens: n(1_100_000), OutputTokens: n(100_000), CostUSD: usd(3.1)}},
		"950 tokens":                       {Usage: &api.Usage{InputTokens: n(900), OutputTokens: n(50)}},
		"12.3k tokens · ~$0.0100":          {Usage: &api.Usage{InputTokens: n(12_000), OutputTokens: n(300), CostUSD: usd(0.01), UsageDetails: api.UsageDetails{CostEstimated: &yes}}},
		"$0.00 of $25.00 · 0 of 100 calls": {Budget: &api.ExperimentBudget{Budget: api.Budget{USD: usd(25), Calls: n(100)}}},
		"2.0k of 2.0k tokens · $1.00 · budget used up": {
			Usage:  &api.Usage{InputTokens: n(1900), OutputTokens: n(100), CostUSD: usd(1)},
			Budget: &api.ExperimentBudget{Budget: api.Budget{Tokens: n(2000)}, Exceeded: true},
		},
	} {
		if got := plain(usageWords(e)); got != want {
			t.Errorf("usage is %q, want %q", got, want)
		}
	}
}

func TestASummarySaysWhatModelsCost(t *testing.T) {
	t.Parallel()
	n := func(v int64) *int64 { return &v }
	usd := 0.25
	priced := api.Trial{Status: api.StatusSuccess, InputTokens: n(900), OutputTokens: n(100), CostUSD: &usd}
	unpriced := api.Trial{Status: api.StatusSuccess, InputTokens: n(900), OutputTokens: n(100)}
	replay := api.CostFromReplay
	replayed := unpriced
	replayed.CostSource = &replay
	for want, trials := range map[string][]api.Trial{
		"":                            {{Status: api.StatusSuccess}},
		"2.0k tokens · $0.50":         {priced, priced, {Status: api.StatusSuccess}},
		"2.0k tokens · $0.25 (of 1)":  {priced, unpriced},
		"1.0k tokens of unknown cost": {unpriced},
		"1.0k tokens replayed":        {replayed},
		"2.0k tokens · $0.25":         {replayed, priced},
	} {
		if got := summarize(trials).usage(); got != want {
			t.Errorf("usage is %q, want %q", got, want)
		}
	}
}

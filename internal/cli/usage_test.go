package cli

import (
	"testing"

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
	for want, trials := range map[string][]api.Trial{
		"":                            {{Status: api.StatusSuccess}},
		"2.0k tokens · $0.50":         {priced, priced, {Status: api.StatusSuccess}},
		"2.0k tokens · $0.25 (of 1)":  {priced, unpriced},
		"1.0k tokens of unknown cost": {unpriced},
	} {
		if got := summarize(trials).usage(); got != want {
			t.Errorf("usage is %q, want %q", got, want)
		}
	}
}

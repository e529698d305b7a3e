package cli

import (
	"fmt"
	"strings"
	"time"

	"oddish/api"
)

// usageWords say what an experiment has used of models so far, against its budget: "1.20M tokens · $3.10 of $25.00". Empty: nothing is known.
func usageWords(e api.Experiment) string {
	u, b := e.Usage, e.Budget
	if u == nil && b == nil {
		return ""
	}
	if u == nil {
		u = &api.Usage{}
	}
	if b == nil {
		b = &api.ExperimentBudget{}
	}
	var parts []string
	if u.InputTokens != nil || b.Tokens != nil {
		tokens := formatTokens(valueOf(u.InputTokens) + valueOf(u.OutputTokens))
		if b.Tokens != nil {
			tokens += " of " + formatTokens(*b.Tokens)
		}
		parts = append(parts, tokens+" tokens")
	}
	if u.CostUSD != nil || b.USD != nil {
		parts = append(parts, costWords(u, b))
	}
	if b.Calls != nil {
		parts = append(parts, fmt.Sprintf("%d of %d calls", valueOf(u.ModelCalls), *b.Calls))
	}
	if b.Exceeded {
		parts = append(parts, styleOf(styleWarn).Render("budget used up"))
	}
	return strings.Join(parts, " · ")
}

func costWords(u *api.Usage, b *api.ExperimentBudget) string {
	cost := formatUSD(b.SpentUSD)
	if u.CostUSD != nil {
		cost = formatUSD(*u.CostUSD)
	}
	if u.CostEstimated != nil && *u.CostEstimated {
		cost = "~" + cost
	}
	if b.USD != nil {
		cost += " of " + formatUSD(*b.USD)
	}
	return cost
}

// dayWords say what was used today of the server's budget of the day, and until when it is used up.
func dayWords(d *api.DailyBudget, now time.Time) string {
	var parts []string
	if d.Tokens != nil {
		parts = append(parts, formatTokens(d.SpentTokens)+" of "+formatTokens(*d.Tokens)+" tokens")
	}
	if d.USD != nil {
		parts = append(parts, formatUSD(d.SpentUSD)+" of "+formatUSD(*d.USD))
	}
	if d.Calls != nil {
		parts = append(parts, fmt.Sprintf("%d of %d calls", d.SpentCalls, *d.Calls))
	}
	if d.Exceeded {
		rest := formatClock(max(d.Until.Sub(now), 0))
		parts = append(parts, styleOf(styleWarn).Render("used up: nothing that calls a model starts before "+d.Until.UTC().Format("15:04")+" UTC, in "+rest))
	}
	return strings.Join(parts, " · ")
}

func valueOf(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

package cli

import (
	"strconv"
	"strings"

	"oddish/api"
)

// resultsTable shows what came of each trial.
func resultsTable(width int, trials []api.Trial) string {
	columns := []column{
		{title: "TRIAL", least: 16, middle: true},
		{title: "AGENT", least: 8},
		{title: "MODEL", least: 8, middle: true},
		{title: "STATUS"},
		{title: "REWARD", right: true},
		{title: "TIME", right: true},
		{title: "TOKENS", right: true, optional: true},
		{title: "COST", right: true, optional: true},
		{title: "ERROR", least: 10, optional: true},
	}
	rows := make([][]string, 0, len(trials))
	for _, t := range trials {
		rows = append(rows, []string{
			t.Name, t.Agent, modelCell(t.Model), statusCell(t), rewardCell(t.Reward), timeCell(t),
			tokensCell(t), costCell(t), deref(t.ErrorType),
		})
	}
	return renderTable(width, columns, rows)
}

const nothing = "-"

// noModel is what the server says of a trial without a model.
const noModel = "default"

func modelCell(model string) string {
	if model == "" || model == noModel {
		return nothing
	}
	return model
}

// statusCell is a sign and the status in the words of the API. The sign tells a pass from a lower reward.
func statusCell(t api.Trial) string {
	glyph, style := statusLook(t.Status, t.Reward)
	return styleOf(style).Render(glyph + " " + string(t.Status))
}

func statusLook(s api.Status, reward *float64) (string, styleName) {
	switch s {
	case api.StatusSuccess:
		switch {
		case reward == nil:
			return "○", stylePlain
		case *reward >= 1:
			return "✓", styleGood
		}
		return "○", styleWarn
	case api.StatusFailed:
		return "✗", styleError
	case api.StatusCancelled:
		return "⊘", styleFaint
	case api.StatusRunning:
		return "●", styleActive
	case api.StatusRetrying:
		return "↻", styleWarn
	}
	return "·", styleFaint
}

func rewardCell(r *float64) string {
	if r == nil {
		return nothing
	}
	return formatReward(*r)
}

// tokensCell is how many tokens the trial has used so far, in and out; empty: unknown, or it calls no model.
func tokensCell(t api.Trial) string {
	if t.InputTokens == nil || t.OutputTokens == nil {
		return ""
	}
	return formatTokens(*t.InputTokens + *t.OutputTokens)
}

// costCell is what the trial has cost so far; an estimate has a ~.
func costCell(t api.Trial) string {
	if t.CostUSD == nil {
		return ""
	}
	if t.CostEstimated != nil && *t.CostEstimated {
		return "~" + formatUSD(*t.CostUSD)
	}
	return formatUSD(*t.CostUSD)
}

// formatTokens gives 950, 12.3k, 4.56M.
func formatTokens(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10)
	case n < 1_000_000:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + "k"
	}
	return strconv.FormatFloat(float64(n)/1e6, 'f', 2, 64) + "M"
}

// formatUSD gives two decimals, and four for what would be less than a cent or so.
func formatUSD(usd float64) string {
	if usd != 0 && usd < 0.1 {
		return "$" + strconv.FormatFloat(usd, 'f', 4, 64)
	}
	return "$" + strconv.FormatFloat(usd, 'f', 2, 64)
}

func timeCell(t api.Trial) string {
	s := seconds(t)
	if s == nil {
		return nothing
	}
	return formatSeconds(*s)
}

// seconds is how long a trial took from its first start to its end; nil if it has not ended or never started.
func seconds(t api.Trial) *float64 {
	if t.StartedAt == nil || t.FinishedAt == nil {
		return nil
	}
	s := t.FinishedAt.Sub(*t.StartedAt).Seconds()
	return &s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// errorDetails lists what went wrong in words, once for each different message.
func errorDetails(p printer, trials []api.Trial, most int) {
	type key struct{ kind, msg string }
	seen := map[key]bool{}
	for _, t := range trials {
		msg := firstLine(deref(t.ErrorMessage))
		k := key{deref(t.ErrorType), msg}
		if t.Status != api.StatusFailed || msg == "" || seen[k] {
			continue
		}
		seen[k] = true
		if len(seen) > most {
			p.line(p.style(styleFaint).Render("  … see `oddish status` of the task for the others"))
			return
		}
		p.line(p.style(styleError).Render("✗") + " " + t.Name + ": " + msg)
	}
}

// firstLine gives the first line of a message, and of a list what is listed first.
func firstLine(s string) string {
	line, rest, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if strings.HasSuffix(line, ":") {
		next, _, _ := strings.Cut(rest, "\n")
		line = strings.TrimSpace(line + " " + strings.TrimSpace(next))
	}
	return line
}

package cli

import (
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
		{title: "ERROR", least: 10, optional: true},
	}
	rows := make([][]string, 0, len(trials))
	for _, t := range trials {
		rows = append(rows, []string{
			t.Name, t.Agent, modelCell(t.Model), statusCell(t), rewardCell(t.Reward), timeCell(t), deref(t.ErrorType),
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

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

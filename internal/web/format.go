package web

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"oddish/api"
)

// parseViews reads the templates: each page together with what all pages share.
func parseViews(p *Pages) (map[string]*template.Template, error) {
	views := map[string]*template.Template{}
	for _, name := range []string{"home.html", "experiment.html", "rows.html", "trial.html", "problem.html"} {
		t := template.New(name).Funcs(p.funcs())
		t, err := t.ParseFS(files, "templates/shared.html", "templates/"+name)
		if err != nil {
			return nil, fmt.Errorf("parse page %s: %w", name, err)
		}
		views[name] = t
	}
	return views, nil
}

func (p *Pages) funcs() template.FuncMap {
	return template.FuncMap{
		"static":         p.static.url,
		"outcome":        outcomeOf,
		"attemptOutcome": outcomeOfAttempt,
		"stepOutcome":    outcomeOfStep,
		"segments":       segments,
		"live":           live,
		"ago":            func(t time.Time) string { return ago(p.now().Sub(t)) },
		"iso":            func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"took":           p.took,
		"seconds":        func(s float64) string { return duration(time.Duration(s * float64(time.Second))) },
		"reward":         reward,
		"mean":           mean,
		"size":           size,
		"money":          func(usd float64) string { return fmt.Sprintf("$%.4f", usd) },
		"count":          count,
		"tokens":         tokens,
		"usage":          usageOf,
		"spending":       spendingOf,
		"trials":         func(n int) string { return plural(n, "trial") },
		"percent":        percent,
		"model":          modelWord,
	}
}

// took gives how long a trial has run, or ran.
func (p *Pages) took(from, to *time.Time) string {
	switch {
	case from == nil:
		return ""
	case to == nil:
		return duration(p.now().Sub(*from))
	}
	return duration(to.Sub(*from))
}

// duration gives a time span in at most two units: "0.4s", "12s", "3m 04s", "2h 15m", "4d 3h".
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
}

// ago gives an age in one unit.
func ago(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours())/24)
}

// reward gives a reward with at most three decimals; an unknown one is a dash, never 0.
func reward(v *float64) string {
	if v == nil {
		return "–"
	}
	return number(*v)
}

func number(v float64) string {
	if math.Abs(v) >= 1e6 || (v != 0 && math.Abs(v) < 0.001) {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	text := strconv.FormatFloat(v, 'f', 3, 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

// mean gives an experiment's mean reward over the trials that have one.
func mean(e api.Experiment) string {
	if e.RewardTotal == 0 {
		return "–"
	}
	return strconv.FormatFloat(e.RewardSum/float64(e.RewardTotal), 'f', 3, 64)
}

func percent(e api.Experiment) int {
	if e.Total == 0 {
		return 0
	}
	return 100 * e.Completed / e.Total
}

func size(bytes int64) string {
	const units = "KMGT"
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	v, unit := float64(bytes)/1024, 0
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[unit])
}

// count gives a number with a thin space between thousands.
func count(n int) string {
	digits := strconv.Itoa(n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// usageOf is what a trial has used of models.
func usageOf(t api.Trial) *api.Usage {
	return &api.Usage{InputTokens: t.InputTokens, OutputTokens: t.OutputTokens}
}

// tokens gives those read and written together, shortened; empty: nobody knows.
func tokens(u *api.Usage) string {
	if u == nil || u.InputTokens == nil && u.OutputTokens == nil {
		return ""
	}
	n := 0.0
	for _, part := range []*int64{u.InputTokens, u.OutputTokens} {
		if part != nil {
			n += float64(*part)
		}
	}
	for _, unit := range []struct {
		size float64
		name string
	}{{1e6, "M"}, {1e3, "k"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f%s", n/unit.size, unit.name)
		}
	}
	return strconv.Itoa(int(n))
}

// spending is what an experiment has cost, of what it may.
type spending struct {
	Spent, Of string
	Over      bool
}

// spendingOf is nil if no cost is known and no budget of money set.
func spendingOf(e api.Experiment) *spending {
	var s spending
	if e.Usage != nil && e.Usage.CostUSD != nil {
		s.Spent = fmt.Sprintf("$%.4f", *e.Usage.CostUSD)
		if estimated := e.Usage.CostEstimated; estimated != nil && *estimated {
			s.Spent = "~" + s.Spent
		}
	}
	if b := e.Budget; b != nil && b.USD != nil {
		if s.Spent == "" {
			s.Spent = fmt.Sprintf("$%.4f", b.SpentUSD)
		}
		s.Of, s.Over = fmt.Sprintf("$%.2f", *b.USD), b.Exceeded
	}
	if s.Spent == "" {
		return nil
	}
	return &s
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// modelWord gives the model of a trial, empty for agents that have none.
func modelWord(m string) string {
	if m == "default" {
		return ""
	}
	return m
}

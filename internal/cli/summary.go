package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"oddish/api"
)

// summary counts what came of a set of trials.
type summary struct {
	total     int
	passed    int // reward 1 or more
	below     int // a reward below 1
	unknown   int // ran to the end without a reward
	failed    int
	cancelled int
	active    int // not ended
	rewarded  int
	rewardSum float64
	errors    map[string]int // by type, of the failed ones
	seconds   float64        // from the first start to the last end
	tokens    int64          // of the trials that tell
	costUSD   float64        // likewise
	priced    int            // trials that tell their cost
	modelled  int            // trials that tell their tokens, or their cost
	replayed  int            // of those: without cost, since they are replays
}

func summarize(trials []api.Trial) summary {
	s := summary{total: len(trials), errors: map[string]int{}}
	var first, last time.Time
	for _, t := range trials {
		s.add(t)
		if t.StartedAt != nil && (first.IsZero() || t.StartedAt.Before(first)) {
			first = *t.StartedAt
		}
		if t.FinishedAt != nil && t.FinishedAt.After(last) {
			last = *t.FinishedAt
		}
	}
	if !first.IsZero() && last.After(first) {
		s.seconds = last.Sub(first).Seconds()
	}
	return s
}

func (s *summary) add(t api.Trial) {
	if t.Reward != nil {
		s.rewarded++
		s.rewardSum += *t.Reward
	}
	s.addUsage(t)
	switch {
	case t.Status == api.StatusFailed:
		s.failed++
		s.errors[errorName(t)]++
	case t.Status == api.StatusCancelled:
		s.cancelled++
	case t.Status != api.StatusSuccess:
		s.active++
	case t.Reward == nil:
		s.unknown++
	case *t.Reward >= 1:
		s.passed++
	default:
		s.below++
	}
}

func (s *summary) addUsage(t api.Trial) {
	if t.InputTokens != nil && t.OutputTokens != nil {
		s.tokens += *t.InputTokens + *t.OutputTokens
	}
	if t.CostUSD != nil {
		s.priced++
		s.costUSD += *t.CostUSD
	}
	if t.InputTokens != nil || t.CostUSD != nil {
		s.modelled++
	}
	if t.CostSource != nil && *t.CostSource == api.CostFromReplay {
		s.replayed++
	}
}

// usage says what was used of models; empty: nothing is known.
func (s summary) usage() string {
	if s.modelled == 0 {
		return ""
	}
	text := formatTokens(s.tokens) + " tokens"
	switch {
	case s.replayed > 0 && s.replayed == s.modelled:
		return text + " replayed"
	case s.priced == s.modelled-s.replayed:
		return text + " · " + formatUSD(s.costUSD)
	case s.priced > 0:
		return text + " · " + formatUSD(s.costUSD) + fmt.Sprintf(" (of %d)", s.priced)
	}
	return text + " of unknown cost"
}

func errorName(t api.Trial) string {
	if t.ErrorType == nil || *t.ErrorType == "" {
		return "unknown error"
	}
	return *t.ErrorType
}

// mean is the mean reward of the trials that have one. Call it only if there are any.
func (s summary) mean() float64 { return s.rewardSum / float64(s.rewarded) }

// line is the summary in one line: "8 trials: 5 passed, 2 below 1, 1 failed (AgentTimeoutError) · mean reward 0.71 · 14.2s".
func (s summary) line() string {
	var parts []string
	add := func(n int, style styleName, format string, args ...any) {
		if n > 0 {
			parts = append(parts, styleOf(style).Render(fmt.Sprintf("%d "+format, append([]any{n}, args...)...)))
		}
	}
	add(s.passed, styleGood, "passed")
	add(s.below, styleWarn, "not passed")
	add(s.unknown, stylePlain, "without a reward")
	add(s.failed, styleError, "failed (%s)", s.errorList())
	add(s.cancelled, styleFaint, "cancelled")
	add(s.active, styleActive, "not ended")
	line := plural(s.total, "trial")
	if len(parts) > 0 {
		line += ": " + strings.Join(parts, ", ")
	}
	if s.rewarded > 0 {
		line += " · mean reward " + formatReward(s.mean())
		if s.rewarded < s.total {
			line += fmt.Sprintf(" (of %d)", s.rewarded)
		}
	}
	if used := s.usage(); used != "" {
		line += " · " + used
	}
	if s.seconds > 0 && s.active == 0 {
		line += " · " + formatSeconds(s.seconds)
	}
	return line
}

// errorList names the error types, the most frequent first.
func (s summary) errorList() string {
	names := make([]string, 0, len(s.errors))
	for n := range s.errors {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.errors[b], s.errors[a]), cmp.Compare(a, b))
	})
	for i, n := range names {
		if len(names) > 1 {
			names[i] = fmt.Sprintf("%s %d", n, s.errors[n])
		}
	}
	return strings.Join(names, ", ")
}

// formatReward gives two decimals, and up to four where two would hide a difference to 0 or 1.
func formatReward(r float64) string {
	s := strconv.FormatFloat(r, 'f', 2, 64)
	if (s == "1.00" && r < 1) || (s == "0.00" && r > 0) {
		return strconv.FormatFloat(r, 'f', 4, 64)
	}
	return s
}

// formatSeconds gives 0.4s, 12.3s, 4m05s, 2h10m.
func formatSeconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Minute:
		return strconv.FormatFloat(s, 'f', 1, 64) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

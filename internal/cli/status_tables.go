package cli

import (
	"fmt"
	"oddish/api"
	"time"
)

func experimentsTable(width int, list []api.Experiment, now time.Time) string {
	columns := []column{
		{title: "EXPERIMENT"}, {title: "NAME", least: 12, middle: true}, {title: "TASKS", right: true},
		{title: "ENDED", right: true}, {title: "RUNNING", right: true}, {title: "FAILED", right: true},
		{title: "REWARD", right: true}, {title: "ACTIVE", right: true}, {title: "PAUSED", optional: true},
	}
	var rows [][]string
	for _, e := range list {
		reward, paused := nothing, ""
		if e.Paused {
			paused = styleOf(styleWarn).Render("yes")
		}
		if e.RewardTotal > 0 {
			reward = formatReward(e.RewardSum / float64(e.RewardTotal))
		}
		rows = append(rows, []string{
			e.ID, e.Name, fmt.Sprint(e.TaskCount), fmt.Sprintf("%d/%d", e.Completed, e.Total),
			countCell(e.Counts[api.StatusRunning], styleActive), countCell(e.Counts[api.StatusFailed], styleError),
			reward, formatAge(now.Sub(e.LastActivity)), paused,
		})
	}
	return renderTable(width, columns, rows)
}

func countCell(n int, style styleName) string {
	if n == 0 {
		return nothing
	}
	return styleOf(style).Render(fmt.Sprint(n))
}

// formatAge gives "now", "5m ago", "3h ago", "2d ago".
func formatAge(d time.Duration) string {
	if d < time.Minute {
		return "now"
	}
	return formatSpan(d) + " ago"
}

// formatSpan gives "40s", "5m", "3h", "2d".
func formatSpan(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// trialsTable names trials by the ids that other commands take.
func trialsTable(width int, trials []api.Trial, now time.Time) string {
	columns := []column{
		{title: "TRIAL", least: 14, middle: true}, {title: "AGENT", least: 7}, {title: "MODEL", least: 7, middle: true},
		{title: "STATUS", least: 13}, {title: "TRIES", right: true}, {title: "REWARD", right: true}, {title: "TIME", right: true},
		{title: "TOKENS", right: true, optional: true}, {title: "COST", right: true, optional: true}, {title: "ERROR", least: 7, optional: true},
	}
	var rows [][]string
	for _, t := range trials {
		rows = append(rows, []string{
			t.ID, t.Agent, modelCell(t.Model), stageCell(t, now), fmt.Sprintf("%d/%d", t.Attempts, t.MaxAttempts),
			rewardCell(t.Reward), timeCell(t), tokensCell(t), costCell(t), deref(t.ErrorType),
		})
	}
	return renderTable(width, columns, rows)
}

// stageCell is a trial's status, or, until it has ended, what it does or waits for.
func stageCell(t api.Trial, now time.Time) string {
	glyph, style := statusLook(t.Status, t.Reward)
	words := ""
	switch {
	case t.Status == api.StatusRunning && t.HarborStage != nil:
		words = stageWords(*t.HarborStage)
	case t.Status == api.StatusRetrying && t.RetryAt != nil:
		words = "retry in " + formatClock(t.RetryAt.Sub(now))
	case t.QueueInfo != nil && t.QueueInfo.Unserved:
		words = "no worker for " + deref(t.Environment)
	case t.Status == api.StatusQueued && t.QueueInfo != nil && t.QueueInfo.Ahead > 0:
		words = fmt.Sprintf("queued, %d ahead", t.QueueInfo.Ahead)
	default:
		return statusCell(t)
	}
	return styleOf(style).Render(glyph + " " + words)
}

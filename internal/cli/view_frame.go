package cli

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// maxLiveLines bounds the height of the live view, however tall the terminal is.
const maxLiveLines = 20

// drawFrame renders the live view: a bar, the counts, and the trials that run. It is at most width wide and leaves a
// line of height free.
func drawFrame(f frame, width, height int, started, now time.Time) string {
	lines := []string{barLine(f, width, now.Sub(started)), countsLine(f, width)}
	room := min(maxLiveLines, height-1) - len(lines)
	rows := f.active
	if len(rows) > room || f.running > len(rows) {
		rows = rows[:max(0, min(len(rows), room-1))]
	}
	name, who := 0, 0
	for _, r := range rows {
		name, who = max(name, lipgloss.Width(r.name)), max(who, lipgloss.Width(r.who()))
	}
	for _, r := range rows {
		lines = append(lines, activeLine(r, name, who, width, now))
	}
	if more := f.running - len(rows); more > 0 && room > 0 {
		lines = append(lines, styleOf(styleFaint).Render(ansi.Truncate(fmt.Sprintf("  … and %d more running", more), width, "")))
	}
	if keep := max(1, height-1); len(lines) > keep {
		lines = lines[:keep]
	}
	return strings.Join(lines, "\n")
}

// barLine is "━━━━━━━━──────  5/8  12s".
func barLine(f frame, width int, elapsed time.Duration) string {
	tail := fmt.Sprintf("  %d/%d  %s", f.ended, f.total, formatClock(elapsed))
	bar := max(0, min(40, width-2-len(tail)))
	return ansi.Truncate(" "+drawBar(f, bar)+tail, width, "")
}

// drawBar fills a bar in proportion, in the colours of the outcomes.
func drawBar(f frame, width int) string {
	var b strings.Builder
	done, drawn := 0, 0
	for _, part := range []struct {
		n     int
		style styleName
	}{
		{f.passed, styleGood}, {f.below, styleWarn}, {f.failed, styleError}, {f.cancelled, styleFaint},
	} {
		done += part.n
		upTo := done * width / f.total
		b.WriteString(styleOf(part.style).Render(strings.Repeat("━", upTo-drawn)))
		drawn = upTo
	}
	b.WriteString(styleOf(styleFaint).Render(strings.Repeat("─", width-drawn)))
	return b.String()
}

// countsLine names the counts that are not 0; those that do not fit are cut off.
func countsLine(f frame, width int) string {
	var parts []string
	add := func(n int, word string, style styleName) {
		if n > 0 {
			parts = append(parts, styleOf(style).Render(fmt.Sprintf("%d %s", n, word)))
		}
	}
	if f.lost {
		parts = append(parts, styleOf(styleWarn).Render("connection lost, trying again"))
	}
	add(f.passed, "passed", styleGood)
	add(f.below, "not passed", styleWarn)
	add(f.failed, "failed", styleError)
	add(f.cancelled, "cancelled", styleFaint)
	add(f.running, "running", styleActive)
	add(f.retrying, "waiting to retry", styleWarn)
	add(f.queued, "queued", styleFaint)
	if f.used != "" {
		parts = append(parts, f.used)
	}
	return ansi.Truncate(" "+strings.Join(parts, " · "), width, "…")
}

// activeLine is "  ● hello-0   claude-code  agent running  12s".
// name and who are the widths that the longest of them has.
func activeLine(r boardRow, name, who, width int, now time.Time) string {
	clock := formatClock(now.Sub(r.since))
	stage := stageWords(r.stage)
	if r.attempt > 1 {
		stage += fmt.Sprintf(" #%d", r.attempt)
	}
	// The stage and its time are what changes, so the name and then the agent give way.
	const stageWidth, clockWidth, gaps = 19, 6, 8
	space := width - stageWidth - clockWidth - gaps
	nameWidth := max(8, min(name, max(space*2/3, space-who)))
	whoWidth := max(0, min(who, space-nameWidth))
	line := "  " + styleOf(styleActive).Render("●") + " " + pad(cut(r.name, nameWidth, true), nameWidth)
	if whoWidth >= 4 {
		line += "  " + styleOf(styleFaint).Render(pad(cut(r.who(), whoWidth, false), whoWidth))
	}
	line += "  " + pad(stage, stageWidth) + fmt.Sprintf("%*s", clockWidth, clock)
	return ansi.Truncate(line, width, "")
}

// who is the agent with its model.
func (r *boardRow) who() string {
	if m := modelCell(r.model); m != nothing {
		return r.agent + " " + m
	}
	return r.agent
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-lipgloss.Width(s)))
}

// formatClock gives whole seconds: 4s, 1m05s, 2h10m.
func formatClock(d time.Duration) string {
	d = max(0, d)
	if d < time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return formatSeconds(d.Seconds())
}

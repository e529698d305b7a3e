package cli

import (
	"fmt"
	"strings"
	"time"

	"oddish/api"
)

func queueTable(width int, keys []api.QueueKey, zone *time.Location) string {
	columns := []column{
		{title: "KEY", least: 13, middle: true}, {title: "LIMIT", right: true}, {title: "EFFECTIVE", right: true, optional: true},
		{title: "RUNNING", right: true}, {title: "QUEUED", right: true},
		{title: "RETRYING", right: true}, {title: "HELD", right: true, optional: true}, {title: "OLDEST", right: true},
		{title: "PAUSED", least: 6, optional: true},
	}
	var rows [][]string
	for _, k := range keys {
		effective, paused := "", ""
		if k.EffectiveLimit != nil {
			effective = styleOf(styleWarn).Render(fmt.Sprint(*k.EffectiveLimit))
		}
		if k.Paused || k.HeldUntil != nil {
			paused = styleOf(styleWarn).Render(pauseText(k, zone))
		}
		rows = append(rows, []string{
			k.Key, limitOr(k.Limit, nothing), effective, countCell(k.Running, styleActive), countCell(k.Queued, stylePlain),
			countCell(k.Retrying, styleWarn), countCell(k.Held, styleWarn), ageText(k), paused,
		})
	}
	return renderTable(width, columns, rows)
}

// changedLimit reports whether a limit set at run time stands in the place of the configured one.
func changedLimit(k api.QueueKey) bool {
	return (k.Limit == nil) != (k.ConfiguredLimit == nil) || k.Limit != nil && *k.Limit != *k.ConfiguredLimit
}

// ageText is how long the longest waiting trial has waited.
func ageText(k api.QueueKey) string {
	if k.OldestAgeSeconds == nil {
		return nothing
	}
	return formatClock(time.Duration(*k.OldestAgeSeconds * float64(time.Second)))
}

// pauseText says by what, or until when, nothing of a key is started.
func pauseText(k api.QueueKey, zone *time.Location) string {
	switch {
	case !k.Paused && k.HeldUntil != nil:
		return "until " + k.HeldUntil.In(zone).Format("15:04:05") + " (rate limit)"
	case !k.Paused:
		return "no"
	case k.PausedBy == nil || *k.PausedBy == k.Key:
		return "yes"
	}
	return "by " + *k.PausedBy
}

// queueKeyText describes one key in several lines.
func queueKeyText(k api.QueueKey, zone *time.Location) string {
	limit := limitOr(k.Limit, "none")
	if changedLimit(k) {
		limit += ", set at run time; " + limitOr(k.ConfiguredLimit, "none") + " configured"
	}
	if k.BoundedBy != nil {
		limit += "; that of " + *k.BoundedBy + " holds too"
	}
	if k.EffectiveLimit != nil {
		limit += fmt.Sprintf("; %d in force, since the provider limits the rate", *k.EffectiveLimit)
	}
	queued := fmt.Sprint(k.Queued)
	if k.OldestAgeSeconds != nil {
		queued += ", the longest waiting trial for " + ageText(k)
	}
	lines := []string{
		"key       " + k.Key,
		"limit     " + limit,
		"running   " + fmt.Sprint(k.Running),
		"queued    " + queued,
		"retrying  " + fmt.Sprint(k.Retrying),
	}
	if k.Held > 0 {
		lines = append(lines, fmt.Sprintf("held      %d of those that wait, in paused experiments", k.Held))
	}
	return strings.Join(append(lines, "paused    "+pauseText(k, zone)), "\n")
}

func limitOr(n *int, none string) string {
	if n == nil {
		return none
	}
	return fmt.Sprint(*n)
}

func changesTable(width int, changes []api.QueueChange, zone *time.Location) string {
	columns := []column{
		{title: "WHEN"}, {title: "FROM"}, {title: "TO"}, {title: "REASON", least: 8, optional: true}, {title: "BY", least: 6, optional: true},
	}
	var rows [][]string
	for _, c := range changes {
		from, to := changeWords(c)
		rows = append(rows, []string{c.At.In(zone).Format("2006-01-02 15:04:05"), from, to, c.Reason, firstNonEmpty(c.By, nothing)})
	}
	return renderTable(width, columns, rows)
}

func changeWords(c api.QueueChange) (from, to string) {
	switch c.Kind {
	case "pause":
		return "open", "paused"
	case "resume":
		return "paused", "open"
	}
	from, to = "limit "+limitOr(c.From, "none"), "limit "+limitOr(c.To, "none")
	if c.Kind == "default" {
		to += " (default)"
	}
	return from, to
}

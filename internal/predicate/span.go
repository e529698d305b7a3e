package predicate

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Span is a stretch of time, as far as it was said before now is known.
type Span struct {
	op   Op
	age  time.Duration // 0: a date
	date time.Time
	unit time.Duration // that date stands for
}

// Between gives the first moment of the span and the first after it. A zero time leaves that side open.
func (s Span) Between(now time.Time) (from, to time.Time) {
	if s.age > 0 {
		if edge := now.Add(-s.age); s.op == Less || s.op == AtMost { // younger
			return edge, time.Time{}
		} else {
			return time.Time{}, edge
		}
	}
	from, to = s.date, s.date.Add(s.unit)
	switch s.op {
	case Less:
		return time.Time{}, from
	case AtMost:
		return time.Time{}, to
	case More:
		return to, time.Time{}
	case AtLeast:
		return from, time.Time{}
	}
	return from, to
}

func readTime(t token) ([]Value, error) {
	op, rest, compared := cutOp(t.text)
	if age, ok := parseAge(rest); ok {
		if !compared || op == Equal {
			return nil, errors.New("want <" + rest + " for what is younger, or >" + rest + " for what is older")
		}
		return []Value{{Span: Span{op: op, age: age}}}, nil
	}
	layouts := []struct {
		layout string
		unit   time.Duration
	}{{time.DateOnly, 24 * time.Hour}, {"2006-01-02T15:04", time.Minute}, {"2006-01-02T15:04:05", time.Second}, {time.RFC3339, time.Second}}
	for _, l := range layouts {
		if date, err := time.Parse(l.layout, rest); err == nil && date.Year() > 0 {
			return []Value{{Span: Span{op: op, date: date.UTC(), unit: l.unit}}}, nil
		}
	}
	return nil, errors.New("want an age, such as <2h or >1d (s, m, h, d, w), or a date in UTC, such as 2026-11-25, >=2026-11-25 or <2026-11-25T14:00")
}

// parseAge reads 90s, 30m, 2h, 1d, 1w and sums of those such as 1d12h, up to a hundred years.
func parseAge(text string) (time.Duration, bool) {
	const longest = 100 * 365 * 24 * time.Hour
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	var sum time.Duration
	for text != "" {
		digits := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if digits <= 0 {
			return 0, false
		}
		n, err := strconv.ParseInt(text[:digits], 10, 64)
		unit := units[text[digits]]
		if err != nil || unit == 0 || n > int64(longest/unit) {
			return 0, false
		}
		if sum += time.Duration(n) * unit; sum > longest {
			return 0, false
		}
		text = text[digits+1:]
	}
	return sum, sum > 0
}

package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"oddish/api"
)

// Args collects the arguments of a statement that is put together from parts.
type Args struct{ Values []any }

// Add appends a value and returns its placeholder, "$N".
func (a *Args) Add(value any) string {
	a.Values = append(a.Values, value)
	return "$" + strconv.Itoa(len(a.Values))
}

// List appends values and returns their placeholders in parentheses, for IN. No values give a list that nothing is in.
func (a *Args) List(values []string) string {
	if len(values) == 0 {
		return "(NULL)"
	}
	placeholders := make([]string, len(values))
	for i, value := range values {
		placeholders[i] = a.Add(value)
	}
	return "(" + strings.Join(placeholders, ", ") + ")"
}

// Row appends values and returns their placeholders in parentheses, for VALUES.
func (a *Args) Row(values ...any) string {
	var b strings.Builder
	for i, value := range values {
		b.WriteByte("(,"[min(i, 1)])
		b.WriteString(a.Add(value))
	}
	b.WriteByte(')')
	return b.String()
}

// Flag is how a bool is stored.
func Flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Priority is how a priority is stored: the lower goes first.
func Priority(p api.Priority) int { return Flag(p != api.PriorityHigh) }

// JSON is how a value is stored in a text column.
func JSON(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	return string(text), nil
}

// The scanners below put a column into a value of ours.

// msTime scans milliseconds.
type msTime struct{ t *time.Time }

func (s msTime) Scan(src any) error {
	ms, ok := src.(int64)
	if !ok {
		return fmt.Errorf("time is stored as %T", src)
	}
	*s.t = time.UnixMilli(ms).UTC()
	return nil
}

// nullTime scans milliseconds or null, which gives nil.
type nullTime struct{ t **time.Time }

func (s nullTime) Scan(src any) error {
	if src == nil {
		*s.t = nil
		return nil
	}
	*s.t = new(time.Time)
	return msTime{*s.t}.Scan(src)
}

// jsonText scans JSON or null, which leaves the value as it is.
type jsonText struct{ v any }

func (s jsonText) Scan(src any) error {
	switch text := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(text), s.v)
	case []byte:
		return json.Unmarshal(text, s.v)
	}
	return fmt.Errorf("JSON is stored as %T", src)
}

// flag scans 0 or 1.
type flag struct{ b *bool }

func (s flag) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("flag is stored as %T", src)
	}
	*s.b = n != 0
	return nil
}

// nullFlag scans 0, 1 or null.
type nullFlag struct{ b **bool }

func (s nullFlag) Scan(src any) error {
	*s.b = nil
	if src == nil {
		return nil
	}
	*s.b = new(bool)
	return flag{*s.b}.Scan(src)
}

// NullFlag is how a truth that may be unknown is stored.
func NullFlag(b *bool) *int {
	if b == nil {
		return nil
	}
	n := Flag(*b)
	return &n
}

// priority scans 0 or 1.
type priority struct{ p *api.Priority }

func (s priority) Scan(src any) error {
	var low bool
	if err := (flag{&low}).Scan(src); err != nil {
		return err
	}
	*s.p = api.PriorityHigh
	if low {
		*s.p = api.PriorityLow
	}
	return nil
}

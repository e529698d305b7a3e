package task

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// user gives a user name, or a number as text.
func (t *table) user(k string) string {
	switch v := t.get(k).(type) {
	case nil:
		return ""
	case int64:
		if v >= 0 && v <= math.MaxUint32 {
			return strconv.FormatInt(v, 10)
		}
		t.fail(t.key(k), "must be a user name or a user id, not %d", v)
	case string:
		if v != "" && !strings.ContainsAny(v, " \t\r\n\x00") && v[0] != '-' {
			return v
		}
		t.fail(t.key(k), "must be a user name or a user id, not %q", v)
	default:
		t.fail(t.key(k), "must be a user name or a user id, not %s", describe(v))
	}
	return ""
}

// number gives a finite number. Numbers in quotes are understood, since Harbor does.
func (t *table) number(k string) *float64 {
	v := t.get(k)
	if v == nil {
		return nil
	}
	f, ok := t.toNumber(t.key(k), v)
	if !ok {
		return nil
	}
	return &f
}

func (d *decoder) toNumber(path string, v any) (float64, bool) {
	var f float64
	switch v := v.(type) {
	case int64:
		f = float64(v)
	case float64:
		f = v
	case string:
		if n, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
			d.warn(path, "number in quotes; write %s", strconv.FormatFloat(n, 'f', -1, 64))
			f = n
			break
		}
		d.fail(path, "must be a number, not %q", v)
		return 0, false
	default:
		d.fail(path, "must be a number, not %s", describe(v))
		return 0, false
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		d.fail(path, "must be a finite number")
		return 0, false
	}
	return f, true
}

// seconds gives a time that is more than zero.
func (t *table) seconds(k string) *float64 {
	f := t.number(k)
	if f != nil && *f <= 0 {
		t.fail(t.key(k), "must be more than 0 seconds, not %v", *f)
		return nil
	}
	return f
}

// integer gives a whole number of at least low.
func (t *table) integer(k string, low int) *int {
	f := t.number(k)
	if f == nil {
		return nil
	}
	const high = 1 << 40
	if *f != math.Trunc(*f) || *f < float64(low) || *f > high {
		t.fail(t.key(k), "must be a whole number of at least %d, not %v", low, *f)
		return nil
	}
	n := int(*f)
	return &n
}

func (t *table) boolean(k string) *bool {
	v := t.get(k)
	b, ok := v.(bool)
	if v == nil {
		return nil
	}
	if !ok {
		t.fail(t.key(k), "must be true or false, not %s", describe(v))
		return nil
	}
	return &b
}

// env gives a table of environment variables.
func (t *table) env(k string) map[string]string {
	s := t.sub(k)
	if s == nil {
		return nil
	}
	out := make(map[string]string, len(s.values))
	for name, v := range s.values {
		text, ok := v.(string)
		switch {
		case !validEnvName(name):
			t.fail(s.key(name), "is no name of an environment variable")
		case !ok:
			t.fail(s.key(name), "must be a string, not %s: put it in quotes", describe(v))
		case strings.Contains(text, "\x00"):
			t.fail(s.key(name), "must not contain a NUL character")
		default:
			out[name] = text
		}
	}
	return out
}

// describe says in plain words what a TOML value is.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return "a string"
	case bool:
		return strconv.FormatBool(v)
	case int64, float64:
		return fmt.Sprintf("the number %v", v)
	case []any, []map[string]any:
		return "a list"
	case map[string]any:
		return "a table"
	case time.Time, toml.LocalDate, toml.LocalDateTime, toml.LocalTime:
		return "a date or time"
	}
	return fmt.Sprintf("%T", v)
}

func orList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

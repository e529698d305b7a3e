package task

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"oddish/internal/nearest"
)

// decoder turns a document into a Config and gathers everything that is wrong with it.
type decoder struct {
	doc      *document
	errs     []*Error
	warnings []Warning
}

func (d *decoder) fail(path, format string, args ...any) {
	d.errs = append(d.errs, d.doc.errorf(path, format, args...))
}

func (d *decoder) warn(path, format string, args ...any) {
	d.warnings = append(d.warnings, Warning{Line: d.doc.at(path).line, Key: path, Msg: fmt.Sprintf(format, args...)})
}

// err is nil, the only error, or all of them joined in the order of their places.
func (d *decoder) err() error {
	slices.SortStableFunc(d.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(d.errs) == 1 {
		return d.errs[0]
	}
	var all []error
	for _, e := range d.errs {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// table reads the keys of one TOML table and remembers which it was asked for.
type table struct {
	*decoder
	path   string
	values map[string]any
	asked  []string
}

func (d *decoder) root() *table { return &table{decoder: d, values: d.doc.values} }

func (t *table) key(k string) string { return join(t.path, k) }

func (t *table) has(k string) bool { _, ok := t.values[k]; return ok }

// get gives the value of a key; absent is nil.
func (t *table) get(k string) any {
	t.asked = append(t.asked, k)
	return t.values[k]
}

// rootKeys are keys that belong before the first table header, where authors often do not put them.
var rootKeys = []string{"artifacts", "schema_version", "source", "multi_step_reward_strategy"}

// done warns of the keys that nobody asked for.
func (t *table) done() {
	for _, k := range slices.Sorted(maps.Keys(t.values)) {
		if slices.Contains(t.asked, k) {
			continue
		}
		msg := "unknown key, ignored"
		if t.path != "" && slices.Contains(rootKeys, k) {
			msg += "; it belongs before the first [table] of the file"
		} else if near := nearest.To(k, t.asked); near != "" {
			msg += "; did you mean " + near + "?"
		}
		t.warn(t.key(k), "%s", msg)
	}
}

// str gives a string, empty if absent.
func (t *table) str(k string) string {
	v := t.get(k)
	s, ok := v.(string)
	if v != nil && !ok {
		t.fail(t.key(k), "must be a string, not %s", describe(v))
	}
	return s
}

// enum gives one of the allowed words, lower-cased, or empty.
func (t *table) enum(k string, allowed ...string) string {
	s := strings.ToLower(t.str(k))
	if s != "" && !slices.Contains(allowed, s) {
		t.fail(t.key(k), "must be %s, not %q", orList(allowed), t.values[k])
		return ""
	}
	if s == "" && t.has(k) && t.values[k] == "" {
		t.fail(t.key(k), "must be %s, not empty", orList(allowed))
	}
	return s
}

// required gives a string that must be there and not be blank.
func (t *table) required(k string) string {
	if !t.has(k) {
		t.get(k)
		t.fail(t.path, "needs a %s", k)
		return ""
	}
	s := t.str(k)
	if _, ok := t.values[k].(string); ok && strings.TrimSpace(s) == "" {
		t.fail(t.key(k), "must not be empty")
	}
	return s
}

// strs gives a list of strings.
func (t *table) strs(k string) []string {
	var out []string
	for i, v := range t.list(k) {
		s, ok := v.(string)
		if !ok {
			t.fail(index(t.key(k), i), "must be a string, not %s", describe(v))
			continue
		}
		out = append(out, s)
	}
	return out
}

func (t *table) list(k string) []any {
	switch v := t.get(k).(type) {
	case nil:
		return nil
	case []any:
		return v
	case []map[string]any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = v[i]
		}
		return out
	default:
		t.fail(t.key(k), "must be a list, not %s", describe(v))
		return nil
	}
}

// sub gives the table at k, or nil. The caller ends with its done.
func (t *table) sub(k string) *table {
	v := t.get(k)
	if v == nil {
		return nil
	}
	return t.asTable(t.key(k), v)
}

// subOrEmpty is sub, with an empty table for none.
func (t *table) subOrEmpty(k string) *table {
	if s := t.sub(k); s != nil {
		return s
	}
	return &table{decoder: t.decoder, path: t.key(k)}
}

// subs gives the tables of a list.
func (t *table) subs(k string) []*table {
	var out []*table
	for i, v := range t.list(k) {
		if s := t.asTable(index(t.key(k), i), v); s != nil {
			out = append(out, s)
		}
	}
	return out
}

func (d *decoder) asTable(path string, v any) *table {
	m, ok := v.(map[string]any)
	if !ok {
		d.fail(path, "must be a table, not %s", describe(v))
		return nil
	}
	return &table{decoder: d, path: path, values: m}
}

package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// difference finds where b first differs from a, and shows both there.
func difference(at string, a, b any) (path, was, is string) {
	switch a := a.(type) {
	case map[string]any:
		if b, same := b.(map[string]any); same {
			return differentKeys(at, a, b)
		}
	case []any:
		if b, same := b.([]any); same {
			return differentElements(at, a, b)
		}
	}
	if x, y := show(a), show(b); x != y {
		x, y = aroundDifference(x, y)
		return at, x, y
	}
	return "", "", ""
}

func differentKeys(at string, a, b map[string]any) (path, was, is string) {
	keys := slices.Collect(maps.Keys(a))
	for key := range b {
		if _, has := a[key]; !has {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		below := key
		if at != "" {
			below = at + "." + key
		}
		if path, was, is = difference(below, a[key], b[key]); path != "" {
			return path, was, is
		}
	}
	return "", "", ""
}

func differentElements(at string, a, b []any) (path, was, is string) {
	for i := range max(len(a), len(b)) {
		var x, y any
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if path, was, is = difference(fmt.Sprintf("%s[%d]", at, i), x, y); path != "" {
			return path, was, is
		}
	}
	return "", "", ""
}

func show(v any) string {
	if v == nil {
		return "nothing"
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// aroundDifference shortens two texts to where they part.
func aroundDifference(a, b string) (string, string) {
	const before, after = 40, 120
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	cut := func(s string) string {
		from, to := max(0, n-before), min(len(s), n+after)
		out := strings.ToValidUTF8(s[min(from, len(s)):to], "")
		if from > 0 {
			out = "…" + out
		}
		if to < len(s) {
			out += "…"
		}
		return out
	}
	return cut(a), cut(b)
}

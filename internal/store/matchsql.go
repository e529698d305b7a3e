package store

import (
	"strings"

	"oddish/internal/predicate"
)

// anyOf joins the conditions of a term's values.
func anyOf(term predicate.Term, condition func(predicate.Value) string) string {
	parts := make([]string, len(term.Values))
	for i, v := range term.Values {
		parts[i] = condition(v)
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

func textsOf(term predicate.Term) []string {
	texts := make([]string, len(term.Values))
	for i, v := range term.Values {
		texts[i] = v.Text
	}
	return texts
}

// matches compares a text column, whatever the case of the letters.
func matches(args *Args, column string, p predicate.Pattern) string {
	if p.Glob {
		return like(args, column, p.Like())
	}
	return "LOWER(" + column + ") = LOWER(" + args.Add(p.Text) + ")"
}

// has looks for the pattern anywhere in a text column.
func has(args *Args, column string, p predicate.Pattern) string {
	return like(args, column, "%"+p.Like()+"%")
}

func like(args *Args, column, pattern string) string {
	return "LOWER(" + column + ") LIKE LOWER(" + args.Add(pattern) + `) ESCAPE '\'`
}

func compare(args *Args, column string, op predicate.Op, n any) string {
	return column + " " + string(op) + " " + args.Add(n)
}

// presence is compared, or a text column that is empty or is not.
func presence(v predicate.Value, column string, compared func() string) string {
	switch v.Presence {
	case predicate.None:
		return column + " = ''"
	case predicate.Some:
		return column + " <> ''"
	}
	return compared()
}

// nullable is presence for a column that may be null.
func nullable(v predicate.Value, column string, compared func() string) string {
	switch v.Presence {
	case predicate.None:
		return column + " IS NULL"
	case predicate.Some:
		return column + " IS NOT NULL"
	}
	return "(" + column + " IS NOT NULL AND " + compared() + ")"
}

package store

import (
	"strings"

	"oddish/internal/predicate"
)

// Conditions are never null, so that NOT gives the opposite.

// term gives the condition of one term, less its negation.
func (m Match) term(args *Args, term predicate.Term, n named) string {
	switch {
	case n.table != nil:
		return m.namedCondition(args, term, n)
	case term.Field == predicate.Status:
		return "j.state IN " + args.List(textsOf(term))
	case term.Field == predicate.Trial && !anyGlob(term):
		return "t.id IN " + args.List(textsOf(term))
	}
	return anyOf(term, func(v predicate.Value) string { return m.value(args, term.Field, v) })
}

// value gives the condition of one value of a term.
func (m Match) value(args *Args, field predicate.Field, v predicate.Value) string {
	switch field {
	case predicate.Trial:
		return matches(args, "t.id", v.Pattern)
	case predicate.Error:
		return presence(v, "COALESCE(a.error_type, '')", func() string { return matches(args, "COALESCE(a.error_type, '')", v.Pattern) })
	case predicate.Class:
		return presence(v, "COALESCE(a.error_class, '')", func() string { return matches(args, "COALESCE(a.error_class, '')", v.Pattern) })
	case predicate.Message:
		return has(args, "COALESCE(a.error_message, '')", v.Pattern)
	case predicate.Agent:
		return matches(args, "t.agent", v.Pattern)
	case predicate.Model:
		return modelCondition(args, v.Pattern)
	case predicate.Key:
		return matches(args, "j.queue_key", v.Pattern)
	case predicate.Env:
		return matches(args, "j.environment", v.Pattern)
	case predicate.Worker:
		return matches(args, "COALESCE(NULLIF(j.worker_id, ''), a.worker_id, '')", v.Pattern)
	case predicate.Reward:
		return nullable(v, "a.reward", func() string { return compare(args, "a.reward", v.Op, v.Number) })
	case predicate.Attempts:
		return compare(args, "j.attempt", v.Op, int64(v.Number))
	case predicate.Version:
		return compare(args, "t.version", v.Op, int64(v.Number))
	case predicate.Created:
		return m.within(args, "t.created_at", v.Span)
	case predicate.Finished:
		return nullable(v, "j.finished_at", func() string { return m.within(args, "j.finished_at", v.Span) })
	}
	return wordCondition(args, v.Pattern)
}

// modelCondition lets a model be named without its provider.
func modelCondition(args *Args, p predicate.Pattern) string {
	c := matches(args, "t.model", p)
	if strings.Contains(p.Text, "/") {
		return c
	}
	return "(" + c + " OR " + like(args, "t.model", "%/"+p.Like()) + ")"
}

// wordCondition looks for a text in the names that people know a trial by.
func wordCondition(args *Args, p predicate.Pattern) string {
	return "(" + has(args, "t.task_name", p) + " OR " + has(args, "t.agent", p) + " OR " + has(args, "t.model", p) +
		" OR t.experiment_id IN (SELECT e.id FROM experiments e WHERE " + has(args, "e.name", p) + "))"
}

// within bounds a time.
func (m Match) within(args *Args, column string, span predicate.Span) string {
	from, to := span.Between(m.now)
	var bounds []string
	if !from.IsZero() {
		bounds = append(bounds, column+" >= "+args.Add(from.UnixMilli()))
	}
	if !to.IsZero() {
		bounds = append(bounds, column+" < "+args.Add(to.UnixMilli()))
	}
	return "(" + strings.Join(bounds, " AND ") + ")"
}

// nameTable is a table that terms name rows of.
type nameTable struct {
	from   string // the table under its alias
	id     string // its id
	column string // of trials, that refers to it
}

// nameTableOf gives that of a field; nil for a field of trials themselves.
func nameTableOf(f predicate.Field) *nameTable {
	switch f {
	case predicate.Experiment:
		return &nameTable{"experiments e", "e.id", "t.experiment_id"}
	case predicate.Task, predicate.User, predicate.Tag:
		return &nameTable{"tasks k", "k.id", "t.task_id"}
	}
	return nil
}

// namesQuery finds the ids of the rows that a term names.
func (m Match) namesQuery(args *Args, table *nameTable, term predicate.Term) string {
	return "SELECT " + table.id + " FROM " + table.from + " WHERE " + anyOf(term, func(v predicate.Value) string {
		switch term.Field {
		case predicate.User:
			return matches(args, "k.submitter", v.Pattern)
		case predicate.Tag:
			return m.tagCondition(args, v)
		}
		return nameCondition(args, table, v.Pattern)
	})
}

func (m Match) namedCondition(args *Args, term predicate.Term, n named) string {
	switch {
	case n.many:
		return n.table.column + " IN (" + m.namesQuery(args, n.table, term) + ")"
	case len(n.ids) == 0:
		return "1 = 0"
	}
	return n.table.column + " IN " + args.List(n.ids)
}

// nameCondition matches id and name. What is the id of one row does not name another.
func nameCondition(args *Args, table *nameTable, p predicate.Pattern) string {
	alias, _, _ := strings.Cut(table.id, ".")
	name := p
	if alias == "k" { // tasks are stored under the last part of their names
		name.Text = name.Text[strings.LastIndexByte(name.Text, '/')+1:]
	}
	if p.Glob {
		return "(" + matches(args, table.id, p) + " OR " + matches(args, alias+".name", name) + ")"
	}
	bare, _, _ := strings.Cut(table.from, " ")
	id := args.Add(p.Text)
	return "(" + table.id + " = " + id + " OR " + matches(args, alias+".name", name) + " AND NOT EXISTS (SELECT 1 FROM " + bare + " x WHERE x.id = " + id + "))"
}

// tagCondition looks into the JSON of a task's tags.
func (m Match) tagCondition(args *Args, v predicate.Value) string {
	tags := "k.tags"
	if m.engine == postgres {
		tags = "CAST(k.tags AS json)" // in SQLite JSON is text
	}
	tag := "(" + tags + " ->> CAST(" + args.Add(v.Key) + " AS text))"
	if v.Presence == predicate.Some {
		return "(k.tags <> '{}' AND " + tag + " IS NOT NULL)"
	}
	return "(k.tags <> '{}' AND " + matches(args, "COALESCE("+tag+", '')", v.Pattern) + ")"
}

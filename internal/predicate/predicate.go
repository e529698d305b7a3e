// Package predicate reads the one language in which trials are named: by `oddish ls`, `retry` and `cancel`, and by the
// routes behind them. docs/queries.md describes it for users.
//
// It only parses. What a query means in a database is package store's.
//
// The grammar:
//
//	query  = { blank } [ term { blank term } ]       every term must hold
//	term   = [ "-" ] ( field ":" value { "," value } | word )
//	value  = quoted | characters other than blanks and commas
//	word   = quoted | characters other than blanks
//	quoted = `"` … `"` or `'` … `'`, in which a backslash takes the next quote or backslash as it is
//
// A term holds when any of its values does; with "-" in front, when none does. In unquoted text `*` stands for any
// characters and `?` for one; quoted text is taken as it is. What can be a value depends on the field.
package predicate

import (
	"slices"
	"strings"
)

// MaxLength is how long the text of a query may be, in bytes.
const MaxLength = 8 << 10

// Field is what a term looks at.
type Field string

// The fields. Word is that of a bare word, which may stand in several names.
const (
	Word       Field = ""
	Experiment Field = "experiment" // id or name
	Task       Field = "task"       // id or name
	Trial      Field = "trial"      // id
	Status     Field = "status"
	Error      Field = "error" // type; none, any
	Class      Field = "class" // of the error; none, any
	Message    Field = "message"
	Agent      Field = "agent"
	Model      Field = "model"
	Key        Field = "key" // queue key
	Env        Field = "env" // sandbox kind
	Worker     Field = "worker"
	Reward     Field = "reward" // number; none, any
	Attempts   Field = "attempts"
	Version    Field = "version"
	User       Field = "user"
	Created    Field = "created"
	Finished   Field = "finished" // none, any
	Tag        Field = "tag"
)

// Fields lists the fields that can be written, in the order of the documentation.
func Fields() []Field {
	return []Field{
		Experiment, Task, Trial, Status, Error, Class, Message, Agent, Model, Key, Env, Worker, Reward, Attempts, Version, User,
		Created, Finished, Tag,
	}
}

// Query is a parsed predicate. The zero value names nothing, which means every trial to those who allow it.
type Query struct {
	Terms []Term
	text  string
}

// Term is one condition.
type Term struct {
	Field  Field
	Not    bool
	Values []Value // at least one
}

// Value is one of the values of a term. Which of its parts count depends on the field.
type Value struct {
	Pattern           // text; a state or class in its one spelling
	Presence Presence // of fields that a trial may lack
	Key      string   // of a tag; with Presence Some its value does not count
	Op       Op       // of numbers
	Number   float64  // with Op
	Span     Span     // of times
}

// Presence says that a value matches what has something, or has nothing, in the field.
type Presence int

// Kinds of Presence.
const (
	Given Presence = iota // the value is compared
	None
	Some
)

// Op compares a number with the one given.
type Op string

// The comparisons.
const (
	Equal   Op = "="
	Less    Op = "<"
	AtMost  Op = "<="
	More    Op = ">"
	AtLeast Op = ">="
)

// Empty reports whether the query has no terms.
func (q Query) Empty() bool { return len(q.Terms) == 0 }

// String is the text that was parsed.
func (q Query) String() string { return q.text }

// Names reports whether a term looks at one of the fields.
func (q Query) Names(fields ...Field) bool {
	return slices.ContainsFunc(q.Terms, func(t Term) bool { return slices.Contains(fields, t.Field) })
}

// And gives the query with more terms.
func (q Query) And(terms ...Term) Query {
	q.Terms = append(slices.Clip(q.Terms), terms...)
	return q
}

// Is makes the term field:value,value… of exact texts.
func Is(field Field, values ...string) Term {
	t := Term{Field: field}
	for _, v := range values {
		t.Values = append(t.Values, Value{Pattern: Pattern{Text: v}})
	}
	return t
}

// Pattern is a text that is looked for.
type Pattern struct {
	Text string
	Glob bool // in Text `*` stands for any characters and `?` for one
}

// newPattern takes wildcards as such unless the text was quoted.
func newPattern(text string, quoted bool) Pattern {
	return Pattern{Text: text, Glob: !quoted && strings.ContainsAny(text, "*?")}
}

// Like gives the pattern for SQL's LIKE with ESCAPE '\'.
func (p Pattern) Like() string {
	var b strings.Builder
	var last rune
	for _, r := range p.Text {
		switch {
		case p.Glob && r == '*':
			if last != '*' { // more of them mean the same and cost much
				b.WriteByte('%')
			}
		case p.Glob && r == '?':
			b.WriteByte('_')
		case strings.ContainsRune(`%_\`, r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		last = r
	}
	return b.String()
}

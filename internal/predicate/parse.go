package predicate

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxValues bounds the values of a query together, and so the size of the statement that is made of it.
const maxValues = 500

// Parse reads a query. The error is a *SyntaxError.
func Parse(text string) (Query, error) {
	if len(text) > MaxLength {
		return Query{}, &SyntaxError{Column: 1, Message: fmt.Sprintf("it is longer than %d bytes", MaxLength)}
	}
	if !utf8.ValidString(text) {
		return Query{}, &SyntaxError{Column: 1, Message: "it is not UTF-8 text"}
	}
	p := &parser{text: []rune(text)}
	if zero := slices.Index(p.text, 0); zero >= 0 {
		return Query{}, p.wrong(zero, "", "there is a zero byte, which no name has")
	}
	q := Query{text: strings.TrimSpace(text)}
	values := 0
	for p.blanks(); !p.end(); p.blanks() {
		t, err := p.term()
		if err != nil {
			return Query{}, err
		}
		if values += len(t.Values); values > maxValues {
			return Query{}, p.wrong(p.at, "", fmt.Sprintf("there are more than %d values", maxValues))
		}
		q.Terms = append(q.Terms, t)
	}
	return q, nil
}

// parser walks over the characters of a query.
type parser struct {
	text []rune
	at   int
}

// token is a value or word as it was written.
type token struct {
	text   string // without quotes
	quoted bool
	at     int
}

func (p *parser) end() bool { return p.at >= len(p.text) }

func (p *parser) blanks() {
	for !p.end() && unicode.IsSpace(p.text[p.at]) {
		p.at++
	}
}

// next reports whether r comes next, and steps over it.
func (p *parser) next(r rune) bool {
	if p.end() || p.text[p.at] != r {
		return false
	}
	p.at++
	return true
}

func (p *parser) wrong(at int, part, message string) error {
	return &SyntaxError{Column: at + 1, Part: part, Message: message}
}

func (p *parser) term() (Term, error) {
	start := p.at
	t := Term{Not: p.next('-')}
	if p.end() || unicode.IsSpace(p.text[p.at]) {
		return Term{}, p.wrong(start, "-", "nothing follows that could be excluded")
	}
	name, named := p.field()
	if !named {
		word, err := p.token(false)
		if err != nil {
			return Term{}, err
		}
		if word.text == "" {
			return Term{}, p.wrong(word.at, "", "the quotes are empty")
		}
		t.Values = []Value{{Pattern: newPattern(word.text, word.quoted)}}
		return t, nil
	}
	t.Field = Field(strings.ToLower(name))
	read := reader(t.Field)
	if read == nil {
		return Term{}, p.wrong(start, name, unknown("field", name, fieldNames())+"; quote the word to search names for it")
	}
	return t, p.values(&t, read)
}

// field steps over "name:" if that comes next.
func (p *parser) field() (string, bool) {
	i := p.at
	for i < len(p.text) && (unicode.IsLetter(p.text[i]) || p.text[i] == '_') {
		i++
	}
	if i == p.at || i >= len(p.text) || p.text[i] != ':' {
		return "", false
	}
	name := string(p.text[p.at:i])
	p.at = i + 1
	return name, true
}

// values reads those of a field.
func (p *parser) values(t *Term, read valueReader) error {
	for {
		token, err := p.token(true)
		if err != nil {
			return err
		}
		if token.text == "" {
			return p.wrong(token.at, "", fmt.Sprintf("%s has an empty value; write %s:VALUE without a blank behind the colon", t.Field, t.Field))
		}
		values, err := read(token)
		if err != nil {
			return p.wrong(token.at, token.text, string(t.Field)+": "+err.Error())
		}
		t.Values = append(t.Values, values...)
		if !p.next(',') {
			return nil
		}
	}
}

// token reads a value, which ends at a comma, or a word, which does not.
func (p *parser) token(isValue bool) (token, error) {
	t := token{at: p.at}
	if !p.end() && strings.ContainsRune(`"'`, p.text[p.at]) {
		t.quoted = true
		return t, p.quoted(&t, isValue)
	}
	for !p.end() && !unicode.IsSpace(p.text[p.at]) && (!isValue || p.text[p.at] != ',') {
		p.at++
	}
	t.text = string(p.text[t.at:p.at])
	return t, nil
}

func (p *parser) quoted(t *token, isValue bool) error {
	quote := p.text[p.at]
	var b strings.Builder
	for p.at++; ; p.at++ {
		if p.end() {
			return p.wrong(t.at, string(p.text[t.at:]), "the quote is not closed")
		}
		r := p.text[p.at]
		if r == quote {
			p.at++
			break
		}
		if r == '\\' && p.at+1 < len(p.text) && (p.text[p.at+1] == quote || p.text[p.at+1] == '\\') {
			p.at++
			r = p.text[p.at]
		}
		b.WriteRune(r)
	}
	t.text = b.String()
	if !p.end() && !unicode.IsSpace(p.text[p.at]) && (!isValue || p.text[p.at] != ',') {
		return p.wrong(t.at, string(p.text[t.at:p.at+1]), "something follows the closing quote without a blank")
	}
	return nil
}

func fieldNames() []string {
	var names []string
	for _, f := range Fields() {
		names = append(names, string(f))
	}
	return names
}

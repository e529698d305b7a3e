package config

import (
	"regexp"
	"strings"
)

// badLine is a line of a .env file that says nothing.
type badLine struct {
	line int
	msg  string
}

// parseDotenv reads KEY=VALUE lines in the form that docker compose, node and python tools share: blank lines and
// comments, an optional `export`, 'single quotes' (literal), "double quotes" (with \n, \t, \", \\ and \$), both
// of which may span lines, and a comment after a bare value. Variables are not expanded.
func parseDotenv(text string) (map[string]string, []badLine) {
	p := &dotenvParser{text: strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n"), line: 1}
	vars := map[string]string{}
	for p.text != "" {
		p.next(vars)
	}
	return vars, p.bad
}

type dotenvParser struct {
	text string // what is left
	line int    // of its first character
	bad  []badLine
}

var dotenvKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// next takes one entry, or one line without.
func (p *dotenvParser) next(vars map[string]string) {
	start := p.line
	line, _, _ := strings.Cut(p.text, "\n")
	trimmed := strings.TrimSpace(line)
	if trimmed == "" || strings.HasPrefix(trimmed, "#") {
		p.take(len(line))
		return
	}
	key, _, ok := strings.Cut(line, "=")
	name := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(key), "export "))
	if !ok || !dotenvKey.MatchString(name) {
		p.bad = append(p.bad, badLine{start, "want KEY=VALUE"})
		p.take(len(line))
		return
	}
	rest := p.text[len(key)+1:]
	indent := len(rest) - len(strings.TrimLeft(rest, " \t"))
	value := rest[indent:]
	if value == "" || (value[0] != '"' && value[0] != '\'') {
		vars[name] = bareValue(line[len(key)+1:])
		p.take(len(line))
		return
	}
	end := closingQuote(value)
	if end < 0 {
		p.bad = append(p.bad, badLine{start, "the quotation mark is not closed"})
		p.take(len(line))
		return
	}
	vars[name] = unquote(value[:end+1])
	tail, _, _ := strings.Cut(value[end+1:], "\n")
	taken := len(key) + 1 + indent + end + 1
	if t := strings.TrimSpace(tail); t != "" && !strings.HasPrefix(t, "#") {
		p.bad = append(p.bad, badLine{start + strings.Count(p.text[:taken], "\n"), "text after the closing quotation mark"})
	}
	p.take(taken + len(tail))
}

// take drops n bytes and the line end after them.
func (p *dotenvParser) take(n int) {
	p.line += strings.Count(p.text[:n], "\n")
	p.text = p.text[n:]
	if strings.HasPrefix(p.text, "\n") {
		p.text = p.text[1:]
		p.line++
	}
}

// bareValue cuts a comment, which needs a space before its #.
func bareValue(s string) string {
	for i := range len(s) {
		if s[i] == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t') {
			s = s[:i]
			break
		}
	}
	return strings.TrimSpace(s)
}

// closingQuote returns the index of the mark that closes s[0], or -1.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] == '"':
			i++
		case s[i] == s[0]:
			return i
		}
	}
	return -1
}

func unquote(s string) string {
	body := s[1 : len(s)-1]
	if s[0] == '\'' {
		return body
	}
	return strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\r`, "\r", `\"`, `"`, `\\`, `\`, `\$`, `$`).Replace(body)
}

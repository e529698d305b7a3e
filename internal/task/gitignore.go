package task

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// ignoreList decides by gitignore rules which files are left out. It knows one file of
// patterns, that of the folder itself.
type ignoreList []ignorePattern

type ignorePattern struct {
	match   *regexp.Regexp // against a whole relative path
	negate  bool
	dirOnly bool
}

// defaultIgnore holds where a task has no .gitignore.
const defaultIgnore = "__pycache__/\n*.pyc\n.DS_Store\n*.swp\n*.swo\n*~\n"

// parseIgnore reads a .gitignore. As git does, it passes over patterns that make no sense.
func parseIgnore(text string) ignoreList {
	var list ignoreList
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
		if p, ok := parseIgnoreLine(strings.TrimSuffix(line, "\r")); ok {
			list = append(list, p)
		}
	}
	return list
}

func parseIgnoreLine(line string) (p ignorePattern, ok bool) {
	line = trimTrailingSpaces(line)
	if line == "" || line[0] == '#' {
		return p, false
	}
	if line[0] == '!' {
		p.negate, line = true, line[1:]
	}
	if trimmed := strings.TrimSuffix(line, "/"); trimmed != line {
		p.dirOnly, line = true, trimmed
	}
	anchored := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return p, false
	}
	if !anchored {
		line = "**/" + line
	}
	expr, ok := globToRegexp(line)
	if !ok {
		return p, false
	}
	re, err := regexp.Compile(expr)
	p.match = re
	return p, err == nil
}

// trimTrailingSpaces removes spaces at the end unless a backslash quotes them.
func trimTrailingSpaces(s string) string {
	for strings.HasSuffix(s, " ") {
		slashes := len(s) - 1 - len(strings.TrimRight(s[:len(s)-1], `\`))
		if slashes%2 == 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}

// globToRegexp translates a pattern that is relative to the top folder.
func globToRegexp(glob string) (string, bool) {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(glob); {
		rest := glob[i:]
		atStart := i == 0 || glob[i-1] == '/'
		switch {
		case atStart && strings.HasPrefix(rest, "**/"):
			b.WriteString(`(?:[^/]+/)*`)
			i += 3
		case atStart && rest == "**":
			b.WriteString(`.+`)
			i += 2
		case rest[0] == '*':
			b.WriteString(`[^/]*`)
			i++
		case rest[0] == '?':
			b.WriteString(`[^/]`)
			i++
		case rest[0] == '[':
			class, n := classToRegexp(rest)
			if n == 0 {
				return "", false
			}
			b.WriteString(class)
			i += n
		case rest[0] == '\\':
			if len(rest) == 1 {
				return "", false
			}
			_, n := utf8.DecodeRuneInString(rest[1:])
			b.WriteString(regexp.QuoteMeta(rest[1 : 1+n]))
			i += 1 + n
		default:
			_, n := utf8.DecodeRuneInString(rest)
			b.WriteString(regexp.QuoteMeta(rest[:n]))
			i += n
		}
	}
	b.WriteString(`\z`)
	return b.String(), true
}

// classToRegexp translates the [class] that glob begins with and says how long it is; 0 if it is
// not closed. A negated class does not match a slash.
func classToRegexp(glob string) (string, int) {
	end := 1
	if end < len(glob) && (glob[end] == '!' || glob[end] == '^') {
		end++
	}
	if end < len(glob) && glob[end] == ']' {
		end++
	}
	for ; end < len(glob) && glob[end] != ']'; end++ {
		if glob[end] == '\\' {
			end++
		} else if strings.HasPrefix(glob[end:], "[:") {
			if close := strings.Index(glob[end:], ":]"); close > 0 {
				end += close + 1
			}
		}
	}
	if end >= len(glob) {
		return "", 0
	}
	body := glob[1:end]
	negated := body[0] == '!' || body[0] == '^'
	if negated {
		body = body[1:]
	}
	var b strings.Builder
	b.WriteByte('[')
	if negated {
		b.WriteString("^/")
	}
	writeClassBody(&b, body)
	b.WriteByte(']')
	return b.String(), end + 1
}

func writeClassBody(b *strings.Builder, body string) {
	for i := 0; i < len(body); i++ {
		switch {
		case strings.HasPrefix(body[i:], "[:") && strings.Contains(body[i:], ":]"):
			close := strings.Index(body[i:], ":]") + 2
			b.WriteString(body[i : i+close])
			i += close - 1
		case body[i] == '\\' && i+1 < len(body):
			i++
			if body[i] == '-' {
				b.WriteByte('\\')
			}
			b.WriteString(regexp.QuoteMeta(body[i : i+1]))
		case strings.IndexByte(`[]^\`, body[i]) >= 0:
			b.WriteString(`\` + body[i:i+1])
		default:
			b.WriteByte(body[i])
		}
	}
}

// ignored reports whether the file (or folder) rel is left out. As in git, nothing below an ignored
// folder can be taken back in.
func (l ignoreList) ignored(rel string, isDir bool) bool {
	for i, r := range rel {
		if r == '/' && l.verdict(rel[:i], true) {
			return true
		}
	}
	return l.verdict(rel, isDir)
}

// verdict is that of the last pattern that matches rel itself.
func (l ignoreList) verdict(rel string, isDir bool) bool {
	for i := len(l) - 1; i >= 0; i-- {
		if p := l[i]; (isDir || !p.dirOnly) && p.match.MatchString(rel) {
			return !p.negate
		}
	}
	return false
}
